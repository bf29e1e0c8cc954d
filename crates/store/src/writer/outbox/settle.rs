//! How mail leaves the outbox: attempted, cancelled, given up. And what was to be said of it is said.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row as _};

use super::{recipients, release::handover, set_status};
use crate::{
    Cancelled, Error, GIVEN_UP, Writer,
    dialect::Dialect,
    moment::{DAY, SECOND, now},
    sql,
    writer::{commit, emails, holds, unchanged},
};

const HOUR: i64 = 3_600 * SECOND;

/// Mails given up in one transaction.
const MOST_AT_ONCE: i64 = 200;

/// After this long no limit asks for an attempt any more.
const KEPT_ATTEMPTED: i64 = 25 * HOUR;

/// What was released that long ago and never attempted is no longer on its way: a stage has parked it.
/// The sender gives up earlier.
const KEPT_RELEASED: i64 = 7 * DAY;

/// Rows removed in one transaction.
const MOST_PURGED: i64 = 2_000;

/// Why a mail was given up that nobody was to approve.
const WAITED: &str = "its time was over while it waited for this inbox's turn or limits";

/// Why one was given up that somebody was.
const UNDECIDED: &str = "its time was over while it waited for somebody to approve it";

/// Notes that mails are attempted. The first time counts.
pub(in crate::writer) async fn attempted(
    connection: &mut AnyConnection,
    dialect: Dialect,
    email_ids: &[String],
) -> Result<(), Error> {
    let under_way = "state IN ('releasing', 'released')";
    let under_way = super::lock(connection, dialect, email_ids, under_way).await?;
    // By the clock of this process and not the sender's: the later moment, so that no period that
    // the attempt belongs to ends before.
    let attempted_at = now();
    let statement = |tuples| {
        format!(
            "UPDATE outbox SET state = 'attempted', attempted_at = v.column2 \
             FROM (VALUES {tuples}) AS v WHERE outbox.email_id = v.column1"
        )
    };
    sql::execute(connection, &under_way, 2, statement, |query, id| {
        query.bind(id.clone()).bind(attempted_at)
    })
    .await
    .map_err(Error::query("note first attempts"))
}

/// A mail that leaves before it is released.
pub(super) struct Leaving {
    pub(super) email_id: String,
    pub(super) inbox_id: String,
    recipients: Vec<String>,
}

impl Writer {
    /// Calls a mail back that waits. What is announced of it is for the releasing process.
    pub async fn cancel(&self, account_id: &str, email_id: &str) -> Result<Cancelled, Error> {
        let failed = Error::query("cancel a mail");
        let mut transaction = self.database.begin().await?;
        let inbox_id: Option<String> = sqlx::query_scalar(
            "SELECT inbox_id FROM emails WHERE id = $1 AND account_id = $2 \
             AND direction = 'outbound'",
        )
        .bind(sql::text(email_id))
        .bind(sql::text(account_id))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&failed)?;
        let Some(inbox_id) = inbox_id else {
            return unchanged(transaction, Cancelled::Unknown).await;
        };
        let dialect = self.database.dialect;
        emails::lock_inboxes(&mut transaction, dialect, [inbox_id].into(), now()).await?;
        let leaving = waiting(&mut transaction, &[email_id.to_owned()]).await?;
        if leaving.is_empty() {
            let status: String = sqlx::query_scalar("SELECT status FROM emails WHERE id = $1")
                .bind(sql::text(email_id))
                .fetch_one(&mut *transaction)
                .await
                .map_err(&failed)?;
            let is_done = status == "cancelled";
            return unchanged(
                transaction,
                if is_done { Cancelled::Done } else { Cancelled::TooLate(status) },
            )
            .await;
        }
        leave(&mut transaction, &leaving, "cancelled").await?;
        commit(transaction).await?;
        Ok(Cancelled::Done)
    }

    /// Gives up waiting mails whose time is over. Returns how many.
    pub async fn expire_waiting(&self) -> Result<usize, Error> {
        let failed = Error::query("find mails to give up");
        let now = now();
        let mut transaction = self.database.begin().await?;
        let statement = "SELECT email_id, inbox_id FROM outbox WHERE state = 'waiting' \
                         AND expires_at > 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2";
        let rows = sqlx::query(statement)
            .bind(now)
            .bind(MOST_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        let mut email_ids: Vec<String> = Vec::new();
        let mut inbox_ids = BTreeSet::new();
        for row in rows {
            email_ids.push(row.try_get("email_id").map_err(&failed)?);
            inbox_ids.insert(row.try_get("inbox_id").map_err(&failed)?);
        }
        let dialect = self.database.dialect;
        emails::lock_inboxes(&mut transaction, dialect, inbox_ids, now).await?;
        // Some may have gone before they were locked.
        let leaving = waiting(&mut transaction, &email_ids).await?;
        leave(&mut transaction, &leaving, "expired").await?;
        fail(&mut transaction, &leaving, WAITED).await?;
        commit(transaction).await?;
        Ok(leaving.len())
    }

    /// Notes that news of these mails is published. What has left altogether is forgotten.
    pub async fn told_news(&self, email_ids: &[String]) -> Result<(), Error> {
        let failed = Error::query("note what is announced");
        let mut transaction = self.database.begin().await?;
        let bind = |query: sql::Bound, id: &String| query.bind(id.clone());
        for begin in [
            "DELETE FROM outbox WHERE state IN ('cancelled', 'declined', 'expired')",
            "UPDATE outbox SET announce = '' WHERE announce <> ''",
        ] {
            let statement = |ids| format!("{begin} AND email_id IN (VALUES {ids})");
            sql::execute(&mut transaction, email_ids, 1, statement, bind).await.map_err(&failed)?;
        }
        commit(transaction).await
    }

    /// Removes what no limit asks for any more. Returns how many mails it was.
    pub async fn purge_outbox(&self) -> Result<u64, Error> {
        let failed = Error::query("purge the outbox");
        let now = now();
        let mut purged = 0;
        for (condition, before) in [
            ("state = 'attempted' AND attempted_at < $1", now - KEPT_ATTEMPTED),
            ("state IN ('releasing', 'released') AND released_at < $1", now - KEPT_RELEASED),
        ] {
            let statement = format!(
                "DELETE FROM outbox WHERE email_id IN \
                 (SELECT email_id FROM outbox WHERE {condition} LIMIT $2)"
            );
            loop {
                let done = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
                    .bind(before)
                    .bind(MOST_PURGED)
                    .execute(&self.database.write)
                    .await
                    .map_err(&failed)?;
                purged += done.rows_affected();
                if done.rows_affected() < MOST_PURGED as u64 {
                    break;
                }
            }
        }
        sqlx::query("DELETE FROM account_days WHERE day < $1")
            .bind(now / DAY - 1)
            .execute(&self.database.write)
            .await
            .map_err(&failed)?;
        Ok(purged)
    }
}

