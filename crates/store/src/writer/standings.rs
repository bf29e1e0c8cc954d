//! What reports mean for an inbox: counted, judged, and a change of its state noted, all in the
//! transaction that applies them. The inbox's row in `standings` is locked meanwhile: of two replicas
//! the second sees what the first counted, and only one of them finds that a line is crossed.

use std::collections::{BTreeMap, HashMap};

use sqlx::AnyConnection;

use super::{Writer, commit, unchanged};
use crate::{
    Breakers, Error, Inbox, InboxState, Policy, Standing, Tally,
    dialect::Dialect,
    moment::{DAY, now},
    reader::standings::{self, BREAKERS, SUMS, StandingRow},
    sql,
    standing::Reason,
};

/// How long the counts of a day are kept.
const TALLIES_KEPT: i64 = 90 * DAY;

/// What an operator's command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Switched {
    Done(Standing),
    /// It was so already.
    Unchanged(Standing),
}

impl Writer {
    /// This writer counts what becomes of recipients, and judges senders.
    pub fn judging(self, policy: Policy) -> Writer {
        Writer { policy: Some(policy.into()), ..self }
    }

    /// Lets others know what this writer judges by.
    pub async fn publish_policy(&self) -> Result<(), Error> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let breakers = serde_json::to_string(&policy.breakers)
            .map_err(|_| Error::Corrupt { what: "the breakers' policy" })?;
        sqlx::query(
            "INSERT INTO policies (name, policy) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET policy = excluded.policy",
        )
        .bind(BREAKERS)
        .bind(breakers)
        .execute(&self.database.write)
        .await
        .map_err(Error::query("publish the breakers"))?;
        Ok(())
    }

    /// Counts what became of the recipients of inboxes, and judges these.
    pub(super) async fn settle(
        &self,
        connection: &mut AnyConnection,
        tallies: BTreeMap<String, Tally>,
    ) -> Result<(), Error> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let tallies: Vec<_> =
            tallies.into_iter().filter(|(_, it)| *it != Tally::default()).collect();
        let inbox_ids: Vec<&str> = tallies.iter().map(|(inbox_id, _)| &**inbox_id).collect();
        let rows = lock(connection, self.database.dialect, &inbox_ids).await?;
        add(connection, &rows, &tallies).await?;
        judge(connection, &policy.breakers, &rows).await
    }

    /// Lifts the warnings that time has overtaken: what was counted falls out of the window though
    /// nothing is reported.
    pub async fn review_warnings(&self) -> Result<(), Error> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let warned: Vec<String> =
            sqlx::query_scalar("SELECT inbox_id FROM standings WHERE state = 'warned'")
                .fetch_all(&self.database.read)
                .await
                .map_err(Error::query("find warned inboxes"))?;
        for inbox_id in warned {
            let mut transaction = self.database.begin().await?;
            let rows = lock(&mut transaction, self.database.dialect, &[&inbox_id]).await?;
            judge(&mut transaction, &policy.breakers, &rows).await?;
            commit(transaction).await?;
        }
        Ok(())
    }

    /// The operator stops an inbox: nothing more is sent of it.
    pub async fn stop_inbox(&self, inbox: &Inbox, reason: &str) -> Result<Switched, Error> {
        let stop = |now| Standing {
            state: InboxState::Stopped,
            reason: Some(Reason::Operator),
            explanation: sql::text(reason),
            since: now,
            counted_from: 0,
        };
        self.switch(inbox, "inbox.stopped", |before, now| {
            let counted_from = before.counted_from;
            (before.state != InboxState::Stopped).then(|| Standing { counted_from, ..stop(now) })
        })
        .await
    }

    /// The operator lets a stopped inbox send again, with nothing counted against it.
    pub async fn resume_inbox(&self, inbox: &Inbox) -> Result<Switched, Error> {
        self.switch(inbox, "inbox.resumed", |before, now| {
            (before.state == InboxState::Stopped).then(|| Standing {
                state: InboxState::Good,
                reason: None,
                explanation: String::new(),
                since: now,
                counted_from: now,
            })
        })
        .await
    }

    async fn switch(
        &self,
        inbox: &Inbox,
        event: &str,
        change: impl FnOnce(&Standing, i64) -> Option<Standing>,
    ) -> Result<Switched, Error> {
        let mut transaction = self.database.begin().await?;
        let mut rows = lock(&mut transaction, self.database.dialect, &[&inbox.id]).await?;
        let row = rows.remove(&inbox.id).ok_or(Error::NoInbox)?;
        let Some(after) = change(&row.standing, now()) else {
            return unchanged(transaction, Switched::Unchanged(row.standing)).await;
        };
        let breakers = standings::breakers(&mut transaction).await?;
        let counted = [(&inbox.id, after.counted_from)];
        let mut tallies = tallies(&mut transaction, &breakers, &counted).await?;
        let tally = tallies.remove(&inbox.id).unwrap_or_default();
        let changed = Changed { inbox_id: &inbox.id, number: row.changes + 1, event, tally };
        write(&mut transaction, &breakers, &changed, &after).await?;
        commit(transaction).await?;
        Ok(Switched::Done(after))
    }

    /// Notes that a change is announced. False if somebody else noted it.
    pub async fn announced(&self, inbox_id: &str, number: i64) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE standing_changes SET announced_at = $3 \
             WHERE inbox_id = $1 AND number = $2 AND announced_at IS NULL",
        )
        .bind(inbox_id.to_owned())
        .bind(number)
        .bind(now())
        .execute(&self.database.write)
        .await
        .map_err(Error::query("note an announcement"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets counts that nobody asks for any more.
    pub async fn forget_tallies(&self) -> Result<(), Error> {
        sqlx::query("DELETE FROM tallies WHERE day < $1")
            .bind((now() - TALLIES_KEPT).div_euclid(DAY))
            .execute(&self.database.write)
            .await
            .map_err(Error::query("forget old counts"))?;
        Ok(())
    }
}

/// The standings of those of the inboxes that exist, locked in the order of their identifiers.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    inbox_ids: &[&str],
) -> Result<HashMap<String, StandingRow>, Error> {
    let found = standings::find(connection, inbox_ids, dialect.lock_rows()).await?;
    if found.len() == inbox_ids.len() {
        return Ok(found);
    }
    let statement = |ids| {
        format!(
            "INSERT INTO standings (inbox_id, state, reason, explanation, since, counted_from, \
             changes) SELECT id, 'good', '', '', created_at, 0, 0 FROM inboxes \
             WHERE id IN (VALUES {ids}) ORDER BY id ON CONFLICT (inbox_id) DO NOTHING"
        )
    };
    let bind = |query: sql::Bound, id: &&str| query.bind(sql::text(id));
    sql::execute(connection, inbox_ids, 1, statement, bind)
        .await
        .map_err(Error::query("begin standings"))?;
    standings::find(connection, inbox_ids, dialect.lock_rows()).await
}

