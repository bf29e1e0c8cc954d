//! Events as they happen, for those who are listening; the stream has them for everybody else.

use anyhow::Context as _;
use bytes::Bytes;
use contract::{Event, EventSubject};
use futures_util::StreamExt as _;
use opentelemetry::trace::SpanContext;
use tracing::warn;

use crate::{Bus, trace_of};

/// A live subscription to every event about an email. It mends itself; what happened while NATS was
/// away is missed.
pub struct Feed {
    subscriber: async_nats::Subscriber,
}

/// An event that has just happened. Most are of no interest to most, so it is read only when asked.
#[derive(Debug)]
pub struct Told {
    pub subject: EventSubject,
    /// Where it stands in a trace.
    pub trace: Option<SpanContext>,
    payload: Bytes,
}

impl Told {
    /// `None` if the subject is none of an event.
    pub fn new(subject: &str, payload: Bytes, trace: Option<SpanContext>) -> Option<Told> {
        Some(Told { subject: EventSubject::parse(subject)?, trace, payload })
    }

    /// `None` for what is no event: whoever has access to NATS can write there.
    pub fn event(&self) -> Option<Event> {
        match serde_json::from_slice(&self.payload) {
            Ok(event) => Some(event),
            Err(err) => {
                warn!(event = self.subject.event, "not an event: {err}");
                None
            }
        }
    }
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
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            let message = self.subscriber.next().await?;
            let trace = trace_of(message.headers.as_ref());
            match Told::new(&message.subject, message.payload, trace) {
                Some(told) => return Some(told),
                None => warn!(subject = %message.subject, "not an event"),
            }
        }
    }
}
