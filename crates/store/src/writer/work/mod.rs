//! Mail as work: handed out, given back, done with, set aside.
//!
//! Whoever changes an inbox's work locks its row of `work_queues` first, after the inbox itself where he
//! needs that too. So of two at once the second sees what the first did, whichever process they are in,
//! and times are all by the clock of the database.

mod answer;
mod claim;
mod pin;
mod repeat;
mod requeue;
mod settle;
mod sweep;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

pub(super) use self::answer::{ack_leases, lost_leases};
use super::{Writer, emails};
use crate::{
    Announcement, Error, LeaseState, MAX_ATTEMPTS, Swept,
    dialect::Dialect,
    email,
    moment::{now as process_now, rfc3339},
    sql,
};

/// Mails whose lease or delay is over that are looked at in one transaction.
const MOST_DUE: i64 = 100;

/// Why a mail was set aside of which nobody said more.
const SILENCE: &str = "the last lease on it expired: its worker said nothing";

/// An inbox's work, locked for this transaction.
pub(super) struct Queue {
    inbox_id: String,
    max_attempts: i64,
    /// Received mail up to here is known as work.
    position: i64,
    is_deleted: bool,
    /// By the clock of the database, after the lock was had.
    now: i64,
}

/// `None` if the inbox has no work, or somebody else has it locked and `lock` does not wait for him.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    inbox_id: &str,
    lock: &str,
) -> Result<Option<Queue>, Error> {
    let failed = Error::query("lock an inbox's work");
    let statement = format!(
        "SELECT q.max_attempts, q.position, \
         (SELECT i.deleted_at FROM inboxes i WHERE i.id = q.inbox_id) AS deleted_at \
         FROM work_queues q WHERE q.inbox_id = $1{lock}"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(inbox_id))
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
    let Some(row) = row else { return Ok(None) };
    let deleted_at: Option<i64> = row.try_get("deleted_at").map_err(&failed)?;
    Ok(Some(Queue {
        inbox_id: sql::text(inbox_id),
        max_attempts: row.try_get("max_attempts").map_err(&failed)?,
        position: row.try_get("position").map_err(&failed)?,
        is_deleted: deleted_at.is_some(),
        now: clock(connection, dialect).await?,
    }))
}

async fn clock(connection: &mut AnyConnection, dialect: Dialect) -> Result<i64, Error> {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT {}", dialect.clock())))
        .fetch_one(connection)
        .await
        .map_err(Error::query("ask the database for the time"))
}

impl Writer {
    /// The work of an active inbox of the account, which begins now if it has not before. `None` if there is
    /// no such inbox.
    async fn open_queue(
        &self,
        connection: &mut AnyConnection,
        account_id: &str,
        inbox_id: &str,
    ) -> Result<Option<Queue>, Error> {
        let failed = Error::query("begin an inbox's work");
        let dialect = self.database.dialect;
        let statement = "SELECT id FROM inboxes WHERE id = $1 AND account_id = $2 \
                         AND deleted_at IS NULL";
        let found: Option<String> = sqlx::query_scalar(statement)
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .fetch_optional(&mut *connection)
            .await
            .map_err(&failed)?;
        let Some(inbox_id) = found else { return Ok(None) };
        let wait = dialect.lock_rows();
        if let Some(queue) = lock(connection, dialect, &inbox_id, wait).await? {
            return Ok(Some(queue));
        }
        // Nobody merges threads meanwhile who could not know that there is work to merge.
        let inboxes = [inbox_id.clone()].into();
        emails::lock_inboxes(connection, dialect, inboxes, process_now()).await?;
        sqlx::query(
            "INSERT INTO work_queues (inbox_id, max_attempts, position) VALUES ($1, $2, -1) \
             ON CONFLICT (inbox_id) DO NOTHING",
        )
        .bind(inbox_id.clone())
        .bind(MAX_ATTEMPTS)
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
        lock(connection, dialect, &inbox_id, wait).await
    }
}