async fn add(
    connection: &mut AnyConnection,
    rows: &HashMap<String, StandingRow>,
    tallies: &[(String, Tally)],
) -> Result<(), Error> {
    let today = now().div_euclid(DAY);
    let known: Vec<(&String, i64, &Tally)> = tallies
        .iter()
        .filter_map(|(id, it)| Some((id, rows.get(id)?.standing.counted_from, it)))
        .collect();
    let statement = |tuples| {
        format!(
            "INSERT INTO tallies (inbox_id, counted_from, day, account_id, domain, attempted, \
             delivered, deferred, bounced, refused, complained, suppressed) \
             SELECT v.column1, v.column2, v.column3, i.account_id, i.domain, v.column4, v.column5, \
             v.column6, v.column7, v.column8, v.column9, v.column10 \
             FROM (VALUES {tuples}) AS v JOIN inboxes i ON i.id = v.column1 WHERE TRUE \
             ON CONFLICT (inbox_id, counted_from, day) DO UPDATE SET \
             attempted = tallies.attempted + excluded.attempted, \
             delivered = tallies.delivered + excluded.delivered, \
             deferred = tallies.deferred + excluded.deferred, \
             bounced = tallies.bounced + excluded.bounced, \
             refused = tallies.refused + excluded.refused, \
             complained = tallies.complained + excluded.complained, \
             suppressed = tallies.suppressed + excluded.suppressed"
        )
    };
    sql::execute(connection, &known, 10, statement, |query, (inbox_id, counted_from, it)| {
        let query = query.bind((*inbox_id).clone()).bind(*counted_from).bind(today);
        let query = query.bind(it.attempted).bind(it.delivered).bind(it.deferred);
        query.bind(it.bounced).bind(it.refused).bind(it.complained).bind(it.suppressed)
    })
    .await
    .map_err(Error::query("count what became of recipients"))
}

