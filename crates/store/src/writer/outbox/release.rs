//! Mail on its way out: inboxes take turns, each with a few mails, the oldest first.

use contract::SubmissionAccepted;
use prost::Message as _;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{
    Queue, Usage, load,
    recipients::{NotNow, Strangers},
    set_held, set_status,
};
use crate::{
    Error, LimitPolicy, Released, Writer,
    allowance::{self, Held},
    dialect::Dialect,
    moment::now,
    outbox::served,
    sql,
    writer::commit,
};

/// Inboxes served in one transaction, and mails of each.
const MOST_INBOXES: i64 = 16;
const MOST_OF_ONE: i64 = 32;

/// Mails that are told in one go that they have to wait.
const MOST_TOLD: i64 = 100;

impl Writer {
    /// Serves the queues that are due, each in its turn, with `most` mails altogether. Those it returns
    /// count as under way from now on; they are to be published, and then confirmed. `published` are
    /// confirmed first. Of several processes, each gets other inboxes.
    pub async fn release(&self, published: &[String], most: i64) -> Result<Released, Error> {
        let dialect = self.database.dialect;
        let now = now();
        let mut transaction = self.database.begin().await?;
        confirm(&mut transaction, dialect, published).await?;
        let inbox_ids = claim(&mut transaction, dialect, now).await?;
        let mut queues = load(&mut transaction, dialect, &self.limits, &inbox_ids).await?;
        // Somebody else may have served it before it was locked.
        queues.retain(|it| it.next_release.is_some_and(|it| it <= now));
        queues.sort_by_key(|it| it.next_release);
        let inboxes = i64::try_from(queues.len()).unwrap_or(i64::MAX).max(1);
        let portion = (most / inboxes).clamp(1, MOST_OF_ONE);
        let mut released = Released::default();
        for queue in queues {
            serve(&mut transaction, &self.limits, &queue, portion, now, &mut released).await?;
        }
        commit(transaction).await?;
        Ok(released)
    }

    /// Notes that released mails are published.
    pub async fn confirm_released(&self, published: &[String]) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        confirm(&mut transaction, self.database.dialect, published).await?;
        commit(transaction).await
    }
}

async fn claim(
    connection: &mut AnyConnection,
    dialect: Dialect,
    now: i64,
) -> Result<Vec<String>, Error> {
    let failed = Error::query("find queues to serve");
    let served = served(dialect);
    let statement = format!(
        "SELECT q.inbox_id FROM queues q WHERE {served} AND q.next_release <= $1 \
         ORDER BY q.next_release LIMIT $2"
    );
    let inbox_ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(now)
        .bind(MOST_INBOXES)
        .fetch_all(&mut *connection)
        .await
        .map_err(&failed)?;
    let statement = |ids| {
        let lock = dialect.lock_free_parents();
        format!("SELECT id FROM inboxes WHERE id IN (VALUES {ids}) ORDER BY id{lock}")
    };
    let bind = |query: sql::Bound, id: &String| query.bind(id.clone());
    let rows = sql::fetch(connection, &inbox_ids, 1, statement, bind).await.map_err(&failed)?;
    rows.iter().map(|row| row.try_get("id")).collect::<sqlx::Result<_>>().map_err(&failed)
}

/// A waiting mail.
struct Waiting {
    email_id: String,
    handover: SubmissionAccepted,
    new_recipients: Option<i64>,
    is_held: bool,
}

async fn serve(
    connection: &mut AnyConnection,
    policy: &LimitPolicy,
    queue: &Queue,
    portion: i64,
    now: i64,
    released: &mut Released,
) -> Result<(), Error> {
    let mut usage = queue.usage(connection, policy, now).await?;
    let due = due(connection, queue, portion.min(usage.room()), now).await?;
    let uncounted = due.iter().filter(|it| it.new_recipients.is_none());
    let addresses = uncounted.flat_map(|it| &it.handover.forward_paths);
    let mut strangers = Strangers::load(connection, queue, addresses, now).await?;
    let mut going = Vec::new();
    let mut held = Vec::new();
    for mail in due {
        let admitted = match mail.new_recipients {
            Some(count) => Ok(count),
            None => strangers.admit(&mail.email_id, &mail.handover.forward_paths, now),
        };
        match admitted {
            Ok(count) => going.push((mail, count)),
            Err(NotNow::Later(why)) => held.push((mail, why)),
            // The limit was higher when it entered, and may be so again.
            Err(NotNow::Never { most }) => {
                let why = strangers.put_off(most, now);
                held.push((mail, why));
            }
        }
    }
    strangers.save(connection, &queue.inbox_id, now).await?;
    let_go(connection, &going, now).await?;
    usage.release(i64::try_from(going.len()).unwrap_or(i64::MAX));
    let usage = queue.refresh(connection, policy, usage, now).await?;
    let mut news: Vec<(String, Held)> = untold(connection, queue, &usage, now).await?;
    released.held.extend(news.iter().map(|(_, it)| it.limit));
    released.held.extend(held.iter().filter(|(mail, _)| !mail.is_held).map(|(_, it)| it.limit));
    news.extend(held.into_iter().map(|(mail, why)| (mail.email_id, why)));
    set_held(connection, &news).await?;
    let mails = going.into_iter().map(|(mail, _)| SubmissionAccepted {
        // It was not free to go before.
        accepted_at_micros: now,
        ..mail.handover
    });
    released.mails.extend(mails);
    queue.reschedule(connection, &usage, now, now).await
}

