mod announcements;
mod attachment_texts;
mod audit;
mod console;
pub(crate) mod domains;
mod emails;
pub(crate) mod expectations;
mod guards;
mod labels;
mod operator_audit;
mod operator_queue;
mod operator_trace;
mod outbound;
mod outbox;
mod reports;
pub(crate) mod screening;
mod search;
pub(crate) mod standings;
mod suppressions;
mod threads;
mod token_reach;
mod tokens;
mod trust;
mod unsubscriptions;
mod verdicts;
pub(crate) mod webhooks;
mod work;

use sqlx::{Any, AssertSqlSafe, Row as _, any::AnyRow, pool::PoolConnection};

use crate::{
    Account, DirectoryEntry, Error, Inbox, Usage,
    database::Database,
    moment::{DAY, now},
    sql,
};

/// Reads. Emails in lists come without `body`; every email has its `attachments`, `security` and,
/// if it was sent, `recipients`. A recipient that was not tried yet has an empty `action`.
#[derive(Clone)]
pub struct Reader {
    database: Database,
}

impl Reader {
    pub(crate) fn new(database: Database) -> Reader {
        Reader { database }
    }

    pub(crate) async fn close(&self) {
        self.database.read.close().await;
    }

    async fn connection(&self) -> Result<PoolConnection<Any>, Error> {
        self.database.read.acquire().await.map_err(Error::query("connect to read"))
    }

    pub async fn account(&self, account_id: &str) -> Result<Option<Account>, Error> {
        let failed = Error::query("read an account");
        let statement = "SELECT id, tier, created_at, last_active_at FROM accounts WHERE id = $1";
        let row = sqlx::query(statement)
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        row.as_ref().map(account).transpose().map_err(&failed)
    }

    pub async fn usage(&self, account_id: &str) -> Result<Usage, Error> {
        let failed = Error::query("read the usage of an account");
        let statement = "SELECT \
             (SELECT COUNT(*) FROM inboxes WHERE account_id = $1 AND deleted_at IS NULL) AS inboxes, \
             (SELECT CAST(COALESCE(SUM(email_count), 0) AS BIGINT) FROM inboxes \
              WHERE account_id = $1) AS received, \
             (SELECT CAST(COALESCE(SUM(purged_email_count), 0) AS BIGINT) FROM accounts \
              WHERE id = $1) AS purged, \
             (SELECT CAST(COALESCE(SUM(accepted), 0) AS BIGINT) FROM account_days \
              WHERE account_id = $1 AND day = $2) AS sent";
        let row = sqlx::query(statement)
            .bind(sql::text(account_id))
            .bind(now() / DAY)
            .fetch_one(&self.database.read)
            .await
            .map_err(&failed)?;
        let count = |column: &str| row.try_get::<i64, _>(column).map_err(&failed);
        Ok(Usage {
            inboxes: count("inboxes")?,
            emails_received: count("received")? + count("purged")?,
            emails_sent_today: count("sent")?,
        })
    }

    /// Also a deleted one, within its grace period.
    pub async fn inbox(&self, account_id: &str, inbox_id: &str) -> Result<Option<Inbox>, Error> {
        let found =
            self.find_inboxes("account_id = $1 AND id = $2", &[account_id, inbox_id]).await?;
        Ok(found.into_iter().next())
    }

    /// The active ones, newest first.
    pub async fn inboxes(&self, account_id: &str) -> Result<Vec<Inbox>, Error> {
        let condition = "account_id = $1 AND deleted_at IS NULL ORDER BY created_at DESC, id DESC";
        self.find_inboxes(condition, &[account_id]).await
    }

    /// The first of the account's active inboxes on a domain.
    pub async fn oldest_inbox(
        &self,
        account_id: &str,
        domain: &str,
    ) -> Result<Option<Inbox>, Error> {
        let condition = "account_id = $1 AND domain = $2 AND deleted_at IS NULL \
                         ORDER BY created_at, id LIMIT 1";
        Ok(self.find_inboxes(condition, &[account_id, domain]).await?.into_iter().next())
    }

    /// The active inbox with this canonical address, whoever owns it.
    pub async fn inbox_by_address(&self, canonical: &str) -> Result<Option<Inbox>, Error> {
        let found =
            self.find_inboxes("canonical = $1 AND deleted_at IS NULL", &[canonical]).await?;
        Ok(found.into_iter().next())
    }

    /// The active inbox that an email of the account is in.
    pub async fn inbox_of_email(
        &self,
        account_id: &str,
        email_id: &str,
    ) -> Result<Option<Inbox>, Error> {
        let condition = "deleted_at IS NULL AND account_id = $1 \
                         AND id = (SELECT inbox_id FROM emails WHERE id = $2 AND account_id = $1)";
        let found = self.find_inboxes(condition, &[account_id, email_id]).await?;
        Ok(found.into_iter().next())
    }

    async fn find_inboxes(&self, condition: &str, values: &[&str]) -> Result<Vec<Inbox>, Error> {
        let failed = Error::query("read inboxes");
        let statement = format!("SELECT {INBOX} FROM inboxes WHERE {condition}");
        let query = sqlx::query(AssertSqlSafe(statement));
        let rows = values
            .iter()
            .fold(query, |query, value| query.bind(sql::text(value)))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(inbox).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// Every address that takes mail, in pages by canonical address.
    pub async fn directory(
        &self,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<DirectoryEntry>, Error> {
        self.find_addresses("deleted_at IS NULL", after, limit).await
    }

    /// Every address that took mail until its inbox was deleted, in pages by canonical address.
    pub async fn deleted_directory(
        &self,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<DirectoryEntry>, Error> {
        self.find_addresses("deleted_at IS NOT NULL", after, limit).await
    }

    async fn find_addresses(
        &self,
        condition: &str,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<DirectoryEntry>, Error> {
        let failed = Error::query("read the directory");
        let statement = format!(
            "SELECT canonical, account_id, id FROM inboxes WHERE {condition} AND canonical > $1 \
             ORDER BY canonical LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(after.unwrap_or_default()))
            .bind(limit)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let entry = |row: &AnyRow| {
            Ok(DirectoryEntry {
                canonical: row.try_get("canonical")?,
                account_id: row.try_get("account_id")?,
                inbox_id: row.try_get("id")?,
            })
        };
        rows.iter().map(entry).collect::<sqlx::Result<_>>().map_err(&failed)
    }
}

pub(crate) fn account(row: &AnyRow) -> sqlx::Result<Account> {
    Ok(Account {
        id: row.try_get("id")?,
        tier: row.try_get("tier")?,
        created_at: row.try_get("created_at")?,
        last_active_at: row.try_get("last_active_at")?,
    })
}

/// The columns of an inbox.
pub(crate) const INBOX: &str = "id, account_id, address, display_name, domain, email_count, \
                                expires_at, created_at, deleted_at";

pub(crate) fn inbox(row: &AnyRow) -> sqlx::Result<Inbox> {
    let deleted_at: Option<i64> = row.try_get("deleted_at")?;
    Ok(Inbox {
        id: row.try_get("id")?,
        account_id: row.try_get("account_id")?,
        address: row.try_get("address")?,
        display_name: row.try_get("display_name")?,
        domain: row.try_get("domain")?,
        is_active: deleted_at.is_none(),
        email_count: row.try_get("email_count")?,
        expires_at: row.try_get("expires_at")?,
        created_at: row.try_get("created_at")?,
        deleted_at,
    })
}
