//! Events as they happen, for those who are listening; the stream has them for everybody else.

use anyhow::Context as _;
use contract::Event;
use futures_util::StreamExt as _;
use tracing::warn;

use crate::Bus;

/// A live subscription to every event about an email. It mends itself; what happened while NATS was
/// away is missed.
pub struct Feed {
    subscriber: async_nats::Subscriber,
}

impl Bus {
    pub async fn feed(&self) -> anyhow::Result<Feed> {
        let subject = "mail.v1.event.*.*.email.>";
        let subscriber = self.client.subscribe(subject).await.context("subscribe to events")?;
        Ok(Feed { subscriber })
    }
}

impl Feed {
    /// The next event; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let message = self.subscriber.next().await?;
            match serde_json::from_slice(&message.payload) {
                Ok(event) => return Some(event),
                Err(err) => warn!(subject = %message.subject, "not an event: {err}"),
            }
        }
    }
}
