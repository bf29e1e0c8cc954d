//! Signing in at the console and out of it; the tokens of those who run the service.

use super::{Writer, commit};
use crate::{ConsoleSession, Error, moment::now, sql};

impl Writer {
    /// Signs somebody in, and forgets those whose sessions are over.
    pub async fn open_console_session(&self, session: &ConsoleSession) -> Result<(), Error> {
        let failed = Error::query("open a session");
        let mut transaction = self.database.begin().await?;
        sqlx::query("DELETE FROM console_sessions WHERE expires_at <= $1")
            .bind(now())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        let statement = "INSERT INTO console_sessions (hash, token_hash, is_operator, expires_at) \
                         VALUES ($1, $2, $3, $4)";
        sqlx::query(statement)
            .bind(session.hash.clone())
            .bind(session.token_hash.clone())
            .bind(i64::from(session.is_operator))
            .bind(session.expires_at)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        commit(transaction).await
    }

    /// From then on its cookie is worth nothing.
    pub async fn close_console_session(&self, hash: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM console_sessions WHERE hash = $1")
            .bind(sql::text(hash))
            .execute(&self.database.write)
            .await
            .map(drop)
            .map_err(Error::query("close a session"))
    }

    /// `hash`: SHA-256 in hexadecimal.
    pub async fn add_operator_token(
        &self,
        hash: &str,
        label: &str,
        expires_at: Option<i64>,
    ) -> Result<(), Error> {
        let statement = "INSERT INTO operator_tokens (hash, label, created_at, expires_at) \
                         VALUES ($1, $2, $3, $4)";
        sqlx::query(statement)
            .bind(hash.to_owned())
            .bind(sql::text(label))
            .bind(now())
            .bind(expires_at)
            .execute(&self.database.write)
            .await
            .map(drop)
            .map_err(Error::query("add an operator's token"))
    }

    /// From then on nobody gets in with it, and who is in is out. Whether it was good until now.
    pub async fn revoke_operator_token(&self, hash: &str) -> Result<bool, Error> {
        let statement = "UPDATE operator_tokens SET revoked_at = $2 \
                         WHERE hash = $1 AND revoked_at IS NULL";
        let revoked = sqlx::query(statement).bind(hash.to_owned()).bind(now());
        let revoked = revoked.execute(&self.database.write).await;
        revoked.map(|it| it.rows_affected() > 0).map_err(Error::query("revoke an operator's token"))
    }
}