/// The first mails of a queue. Those whose time is over are left for `expire`.
async fn due(
    connection: &mut AnyConnection,
    queue: &Queue,
    most: i64,
    now: i64,
) -> Result<Vec<Waiting>, Error> {
    let failed = Error::query("read waiting mails");
    let statement = "SELECT email_id, handover, new_recipients, held_reason FROM outbox \
                     WHERE inbox_id = $1 AND state = 'waiting' AND due_at <= $2 \
                     AND (expires_at = 0 OR expires_at > $2) ORDER BY due_at, position LIMIT $3";
    let rows = sqlx::query(statement)
        .bind(queue.inbox_id.clone())
        .bind(now)
        .bind(most)
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    let waiting = |row: &sqlx::any::AnyRow| {
        let reason: Option<String> = row.try_get("held_reason").map_err(&failed)?;
        Ok(Waiting {
            email_id: row.try_get("email_id").map_err(&failed)?,
            handover: handover(row.try_get("handover").map_err(&failed)?)?,
            new_recipients: row.try_get("new_recipients").map_err(&failed)?,
            is_held: reason.is_some(),
        })
    };
    rows.iter().map(waiting).collect()
}

pub(super) fn handover(octets: Vec<u8>) -> Result<SubmissionAccepted, Error> {
    SubmissionAccepted::decode(octets.as_slice())
        .map_err(|_| Error::Corrupt { what: "what the sender is told" })
}

async fn let_go(
    connection: &mut AnyConnection,
    mails: &[(Waiting, i64)],
    now: i64,
) -> Result<(), Error> {
    let statement = |tuples| {
        format!(
            "UPDATE outbox SET state = 'releasing', released_at = v.column2, \
             new_recipients = v.column3, held_reason = NULL, held_until = NULL \
             FROM (VALUES {tuples}) AS v WHERE outbox.email_id = v.column1"
        )
    };
    sql::execute(connection, mails, 3, statement, |query, (mail, new_recipients)| {
        query.bind(mail.email_id.clone()).bind(now).bind(*new_recipients)
    })
    .await
    .map_err(Error::query("release mails"))?;
    let ids: Vec<&String> = mails.iter().map(|(it, _)| &it.email_id).collect();
    set_status(connection, &ids, "queued").await
}

/// Mails that wait for a full window and do not say so yet, and what they wait for.
async fn untold(
    connection: &mut AnyConnection,
    queue: &Queue,
    usage: &Usage,
    now: i64,
) -> Result<Vec<(String, Held)>, Error> {
    if usage.room() > 0 {
        return Ok(Vec::new());
    }
    let statement = "SELECT email_id FROM outbox WHERE inbox_id = $1 AND state = 'waiting' \
                     AND held_reason IS NULL AND due_at <= $2 ORDER BY due_at LIMIT $3";
    let email_ids: Vec<String> = sqlx::query_scalar(statement)
        .bind(queue.inbox_id.clone())
        .bind(now)
        .bind(MOST_TOLD)
        .fetch_all(connection)
        .await
        .map_err(Error::query("find mails that have to wait"))?;
    let held = |(ahead, id): (i64, String)| {
        allowance::held(&usage.windows, ahead, now).map(|held| (id, held))
    };
    Ok((0..).zip(email_ids).filter_map(held).collect())
}

/// What is attempted by now stays so.
async fn confirm(
    connection: &mut AnyConnection,
    dialect: Dialect,
    email_ids: &[String],
) -> Result<(), Error> {
    let failed = Error::query("confirm released mails");
    let releasing = super::lock(connection, dialect, email_ids, "state = 'releasing'").await?;
    let bind = |query: sql::Bound, id: &String| query.bind(id.clone());
    let statement =
        |ids| format!("UPDATE outbox SET state = 'released' WHERE email_id IN (VALUES {ids})");
    sql::execute(connection, &releasing, 1, statement, bind).await.map_err(failed)
}
