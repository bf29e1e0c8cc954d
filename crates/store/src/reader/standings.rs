//! How inboxes stand.

use std::collections::HashMap;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Breakers, Error, Inbox, InboxState, Standing, Tally,
    moment::now,
    sql,
    standing::{Finding, Reason},
};

pub(crate) const BREAKERS: &str = "breakers";

/// Whose recipients are counted.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    Inbox(&'a str),
    Account(&'a str),
    /// The inboxes that an account has, or had, on a domain.
    AccountOnDomain(&'a str, &'a str),
    /// Everybody's on a domain: for the operator.
    Domain(&'a str),
}

/// A state that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingChange {
    pub inbox_id: String,
    pub account_id: String,
    /// 1 for the first of the inbox.
    pub number: i64,
    /// "inbox.warned", "inbox.cleared", "inbox.stopped" or "inbox.resumed".
    pub event: String,
    pub standing: contract::Standing,
    pub changed_at: i64,
}

/// A row of `standings`.
#[derive(Clone, Debug)]
pub(crate) struct StandingRow {
    pub(crate) standing: Standing,
    pub(crate) changes: i64,
}

impl StandingRow {
    pub(crate) fn finding(&self) -> Finding {
        Finding { state: self.standing.state, reason: self.standing.reason }
    }
}

impl Reader {
    /// What storage judges by; the defaults before the first storage has said so.
    pub async fn breakers(&self) -> Result<Breakers, Error> {
        breakers(&mut *self.connection().await?).await
    }

    /// The inbox with this identifier, whoever owns it.
    pub async fn inbox_by_id(&self, inbox_id: &str) -> Result<Option<Inbox>, Error> {
        Ok(self.find_inboxes("id = $1", &[inbox_id]).await?.into_iter().next())
    }

    pub async fn standing(&self, inbox: &Inbox) -> Result<Standing, Error> {
        let mut connection = self.connection().await?;
        let found = find(&mut connection, &[&inbox.id], "").await?.remove(&inbox.id);
        Ok(found.map_or_else(|| unreported(inbox), |it| it.standing))
    }

