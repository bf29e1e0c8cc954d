//! Tokens: made, used, revoked.

use std::collections::BTreeSet;

use contract::token_id;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Writer, audit, commit, unchanged};
use crate::{
    Actor, AuditEntry, Error, NewToken, OPERATOR,
    moment::{SECOND, now},
    sql,
};

/// How exactly it is known when an account or a token was active last.
const TOUCH_EVERY: i64 = 60 * SECOND;

impl Writer {
    /// What the operator makes is not counted.
    pub async fn add_token(&self, token: &NewToken) -> Result<(), Error> {
        self.make_token(token, i64::MAX, OPERATOR).await.map(drop)
    }

    /// Makes a token, unless the account has so many that are good. `by` is who does it.
    pub async fn make_token(&self, token: &NewToken, most: i64, by: &str) -> Result<bool, Error> {
        let failed = Error::query("count an account's tokens");
        let now = now();
        let mut transaction = self.database.begin().await?;
        let lock = self.database.dialect.lock_rows();
        let lock = format!("SELECT id FROM accounts WHERE id = $1{lock}");
        let lock = sqlx::query(AssertSqlSafe(lock)).bind(token.account_id.clone());
        lock.fetch_optional(&mut *transaction).await.map_err(&failed)?;
        let statement = "SELECT COUNT(*) FROM tokens WHERE account_id = $1 AND revoked_at IS NULL \
                         AND (expires_at IS NULL OR expires_at > $2)";
        let count = sqlx::query_scalar(statement).bind(token.account_id.clone()).bind(now);
        let count: i64 = count.fetch_one(&mut *transaction).await.map_err(&failed)?;
        if count >= most {
            return unchanged(transaction, false).await;
        }
        insert(&mut transaction, token, now).await?;
        let entry = entry(&token.account_id, &token.hash, "token.created", by);
        let details = serde_json::json!({
            "token": token_id(&token.hash), "label": token.label, "grant": token.grant,
        });
        let entry = AuditEntry { details: details.to_string(), ..entry };
        audit::record(&mut transaction, &entry).await?;
        commit(transaction).await?;
        Ok(true)
    }

    /// By the operator. From then on nobody gets in with the token; whether the account had it.
    pub async fn revoke_token(&self, account_id: &str, token_hash: &str) -> Result<bool, Error> {
        let revoked = self.revoke_tokens(account_id, token_hash, false, OPERATOR).await?;
        Ok(!revoked.is_empty())
    }

    /// From then on nobody gets in with the token, nor, if `with_made`, with those that were made with it,
    /// and with those in turn. Returns the hashes of all that it ended: none if the account has no such
    /// token, or it is revoked already.
    pub async fn revoke_tokens(
        &self,
        account_id: &str,
        token_hash: &str,
        with_made: bool,
        by: &str,
    ) -> Result<Vec<String>, Error> {
        let failed = Error::query("revoke a token");
        let now = now();
        let mut transaction = self.database.begin().await?;
        let mut revoked = Vec::new();
        let mut to_do = vec![token_hash.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(hash) = to_do.pop() {
            if !seen.insert(hash.clone()) {
                continue;
            }
            if with_made {
                let made = "SELECT hash FROM tokens WHERE account_id = $1 AND made_with = $2";
                let made = sqlx::query_scalar(made).bind(account_id.to_owned()).bind(hash.clone());
                to_do.extend(made.fetch_all(&mut *transaction).await.map_err(&failed)?);
            }
            let statement = "UPDATE tokens SET revoked_at = $3, changed_at = $3 \
                             WHERE account_id = $1 AND hash = $2 AND revoked_at IS NULL";
            let ended = sqlx::query(statement).bind(account_id.to_owned()).bind(hash.clone());
            let ended = ended.bind(now).execute(&mut *transaction).await.map_err(&failed)?;
            if ended.rows_affected() > 0 {
                let entry = entry(account_id, &hash, "token.revoked", by);
                audit::record(&mut transaction, &entry).await?;
                revoked.push(hash);
            }
        }
        commit(transaction).await?;
        Ok(revoked)
    }

    /// Forgets tokens that have been worth nothing since before that moment, those last with which others
    /// were made: what these send counts for them. Their names stay in the audit. Returns how many there
    /// were.
    pub async fn forget_tokens(&self, before: i64) -> Result<u64, Error> {
        let failed = Error::query("forget tokens");
        let mut transaction = self.database.begin().await?;
        let over =
            "(revoked_at < $1 OR expires_at < $1) AND hash NOT IN (SELECT made_with FROM tokens)";
        let counts = format!(
            "DELETE FROM token_mails WHERE token_hash IN (SELECT hash FROM tokens WHERE {over})"
        );
        let counts = sqlx::query(AssertSqlSafe(counts)).bind(before);
        counts.execute(&mut *transaction).await.map_err(&failed)?;
        let tokens = sqlx::query(AssertSqlSafe(format!("DELETE FROM tokens WHERE {over}")));
        let tokens = tokens.bind(before).execute(&mut *transaction).await.map_err(&failed)?;
        commit(transaction).await?;
        Ok(tokens.rows_affected())
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

fn entry(account_id: &str, token_hash: &str, action: &str, by: &str) -> AuditEntry {
    AuditEntry {
        account_id: account_id.to_owned(),
        action: action.to_owned(),
        actor: Actor { id: by.to_owned(), reason: String::new() },
        details: serde_json::json!({ "token": token_id(token_hash) }).to_string(),
        ..AuditEntry::default()
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
