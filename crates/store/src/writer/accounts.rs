use sqlx::AnyConnection;

use super::{Writer, commit, tokens};
use crate::{Account, Error, NewToken, moment::now};

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
        let token = NewToken::whole(token_hash, account_id);
        tokens::insert(&mut transaction, &token, created_at).await?;
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

    pub async fn set_tier(&self, account_id: &str, tier: i64) -> Result<(), Error> {
        sqlx::query("UPDATE accounts SET tier = $2 WHERE id = $1")
            .bind(account_id.to_owned())
            .bind(tier)
            .execute(&self.database.write)
            .await
            .map_err(Error::query("set the tier of an account"))?;
        self.wake_queues_of(account_id).await
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