    /// What became of recipients within the window, of each inbox since it was resumed last.
    pub async fn tally(&self, whose: Whose<'_>, breakers: &Breakers) -> Result<Tally, Error> {
        let failed = Error::query("read what became of recipients");
        let (condition, values): (&str, &[&str]) = match &whose {
            Whose::Inbox(id) => ("t.inbox_id = $2", &[id]),
            Whose::Account(id) => ("t.account_id = $2", &[id]),
            Whose::AccountOnDomain(id, domain) => {
                ("t.account_id = $2 AND t.domain = $3", &[id, domain])
            }
            Whose::Domain(domain) => ("t.domain = $2", &[domain]),
        };
        let statement = format!(
            "SELECT {SUMS} FROM tallies t LEFT JOIN standings s ON s.inbox_id = t.inbox_id \
             WHERE {condition} AND t.day >= $1 \
             AND t.counted_from = COALESCE(s.counted_from, t.counted_from)"
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(breakers.first_day(now()));
        let row = values
            .iter()
            .fold(query, |query, value| query.bind(sql::text(value)))
            .fetch_one(&self.database.read)
            .await
            .map_err(&failed)?;
        tally(&row).map_err(&failed)
    }

    /// The last changes of an inbox's state, the newest first.
    pub async fn standing_changes(
        &self,
        inbox_id: &str,
        limit: i64,
    ) -> Result<Vec<StandingChange>, Error> {
        let rows = "c.inbox_id = $1 ORDER BY c.number DESC LIMIT $2";
        self.find_changes(rows, Some(inbox_id), limit).await
    }

    /// Changes that have yet to be announced, the oldest first.
    pub async fn unannounced(&self, limit: i64) -> Result<Vec<StandingChange>, Error> {
        let rows = "c.announced_at IS NULL ORDER BY c.changed_at, c.inbox_id, c.number LIMIT $1";
        self.find_changes(rows, None, limit).await
    }

    async fn find_changes(
        &self,
        condition: &str,
        inbox_id: Option<&str>,
        limit: i64,
    ) -> Result<Vec<StandingChange>, Error> {
        let failed = Error::query("read changes of standings");
        let statement = format!(
            "SELECT c.inbox_id, i.account_id, c.number, c.event, c.standing, c.changed_at \
             FROM standing_changes c JOIN inboxes i ON i.id = c.inbox_id WHERE {condition}"
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = inbox_id.into_iter().fold(query, |query, it| query.bind(sql::text(it)));
        let rows = query.bind(limit).fetch_all(&self.database.read).await.map_err(&failed)?;
        let change = |row: &AnyRow| {
            let standing: String = row.try_get("standing").map_err(&failed)?;
            Ok(StandingChange {
                inbox_id: row.try_get("inbox_id").map_err(&failed)?,
                account_id: row.try_get("account_id").map_err(&failed)?,
                number: row.try_get("number").map_err(&failed)?,
                event: row.try_get("event").map_err(&failed)?,
                standing: serde_json::from_str(&standing)
                    .map_err(|_| Error::Corrupt { what: "a change of a standing" })?,
                changed_at: row.try_get("changed_at").map_err(&failed)?,
            })
        };
        rows.iter().map(change).collect()
    }

    /// How many inboxes are warned, and how many stopped.
    pub async fn troubled_inboxes(&self) -> Result<(i64, i64), Error> {
        let failed = Error::query("count warned and stopped inboxes");
        let statement =
            "SELECT state, COUNT(*) AS n FROM standings WHERE state <> 'good' GROUP BY state";
        let rows = sqlx::query(statement).fetch_all(&self.database.read).await.map_err(&failed)?;
        let mut counts = (0, 0);
        for row in &rows {
            let state: String = row.try_get("state").map_err(&failed)?;
            let count: i64 = row.try_get("n").map_err(&failed)?;
            match InboxState::of(&state) {
                Some(InboxState::Stopped) => counts.1 = count,
                _ => counts.0 = count,
            }
        }
        Ok(counts)
    }
}

pub(crate) async fn breakers(connection: &mut AnyConnection) -> Result<Breakers, Error> {
    let policy: Option<String> = sqlx::query_scalar("SELECT policy FROM policies WHERE name = $1")
        .bind(BREAKERS)
        .fetch_optional(connection)
        .await
        .map_err(Error::query("read the breakers"))?;
    let Some(policy) = policy else { return Ok(Breakers::default()) };
    serde_json::from_str(&policy).map_err(|_| Error::Corrupt { what: "the breakers' policy" })
}

/// Of an inbox of which nothing was reported yet.
pub(crate) fn unreported(inbox: &Inbox) -> Standing {
    Standing {
        state: InboxState::Good,
        reason: None,
        explanation: String::new(),
        since: inbox.created_at,
        counted_from: 0,
    }
}

/// Those that have a row, in the order of their identifiers; `lock` ends the statement.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    inbox_ids: &[&str],
    lock: &str,
) -> Result<HashMap<String, StandingRow>, Error> {
    let failed = Error::query("read standings");
    let statement = |ids| {
        format!(
            "SELECT inbox_id, state, reason, explanation, since, counted_from, changes \
             FROM standings WHERE inbox_id IN (VALUES {ids}) ORDER BY inbox_id{lock}"
        )
    };
    let bind = |query: sql::Bound, id: &&str| query.bind(sql::text(id));
    let rows = sql::fetch(connection, inbox_ids, 1, statement, bind).await.map_err(&failed)?;
    let mut found = HashMap::new();
    for row in &rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let state = InboxState::of(&text("state")?);
        let standing = Standing {
            state: state.ok_or(Error::Corrupt { what: "the state of an inbox" })?,
            reason: Reason::of(&text("reason")?),
            explanation: text("explanation")?,
            since: row.try_get("since").map_err(&failed)?,
            counted_from: row.try_get("counted_from").map_err(&failed)?,
        };
        let changes = row.try_get("changes").map_err(&failed)?;
        found.insert(text("inbox_id")?, StandingRow { standing, changes });
    }
    Ok(found)
}

/// The sums of `tallies t`.
pub(crate) const SUMS: &str = "CAST(COALESCE(SUM(t.attempted), 0) AS BIGINT) AS attempted, \
     CAST(COALESCE(SUM(t.delivered), 0) AS BIGINT) AS delivered, \
     CAST(COALESCE(SUM(t.deferred), 0) AS BIGINT) AS deferred, \
     CAST(COALESCE(SUM(t.bounced), 0) AS BIGINT) AS bounced, \
     CAST(COALESCE(SUM(t.refused), 0) AS BIGINT) AS refused, \
     CAST(COALESCE(SUM(t.complained), 0) AS BIGINT) AS complained, \
     CAST(COALESCE(SUM(t.suppressed), 0) AS BIGINT) AS suppressed";

pub(crate) fn tally(row: &AnyRow) -> sqlx::Result<Tally> {
    Ok(Tally {
        attempted: row.try_get("attempted")?,
        delivered: row.try_get("delivered")?,
        deferred: row.try_get("deferred")?,
        bounced: row.try_get("bounced")?,
        refused: row.try_get("refused")?,
        complained: row.try_get("complained")?,
        suppressed: row.try_get("suppressed")?,
    })
}
