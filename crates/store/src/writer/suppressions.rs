use super::Writer;
use crate::{Error, Evidence, moment::now, sql, suppression::key};

impl Writer {
    /// Notes what speaks against sending to addresses.
    pub async fn note_evidence(&self, evidence: &[Evidence]) -> Result<(), Error> {
        if evidence.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        let statement = |tuples| {
            format!(
                "INSERT INTO suppressions (account_id, address, source, reason, evidence, strikes, \
                 created_at, expires_at) VALUES {tuples} \
                 ON CONFLICT (account_id, address, source) DO NOTHING"
            )
        };
        sql::execute(&mut transaction, evidence, 8, statement, |query, it| {
            query
                .bind(sql::text(&it.account_id))
                .bind(key(&it.address))
                .bind(sql::text(&it.source))
                .bind(sql::text(&it.reason))
                .bind(sql::text(it.cut()))
                .bind(it.strikes())
                .bind(now())
                .bind(it.expires_at())
        })
        .await
        .map_err(Error::query("note what speaks against addresses"))?;
        super::commit(transaction).await
    }

    /// Lets mail go to an address again; what spoke against it stays on record. Says whether anything
    /// did.
    pub async fn lift_suppression(&self, account_id: &str, address: &str) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE suppressions SET lifted_at = $3 \
             WHERE account_id = $1 AND address = $2 AND lifted_at IS NULL",
        )
        .bind(sql::text(account_id))
        .bind(key(address))
        .bind(now())
        .execute(&self.database.write)
        .await
        .map_err(Error::query("lift a suppression"))?;
        Ok(done.rows_affected() > 0)
    }
}
