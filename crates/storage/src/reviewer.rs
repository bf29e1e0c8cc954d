//! `inbound.reviewed` → the inbox, or nowhere → `email.released` and `email.received`, or `email.refused`

use anyhow::Context as _;
use bus::{Failure, Stage};
use contract::{Emit as _, MailReviewed, Message, Record, Review};
use store::Store;
use tokio::task::spawn_blocking;

use crate::{failure, kept, metrics::Metrics};

pub(crate) struct Reviewer {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
}

impl Stage for Reviewer {
    const DURABLE: &'static str = "reviewer";
    type In = MailReviewed;
    type Out = Vec<Record>;

    /// Of two decisions on a mail the first one counts; the other changes nothing, as the gateway tells.
    async fn handle(&self, decided: MailReviewed) -> Result<Vec<Record>, Failure> {
        let message = match decided.review() {
            Review::Released => self.message(&decided).await?,
            _ => None,
        };
        let reviewed = self.store.writer.review(&decided, message.as_ref()).await;
        let Some(reviewed) = reviewed.map_err(failure)? else { return Ok(Vec::new()) };
        let released = decided.review() == Review::Released;
        self.metrics.screening.note_review(if released { "released" } else { "refused" });
        let events = if released {
            kept::released(&reviewed)
        } else {
            vec![kept::refused(&reviewed, decided.reviewed_at_micros)]
        };
        Ok(events.records())
    }
}

impl Reviewer {
    /// What the content says, all of it; `None` if the account has no such mail any more.
    async fn message(&self, decided: &MailReviewed) -> Result<Option<Message>, Failure> {
        let MailReviewed { account_id, email_id, .. } = decided;
        let reader = &self.store.reader;
        let inbox = reader.inbox_of_email(account_id, email_id).await.map_err(failure)?;
        let Some(inbox) = inbox else { return Ok(None) };
        let original = reader.any_original(account_id, &inbox.id, email_id).await;
        let Some(original) = original.map_err(failure)? else { return Ok(None) };
        let read = spawn_blocking(move || mail::parse(&original.octets, usize::MAX)).await;
        Ok(Some(read.context("read the message")?))
    }
}
