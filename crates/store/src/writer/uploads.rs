//! What accounts have uploaded, as far as it counts to what they may keep.

use super::{Writer, commit};
use crate::{Error, moment::now, sql};

impl Writer {
    /// Counts an upload to its account, unless that has more than `most_bytes` then. Says whether it
    /// does. What has expired counts no more.
    pub async fn note_upload(
        &self,
        account_id: &str,
        upload_id: &str,
        size_bytes: i64,
        expires_at: i64,
        most_bytes: i64,
    ) -> Result<bool, Error> {
        let failed = Error::query("note an upload");
        let mut transaction = self.database.begin().await?;
        sqlx::query("DELETE FROM uploads WHERE account_id = $1 AND expires_at <= $2")
            .bind(sql::text(account_id))
            .bind(now())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        let statement = "INSERT INTO uploads (id, account_id, size_bytes, expires_at) \
             SELECT $2, $1, $3, $4 WHERE $3 + (SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) \
             FROM uploads WHERE account_id = $1) <= $5";
        let done = sqlx::query(statement)
            .bind(sql::text(account_id))
            .bind(sql::text(upload_id))
            .bind(size_bytes)
            .bind(expires_at)
            .bind(most_bytes)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        commit(transaction).await?;
        Ok(done.rows_affected() > 0)
    }
}