/// A mail whose lease or delay ends.
struct Item {
    email_id: String,
    lane: String,
    attempts: i64,
    /// `None` for one that was only delayed.
    lease_id: Option<String>,
}

/// Ends what is due: leases, after which a mail is handed out again or set aside, and delays.
async fn end_due(connection: &mut AnyConnection, queue: &Queue) -> Result<Swept, Error> {
    let failed = Error::query("find leases that are over");
    let rows = sqlx::query(
        "SELECT email_id, lane, attempts, lease_id FROM work_items \
         WHERE inbox_id = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3",
    )
    .bind(queue.inbox_id.clone())
    .bind(queue.now)
    .bind(MOST_DUE)
    .fetch_all(&mut *connection)
    .await
    .map_err(&failed)?;
    let mut swept = Swept::default();
    for row in rows {
        let item = Item {
            email_id: row.try_get("email_id").map_err(&failed)?,
            lane: row.try_get("lane").map_err(&failed)?,
            attempts: row.try_get("attempts").map_err(&failed)?,
            lease_id: row.try_get("lease_id").map_err(&failed)?,
        };
        swept.add(end(connection, queue, &item).await?);
    }
    Ok(swept)
}

async fn end(connection: &mut AnyConnection, queue: &Queue, item: &Item) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    if let Some(lease_id) = &item.lease_id {
        let how = if queue.is_deleted { LeaseState::Revoked } else { LeaseState::Expired };
        end_lease(connection, lease_id, how, "", queue.now).await?;
        swept.expired = 1;
        if item.attempts >= queue.max_attempts && !queue.is_deleted {
            set_aside(connection, queue, item, SILENCE).await?;
            return Ok(Swept { set_aside: 1, ..swept });
        }
    }
    give_back(connection, item).await?;
    Ok(swept)
}

async fn end_lease(
    connection: &mut AnyConnection,
    lease_id: &str,
    how: LeaseState,
    reason: &str,
    now: i64,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE leases SET state = $2, reason = $3, ended_at = $4 \
         WHERE id = $1 AND state = 'active'",
    )
    .bind(lease_id.to_owned())
    .bind(how.as_str())
    .bind(sql::text(reason))
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::query("end a lease"))
}

/// To its place among the mails of its thread.
async fn give_back(connection: &mut AnyConnection, item: &Item) -> Result<(), Error> {
    sqlx::query(
        "UPDATE work_items SET state = 'blocked', lease_id = NULL, due_at = NULL \
         WHERE email_id = $1",
    )
    .bind(item.email_id.clone())
    .execute(&mut *connection)
    .await
    .map_err(Error::query("give a mail back"))?;
    advance(connection, &item.lane).await
}

/// Out of the way of the others of its thread, and announced.
async fn set_aside(
    connection: &mut AnyConnection,
    queue: &Queue,
    item: &Item,
    reason: &str,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE work_items SET state = 'set_aside', lease_id = NULL, due_at = NULL, reason = $2, \
         set_aside_at = $3 WHERE email_id = $1",
    )
    .bind(item.email_id.clone())
    .bind(sql::text(reason))
    .bind(queue.now)
    .execute(&mut *connection)
    .await
    .map_err(Error::query("set a mail aside"))?;
    advance(connection, &item.lane).await?;
    let found = email::find(connection, std::slice::from_ref(&item.email_id)).await?;
    let found = found.into_values().next().ok_or(Error::Corrupt { what: "a mail set aside" })?;
    let mut email = found.email;
    email.attempts = u32::try_from(item.attempts).ok();
    email.set_aside_at = Some(rfc3339(queue.now));
    email.set_aside_reason = Some(reason.to_owned());
    let event = "email.set_aside";
    Announcement::new(&found.account_id, &queue.inbox_id, event, &email).write(connection).await
}

