//! The outbox: mail waits here until its inbox may send it.
//!
//! Every function that is handed inboxes expects them to be locked.

mod enter;
mod give_up;
mod recipients;
mod release;
mod settle;

use sqlx::{AnyConnection, Row as _, any::AnyRow};

pub(super) use self::{
    enter::{Decision, Outgoing, insert, plan},
    settle::{attempted, let_in, turn_away},
};
use crate::{
    Error, LimitOverrides, LimitPolicy, Limits,
    allowance::{self, Limit, Window},
    dialect::Dialect,
    outbox::suspended,
    sql,
};

/// An inbox's turn and limits.
struct Queue {
    inbox_id: String,
    limits: Limits,
    next_release: Option<i64>,
    first_released_at: Option<i64>,
    /// By an operator, for a while: nothing is let go.
    is_suspended: bool,
}

async fn load(
    connection: &mut AnyConnection,
    dialect: Dialect,
    policy: &LimitPolicy,
    inbox_ids: &[String],
) -> Result<Vec<Queue>, Error> {
    let failed = Error::query("read queues");
    let suspended = suspended(dialect, "i.id");
    let statement = |ids| {
        format!(
            "SELECT i.id, CAST(CASE WHEN {suspended} THEN 1 ELSE 0 END AS BIGINT) AS suspended, a.tier, q.next_release, q.first_released_at, l.per_minute, l.per_hour, \
             l.per_day, l.new_recipients_per_day FROM inboxes i \
             JOIN accounts a ON a.id = i.account_id LEFT JOIN queues q ON q.inbox_id = i.id \
             LEFT JOIN inbox_limits l ON l.inbox_id = i.id WHERE i.id IN (VALUES {ids}) ORDER BY i.id"
        )
    };
    let bind = |query: sql::Bound, id: &String| query.bind(sql::text(id));
    let rows = sql::fetch(connection, inbox_ids, 1, statement, bind).await.map_err(&failed)?;
    rows.iter().map(|row| queue(policy, row)).collect::<sqlx::Result<_>>().map_err(&failed)
}

fn queue(policy: &LimitPolicy, row: &AnyRow) -> sqlx::Result<Queue> {
    Ok(Queue {
        inbox_id: row.try_get("id")?,
        limits: LimitPolicy::tier(&policy.inbox, row.try_get("tier")?).with(overrides(row)?),
        next_release: row.try_get("next_release")?,
        first_released_at: row.try_get("first_released_at")?,
        is_suspended: row.try_get::<i64, _>("suspended")? != 0,
    })
}

/// The columns of `inbox_limits`.
pub(crate) fn overrides(row: &AnyRow) -> sqlx::Result<LimitOverrides> {
    Ok(LimitOverrides {
        per_minute: row.try_get("per_minute")?,
        per_hour: row.try_get("per_hour")?,
        per_day: row.try_get("per_day")?,
        new_recipients_per_day: row.try_get("new_recipients_per_day")?,
    })
}

/// How much an inbox has under way, and how much of its limits is used.
struct Usage {
    outstanding: i64,
    windows: Vec<Window>,
}

impl Usage {
    fn room(&self) -> i64 {
        allowance::room(&self.windows)
    }

    fn release(&mut self, mails: i64) {
        self.outstanding += mails;
        for window in &mut self.windows {
            window.used += mails;
        }
    }
}

impl Queue {
    /// One statement: a mail that is reported between two would be in neither number.
    async fn usage(
        &self,
        connection: &mut AnyConnection,
        policy: &LimitPolicy,
        now: i64,
    ) -> Result<Usage, Error> {
        let failed = Error::query("count mails under way");
        let limits = allowance::limits(self.limits, policy.warm_up, self.first_released_at, now);
        let of = |number: usize| {
            format!(
                "(SELECT COUNT(*) FROM outbox WHERE inbox_id = $1 AND state = 'attempted' \
                 AND attempted_at > ${number})"
            )
        };
        let statement = format!(
            "SELECT (SELECT COUNT(*) FROM outbox WHERE inbox_id = $1 \
             AND state IN ('releasing', 'released')) AS outstanding, \
             {} AS first, {} AS second, {} AS third",
            of(2),
            of(3),
            of(4)
        );
        let since = |n: usize| limits.get(n).map_or(i64::MAX, |(limit, _)| now - limit.period());
        let row = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(self.inbox_id.clone())
            .bind(since(0))
            .bind(since(1))
            .bind(since(2))
            .fetch_one(&mut *connection)
            .await
            .map_err(&failed)?;
        let outstanding: i64 = row.try_get("outstanding").map_err(&failed)?;
        let mut windows = Vec::new();
        for ((limit, most), column) in limits.into_iter().zip(["first", "second", "third"]) {
            let attempted: i64 = row.try_get(column).map_err(&failed)?;
            let mut window = Window { limit, most, used: outstanding + attempted, frees_at: None };
            if window.is_full() {
                window.frees_at = self.frees_at(connection, &window, now).await?;
            }
            windows.push(window);
        }
        Ok(Usage { outstanding, windows })
    }

