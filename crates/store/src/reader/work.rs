//! Mail as work, as it is.

use contract::Rejection;
use sqlx::{AssertSqlSafe, Row as _};

use super::Reader;
use crate::{
    Claim, Emails, Error, Lease, MAX_ATTEMPTS, Outlook, Page, WorkQueue,
    cursor::Cursor,
    email::{self, COLUMNS, TABLES},
    moment::rfc3339,
    sql,
    work::{HELD_FOR_A_KEY, LEASE_TABLES, lease, lease_columns, unknown_lease},
};

impl Reader {
    pub async fn lease(&self, account_id: &str, lease_id: &str) -> Result<Option<Lease>, Error> {
        let failed = Error::query("read a lease");
        let columns = lease_columns(self.database.dialect.clock());
        let statement =
            format!("SELECT {columns} FROM {LEASE_TABLES} WHERE l.id = $1 AND l.account_id = $2");
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(lease_id))
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        row.as_ref().map(lease).transpose().map_err(&failed)
    }

    /// Why a request of the inbox would be refused because of its lease, as far as can be said now.
    pub async fn lost_lease(
        &self,
        account_id: &str,
        inbox_id: &str,
        lease_id: &str,
    ) -> Result<Option<Rejection>, Error> {
        let lease = self.lease(account_id, lease_id).await?.filter(|it| it.inbox_id == inbox_id);
        Ok(lease.map_or_else(|| Some(unknown_lease(lease_id)), |it| it.lost()))
    }

    /// Whether a claim on the inbox would find anything.
    pub async fn outlook(&self, inbox_id: &str) -> Result<Outlook, Error> {
        let failed = Error::query("look for work");
        let statement = format!(
            "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM work_items \
             WHERE inbox_id = $1 AND state = 'ready' LIMIT 1) AS r) AS ready, \
             (SELECT COUNT(*) FROM (SELECT 1 FROM emails WHERE inbox_id = $1 AND hidden = 0 \
             AND created_at > COALESCE((SELECT position FROM work_queues WHERE inbox_id = $1), -1) \
             LIMIT 1) AS f) AS fresh, \
             (SELECT MIN(due_at) FROM work_items WHERE inbox_id = $1 AND due_at IS NOT NULL) AS due, \
             {} AS now",
            self.database.dialect.clock()
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(inbox_id))
            .fetch_one(&self.database.read)
            .await
            .map_err(&failed)?;
        let count = |column| row.try_get::<i64, _>(column).map_err(&failed);
        let due: Option<i64> = row.try_get("due").map_err(&failed)?;
        let now = count("now")?;
        if count("ready")? + count("fresh")? > 0 || due.is_some_and(|it| it <= now) {
            return Ok(Outlook::Work);
        }
        Ok(Outlook::Nothing { next: due.map(|it| it - now) })
    }

    /// Whether this very claim was given mail before that it still has in hand.
    pub async fn is_repeated(&self, claim: &Claim<'_>) -> Result<bool, Error> {
        let Some(key) = claim.key else { return Ok(false) };
        let statement = format!(
            "SELECT COUNT(*) FROM leases l WHERE {HELD_FOR_A_KEY} AND l.expires_at > {}",
            self.database.dialect.clock()
        );
        let held: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(sql::text(claim.inbox_id))
            .bind(sql::text(key))
            .bind(sql::text(claim.worker))
            .bind(sql::text(claim.account_id))
            .fetch_one(&self.database.read)
            .await
            .map_err(Error::query("look for what a claim was given"))?;
        Ok(held > 0)
    }

    /// After how many microseconds a lease or a delay ends somewhere; at most 0 if one has.
    pub async fn next_work_due(&self) -> Result<Option<i64>, Error> {
        let clock = self.database.dialect.clock();
        let statement = format!(
            "SELECT MIN(due_at) - {clock} AS next FROM work_items WHERE due_at IS NOT NULL"
        );
        sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(&self.database.read)
            .await
            .map_err(Error::query("find the next lease that ends"))
    }

    /// How the work of an inbox stands, which may not have begun.
    pub async fn work_queue(&self, inbox_id: &str) -> Result<WorkQueue, Error> {
        let failed = Error::query("read how an inbox's work stands");
        let row = sqlx::query("SELECT max_attempts, position FROM work_queues WHERE inbox_id = $1")
            .bind(sql::text(inbox_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut queue = WorkQueue { max_attempts: MAX_ATTEMPTS, ..WorkQueue::default() };
        let mut position = -1_i64;
        if let Some(row) = row {
            queue.max_attempts = row.try_get("max_attempts").map_err(&failed)?;
            position = row.try_get("position").map_err(&failed)?;
        }
        // What was not taken in yet counts, too.
        queue.ready = sqlx::query_scalar(
            "SELECT COUNT(*) FROM emails WHERE inbox_id = $1 AND created_at > $2 AND hidden = 0 \
             AND direction = 'inbound'",
        )
        .bind(sql::text(inbox_id))
        .bind(position)
        .fetch_one(&self.database.read)
        .await
        .map_err(&failed)?;
        let counts = "SELECT state, COUNT(*) AS mails FROM work_items WHERE inbox_id = $1 \
                      GROUP BY state";
        let rows = sqlx::query(counts)
            .bind(sql::text(inbox_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        for row in rows {
            let mails: i64 = row.try_get("mails").map_err(&failed)?;
            match row.try_get::<String, _>("state").map_err(&failed)?.as_str() {
                "leased" => queue.leased = mails,
                "delayed" => queue.delayed = mails,
                "set_aside" => queue.set_aside = mails,
                "acked" => queue.acked = mails,
                _ => queue.ready += mails,
            }
        }
        Ok(queue)
    }

    /// The mails of an inbox that were set aside, the newest mail first, each with why.
    pub async fn set_aside(
        &self,
        account_id: &str,
        inbox_id: &str,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Emails, Error> {
        let failed = Error::query("read what was set aside");
        let cursor = Cursor::from_option(cursor)?;
        let mut connection = self.connection().await?;
        let statement = format!(
            "SELECT {COLUMNS}, w.attempts AS work_attempts, w.reason AS work_reason, w.set_aside_at \
             FROM {TABLES} JOIN work_items w ON w.email_id = e.id \
             WHERE w.inbox_id = $1 AND w.state = 'set_aside' AND e.account_id = $2 \
             AND (w.position, w.email_id) < ($3, $4) \
             ORDER BY w.position DESC, w.email_id DESC LIMIT $5"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let mut why = Vec::new();
        for row in &rows {
            let attempts: i64 = row.try_get("work_attempts").map_err(&failed)?;
            let at: Option<i64> = row.try_get("set_aside_at").map_err(&failed)?;
            let reason: String = row.try_get("work_reason").map_err(&failed)?;
            why.push((u32::try_from(attempts).ok(), at.map(rfc3339), Some(reason)));
        }
        let mut found = email::read(&mut connection, rows).await?;
        for (it, (attempts, at, reason)) in found.iter_mut().zip(why) {
            it.email.attempts = attempts;
            it.email.set_aside_at = at;
            it.email.set_aside_reason = reason;
        }
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| has_more);
        let cursor = last.map(|it| Cursor { at: it.created_at, id: it.email.id.clone() }.encode());
        Ok(Page { items: found.into_iter().map(|it| it.email).collect(), cursor })
    }
}
