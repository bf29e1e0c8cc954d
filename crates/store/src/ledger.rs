//! Rows of the ledger.

use contract::Rejection;
use sqlx::{Row as _, any::AnyRow};

use crate::LedgerEntry;

pub(crate) const COLUMNS: &str = "l.email_id, l.account_id, l.inbox_id, l.idempotency_key, \
     l.request_digest, e.status, l.rejection_code, l.rejection_message, l.requested_at";

pub(crate) const TABLES: &str = "ledger l JOIN emails e ON e.id = l.email_id";

pub(crate) fn entry(row: &AnyRow) -> sqlx::Result<LedgerEntry> {
    let code: Option<String> = row.try_get("rejection_code")?;
    let message: Option<String> = row.try_get("rejection_message")?;
    Ok(LedgerEntry {
        email_id: row.try_get("email_id")?,
        account_id: row.try_get("account_id")?,
        inbox_id: row.try_get("inbox_id")?,
        idempotency_key: row.try_get("idempotency_key")?,
        request_digest: row.try_get("request_digest")?,
        status: row.try_get("status")?,
        rejection: code.zip(message).map(|(code, message)| Rejection { code, message }),
        requested_at: row.try_get("requested_at")?,
    })
}
