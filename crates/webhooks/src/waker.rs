//! `mail.v1.event.>` → `webhooks.due`, for each webhook that wants to hear of it
//!
//! Only that something happened goes on; what it was, the webhook reads from the stream itself, in order.

use std::collections::{BTreeSet, HashMap};

use bus::{BatchStage, Failure, Traced};
use contract::{Happened, WebhookDue};
use store::Store;

use crate::failure;

pub(crate) struct Waker {
    pub(crate) store: Store,
    /// When the stream of events was made.
    pub(crate) stream: i64,
}

impl BatchStage for Waker {
    const DURABLE: &'static str = "webhook-waker";

    type In = Happened;
    type Out = Vec<WebhookDue>;

    async fn handle(&self, events: Vec<Traced<Happened>>) -> Result<Vec<Vec<WebhookDue>>, Failure> {
        let events: Vec<Happened> = events.into_iter().map(|it| it.event).collect();
        let accounts: BTreeSet<&str> =
            events.iter().map(|it| it.subject.account_id.as_str()).collect();
        let accounts: Vec<&str> = accounts.into_iter().collect();
        let webhooks = self.store.reader.wanted_by_webhooks(&accounts).await.map_err(failure)?;
        let newest: HashMap<String, u64> = webhooks
            .into_iter()
            .filter_map(|webhook| {
                let wanted = events.iter().filter(|it| webhook.wants(&it.subject));
                Some((webhook.id.clone(), wanted.map(|it| it.sequence).max()?))
            })
            .collect();
        let mut out = vec![Vec::new(); events.len()];
        if newest.is_empty() {
            return Ok(out);
        }
        let wanted: Vec<(String, u64)> = newest.iter().map(|(id, it)| (id.clone(), *it)).collect();
        let idle = self.store.writer.want_webhooks(self.stream, &wanted).await.map_err(failure)?;
        for id in idle {
            let sequence = newest.get(&id).copied().unwrap_or_default();
            // With the event that woke it, whose trace it goes on in.
            let cause = events.iter().position(|it| it.sequence == sequence).unwrap_or_default();
            out[cause].push(WebhookDue::next(&id, format!("event-{sequence}")));
        }
        Ok(out)
    }
}
