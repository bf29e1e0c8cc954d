//! What waits in the outbox, as operators look at it.

use contract::SubmissionAccepted;
use prost::Message as _;
use sqlx::{Row as _, any::AnyRow};

use super::Reader;
use crate::{Error, QueueFilter, QueuedMail, sql};

/// Rows read at once.
const PAGE: i64 = 500;

impl Reader {
    /// Mails in the outbox that were not attempted yet, by their ids; as many as wanted.
    pub async fn queued(
        &self,
        filter: &QueueFilter,
        limit: usize,
    ) -> Result<Vec<QueuedMail>, Error> {
        let mut found: Vec<QueuedMail> = Vec::new();
        let mut after = String::new();
        while found.len() < limit {
            let page = self.queued_page(filter, &after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.email_id);
            let is_meant = |it: &QueuedMail| {
                filter.domain.as_ref().is_none_or(|domain| it.domains().contains(domain))
            };
            found.extend(page.into_iter().filter(is_meant));
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn queued_page(
        &self,
        filter: &QueueFilter,
        after: &str,
    ) -> Result<Vec<QueuedMail>, Error> {
        let failed = Error::query("read the outbox");
        let statement = "SELECT o.email_id, i.account_id, o.inbox_id, o.state, o.due_at, \
             o.expires_at, o.held_reason, o.held_until, o.handover \
             FROM outbox o JOIN inboxes i ON i.id = o.inbox_id \
             WHERE o.state IN ('waiting', 'approval', 'releasing', 'released') AND o.email_id > $1 \
             AND ($2 = '' OR i.account_id = $2) AND ($3 = '' OR o.inbox_id = $3) \
             AND ($4 = '' OR o.email_id = $4) ORDER BY o.email_id LIMIT $5";
        let text = |it: &Option<String>| sql::text(it.as_deref().unwrap_or_default());
        let rows = sqlx::query(statement)
            .bind(sql::text(after))
            .bind(text(&filter.account_id))
            .bind(text(&filter.inbox_id))
            .bind(text(&filter.email_id))
            .bind(PAGE)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(queued).collect()
    }
}

fn queued(row: &AnyRow) -> Result<QueuedMail, Error> {
    let failed = Error::query("read a waiting mail");
    let octets: Vec<u8> = row.try_get("handover").map_err(&failed)?;
    let handover = SubmissionAccepted::decode(octets.as_slice())
        .map_err(|_| Error::Corrupt { what: "what the sender is told" })?;
    Ok(QueuedMail {
        email_id: row.try_get("email_id").map_err(&failed)?,
        account_id: row.try_get("account_id").map_err(&failed)?,
        inbox_id: row.try_get("inbox_id").map_err(&failed)?,
        state: row.try_get("state").map_err(&failed)?,
        due_at: row.try_get("due_at").map_err(&failed)?,
        expires_at: row.try_get("expires_at").map_err(&failed)?,
        held_reason: row.try_get("held_reason").map_err(&failed)?,
        held_until: row.try_get("held_until").map_err(&failed)?,
        forward_paths: handover.forward_paths,
    })
}
