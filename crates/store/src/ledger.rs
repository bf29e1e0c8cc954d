//! Rows of the ledger.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use contract::{Email, Rejection, SendRequest};
use data_encoding::HEXLOWER;
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use crate::{Entered, Error, LedgerEntry, sql};

pub(crate) const COLUMNS: &str = "l.email_id, l.account_id, l.inbox_id, l.idempotency_key, \
     l.request_digest, e.status, l.rejection_code, l.rejection_message, l.requested_at, \
     l.lease_id, \
     (SELECT h.state FROM holds h WHERE h.email_id = l.email_id) AS hold";

pub(crate) const TABLES: &str = "ledger l JOIN emails e ON e.id = l.email_id";

/// What tells whether a repeated request has the words of the first. One that cannot be read is known
/// by its octets.
pub fn request_digest(request: Option<&SendRequest>, octets: &[u8]) -> String {
    let digest = match request {
        Some(request) => digest(&SHA256, &request.canonical()),
        None => digest(&SHA256, octets),
    };
    HEXLOWER.encode(digest.as_ref())
}

/// Inbox and idempotency key of a request.
pub(crate) type Key = (String, String);

/// What the ledger knows of a request.
pub(crate) struct Known {
    pub(crate) entry: LedgerEntry,
    /// Its state in the outbox; `None` if it is not there.
    outbox: Option<String>,
    /// Something is reported of it: the sender has it.
    attempted: bool,
}

impl Known {
    pub(crate) fn entered(&self, email: Email, requested_at: i64, repeated: bool) -> Entered {
        let is_wanted = !repeated || self.entry.requested_at == requested_at;
        let to_send = is_wanted && self.is_free();
        Entered { entry: self.entry.clone(), email, repeated, to_send, held: None, is_kept: true }
    }

    /// The sender may not have heard of it, and is to.
    fn is_free(&self) -> bool {
        match self.outbox.as_deref() {
            Some(state) => state == "released",
            // From before there was an outbox.
            None => !self.attempted && matches!(&*self.entry.status, "queued" | "scheduled"),
        }
    }
}

pub(crate) async fn entries(
    connection: &mut AnyConnection,
    keys: BTreeSet<Key>,
) -> Result<HashMap<Key, Known>, Error> {
    let failed = Error::query("find ledger entries");
    let keys: Vec<Key> = keys.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT {COLUMNS}, o.state AS outbox, CASE WHEN EXISTS (SELECT 1 FROM attempts a \
             WHERE a.mail_id = e.mail_id) THEN 1 ELSE 0 END AS attempted \
             FROM {TABLES} JOIN (VALUES {tuples}) AS v \
             ON l.inbox_id = v.column1 AND l.idempotency_key = v.column2 \
             LEFT JOIN outbox o ON o.email_id = l.email_id"
        )
    };
    let rows = sql::fetch(connection, &keys, 2, statement, |query, (inbox_id, key)| {
        query.bind(sql::text(inbox_id)).bind(sql::text(key))
    })
    .await
    .map_err(&failed)?;
    let mut entries = HashMap::new();
    for row in &rows {
        let entry = entry(row).map_err(&failed)?;
        let attempted = row.try_get::<i64, _>("attempted").map_err(&failed)? != 0;
        let key = (entry.inbox_id.clone(), entry.idempotency_key.clone());
        let outbox = row.try_get("outbox").map_err(&failed)?;
        entries.insert(key, Known { entry, outbox, attempted });
    }
    Ok(entries)
}

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
        hold: row.try_get("hold")?,
        lease_id: row.try_get("lease_id")?,
    })
}
