use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{Error, Token, sql};

const COLUMNS: &str = "hash, account_id, created_at, revoked_at";

impl Reader {
    /// The account's tokens that are not revoked, oldest first.
    pub async fn tokens(&self, account_id: &str) -> Result<Vec<Token>, Error> {
        let failed = Error::query("read tokens");
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens WHERE account_id = $1 AND revoked_at IS NULL \
             ORDER BY created_at, hash"
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(sql::text(account_id));
        let rows = query.fetch_all(&self.database.read).await.map_err(&failed)?;
        rows.iter().map(token).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// The tokens of all accounts that were made or revoked since then, in pages by hash.
    pub async fn token_changes(
        &self,
        since: i64,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Token>, Error> {
        let failed = Error::query("read what became of tokens");
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens WHERE changed_at >= $1 AND hash > $2 \
             ORDER BY hash LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = query.bind(since).bind(sql::text(after.unwrap_or_default())).bind(limit);
        let rows = query.fetch_all(&self.database.read).await.map_err(&failed)?;
        rows.iter().map(token).collect::<sqlx::Result<_>>().map_err(&failed)
    }
}

fn token(row: &AnyRow) -> sqlx::Result<Token> {
    Ok(Token {
        hash: row.try_get("hash")?,
        account_id: row.try_get("account_id")?,
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
