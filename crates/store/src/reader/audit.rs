//! What people decided.

use sqlx::{Row as _, any::AnyRow};

use super::{Reader, screening::page};
use crate::{Actor, AuditEntry, AuditFilter, Error, Page, cursor::Cursor, sql};

impl Reader {
    pub async fn audit(
        &self,
        account_id: &str,
        filter: &AuditFilter,
    ) -> Result<Page<AuditEntry>, Error> {
        let failed = Error::query("read the audit");
        let cursor = Cursor::from_option(filter.cursor.as_deref())?;
        let statement = "SELECT id, account_id, inbox_id, email_id, action, actor, reason, details, at \
             FROM audit WHERE account_id = $1 AND ($2 = '' OR inbox_id = $2) \
             AND ($3 = '' OR email_id = $3) AND ($4 = '' OR action = $4) AND at > $5 AND at <= $6 \
             AND (at, id) < ($7, $8) ORDER BY at DESC, id DESC LIMIT $9";
        let text = |it: &Option<String>| sql::text(it.as_deref().unwrap_or_default());
        let rows = sqlx::query(statement)
            .bind(sql::text(account_id))
            .bind(text(&filter.inbox_id))
            .bind(text(&filter.email_id))
            .bind(text(&filter.action))
            .bind(filter.since.unwrap_or(i64::MIN))
            .bind(filter.until.unwrap_or(i64::MAX))
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(filter.limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let entries: Vec<AuditEntry> =
            rows.iter().map(entry).collect::<sqlx::Result<_>>().map_err(&failed)?;
        Ok(page(entries, filter.limit, |it| Cursor { at: it.at, id: it.id.clone() }))
    }
}

fn entry(row: &AnyRow) -> sqlx::Result<AuditEntry> {
    let some = |it: String| Some(it).filter(|it| !it.is_empty());
    Ok(AuditEntry {
        id: row.try_get("id")?,
        account_id: row.try_get("account_id")?,
        inbox_id: some(row.try_get("inbox_id")?),
        email_id: some(row.try_get("email_id")?),
        action: row.try_get("action")?,
        actor: Actor { id: row.try_get("actor")?, reason: row.try_get("reason")? },
        details: row.try_get("details")?,
        at: row.try_get("at")?,
    })
}
