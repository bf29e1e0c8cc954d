//! Who has left which list.

use super::Writer;
use crate::{Error, Subscription, moment::now, sql, suppression::key};

impl Writer {
    /// Notes that somebody has left a list, or all of them with `ALL_LISTS`. Says whether that is new.
    pub async fn unsubscribe(
        &self,
        subscription: &Subscription,
        list_id: &str,
    ) -> Result<bool, Error> {
        // Following the link twice changes nothing; after he was put back, it counts again.
        let done = sqlx::query(
            "INSERT INTO unsubscriptions (account_id, address, list_id, at, source) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id, address, list_id) \
             DO UPDATE SET at = excluded.at, source = excluded.source, lifted_at = NULL \
             WHERE unsubscriptions.lifted_at IS NOT NULL",
        )
        .bind(sql::text(&subscription.account_id))
        .bind(key(&subscription.address))
        .bind(sql::text(list_id))
        .bind(now())
        .bind(sql::text(&subscription.mail_id))
        .execute(&self.database.write)
        .await
        .map_err(Error::query("unsubscribe an address"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Puts an address back on a list, or on all with `ALL_LISTS`; that it had left stays on record.
    /// Says whether it had.
    pub async fn resubscribe(
        &self,
        account_id: &str,
        list_id: &str,
        address: &str,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE unsubscriptions SET lifted_at = $4 \
             WHERE account_id = $1 AND address = $2 AND list_id = $3 AND lifted_at IS NULL",
        )
        .bind(sql::text(account_id))
        .bind(key(address))
        .bind(sql::text(list_id))
        .bind(now())
        .execute(&self.database.write)
        .await
        .map_err(Error::query("put an address back on a list"))?;
        Ok(done.rows_affected() > 0)
    }
}
