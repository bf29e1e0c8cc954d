//! What time ends.

use sqlx::AssertSqlSafe;

use super::{MOST_DUE, end_due, lock};
use crate::{
    Error, Swept, Writer,
    work::LEASES_KEPT,
    writer::{commit, unchanged},
};

/// Leases forgotten in one transaction.
const MOST_FORGOTTEN: i64 = 2_000;

impl Writer {
    /// Ends leases and delays that are over, and sets aside what was handed out too often. Any number of
    /// processes may do so: an inbox that one of them is at, or that somebody claims from, is left to him.
    pub async fn sweep_work(&self) -> Result<Swept, Error> {
        let dialect = self.database.dialect;
        let statement = format!(
            "SELECT DISTINCT inbox_id FROM (SELECT inbox_id FROM work_items WHERE due_at <= {} \
             ORDER BY due_at LIMIT {MOST_DUE}) AS due",
            dialect.clock()
        );
        let inbox_ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("find leases that are over"))?;
        let mut swept = Swept::default();
        for inbox_id in inbox_ids {
            let mut transaction = self.database.begin().await?;
            let free = dialect.lock_free_parents();
            let queue = lock(&mut transaction, dialect, &inbox_id, free).await?;
            let Some(queue) = queue else {
                unchanged(transaction, ()).await?;
                continue;
            };
            let ended = end_due(&mut transaction, &queue).await?;
            commit(transaction).await?;
            swept.add(ended);
        }
        Ok(swept)
    }

    /// Forgets leases that ended long ago. Returns how many.
    pub async fn forget_leases(&self) -> Result<u64, Error> {
        let failed = Error::query("forget leases");
        let old = format!("ended_at < {} - {LEASES_KEPT}", self.database.dialect.clock());
        // Asked of a reader first: even a DELETE without effect takes SQLite's write lock.
        let found: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT id FROM leases WHERE {old} LIMIT 1")))
                .fetch_optional(&self.database.read)
                .await
                .map_err(&failed)?;
        if found.is_none() {
            return Ok(0);
        }
        let statement = format!(
            "DELETE FROM leases WHERE id IN (SELECT id FROM leases WHERE {old} \
             LIMIT {MOST_FORGOTTEN})"
        );
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&self.database.write).await;
        Ok(done.map_err(&failed)?.rows_affected())
    }
}
