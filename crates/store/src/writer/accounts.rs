use sqlx::AnyConnection;

use super::{Writer, commit};
use crate::{
    Account, Error,
    moment::{SECOND, now},
};

/// How exactly an account's last activity is known.
const TOUCH_EVERY: i64 = 60 * SECOND;

impl Writer {
    /// `token_hash` is the SHA-256 of the account's first token, in hexadecimal.
    pub async fn create_account(
        &self,
        account_id: &str,
        tier: i64,
        token_hash: &str,
    ) -> Result<Account, Error> {
        let created_at = now();
        let mut transaction = self.database.begin().await?;
        insert_account(&mut transaction, account_id, tier, created_at).await?;
        insert_token(&mut transaction, account_id, token_hash, created_at).await?;
        commit(transaction).await?;
        let last_active_at = created_at;
        Ok(Account { id: account_id.to_owned(), tier, created_at, last_active_at })
    }

    /// Creates an account without a token unless it is there. It is the service's own.
    pub async fn ensure_account(&self, account_id: &str, tier: i64) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        insert_account(&mut transaction, account_id, tier, now()).await?;
        commit(transaction).await
    }

    pub async fn add_token(&self, account_id: &str, token_hash: &str) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        insert_token(&mut transaction, account_id, token_hash, now()).await?;
        commit(transaction).await
    }

    /// From then on nobody gets in with the token; whether the account had it.
    pub async fn revoke_token(&self, account_id: &str, token_hash: &str) -> Result<bool, Error> {
        let statement = "UPDATE tokens SET revoked_at = $3, changed_at = $3 \
                         WHERE account_id = $1 AND hash = $2 AND revoked_at IS NULL";
        let revoked = sqlx::query(statement)
            .bind(account_id.to_owned())
            .bind(token_hash.to_owned())
            .bind(now())
            .execute(&self.database.write)
            .await
            .map_err(Error::query("revoke a token"))?;
        Ok(revoked.rows_affected() > 0)
    }

    pub async fn set_tier(&self, account_id: &str, tier: i64) -> Result<(), Error> {
        sqlx::query("UPDATE accounts SET tier = $2 WHERE id = $1")
            .bind(account_id.to_owned())
            .bind(tier)
            .execute(&self.database.write)
            .await
            .map_err(Error::query("set the tier of an account"))?;
        self.wake_queues_of(account_id).await
    }

    /// Notes that the account did something now. Writes at most once a minute per account.
    pub async fn touch_account(&self, account_id: &str) -> Result<(), Error> {
        let failed = Error::query("note the activity of an account");
        let now = now();
        // Asked of a reader first: even an UPDATE without effect takes SQLite's write lock.
        let stale: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM accounts WHERE id = $1 AND last_active_at < $2",
        )
        .bind(account_id.to_owned())
        .bind(now - TOUCH_EVERY)
        .fetch_one(&self.database.read)
        .await
        .map_err(&failed)?;
        if stale > 0 {
            sqlx::query("UPDATE accounts SET last_active_at = $2 WHERE id = $1")
                .bind(account_id.to_owned())
                .bind(now)
                .execute(&self.database.write)
                .await
                .map_err(&failed)?;
        }
        Ok(())
    }
}

async fn insert_account(
    connection: &mut AnyConnection,
    account_id: &str,
    tier: i64,
    created_at: i64,
) -> Result<(), Error> {
    let statement = "INSERT INTO accounts (id, tier, created_at, last_active_at) \
                     VALUES ($1, $2, $3, $3) ON CONFLICT (id) DO NOTHING";
    sqlx::query(statement)
        .bind(account_id.to_owned())
        .bind(tier)
        .bind(created_at)
        .execute(connection)
        .await
        .map_err(Error::query("create an account"))?;
    Ok(())
}

async fn insert_token(
    connection: &mut AnyConnection,
    account_id: &str,
    token_hash: &str,
    created_at: i64,
) -> Result<(), Error> {
    let statement =
        "INSERT INTO tokens (hash, account_id, created_at, changed_at) VALUES ($1, $2, $3, $3)";
    sqlx::query(statement)
        .bind(token_hash.to_owned())
        .bind(account_id.to_owned())
        .bind(created_at)
        .execute(connection)
        .await
        .map_err(Error::query("add a token"))?;
    Ok(())
}
