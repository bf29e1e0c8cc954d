//! What accounts say of their webhooks.

use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Writer, commit, unchanged};
use crate::{
    Error, MOST_WEBHOOKS, NewWebhook, Switch, Webhook, WebhookChange,
    dialect::Dialect,
    moment::now,
    reader::webhooks::{WEBHOOK, webhook},
    sql,
};

impl Writer {
    /// `None` if the account has as many as it may.
    pub async fn create_webhook(&self, wanted: &NewWebhook) -> Result<Option<Webhook>, Error> {
        let failed = Error::query("create a webhook");
        let mut transaction = self.database.begin().await?;
        // The lock makes two requests that want the last place count one after the other.
        let lock =
            format!("SELECT id FROM accounts WHERE id = $1{}", self.database.dialect.lock_rows());
        sqlx::query(AssertSqlSafe(lock))
            .bind(wanted.account_id.clone())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhooks WHERE account_id = $1")
            .bind(wanted.account_id.clone())
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        if count >= MOST_WEBHOOKS {
            return unchanged(transaction, None).await;
        }
        let statement = format!(
            "INSERT INTO webhooks (id, account_id, inbox_id, url, events, created_at, secret_number, \
             previous_until, enabled, disabled_reason, stream, position, wanted, owner, leased_until, \
             failures, resume_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 1, 0, 1, '', $7, $8, 0, '', 0, 0, 0) RETURNING {WEBHOOK}"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(wanted.id.clone())
            .bind(wanted.account_id.clone())
            .bind(wanted.inbox_id.as_deref().map(sql::text))
            .bind(sql::text(&wanted.url))
            .bind(Webhook::events_json(&wanted.events))
            .bind(now())
            .bind(wanted.stream)
            .bind(position(wanted.position))
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        let created = webhook(&row)?;
        commit(transaction).await?;
        Ok(Some(created))
    }

    /// `None` if the account has no such webhook.
    pub async fn change_webhook(
        &self,
        account_id: &str,
        webhook_id: &str,
        change: &WebhookChange,
    ) -> Result<Option<Webhook>, Error> {
        let failed = Error::query("change a webhook");
        let mut transaction = self.database.begin().await?;
        let statement = format!(
            "UPDATE webhooks SET url = COALESCE($3, url), events = COALESCE($4, events) \
             WHERE id = $1 AND account_id = $2 RETURNING {WEBHOOK}"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(webhook_id))
            .bind(sql::text(account_id))
            .bind(change.url.as_deref().map(sql::text))
            .bind(change.events.as_deref().map(Webhook::events_json))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return unchanged(transaction, None).await };
        let changed = match change.switch {
            None => webhook(&row)?,
            Some(Switch::Off) => switch_off(&mut transaction, webhook_id, "account").await?,
            Some(Switch::Resume) => switch_on(&mut transaction, webhook_id, None).await?,
            Some(Switch::Skip { stream, position }) => {
                switch_on(&mut transaction, webhook_id, Some((stream, position))).await?
            }
        };
        commit(transaction).await?;
        Ok(Some(changed))
    }

    /// With all that is known of it; whether the account had it.
    pub async fn delete_webhook(&self, account_id: &str, webhook_id: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM webhooks WHERE id = $1 AND account_id = $2")
            .bind(sql::text(webhook_id))
            .bind(sql::text(account_id))
            .execute(&self.database.write)
            .await
            .map_err(Error::query("delete a webhook"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives it another secret; the one it had counts until then. `None` if the account has no such
    /// webhook.
    pub async fn rotate_webhook_secret(
        &self,
        account_id: &str,
        webhook_id: &str,
        previous_until: i64,
    ) -> Result<Option<Webhook>, Error> {
        let failed = Error::query("replace the secret of a webhook");
        let statement = format!(
            "UPDATE webhooks SET secret_number = secret_number + 1, previous_until = $3 \
             WHERE id = $1 AND account_id = $2 RETURNING {WEBHOOK}"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(webhook_id))
            .bind(sql::text(account_id))
            .bind(previous_until)
            .fetch_optional(&self.database.write)
            .await
            .map_err(failed)?;
        row.as_ref().map(webhook).transpose()
    }
}

/// Why: "account", "failing" or "gone". One that is off already stays as it is.
pub(super) async fn switch_off(
    connection: &mut AnyConnection,
    webhook_id: &str,
    reason: &str,
) -> Result<Webhook, Error> {
    let statement = format!(
        "UPDATE webhooks SET enabled = 0, \
         disabled_reason = CASE WHEN enabled = 1 THEN $2 ELSE disabled_reason END, \
         disabled_at = CASE WHEN enabled = 1 THEN $3 ELSE disabled_at END \
         WHERE id = $1 RETURNING {WEBHOOK}"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(webhook_id))
        .bind(reason.to_owned())
        .bind(now())
        .fetch_one(connection)
        .await
        .map_err(Error::query("disable a webhook"))?;
    webhook(&row)
}

/// With nothing held against it. What waits is due at once, or is left out.
async fn switch_on(
    connection: &mut AnyConnection,
    webhook_id: &str,
    skip_to: Option<(i64, u64)>,
) -> Result<Webhook, Error> {
    let failed = Error::query("enable a webhook");
    let lanes = match skip_to {
        Some(_) => "DELETE FROM webhook_lanes WHERE webhook_id = $1 AND $2 > 0",
        None => "UPDATE webhook_lanes SET due_at = $2, attempts = 0 WHERE webhook_id = $1",
    };
    sqlx::query(lanes)
        .bind(sql::text(webhook_id))
        .bind(now())
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    // Whoever is still at work on it is not any more: what he finds would come too late.
    let statement = format!(
        "UPDATE webhooks SET enabled = 1, disabled_reason = '', disabled_at = NULL, failures = 0, \
         failing_since = NULL, resume_at = 0, owner = '', leased_until = 0, \
         stream = COALESCE($2, stream), position = COALESCE($3, position) \
         WHERE id = $1 RETURNING {WEBHOOK}"
    );
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(webhook_id))
        .bind(skip_to.map(|(stream, _)| stream))
        .bind(skip_to.map(|(_, it)| position(it)))
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    webhook(&row)
}

/// Ends a SELECT of a webhook that is about to change.
pub(super) fn locked(dialect: Dialect, condition: &str) -> String {
    format!(
        "SELECT {WEBHOOK}, leased_until, wanted FROM webhooks WHERE {condition}{}",
        dialect.lock_rows()
    )
}

/// A sequence of a stream, which no stream makes larger.
pub(super) fn position(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
