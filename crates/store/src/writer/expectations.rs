//! Expectations: making and calling them off, and what ends them. Each ends once: whoever ends it holds its
//! row, and the event is written down in the same transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use contract::{ExpectationCandidate, Message};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::{Writer, commit, unchanged};
use crate::{
    Announcement, Error, Expectation, Expected, NewExpectation, Offer,
    dialect::Dialect,
    email::{from_json, to_json},
    expectation::{Effect, ExpectationState, Incoming, MAX_WAITING, Past, meet},
    moment::{DAY, now},
    reader::expectations::{EXPECTATION, expectation},
    sql,
};

/// How long what is settled can be asked for.
const KEPT_FOR: i64 = 30 * DAY;

/// Expired in one transaction.
const MOST_AT_ONCE: i64 = 100;

impl Writer {
    /// Makes an expectation, once for a key: asked for again, it is what became of it.
    pub async fn expect(&self, new: &NewExpectation) -> Result<Expected, Error> {
        let failed = Error::query("make an expectation");
        let mut transaction = self.database.begin().await?;
        let statement = "SELECT COUNT(*) FROM inboxes \
                         WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL";
        let inboxes: i64 = sqlx::query_scalar(statement)
            .bind(sql::text(&new.inbox_id))
            .bind(sql::text(&new.account_id))
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        if inboxes == 0 {
            return unchanged(transaction, Expected::NoInbox).await;
        }
        if let Some(known) = by_key(&mut transaction, new).await? {
            return unchanged(transaction, Expected::Made(Box::new(known))).await;
        }
        let statement =
            "SELECT COUNT(*) FROM expectations WHERE inbox_id = $1 AND state = 'waiting'";
        let waiting: i64 = sqlx::query_scalar(statement)
            .bind(new.inbox_id.clone())
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        if waiting >= MAX_WAITING {
            return unchanged(transaction, Expected::TooMany).await;
        }
        insert(&mut transaction, new).await?;
        // Somebody else's, if he was faster with the same key.
        let made = by_key(&mut transaction, new).await?;
        let made = made.ok_or(Error::Corrupt { what: "an expectation" })?;
        commit(transaction).await?;
        Ok(Expected::Made(Box::new(made)))
    }

    /// Calls an expectation off, unless it is settled. `None` if the account has none of this identifier.
    pub async fn cancel_expectation(
        &self,
        account_id: &str,
        expectation_id: &str,
    ) -> Result<Option<Expectation>, Error> {
        let failed = Error::query("cancel an expectation");
        let mut transaction = self.database.begin().await?;
        sqlx::query(
            "UPDATE expectations SET state = 'cancelled', settled_at = $3 \
             WHERE id = $1 AND account_id = $2 AND state = 'waiting'",
        )
        .bind(sql::text(expectation_id))
        .bind(sql::text(account_id))
        .bind(now())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        let statement =
            format!("SELECT {EXPECTATION} FROM expectations WHERE id = $1 AND account_id = $2");
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(expectation_id))
            .bind(sql::text(account_id))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        commit(transaction).await?;
        row.as_ref().map(expectation).transpose()
    }

    /// Ends some of those whose time is over. Returns how many; others may be at work on more.
    pub async fn expire_expectations(&self) -> Result<usize, Error> {
        let failed = Error::query("expire expectations");
        let at = now();
        let mut transaction = self.database.begin().await?;
        let statement = format!(
            "SELECT {EXPECTATION} FROM expectations WHERE state = 'waiting' AND deadline <= $1 \
             ORDER BY deadline LIMIT $2{}",
            self.database.dialect.lock_free_rows()
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(at)
            .bind(MOST_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        for row in &rows {
            let state = ExpectationState::Expired;
            let over = Expectation { state, settled_at: Some(at), ..expectation(row)? };
            settle(&mut transaction, &over).await?;
        }
        commit(transaction).await?;
        Ok(rows.len())
    }

    /// Forgets what was settled long ago.
    pub async fn forget_expectations(&self) -> Result<(), Error> {
        sqlx::query("DELETE FROM expectations WHERE settled_at < $1")
            .bind(now() - KEPT_FOR)
            .execute(&self.database.write)
            .await
            .map(drop)
            .map_err(Error::query("forget expectations"))
    }
}

/// A mail that enters an inbox in this transaction, and what it has for those who wait there.
pub(super) struct Entering<'a> {
    pub(super) email_id: String,
    pub(super) inbox_id: String,
    pub(super) received_at: i64,
    pub(super) is_authenticated: bool,
    pub(super) message: &'a Message,
    pub(super) offer: &'a Offer,
}

