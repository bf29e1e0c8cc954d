//! Tokens: whose they are, what they may do, what became of them.

use contract::Grant;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::{Reader, account};
use crate::{Bearer, Error, Token, moment::now, sql};

const COLUMNS: &str = "t.hash, t.account_id, t.label, t.permits, t.made_with, t.created_at AS made_at, \
                       t.last_used_at, t.revoked_at";

impl Reader {
    /// Who comes with the token of this hash (SHA-256 in hexadecimal); `None` if it is worth nothing now.
    /// Of threads that were merged into others, it sees those.
    pub async fn bearer(&self, token_hash: &str) -> Result<Option<Bearer>, Error> {
        let failed = Error::query("read a token");
        let statement = format!(
            "SELECT a.id, a.tier, a.created_at, a.last_active_at, {COLUMNS} FROM tokens t \
             JOIN accounts a ON a.id = t.account_id WHERE t.hash = $1 AND t.revoked_at IS NULL"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(token_hash))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let account = account(&row).map_err(&failed)?;
        let token = token(&row)?;
        if !token.is_good_at(now()) {
            return Ok(None);
        }
        Ok(Some(Bearer { account, token: self.follow_merges(token).await? }))
    }

    /// The account's token of this name, whatever became of it. Of merged threads as `bearer`.
    pub async fn token(&self, account_id: &str, token_id: &str) -> Result<Option<Token>, Error> {
        // Hashes are in hexadecimal, so "g" is behind all that begin with the name.
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens t WHERE t.account_id = $1 AND t.hash >= $2 AND t.hash < $3 \
             ORDER BY t.hash LIMIT 2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(account_id))
            .bind(sql::text(token_id))
            .bind(sql::text(&format!("{token_id}g")))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read a token"))?;
        // A name that two have names none.
        let [row] = &rows[..] else { return Ok(None) };
        Ok(Some(self.follow_merges(token(row)?).await?))
    }

    /// The account's tokens that are not revoked, oldest first.
    pub async fn tokens(&self, account_id: &str) -> Result<Vec<Token>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens t WHERE t.account_id = $1 AND t.revoked_at IS NULL \
             ORDER BY t.created_at, t.hash"
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(sql::text(account_id));
        let rows = query.fetch_all(&self.database.read).await;
        rows.map_err(Error::query("read tokens"))?.iter().map(token).collect()
    }

    /// The tokens of all accounts that were made or revoked since then, in pages by hash.
    pub async fn token_changes(
        &self,
        since: i64,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Token>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM tokens t WHERE t.changed_at >= $1 AND t.hash > $2 \
             ORDER BY t.hash LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = query.bind(since).bind(sql::text(after.unwrap_or_default())).bind(limit);
        let rows = query.fetch_all(&self.database.read).await;
        rows.map_err(Error::query("read what became of tokens"))?.iter().map(token).collect()
    }

    /// The hashes of all tokens that were revoked since then.
    pub async fn revoked_since(&self, since: i64) -> Result<Vec<String>, Error> {
        let statement = "SELECT hash FROM tokens WHERE changed_at >= $1 AND revoked_at IS NOT NULL";
        sqlx::query_scalar(statement)
            .bind(since)
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read which tokens were revoked"))
    }

    /// The inbox and the thread of an email of the account, hidden or not.
    pub async fn place_of_email(
        &self,
        account_id: &str,
        email_id: &str,
    ) -> Result<Option<(String, Option<String>)>, Error> {
        let failed = Error::query("read where an email is");
        let statement = "SELECT inbox_id, thread_id FROM emails WHERE id = $1 AND account_id = $2";
        let row = sqlx::query(statement)
            .bind(sql::text(email_id))
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let place = |row: AnyRow| Ok((row.try_get("inbox_id")?, row.try_get("thread_id")?));
        row.map(place).transpose().map_err(&failed)
    }

    async fn follow_merges(&self, mut token: Token) -> Result<Token, Error> {
        let Some(thread_ids) = &mut token.grant.thread_ids else { return Ok(token) };
        let mut connection = self.connection().await?;
        let statement =
            |tuples| format!("SELECT target FROM thread_redirects WHERE (thread_id) IN ({tuples})");
        let rows = sql::fetch(&mut connection, thread_ids, 1, statement, |query, id| {
            query.bind(sql::text(id))
        });
        let failed = Error::query("read into what threads were merged");
        for row in rows.await.map_err(&failed)? {
            thread_ids.push(row.try_get("target").map_err(&failed)?);
        }
        Ok(token)
    }
}

fn token(row: &AnyRow) -> Result<Token, Error> {
    let failed = Error::query("read a token");
    let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
    let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map_err(&failed);
    let permits: Option<String> = row.try_get("permits").map_err(&failed)?;
    let grant = permits.map_or(Ok(Grant::default()), |it| serde_json::from_str(&it));
    Ok(Token {
        hash: text("hash")?,
        account_id: text("account_id")?,
        label: text("label")?,
        grant: grant.map_err(|_| Error::Corrupt { what: "what a token may do" })?,
        made_with: text("made_with")?,
        created_at: moment("made_at")?.unwrap_or_default(),
        last_used_at: moment("last_used_at")?,
        revoked_at: moment("revoked_at")?,
    })
}
