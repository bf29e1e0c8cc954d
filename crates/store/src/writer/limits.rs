//! What the operator decides for inboxes, and what accounts used of their days.

use std::collections::{BTreeMap, BTreeSet};

use contract::Rejection;
use sqlx::{AnyConnection, Row as _};

use super::Writer;
use crate::{
    Error, LimitOverrides, LimitPolicy,
    moment::{DAY, now},
    sql,
};

impl Writer {
    /// Sets an inbox's own limits in place of those of its tier, and has its queue looked at.
    pub async fn set_inbox_limits(
        &self,
        inbox_id: &str,
        limits: LimitOverrides,
    ) -> Result<(), Error> {
        let statement = "INSERT INTO inbox_limits (inbox_id, per_minute, per_hour, per_day, \
                         new_recipients_per_day) VALUES ($1, $2, $3, $4, $5) \
                         ON CONFLICT (inbox_id) DO UPDATE SET per_minute = excluded.per_minute, \
                         per_hour = excluded.per_hour, per_day = excluded.per_day, \
                         new_recipients_per_day = excluded.new_recipients_per_day";
        sqlx::query(statement)
            .bind(sql::text(inbox_id))
            .bind(limits.per_minute)
            .bind(limits.per_hour)
            .bind(limits.per_day)
            .bind(limits.new_recipients_per_day)
            .execute(&self.database.write)
            .await
            .map_err(Error::query("set the limits of an inbox"))?;
        self.wake_queues("inbox_id = $2", inbox_id).await
    }

    /// Has every queue looked at: the limits may be others than when it was put off.
    pub async fn wake_all_queues(&self) -> Result<(), Error> {
        self.wake_queues("$2 = ''", "").await
    }

    pub(super) async fn wake_queues_of(&self, account_id: &str) -> Result<(), Error> {
        let condition = "inbox_id IN (SELECT id FROM inboxes WHERE account_id = $2)";
        self.wake_queues(condition, account_id).await
    }

    async fn wake_queues(&self, condition: &str, value: &str) -> Result<(), Error> {
        let statement =
            format!("UPDATE queues SET next_release = $1 WHERE next_release > $1 AND {condition}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(now())
            .bind(sql::text(value))
            .execute(&self.database.write)
            .await
            .map_err(Error::query("wake queues"))?;
        Ok(())
    }
}

/// How many submissions of accounts were accepted today (UTC), locked until the transaction ends.
pub(super) struct Days {
    day: i64,
    accounts: BTreeMap<String, Day>,
}

struct Day {
    tier: i64,
    accepted: i64,
}

impl Days {
    pub(super) async fn lock(
        connection: &mut AnyConnection,
        account_ids: BTreeSet<&str>,
        now: i64,
    ) -> Result<Days, Error> {
        let failed = Error::query("lock an account's day");
        let day = now / DAY;
        let mut accounts = BTreeMap::new();
        for account_id in account_ids {
            let statement = "INSERT INTO account_days (account_id, day, accepted) VALUES ($1, $2, 0) \
                             ON CONFLICT (account_id, day) \
                             DO UPDATE SET accepted = account_days.accepted \
                             RETURNING accepted, (SELECT tier FROM accounts WHERE id = $1) AS tier";
            let row = sqlx::query(statement)
                .bind(account_id.to_owned())
                .bind(day)
                .fetch_one(&mut *connection)
                .await
                .map_err(&failed)?;
            let tier = row.try_get("tier").map_err(&failed)?;
            let accepted = row.try_get("accepted").map_err(&failed)?;
            accounts.insert(account_id.to_owned(), Day { tier, accepted });
        }
        Ok(Days { day, accounts })
    }

    /// Counts another one, or says why it is too many.
    pub(super) fn admit(
        &mut self,
        account_id: &str,
        policy: &LimitPolicy,
    ) -> Result<(), Rejection> {
        let Some(day) = self.accounts.get_mut(account_id) else { return Ok(()) };
        policy.admit_to_day(day.tier, day.accepted)?;
        day.accepted += 1;
        Ok(())
    }

    /// One that was counted is not accepted after all.
    pub(super) fn take_back(&mut self, account_id: &str) {
        if let Some(day) = self.accounts.get_mut(account_id) {
            day.accepted -= 1;
        }
    }

    pub(super) async fn save(self, connection: &mut AnyConnection) -> Result<(), Error> {
        for (account_id, day) in self.accounts {
            let statement =
                "UPDATE account_days SET accepted = $3 WHERE account_id = $1 AND day = $2";
            sqlx::query(statement)
                .bind(account_id)
                .bind(self.day)
                .bind(day.accepted)
                .execute(&mut *connection)
                .await
                .map_err(Error::query("count an account's day"))?;
        }
        Ok(())
    }
}
