use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit};
use crate::Error;

/// How many mails go in one transaction: others want to write too.
const MAILS_AT_ONCE: i64 = 500;

/// What has to go with an inbox, apart from its mail.
const LEFTOVERS: [&str; 13] = [
    "DELETE FROM thread_keys WHERE inbox_id = $1",
    "DELETE FROM thread_redirects WHERE inbox_id = $1",
    "DELETE FROM threads WHERE inbox_id = $1",
    "DELETE FROM standing_changes WHERE inbox_id = $1",
    "DELETE FROM standings WHERE inbox_id = $1",
    // What waits ends in time, and that is announced.
    "DELETE FROM expectations WHERE inbox_id = $1 AND state <> 'waiting'",
    "DELETE FROM sendings WHERE inbox_id = $1",
    "DELETE FROM queues WHERE inbox_id = $1",
    "DELETE FROM inbox_limits WHERE inbox_id = $1",
    "DELETE FROM correspondents WHERE inbox_id = $1",
    "DELETE FROM senders WHERE inbox_id = $1",
    "DELETE FROM sender_rules WHERE inbox_id = $1",
    "DELETE FROM screening_settings WHERE scope_id = $1",
];

impl Writer {
    /// Removes inboxes deleted before this moment, with their mail. Returns how many. Mail goes in
    /// many transactions; what an interruption leaves, the next call removes.
    pub async fn purge_inboxes(&self, deleted_before: i64) -> Result<u64, Error> {
        let inbox_ids: Vec<String> =
            sqlx::query_scalar("SELECT id FROM inboxes WHERE deleted_at < $1 ORDER BY deleted_at")
                .bind(deleted_before)
                .fetch_all(&self.database.read)
                .await
                .map_err(Error::query("find inboxes to purge"))?;
        let mut purged = 0;
        for inbox_id in inbox_ids {
            while self.purge_mails(&inbox_id).await? > 0 {}
            purged += self.purge_inbox(&inbox_id).await?;
        }
        Ok(purged)
    }

    /// Removes some mails of an inbox. Contents that another inbox has too stay.
    async fn purge_mails(&self, inbox_id: &str) -> Result<u64, Error> {
        let dialect = self.database.dialect;
        let failed = Error::query("purge mails");
        let mut transaction = self.database.begin().await?;
        sqlx::query(dialect.lock_purges()).execute(&mut *transaction).await.map_err(&failed)?;
        dialect.unindex(&mut transaction, inbox_id, MAILS_AT_ONCE).await.map_err(&failed)?;
        let some =
            "SELECT mail_id FROM emails WHERE inbox_id = $1 ORDER BY created_at, id LIMIT $2";
        let mail_ids: Vec<String> = sqlx::query_scalar(some)
            .bind(inbox_id.to_owned())
            .bind(MAILS_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        for mail_id in &mail_ids {
            for statement in [
                "DELETE FROM emails WHERE mail_id = $1 AND inbox_id = $2",
                // Its contents, recipients and attempts go with it.
                "DELETE FROM mails WHERE id = $1 AND $2 <> '' \
                 AND NOT EXISTS (SELECT 1 FROM emails WHERE mail_id = $1)",
            ] {
                sqlx::query(statement)
                    .bind(mail_id.clone())
                    .bind(inbox_id.to_owned())
                    .execute(&mut *transaction)
                    .await
                    .map_err(&failed)?;
            }
        }
        commit(transaction).await?;
        Ok(mail_ids.len() as u64)
    }

    async fn purge_inbox(&self, inbox_id: &str) -> Result<u64, Error> {
        let failed = Error::query("purge an inbox");
        let mut transaction = self.database.begin().await?;
        for statement in LEFTOVERS {
            sqlx::query(statement)
                .bind(inbox_id.to_owned())
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        // Two may purge the same inbox: whoever deletes the row counts its mail.
        let row = sqlx::query(
            "DELETE FROM inboxes WHERE id = $1 AND NOT EXISTS \
             (SELECT 1 FROM emails WHERE inbox_id = $1) RETURNING account_id, email_count",
        )
        .bind(inbox_id.to_owned())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&failed)?;
        if let Some(row) = &row {
            let account_id: String = row.try_get("account_id").map_err(&failed)?;
            let count: i64 = row.try_get("email_count").map_err(&failed)?;
            keep_count(&mut transaction, &account_id, count).await.map_err(&failed)?;
        }
        commit(transaction).await?;
        Ok(u64::from(row.is_some()))
    }
}

async fn keep_count(
    connection: &mut AnyConnection,
    account_id: &str,
    count: i64,
) -> sqlx::Result<()> {
    let statement =
        "UPDATE accounts SET purged_email_count = purged_email_count + $2 WHERE id = $1";
    sqlx::query(statement).bind(account_id.to_owned()).bind(count).execute(connection).await?;
    Ok(())
}