impl Entering<'_> {
    fn incoming(&self) -> Incoming<'_> {
        let message = self.message;
        let from = message.from.iter().map(|it| &it.address).find(|it| !it.is_empty());
        Incoming {
            email_id: &self.email_id,
            inbox_id: &self.inbox_id,
            received_at: self.received_at,
            dated: message.date_micros,
            message_id: &message.message_id,
            from: from.cloned().unwrap_or_default(),
            is_authenticated: self.is_authenticated
                || self.offer.sent_here.contains(&self.email_id),
            answers: message
                .references
                .iter()
                .chain(&message.in_reply_to)
                .map(String::as_str)
                .collect(),
            offer: self.offer,
        }
    }
}

/// Has mails, in the order in which they become readable, meet what is expected in their inboxes. They are
/// stored and threaded, and their inboxes locked.
pub(super) async fn meet_all(
    connection: &mut AnyConnection,
    dialect: Dialect,
    mails: &[Entering<'_>],
) -> Result<(), Error> {
    let inboxes: BTreeSet<&str> = mails.iter().map(|it| it.inbox_id.as_str()).collect();
    let inboxes: Vec<&str> = inboxes.into_iter().collect();
    let mut waiting = waiting(connection, dialect, &inboxes).await?;
    for mail in mails {
        let Some(waiting) = waiting.get_mut(&mail.inbox_id).filter(|it| !it.is_empty()) else {
            continue;
        };
        let mail = mail.incoming();
        let past = past(connection, &mail, waiting).await?;
        for effect in meet(waiting, &mail, &past, now()) {
            match effect {
                Effect::Settled(it) => {
                    settle(connection, &it).await?;
                    waiting.retain(|other| other.id != it.id);
                }
                Effect::PassedOver(it) => pass_over(connection, &it).await?,
            }
        }
    }
    Ok(())
}

/// Those that wait in these inboxes, by inbox, oldest first. Nobody else ends them meanwhile.
async fn waiting(
    connection: &mut AnyConnection,
    dialect: Dialect,
    inboxes: &[&str],
) -> Result<HashMap<String, Vec<Expectation>>, Error> {
    let statement = |ids| {
        format!(
            "SELECT {EXPECTATION} FROM expectations WHERE state = 'waiting' \
             AND inbox_id IN (VALUES {ids}) ORDER BY created_at, id{}",
            dialect.lock_rows()
        )
    };
    let bind = |query: sql::Bound, id: &&str| query.bind((*id).to_owned());
    let rows = sql::fetch(connection, inboxes, 1, statement, bind).await;
    let mut waiting: HashMap<String, Vec<Expectation>> = HashMap::new();
    for row in &rows.map_err(Error::query("read what is expected"))? {
        let it = expectation(row)?;
        waiting.entry(it.inbox_id.clone()).or_default().push(it);
    }
    Ok(waiting)
}

/// Mails with one Message-ID, and a mail and what it answers, are in one thread.
async fn past(
    connection: &mut AnyConnection,
    mail: &Incoming<'_>,
    waiting: &[Expectation],
) -> Result<Past, Error> {
    let failed = Error::query("read what came before a mail");
    let thread = "FROM emails e JOIN mails m ON m.id = e.mail_id WHERE e.inbox_id = $1 \
                  AND e.thread_id = (SELECT thread_id FROM emails WHERE id = $2)";
    let statement = format!(
        "SELECT MIN(e.received_at) {thread} AND e.direction = 'inbound' AND m.message_id = $3"
    );
    let first_received_at = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(mail.inbox_id.to_owned())
        .bind(mail.email_id.to_owned())
        .bind(sql::text(mail.message_id))
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    let statement = format!("SELECT m.message_id {thread} AND e.direction = 'outbound'");
    let sent: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(mail.inbox_id.to_owned())
        .bind(mail.email_id.to_owned())
        .fetch_all(&mut *connection)
        .await
        .map_err(&failed)?;
    let sent: HashSet<String> = sent.into_iter().flatten().collect();
    let since = waiting.iter().map(|it| it.created_at).min().unwrap_or_default();
    Ok(Past {
        first_received_at,
        answers_own: sent.iter().any(|it| mail.answers.contains(it.as_str())),
        handed_out_at: handed_out_at(connection, mail, since).await?,
    })
}

/// When the newest of the codes and links of a mail were handed out, not before `since`. Those of an
/// ambiguous mail were all told.
async fn handed_out_at(
    connection: &mut AnyConnection,
    mail: &Incoming<'_>,
    since: i64,
) -> Result<Option<i64>, Error> {
    let failed = Error::query("find what was handed out");
    let rows = sqlx::query(
        "SELECT settled_at, code, link, candidates FROM expectations WHERE inbox_id = $1 \
         AND settled_at >= $2 AND state IN ('matched', 'ambiguous') AND kind IN ('code', 'link') \
         ORDER BY settled_at DESC",
    )
    .bind(mail.inbox_id.to_owned())
    .bind(since)
    .fetch_all(connection)
    .await
    .map_err(&failed)?;
    for row in rows {
        let text = |column| row.try_get::<Option<String>, _>(column).map_err(&failed);
        let candidates: String = row.try_get("candidates").map_err(&failed)?;
        let candidates: Vec<ExpectationCandidate> = from_json(&candidates, "candidates")?;
        let told = candidates.into_iter().map(|it| (it.code, it.link));
        let mut told = told.chain([(text("code")?, text("link")?)]);
        if told.any(|(code, link)| mail.offer.has(code.as_deref(), link.as_deref())) {
            return row.try_get("settled_at").map_err(&failed);
        }
    }
    Ok(None)
}

/// Writes how an expectation ended, and that it has to be told.
async fn settle(connection: &mut AnyConnection, it: &Expectation) -> Result<(), Error> {
    sqlx::query(
        "UPDATE expectations SET state = $2, settled_at = $3, email_id = $4, code = $5, link = $6, \
         candidates = $7, passed_over = $8 WHERE id = $1",
    )
    .bind(it.id.clone())
    .bind(it.state.as_str())
    .bind(it.settled_at)
    .bind(it.email_id.clone())
    .bind(it.code.as_deref().map(sql::text))
    .bind(it.link.as_deref().map(sql::text))
    .bind(to_json(&it.candidates))
    .bind(it.passed_over.as_ref().map(to_json))
    .execute(&mut *connection)
    .await
    .map_err(Error::query("settle an expectation"))?;
    let event = format!("expectation.{}", it.state.as_str());
    Announcement::new(&it.account_id, &it.inbox_id, &event, &it.shown()).write(connection).await
}

async fn pass_over(connection: &mut AnyConnection, it: &Expectation) -> Result<(), Error> {
    sqlx::query("UPDATE expectations SET passed_over = $2 WHERE id = $1")
        .bind(it.id.clone())
        .bind(it.passed_over.as_ref().map(to_json))
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::query("note a mail that did not count"))
}

