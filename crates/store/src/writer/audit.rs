//! What people decided, on record.

use sqlx::AnyConnection;

use crate::{AuditEntry, Error, moment::now, sql};

/// With a new identifier, and the time of now.
pub(super) async fn record(
    connection: &mut AnyConnection,
    entry: &AuditEntry,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (id, account_id, inbox_id, email_id, action, actor, reason, details, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(format!("aud_{}", uuid::Uuid::now_v7().simple()))
    .bind(sql::text(&entry.account_id))
    .bind(sql::text(entry.inbox_id.as_deref().unwrap_or_default()))
    .bind(sql::text(entry.email_id.as_deref().unwrap_or_default()))
    .bind(entry.action.clone())
    .bind(sql::text(&entry.actor.id))
    .bind(sql::text(&entry.actor.reason))
    .bind(sql::text(&entry.details))
    .bind(now())
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::query("put a decision on record"))
}