/// What is counted of each inbox within the window.
async fn tallies(
    connection: &mut AnyConnection,
    breakers: &Breakers,
    inboxes: &[(&String, i64)],
) -> Result<HashMap<String, Tally>, Error> {
    let failed = Error::query("read what became of recipients");
    let statement = |tuples| {
        format!(
            "SELECT t.inbox_id, {SUMS} FROM (VALUES {tuples}) AS v \
             JOIN tallies t ON t.inbox_id = v.column1 AND t.counted_from = v.column2 \
             AND t.day >= v.column3 GROUP BY t.inbox_id"
        )
    };
    let first_day = breakers.first_day(now());
    let rows = sql::fetch(connection, inboxes, 3, statement, |query, (inbox_id, counted_from)| {
        query.bind((*inbox_id).clone()).bind(*counted_from).bind(first_day)
    })
    .await
    .map_err(&failed)?;
    let tally = |row| Ok((sqlx::Row::try_get(row, "inbox_id")?, standings::tally(row)?));
    rows.iter().map(tally).collect::<sqlx::Result<_>>().map_err(failed)
}

/// Brings the states up to date with what is counted.
async fn judge(
    connection: &mut AnyConnection,
    breakers: &Breakers,
    rows: &HashMap<String, StandingRow>,
) -> Result<(), Error> {
    let inboxes: Vec<(&String, i64)> =
        rows.iter().map(|(id, it)| (id, it.standing.counted_from)).collect();
    let tallies = tallies(connection, breakers, &inboxes).await?;
    for (inbox_id, row) in rows {
        let tally = tallies.get(inbox_id).copied().unwrap_or_default();
        let (before, after) = (row.finding(), breakers.judge(&tally, &row.finding()));
        if after == before {
            continue;
        }
        let event = match after.state {
            InboxState::Good => "inbox.cleared",
            InboxState::Warned => "inbox.warned",
            InboxState::Stopped => "inbox.stopped",
        };
        let explanation = after.reason.map(|it| breakers.explain(it, &tally));
        let standing = Standing {
            state: after.state,
            reason: after.reason,
            explanation: explanation.unwrap_or_default(),
            since: now(),
            counted_from: row.standing.counted_from,
        };
        let changed = Changed { inbox_id, number: row.changes + 1, event, tally };
        write(connection, breakers, &changed, &standing).await?;
    }
    Ok(())
}

/// What is noted of a change beside the state it leads to.
struct Changed<'a> {
    inbox_id: &'a str,
    number: i64,
    event: &'a str,
    tally: Tally,
}

async fn write(
    connection: &mut AnyConnection,
    breakers: &Breakers,
    changed: &Changed<'_>,
    after: &Standing,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE standings SET state = $2, reason = $3, explanation = $4, since = $5, \
         counted_from = $6, changes = $7 WHERE inbox_id = $1",
    )
    .bind(changed.inbox_id.to_owned())
    .bind(after.state.as_str())
    .bind(after.reason.map_or("", Reason::as_str))
    .bind(after.explanation.clone())
    .bind(after.since)
    .bind(after.counted_from)
    .bind(changed.number)
    .execute(&mut *connection)
    .await
    .map_err(Error::query("change the state of an inbox"))?;
    let shown = after.shown(breakers.figures(&changed.tally));
    let shown = serde_json::to_string(&shown)
        .map_err(|_| Error::Corrupt { what: "the standing of an inbox" })?;
    sqlx::query(
        "INSERT INTO standing_changes (inbox_id, number, event, standing, changed_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(changed.inbox_id.to_owned())
    .bind(changed.number)
    .bind(changed.event.to_owned())
    .bind(shown)
    .bind(after.since)
    .execute(connection)
    .await
    .map_err(Error::query("note a change of an inbox"))?;
    Ok(())
}