async fn by_key(
    connection: &mut AnyConnection,
    new: &NewExpectation,
) -> Result<Option<Expectation>, Error> {
    let statement = format!(
        "SELECT {EXPECTATION} FROM expectations WHERE inbox_id = $1 AND idempotency_key = $2"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(new.inbox_id.clone())
        .bind(sql::text(&new.idempotency_key))
        .fetch_optional(connection)
        .await
        .map_err(Error::query("find an expectation by its key"))?;
    row.as_ref().map(expectation).transpose()
}

async fn insert(connection: &mut AnyConnection, new: &NewExpectation) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO expectations (id, account_id, inbox_id, idempotency_key, kind, in_reply_to, \
         from_domain, state, created_at, deadline, candidates) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', $8, $9, '[]') \
         ON CONFLICT (inbox_id, idempotency_key) DO NOTHING",
    )
    .bind(format!("exp_{}", Uuid::now_v7().simple()))
    .bind(new.account_id.clone())
    .bind(new.inbox_id.clone())
    .bind(sql::text(&new.idempotency_key))
    .bind(new.kind.as_str())
    .bind(new.in_reply_to.as_deref().map(sql::text))
    .bind(new.from_domain.as_deref().map(sql::text))
    .bind(now())
    .bind(new.deadline)
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::query("make an expectation"))
}
