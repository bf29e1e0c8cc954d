//! Who is signed in at the console; the accounts that an operator looks over.

use sqlx::{Row as _, any::AnyRow};

use super::{Reader, screening::page};
use crate::{
    AccountInfo, ConsoleSession, Error, OperatorToken, Page, cursor::Cursor, moment::now, sql,
};

impl Reader {
    /// The session of a cookie with this hash, unless it is over. Whether its token is still good is
    /// another question.
    pub async fn console_session(&self, hash: &str) -> Result<Option<ConsoleSession>, Error> {
        let failed = Error::query("read a session");
        let statement = "SELECT hash, token_hash, is_operator, expires_at FROM console_sessions \
                         WHERE hash = $1 AND expires_at > $2";
        let query = sqlx::query(statement).bind(sql::text(hash)).bind(now());
        let row = query.fetch_optional(&self.database.read).await.map_err(&failed)?;
        let session = |row: AnyRow| {
            Ok(ConsoleSession {
                hash: row.try_get("hash")?,
                token_hash: row.try_get("token_hash")?,
                is_operator: row.try_get::<i64, _>("is_operator")? != 0,
                expires_at: row.try_get("expires_at")?,
            })
        };
        row.map(session).transpose().map_err(&failed)
    }

    /// The operator's token of this hash; `None` if it is worth nothing now.
    pub async fn operator_token(&self, hash: &str) -> Result<Option<OperatorToken>, Error> {
        let failed = Error::query("read an operator's token");
        let statement = "SELECT hash, label, created_at, expires_at, revoked_at FROM operator_tokens \
                         WHERE hash = $1 AND revoked_at IS NULL \
                         AND (expires_at IS NULL OR expires_at > $2)";
        let query = sqlx::query(statement).bind(sql::text(hash)).bind(now());
        let row = query.fetch_optional(&self.database.read).await.map_err(&failed)?;
        row.as_ref().map(operator_token).transpose().map_err(&failed)
    }

    /// All that ever were, oldest first.
    pub async fn operator_tokens(&self) -> Result<Vec<OperatorToken>, Error> {
        let failed = Error::query("read operators' tokens");
        let statement = "SELECT hash, label, created_at, expires_at, revoked_at FROM operator_tokens \
                         ORDER BY created_at, hash";
        let rows = sqlx::query(statement).fetch_all(&self.database.read).await.map_err(&failed)?;
        rows.iter().map(operator_token).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// All accounts, newest first.
    pub async fn accounts(
        &self,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<AccountInfo>, Error> {
        let failed = Error::query("read accounts");
        let cursor = Cursor::from_option(cursor)?;
        let statement = "SELECT a.id, a.tier, a.created_at, a.last_active_at, \
             (SELECT COUNT(*) FROM inboxes i WHERE i.account_id = a.id AND i.deleted_at IS NULL) \
             AS inboxes, \
             (SELECT COUNT(*) FROM inboxes i JOIN standings s ON s.inbox_id = i.id \
              WHERE i.account_id = a.id AND i.deleted_at IS NULL AND s.state = 'warned') AS warned, \
             (SELECT COUNT(*) FROM inboxes i JOIN standings s ON s.inbox_id = i.id \
              WHERE i.account_id = a.id AND i.deleted_at IS NULL AND s.state = 'stopped') AS stopped \
             FROM accounts a WHERE (a.created_at, a.id) < ($1, $2) \
             ORDER BY a.created_at DESC, a.id DESC LIMIT $3";
        let rows = sqlx::query(statement)
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let accounts: Vec<AccountInfo> =
            rows.iter().map(account_info).collect::<sqlx::Result<_>>().map_err(&failed)?;
        Ok(page(accounts, limit, |it| Cursor { at: it.created_at, id: it.id.clone() }))
    }
}

fn operator_token(row: &AnyRow) -> sqlx::Result<OperatorToken> {
    Ok(OperatorToken {
        hash: row.try_get("hash")?,
        label: row.try_get("label")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

fn account_info(row: &AnyRow) -> sqlx::Result<AccountInfo> {
    Ok(AccountInfo {
        id: row.try_get("id")?,
        tier: row.try_get("tier")?,
        created_at: row.try_get("created_at")?,
        last_active_at: row.try_get("last_active_at")?,
        inboxes: row.try_get("inboxes")?,
        warned: row.try_get("warned")?,
        stopped: row.try_get("stopped")?,
    })
}