/// A mail that is among the first of its kind in its lane.
#[derive(Clone, Debug, PartialEq)]
struct Front {
    email_id: String,
    state: String,
    position: i64,
}

/// Which of them may be handed out: the oldest, unless one is in somebody's hands or delayed.
fn head(fronts: &[Front]) -> Option<&Front> {
    if fronts.iter().any(|it| matches!(&*it.state, "leased" | "delayed")) {
        return None;
    }
    fronts.iter().min_by_key(|it| it.position)
}

/// Puts a lane right: one mail in front, the others behind it.
async fn advance(connection: &mut AnyConnection, lane: &str) -> Result<(), Error> {
    let failed = Error::query("put the mails of a thread in order");
    // Each of these is one look into the index, however long the thread is.
    let front = |state: &str, most: u8| {
        format!(
            "SELECT email_id, state, position FROM (SELECT email_id, state, position \
             FROM work_items WHERE lane = $1 AND state = '{state}' ORDER BY position LIMIT {most}) \
             AS {state}"
        )
    };
    let statement =
        [front("ready", 2), front("blocked", 1), front("leased", 1), front("delayed", 1)]
            .join(" UNION ALL ");
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(lane.to_owned())
        .fetch_all(&mut *connection)
        .await
        .map_err(&failed)?;
    let mut fronts = Vec::new();
    for row in rows {
        fronts.push(Front {
            email_id: row.try_get("email_id").map_err(&failed)?,
            state: row.try_get("state").map_err(&failed)?,
            position: row.try_get("position").map_err(&failed)?,
        });
    }
    let head = head(&fronts);
    let head_id = head.map_or("", |it| &it.email_id);
    if fronts.iter().any(|it| it.state == "ready" && it.email_id != head_id) {
        sqlx::query(
            "UPDATE work_items SET state = 'blocked' \
             WHERE lane = $1 AND state = 'ready' AND email_id <> $2",
        )
        .bind(lane.to_owned())
        .bind(head_id.to_owned())
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    }
    if head.is_some_and(|it| it.state == "blocked") {
        sqlx::query("UPDATE work_items SET state = 'ready' WHERE email_id = $1")
            .bind(head_id.to_owned())
            .execute(connection)
            .await
            .map_err(&failed)?;
    }
    Ok(())
}

/// A thread became part of another: their mails are one lane from now on. The inbox is locked.
pub(super) async fn merge(
    connection: &mut AnyConnection,
    inbox_id: &str,
    loser: &str,
    winner: &str,
) -> Result<(), Error> {
    let failed = Error::query("merge the work of threads");
    // Changes nothing: it locks the inbox's work, in whichever database.
    let locked = sqlx::query("UPDATE work_queues SET position = position WHERE inbox_id = $1")
        .bind(inbox_id.to_owned())
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    if locked.rows_affected() == 0 {
        return Ok(());
    }
    let moved = sqlx::query("UPDATE work_items SET lane = $2 WHERE lane = $1")
        .bind(loser.to_owned())
        .bind(winner.to_owned())
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    if moved.rows_affected() > 0 {
        advance(connection, winner).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fronts: &[(&str, i64)], expected: Option<i64>) {
        let front = |(state, position): &(&str, i64)| Front {
            email_id: format!("eml_{position}"),
            state: (*state).to_owned(),
            position: *position,
        };
        let fronts: Vec<Front> = fronts.iter().map(front).collect();
        assert_eq!(head(&fronts).map(|it| it.position), expected);
    }

    #[test]
    fn the_oldest_is_in_front_unless_one_is_out() {
        check(&[], None);
        check(&[("blocked", 2)], Some(2));
        check(&[("ready", 3), ("blocked", 2)], Some(2));
        check(&[("ready", 1), ("ready", 3), ("blocked", 2)], Some(1));
        check(&[("leased", 9), ("blocked", 2)], None);
        check(&[("delayed", 1), ("ready", 2)], None);
    }
}
