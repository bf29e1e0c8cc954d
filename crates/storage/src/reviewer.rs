//! `inbound.reviewed` → the inbox, or nowhere → `email.released` and `email.received`, or `email.refused`

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Failure, Stage};
use bytes::Bytes;
use contract::{Emit as _, ForwardPath, MailReviewed, Message, Record, Review};
use store::{Offer, Store};
use tokio::{sync::Notify, task::spawn_blocking};

use crate::{
    failure, kept,
    metrics::Metrics,
    offers::{Entering, Offers, author},
};

pub(crate) struct Reviewer {
    pub(crate) store: Store,
    pub(crate) offers: Offers,
    /// Something may have been settled that somebody waits for.
    pub(crate) settled: Arc<Notify>,
    pub(crate) metrics: Metrics,
}

impl Stage for Reviewer {
    const DURABLE: &'static str = "reviewer";
    type In = MailReviewed;
    type Out = Vec<Record>;

    /// Of two decisions on a mail the first one counts; the other changes nothing, as the gateway tells.
    async fn handle(&self, decided: MailReviewed) -> Result<Vec<Record>, Failure> {
        let opened = match decided.review() {
            Review::Released => self.open(&decided).await?,
            _ => None,
        };
        let (message, offer) = opened.unzip();
        let offer = offer.flatten();
        let reviewed = self.store.writer.review(&decided, message.as_ref(), offer.as_ref()).await;
        let Some(reviewed) = reviewed.map_err(failure)? else { return Ok(Vec::new()) };
        if offer.is_some() {
            self.settled.notify_one();
        }
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
    /// What the content says, all of it, and what it has for those who expect something; `None` if the
    /// account has no such mail any more.
    async fn open(
        &self,
        decided: &MailReviewed,
    ) -> Result<Option<(Message, Option<Offer>)>, Failure> {
        let MailReviewed { account_id, email_id, .. } = decided;
        let reader = &self.store.reader;
        let inbox = reader.inbox_of_email(account_id, email_id).await.map_err(failure)?;
        let Some(inbox) = inbox else { return Ok(None) };
        let original = reader.any_original(account_id, &inbox.id, email_id).await;
        let Some(original) = original.map_err(failure)? else { return Ok(None) };
        let octets = Bytes::from(original.octets);
        let content = octets.clone();
        let read = spawn_blocking(move || mail::parse(&content, usize::MAX)).await;
        let message = read.context("read the message")?;
        let path = ForwardPath {
            address: inbox.address,
            account_id: inbox.account_id,
            inbox_id: inbox.id,
            email_id: email_id.clone(),
            ..ForwardPath::default()
        };
        let entering = Entering {
            octets: &octets,
            from: author(Some(&message)),
            subject: &message.subject,
            reverse_path: return_path(&octets),
            paths: vec![&path],
            // Nobody knows any more.
            is_local: false,
        };
        let expecting = self.offers.expecting([path.inbox_id.as_str()].into_iter()).await?;
        let offer = self.offers.of(&entering, &expecting).await?;
        Ok(Some((message, offer)))
    }
}

/// What storage put on top of a mail when it was stored.
fn return_path(octets: &[u8]) -> &str {
    let value = octets.strip_prefix(b"Return-Path: <").unwrap_or_default();
    let end = value.iter().position(|it| *it == b'>').unwrap_or_default();
    std::str::from_utf8(&value[..end]).unwrap_or_default()
}