    /// Usage that was counted in this transaction, and has grown since: a window that became full has
    /// yet to say until when.
    async fn refresh(
        &self,
        connection: &mut AnyConnection,
        policy: &LimitPolicy,
        usage: Usage,
        now: i64,
    ) -> Result<Usage, Error> {
        if usage.windows.iter().all(|it| !it.is_full() || it.frees_at.is_some()) {
            return Ok(usage);
        }
        self.usage(connection, policy, now).await
    }

    /// When so many of the attempts that fill a window are past that one more mail fits. `None` if
    /// that depends on attempts that are yet to be made.
    async fn frees_at(
        &self,
        connection: &mut AnyConnection,
        window: &Window,
        now: i64,
    ) -> Result<Option<i64>, Error> {
        let period = window.limit.period();
        let statement = "SELECT attempted_at FROM outbox WHERE inbox_id = $1 \
                         AND state = 'attempted' AND attempted_at > $2 \
                         ORDER BY attempted_at LIMIT 1 OFFSET $3";
        let attempted_at: Option<i64> = sqlx::query_scalar(statement)
            .bind(self.inbox_id.clone())
            .bind(now - period)
            .bind(window.used - window.most)
            .fetch_optional(connection)
            .await
            .map_err(Error::query("find out when a limit has room"))?;
        Ok(attempted_at.map(|it| it + period))
    }

    /// Says when this queue is to be served next, once `usage` is under way. `turn` is the moment that
    /// makes its place among those that are due.
    async fn reschedule(
        &self,
        connection: &mut AnyConnection,
        usage: &Usage,
        turn: i64,
        now: i64,
    ) -> Result<(), Error> {
        let head: Option<i64> = sqlx::query_scalar(
            "SELECT due_at FROM outbox WHERE inbox_id = $1 AND state = 'waiting' \
             ORDER BY due_at LIMIT 1",
        )
        .bind(self.inbox_id.clone())
        .fetch_optional(&mut *connection)
        .await
        .map_err(Error::query("find the head of a queue"))?;
        let next = head.map(|due_at| {
            let turn = allowance::full_until(&usage.windows, now).unwrap_or(turn);
            if due_at > now { due_at } else { turn }
        });
        let statement = "INSERT INTO queues (inbox_id, next_release, first_released_at) \
                         VALUES ($1, $2, $3) ON CONFLICT (inbox_id) DO UPDATE SET \
                         next_release = excluded.next_release, first_released_at = \
                         COALESCE(queues.first_released_at, excluded.first_released_at)";
        sqlx::query(statement)
            .bind(self.inbox_id.clone())
            .bind(next)
            .bind((usage.outstanding > 0).then_some(now))
            .execute(connection)
            .await
            .map_err(Error::query("schedule a queue"))?;
        Ok(())
    }
}

/// Locks those of the mails that the condition fits, in the order of their identifiers: what reports
/// and what confirms their release do not wait in a circle.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    email_ids: &[String],
    condition: &str,
) -> Result<Vec<String>, Error> {
    let failed = Error::query("lock released mails");
    let mut email_ids: Vec<&String> = email_ids.iter().collect();
    email_ids.sort();
    let statement = |ids| {
        let lock = dialect.lock_rows();
        format!(
            "SELECT email_id FROM outbox WHERE {condition} AND email_id IN (VALUES {ids}) \
             ORDER BY email_id{lock}"
        )
    };
    let bind = |query: sql::Bound, id: &&String| query.bind(sql::text(id));
    let rows = sql::fetch(connection, &email_ids, 1, statement, bind).await.map_err(&failed)?;
    rows.iter().map(|row| row.try_get("email_id")).collect::<sqlx::Result<_>>().map_err(&failed)
}

/// Notes that mails are held, and until when.
async fn set_held(
    connection: &mut AnyConnection,
    mails: &[(String, allowance::Held)],
) -> Result<(), Error> {
    let statement = |tuples| {
        format!(
            "UPDATE outbox SET due_at = CASE WHEN v.column4 > 0 THEN v.column4 ELSE due_at END, \
             held_reason = v.column2, held_until = v.column3, announce = CASE WHEN \
             outbox.held_reason IS NULL THEN 'email.held' ELSE announce END \
             FROM (VALUES {tuples}) AS v WHERE outbox.email_id = v.column1"
        )
    };
    sql::execute(connection, mails, 4, statement, |query, (email_id, held)| {
        // A full window keeps the whole queue back. Only new recipients keep single mails back.
        let due_at = if held.limit == Limit::NewRecipients { held.until } else { 0 };
        query.bind(email_id.clone()).bind(held.reason.clone()).bind(held.until).bind(due_at)
    })
    .await
    .map_err(Error::query("hold mails"))?;
    let ids: Vec<&String> = mails.iter().map(|(id, _)| id).collect();
    set_status(connection, &ids, "held").await
}

async fn set_status(
    connection: &mut AnyConnection,
    email_ids: &[&String],
    status: &'static str,
) -> Result<(), Error> {
    let statement = |tuples| {
        format!(
            "UPDATE emails SET status = v.column2 FROM (VALUES {tuples}) AS v \
             WHERE emails.id = v.column1"
        )
    };
    sql::execute(connection, email_ids, 2, statement, |query, id| {
        query.bind((*id).clone()).bind(status)
    })
    .await
    .map_err(Error::query("update the status of mails"))
}
