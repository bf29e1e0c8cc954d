use aws_lc_rs::rand;
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

    /// The secret of this name, made at random the first time: 32 octets.
    pub async fn secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        let failed = Error::query("read a secret");
        let find = || {
            sqlx::query_scalar("SELECT octets FROM secrets WHERE name = $1").bind(name.to_owned())
        };
        if let Some(octets) = find().fetch_optional(&self.database.read).await.map_err(&failed)? {
            return Ok(octets);
        }
        let mut octets = [0; 32];
        rand::fill(&mut octets).map_err(|_| Error::Random)?;
        // Whoever comes first decides.
        let statement =
            "INSERT INTO secrets (name, octets) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        sqlx::query(statement)
            .bind(name.to_owned())
            .bind(octets.to_vec())
            .execute(&self.database.write)
            .await
            .map_err(Error::query("make a secret"))?;
        find().fetch_one(&self.database.read).await.map_err(&failed)
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
    sqlx::query("INSERT INTO tokens (hash, account_id, created_at) VALUES ($1, $2, $3)")
        .bind(token_hash.to_owned())
        .bind(account_id.to_owned())
        .bind(created_at)
        .execute(connection)
        .await
        .map_err(Error::query("add a token"))?;
    Ok(())
}