/// Mails that are held leave, their inboxes being locked. Returns how many.
pub(in crate::writer) async fn turn_away(
    connection: &mut AnyConnection,
    email_ids: &[String],
    status: &'static str,
) -> Result<usize, Error> {
    let leaving = waiting(connection, email_ids).await?;
    leave(connection, &leaving, status).await?;
    if status == "expired" {
        fail(connection, &leaving, UNDECIDED).await?;
    }
    Ok(leaving.len())
}

/// A mail that was held waits for its turn from now on, its inbox being locked. Returns its status.
pub(in crate::writer) async fn let_in(
    connection: &mut AnyConnection,
    inbox_id: &str,
    email_id: &str,
    now: i64,
) -> Result<&'static str, Error> {
    let failed = Error::query("let a mail in that was held");
    let due_at: i64 = sqlx::query_scalar(
        "UPDATE outbox SET state = 'waiting', held_reason = NULL WHERE email_id = $1 \
         AND state = 'approval' RETURNING due_at",
    )
    .bind(email_id.to_owned())
    .fetch_one(&mut *connection)
    .await
    .map_err(&failed)?;
    let statement = "INSERT INTO queues (inbox_id, next_release) VALUES ($1, $2) \
                     ON CONFLICT (inbox_id) DO UPDATE SET next_release = CASE \
                     WHEN queues.next_release < excluded.next_release THEN queues.next_release \
                     ELSE excluded.next_release END";
    sqlx::query(statement)
        .bind(inbox_id.to_owned())
        .bind(due_at)
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    let status = if due_at > now { "scheduled" } else { "queued" };
    set_status(connection, &[&email_id.to_owned()], status).await?;
    Ok(status)
}

/// Those of the mails that wait or are held; their inboxes are locked.
pub(super) async fn waiting(
    connection: &mut AnyConnection,
    email_ids: &[String],
) -> Result<Vec<Leaving>, Error> {
    let failed = Error::query("read waiting mails");
    let statement = |ids| {
        format!(
            "SELECT email_id, inbox_id, handover FROM outbox \
             WHERE state IN ('waiting', 'approval') AND email_id IN (VALUES {ids})"
        )
    };
    let bind = |query: sql::Bound, id: &String| query.bind(sql::text(id));
    let rows = sql::fetch(connection, email_ids, 1, statement, bind).await.map_err(&failed)?;
    let leaving = |row: &sqlx::any::AnyRow| {
        Ok(Leaving {
            email_id: row.try_get("email_id").map_err(&failed)?,
            inbox_id: row.try_get("inbox_id").map_err(&failed)?,
            recipients: handover(row.try_get("handover").map_err(&failed)?)?.forward_paths,
        })
    };
    rows.iter().map(leaving).collect()
}

/// `status` is also the state and names the event.
pub(super) async fn leave(
    connection: &mut AnyConnection,
    mails: &[Leaving],
    status: &'static str,
) -> Result<(), Error> {
    let statement = |tuples| {
        format!(
            "UPDATE outbox SET state = v.column2, announce = v.column3, new_recipients = 0, \
             held_reason = NULL, held_until = NULL \
             FROM (VALUES {tuples}) AS v WHERE outbox.email_id = v.column1"
        )
    };
    sql::execute(connection, mails, 3, statement, |query, mail| {
        query.bind(mail.email_id.clone()).bind(status).bind(format!("email.{status}"))
    })
    .await
    .map_err(Error::query("take mails out of the outbox"))?;
    let ids: Vec<&String> = mails.iter().map(|it| &it.email_id).collect();
    set_status(connection, &ids, status).await?;
    holds::close(connection, &ids, status).await?;
    for mail in mails {
        recipients::forget(connection, &mail.inbox_id, &mail.email_id, &mail.recipients).await?;
    }
    Ok(())
}

pub(super) async fn fail(
    connection: &mut AnyConnection,
    mails: &[Leaving],
    diagnostic: &str,
) -> Result<(), Error> {
    let statement = |tuples| {
        format!(
            "UPDATE recipients SET action = 'failed', status = v.column2, diagnostic = v.column3 \
             FROM (VALUES {tuples}) AS v WHERE recipients.mail_id = v.column1"
        )
    };
    sql::execute(connection, mails, 3, statement, |query, mail| {
        query.bind(mail.email_id.clone()).bind(GIVEN_UP).bind(sql::text(diagnostic))
    })
    .await
    .map_err(Error::query("give up recipients"))
}
