use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit};
use crate::{
    Error, Evidence,
    dialect::Dialect,
    moment::now,
    sql,
    suppression::{COMPLAINT, SUPPRESSED_FOR, key},
};

impl Writer {
    /// Notes what speaks against sending to addresses.
    pub async fn note_evidence(&self, evidence: &[Evidence]) -> Result<(), Error> {
        if evidence.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        let statement = |rows| {
            format!(
                "INSERT INTO suppressions (account_id, address, source, reason, evidence, strikes, \
                 created_at, expires_at) {rows} \
                 ON CONFLICT (account_id, address, source) DO NOTHING"
            )
        };
        sql::insert(&mut transaction, evidence, 8, statement, |query, it| {
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
        commit(transaction).await
    }

    /// Lets an account's mail go to an address again; what spoke against it stays on record. Says
    /// whether anything did.
    pub async fn lift_suppression(&self, account_id: &str, address: &str) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE suppressions SET lifted_at = $3, lifted_by = $1 \
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

    /// Keeps everybody from sending to those of these addresses that complained to so many accounts.
    /// What an account or the operator has lifted counts no more. Returns how many are new.
    pub async fn suppress_globally(
        &self,
        addresses: &BTreeSet<String>,
        accounts: i64,
    ) -> Result<usize, Error> {
        if addresses.is_empty() || accounts <= 0 {
            return Ok(0);
        }
        let mut transaction = self.database.begin().await?;
        let mut suppressed = 0;
        for address in addresses.iter().map(|it| key(it)).collect::<BTreeSet<_>>() {
            let dialect = self.database.dialect;
            if suppress(&mut transaction, dialect, &address, accounts).await? {
                suppressed += 1;
            }
        }
        commit(transaction).await?;
        Ok(suppressed)
    }

    /// As the operator: lets mail go to an address again that nobody could send to. Says whether that
    /// was so.
    pub async fn lift_global_suppression(&self, address: &str) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE global_suppressions SET lifted_at = $2, lifted_by = 'operator' \
             WHERE address = $1 AND lifted_at IS NULL AND expires_at > $2",
        )
        .bind(key(address))
        .bind(now())
        .execute(&self.database.write)
        .await
        .map_err(Error::query("lift a global suppression"))?;
        Ok(done.rows_affected() > 0)
    }
}

async fn suppress(
    connection: &mut AnyConnection,
    dialect: Dialect,
    address: &str,
    accounts: i64,
) -> Result<bool, Error> {
    let failed = Error::query("suppress an address for everybody");
    let statement = format!(
        "SELECT expires_at, lifted_at FROM global_suppressions WHERE address = $1{}",
        dialect.lock_rows()
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(address.to_owned())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
    let mut since = now() - SUPPRESSED_FOR;
    if let Some(row) = row {
        let lifted_at: Option<i64> = row.try_get("lifted_at").map_err(&failed)?;
        let expires_at: i64 = row.try_get("expires_at").map_err(&failed)?;
        if lifted_at.is_none() && expires_at > now() {
            return Ok(false);
        }
        since = since.max(lifted_at.unwrap_or_default());
    }
    let statement = "SELECT COUNT(DISTINCT account_id) FROM suppressions \
                     WHERE address = $1 AND reason = $2 AND lifted_at IS NULL AND created_at > $3";
    let complained: i64 = sqlx::query_scalar(statement)
        .bind(address.to_owned())
        .bind(COMPLAINT)
        .bind(since)
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    if complained < accounts {
        return Ok(false);
    }
    let statement = "INSERT INTO global_suppressions (address, reason, evidence, created_at, \
                     expires_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (address) DO UPDATE SET \
                     reason = excluded.reason, evidence = excluded.evidence, \
                     created_at = excluded.created_at, expires_at = excluded.expires_at, \
                     lifted_at = NULL, lifted_by = NULL";
    sqlx::query(statement)
        .bind(address.to_owned())
        .bind(COMPLAINT)
        .bind("it complained about mail of several accounts")
        .bind(now())
        .bind(now() + SUPPRESSED_FOR)
        .execute(connection)
        .await
        .map_err(&failed)?;
    Ok(true)
}
