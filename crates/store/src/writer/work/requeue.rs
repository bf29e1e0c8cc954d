//! What is decided about an inbox's work: when mail is set aside, and what of that is tried again.

use sqlx::Row as _;

use super::{advance, lock};
use crate::{
    Error, Requeued, Writer, sql,
    writer::{commit, unchanged},
};

impl Writer {
    /// False if the account has no such active inbox.
    pub async fn set_max_attempts(
        &self,
        account_id: &str,
        inbox_id: &str,
        max_attempts: i64,
    ) -> Result<bool, Error> {
        let mut transaction = self.database.begin().await?;
        let queue = self.open_queue(&mut transaction, account_id, inbox_id).await?;
        let Some(queue) = queue else { return unchanged(transaction, false).await };
        sqlx::query("UPDATE work_queues SET max_attempts = $2 WHERE inbox_id = $1")
            .bind(queue.inbox_id)
            .bind(max_attempts)
            .execute(&mut *transaction)
            .await
            .map_err(Error::query("set when mail is set aside"))?;
        commit(transaction).await?;
        Ok(true)
    }

    /// Has a mail that was set aside handed out again, as if it never was before.
    pub async fn requeue(&self, account_id: &str, email_id: &str) -> Result<Requeued, Error> {
        let failed = Error::query("requeue a mail");
        let dialect = self.database.dialect;
        let email_id = sql::text(email_id);
        let mut transaction = self.database.begin().await?;
        let inbox_id: Option<String> = sqlx::query_scalar(
            "SELECT e.inbox_id FROM emails e JOIN inboxes i ON i.id = e.inbox_id \
             AND i.deleted_at IS NULL WHERE e.id = $1 AND e.account_id = $2 \
             AND e.direction = 'inbound' AND e.hidden = 0",
        )
        .bind(email_id.clone())
        .bind(sql::text(account_id))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&failed)?;
        let Some(inbox_id) = inbox_id else {
            return unchanged(transaction, Requeued::Unknown).await;
        };
        lock(&mut transaction, dialect, &inbox_id, dialect.lock_rows()).await?;
        let row = sqlx::query("SELECT state, lane FROM work_items WHERE email_id = $1")
            .bind(email_id.clone())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        // What nobody has looked at yet is handed out anyway.
        let Some(row) = row else { return unchanged(transaction, Requeued::Done).await };
        match row.try_get::<String, _>("state").map_err(&failed)?.as_str() {
            "acked" => return unchanged(transaction, Requeued::Acked).await,
            "set_aside" => (),
            _ => return unchanged(transaction, Requeued::Done).await,
        }
        sqlx::query(
            "UPDATE work_items SET state = 'blocked', attempts = 0, reason = '', \
             set_aside_at = NULL WHERE email_id = $1",
        )
        .bind(email_id)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        let lane: String = row.try_get("lane").map_err(&failed)?;
        advance(&mut transaction, &lane).await?;
        commit(transaction).await?;
        Ok(Requeued::Done)
    }
}
