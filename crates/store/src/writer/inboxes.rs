use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Writer, commit, unchanged};
use crate::{
    Announcement, Created, Error, Inbox, NewInbox,
    moment::now,
    reader::{self, INBOX},
    sql, suppression,
};

impl Writer {
    pub async fn create_inbox(&self, inbox: &NewInbox) -> Result<Created, Error> {
        let failed = Error::query("create an inbox");
        let mut transaction = self.database.begin().await?;
        if let Some(max_inboxes) = inbox.max_inboxes {
            // The lock makes two requests that want the last place count one after the other.
            let lock = format!(
                "SELECT id FROM accounts WHERE id = $1{}",
                self.database.dialect.lock_rows()
            );
            sqlx::query(AssertSqlSafe(lock))
                .bind(inbox.account_id.clone())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(&failed)?;
            let active: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM inboxes WHERE account_id = $1 AND deleted_at IS NULL",
            )
            .bind(inbox.account_id.clone())
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
            if active >= max_inboxes {
                return unchanged(transaction, Created::LimitReached).await;
            }
        }
        if insert(&mut transaction, inbox).await.map_err(&failed)? == 0 {
            return unchanged(transaction, Created::AddressCollision).await;
        }
        absolve(&mut transaction, &inbox.address).await?;
        let created = find(&mut transaction, &inbox.account_id, &inbox.id).await?;
        if let Some(created) = &created {
            Announcement::of_inbox("inbox.created", created).write(&mut transaction).await?;
        }
        commit(transaction).await?;
        created.map(Created::Inbox).ok_or(Error::Corrupt { what: "a new inbox" })
    }

    /// Soft: `None` if the account has no such inbox. Deleting again changes nothing.
    pub async fn delete_inbox(
        &self,
        account_id: &str,
        inbox_id: &str,
    ) -> Result<Option<Inbox>, Error> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE inboxes SET deleted_at = $3 \
             WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL",
        )
        .bind(sql::text(inbox_id))
        .bind(sql::text(account_id))
        .bind(now())
        .execute(&mut *transaction)
        .await
        .map_err(Error::query("delete an inbox"))?;
        let deleted = find(&mut transaction, account_id, inbox_id).await?;
        if let Some(deleted) = deleted.as_ref().filter(|_| done.rows_affected() > 0) {
            Announcement::of_inbox("inbox.deleted", deleted).write(&mut transaction).await?;
        }
        commit(transaction).await?;
        Ok(deleted)
    }

    /// Deletes, softly, the inboxes that expire before this moment. Returns how many.
    pub async fn expire_inboxes(&self, expired_before: i64) -> Result<u64, Error> {
        let failed = Error::query("delete expired inboxes");
        let expired = "deleted_at IS NULL AND expires_at < $1";
        // Asked of a reader first: even an UPDATE without effect takes SQLite's write lock.
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT COUNT(*) FROM inboxes WHERE {expired}"
        )))
        .bind(expired_before)
        .fetch_one(&self.database.read)
        .await
        .map_err(&failed)?;
        if count == 0 {
            return Ok(0);
        }
        let mut transaction = self.database.begin().await?;
        let statement =
            format!("UPDATE inboxes SET deleted_at = $2 WHERE {expired} RETURNING {INBOX}");
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(expired_before)
            .bind(now())
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        for row in &rows {
            let inbox = reader::inbox(row).map_err(&failed)?;
            Announcement::of_inbox("inbox.expired", &inbox).write(&mut transaction).await?;
        }
        commit(transaction).await?;
        Ok(rows.len() as u64)
    }
}

/// An address that exists from now on is no longer known not to. What somebody wished stays, by
/// complaint or otherwise.
async fn absolve(connection: &mut AnyConnection, address: &str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE suppressions SET lifted_at = $2, lifted_by = 'new inbox' \
         WHERE address = $1 AND lifted_at IS NULL AND expires_at IS NOT NULL AND reason <> $3",
    )
    .bind(suppression::key(address))
    .bind(now())
    .bind(suppression::COMPLAINT)
    .execute(connection)
    .await
    .map_err(Error::query("lift suppressions of a new inbox"))?;
    Ok(())
}

async fn insert(connection: &mut AnyConnection, inbox: &NewInbox) -> sqlx::Result<u64> {
    let statement = "INSERT INTO inboxes \
         (id, account_id, address, canonical, domain, display_name, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (canonical) DO NOTHING";
    let done = sqlx::query(statement)
        .bind(inbox.id.clone())
        .bind(inbox.account_id.clone())
        .bind(sql::text(&inbox.address))
        .bind(sql::text(&inbox.canonical))
        .bind(sql::text(&inbox.domain))
        .bind(inbox.display_name.as_deref().map(sql::text))
        .bind(inbox.expires_at)
        .bind(now())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

async fn find(
    connection: &mut AnyConnection,
    account_id: &str,
    inbox_id: &str,
) -> Result<Option<Inbox>, Error> {
    let failed = Error::query("read an inbox");
    let statement = format!("SELECT {INBOX} FROM inboxes WHERE id = $1 AND account_id = $2");
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(inbox_id))
        .bind(sql::text(account_id))
        .fetch_optional(connection)
        .await
        .map_err(&failed)?;
    row.as_ref().map(reader::inbox).transpose().map_err(&failed)
}
