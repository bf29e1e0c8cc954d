//! Tokens: made, used, revoked.

use sqlx::AnyConnection;

use super::{Writer, commit};
use crate::{
    Error, NewToken,
    moment::{SECOND, now},
    sql,
};

/// How exactly it is known when an account or a token was active last.
const TOUCH_EVERY: i64 = 60 * SECOND;

impl Writer {
    pub async fn add_token(&self, token: &NewToken) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        insert(&mut transaction, token, now()).await?;
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

    /// Notes that the account did something now, with this token. Writes at most once a minute for each.
    pub async fn touch(&self, account_id: &str, token_hash: &str) -> Result<(), Error> {
        let failed = Error::query("note the activity of an account");
        let now = now();
        // Asked of a reader first: even an UPDATE without effect takes SQLite's write lock.
        let stale: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM accounts WHERE id = $1 AND last_active_at < $3) \
             + (SELECT COUNT(*) FROM tokens WHERE hash = $2 AND COALESCE(last_used_at, 0) < $3)",
        )
        .bind(account_id.to_owned())
        .bind(token_hash.to_owned())
        .bind(now - TOUCH_EVERY)
        .fetch_one(&self.database.read)
        .await
        .map_err(&failed)?;
        if stale == 0 {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        for (statement, id) in [
            ("UPDATE accounts SET last_active_at = $2 WHERE id = $1", account_id),
            ("UPDATE tokens SET last_used_at = $2 WHERE hash = $1", token_hash),
        ] {
            let touched = sqlx::query(statement).bind(id.to_owned()).bind(now);
            touched.execute(&mut *transaction).await.map_err(&failed)?;
        }
        commit(transaction).await
    }
}

pub(super) async fn insert(
    connection: &mut AnyConnection,
    token: &NewToken,
    created_at: i64,
) -> Result<(), Error> {
    let permits = serde_json::to_string(&token.grant)
        .map_err(|_| Error::Corrupt { what: "what a token may do" })?;
    let statement = "INSERT INTO tokens (hash, account_id, created_at, changed_at, label, permits, \
                     expires_at, made_with) VALUES ($1, $2, $3, $3, $4, $5, $6, $7)";
    sqlx::query(statement)
        .bind(token.hash.clone())
        .bind(token.account_id.clone())
        .bind(created_at)
        .bind(sql::text(&token.label))
        .bind(sql::text(&permits))
        .bind(token.grant.expires_at)
        .bind(token.made_with.clone())
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::query("add a token"))
}
