//! Parked messages: looking at them, handing them to their stage again, dropping them.
//!
//! A message leaves `DEAD` only after JetStream has it where it goes.

use anyhow::{Context as _, bail, ensure};
use async_nats::{HeaderMap, header, jetstream::message::StreamMessage};
use bytes::Bytes;
use contract::topology::DEAD;
use opentelemetry::trace::SpanContext;

use crate::{
    Desk,
    desk::{is_gone, micros, next},
    publish::CLAIM_HEADER,
    settle::{FAILURE_HEADER, IDENTITY_HEADER, SUBJECT_HEADER},
    trace, trace_of,
};

/// Agents' requests: their identity is the agent's idempotency key.
const REQUESTS: &str = "mail.v1.send.";

/// What agents read.
const EVENTS: &str = "mail.v1.event.";

/// A parked message.
#[derive(Clone, Debug, PartialEq)]
pub struct Dead {
    /// In `DEAD`; names it.
    pub sequence: u64,
    /// The stage that could not handle it, by its durable name.
    pub stage: String,
    /// Where it came from.
    pub subject: String,
    pub failure: String,
    /// Microseconds since 1970.
    pub parked_at: i64,
    /// What it was known by; `None` of messages that were parked by a version that did not note it.
    pub identity: Option<String>,
    pub payload: Bytes,
    claim: Option<String>,
    /// Where it stands in a trace.
    pub trace: Option<SpanContext>,
}

/// Which are meant; what is `None` is any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadFilter {
    pub stage: Option<String>,
    /// Parked at this moment or later.
    pub since: Option<i64>,
    /// The failure has this in it.
    pub failure: Option<String>,
}

impl DeadFilter {
    fn fits(&self, dead: &Dead) -> bool {
        self.stage.as_ref().is_none_or(|it| *it == dead.stage)
            && self.since.is_none_or(|it| it <= dead.parked_at)
            && self.failure.as_ref().is_none_or(|it| dead.failure.contains(it))
    }
}

impl Desk {
    /// The oldest that fit; as many as wanted.
    pub async fn dead(&self, filter: &DeadFilter, limit: usize) -> anyhow::Result<Vec<Dead>> {
        let stream = self.jetstream.get_stream_no_info(DEAD.name).await;
        let stream = stream.context("look up stream DEAD")?;
        let subject = match &filter.stage {
            Some(stage) => format!("dead.{stage}"),
            None => "dead.>".to_owned(),
        };
        let (mut found, mut from) = (Vec::new(), 1);
        while found.len() < limit
            && let Some(message) = next(&stream, &subject, from).await?
        {
            from = message.sequence.saturating_add(1);
            let dead = read(message)?;
            if filter.fits(&dead) {
                found.push(dead);
            }
        }
        Ok(found)
    }

    /// `None` if there is none of this sequence, or no more.
    pub async fn dead_at(&self, sequence: u64) -> anyhow::Result<Option<Dead>> {
        let stream = self.jetstream.get_stream_no_info(DEAD.name).await;
        match stream.context("look up stream DEAD")?.get_raw_message(sequence).await {
            Ok(message) => read(message).map(Some),
            Err(err) if is_gone(&err) => Ok(None),
            Err(err) => Err(err).context("read a parked message"),
        }
    }

    /// Hands it to its stage again, and only then takes it out of `DEAD`. Done again after a crash in
    /// between, the stage gets it twice, which it knows how to bear.
    pub async fn requeue(&self, dead: &Dead) -> anyhow::Result<()> {
        let identity = self.identity(dead)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, identity);
        if let Some(claim) = &dead.claim {
            headers.insert(CLAIM_HEADER, claim.as_str());
        }
        trace::insert(&mut headers, dead.trace.as_ref());
        self.put(dead.subject.clone(), headers, dead.payload.clone()).await?;
        self.drop_dead(dead.sequence).await
    }

    /// Whether it can be requeued; if not, the error says why.
    pub fn check_requeue(&self, dead: &Dead) -> anyhow::Result<()> {
        self.identity(dead).map(drop)
    }

    fn identity(&self, dead: &Dead) -> anyhow::Result<String> {
        ensure!(
            !dead.subject.is_empty(),
            "message {} does not say where it came from",
            dead.sequence
        );
        if dead.subject.starts_with(EVENTS) {
            bail!(
                "message {} is an event, which agents would read twice: `posthouse dead drop {}`; \
                 the next event wakes the webhook",
                dead.sequence,
                dead.sequence
            );
        }
        if !dead.subject.starts_with(REQUESTS) {
            // A new one: the stream may still know the old one, and would drop the message.
            return Ok(format!("requeued/{}/{}", dead.stage, dead.sequence));
        }
        dead.identity.clone().with_context(|| {
            format!(
                "message {} is a request whose idempotency key was not noted: sent with another, the \
                 mail might go twice. Its agent can send it again",
                dead.sequence
            )
        })
    }

    /// It is gone for good.
    pub async fn drop_dead(&self, sequence: u64) -> anyhow::Result<()> {
        let stream = self.jetstream.get_stream_no_info(DEAD.name).await;
        let deleted = stream.context("look up stream DEAD")?.delete_message(sequence).await;
        deleted.map(drop).with_context(|| format!("take message {sequence} out of DEAD"))
    }
}

fn read(message: StreamMessage) -> anyhow::Result<Dead> {
    let header = |name: &str| message.headers.get(name).map(|it| it.as_str().to_owned());
    Ok(Dead {
        sequence: message.sequence,
        stage: message.subject.strip_prefix("dead.").unwrap_or(&message.subject).to_owned(),
        subject: header(SUBJECT_HEADER).unwrap_or_default(),
        failure: header(FAILURE_HEADER).unwrap_or_default(),
        parked_at: micros(message.time)?,
        identity: header(IDENTITY_HEADER),
        claim: header(CLAIM_HEADER),
        trace: trace_of(Some(&message.headers)),
        payload: message.payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> Dead {
        Dead {
            sequence: 7,
            stage: "scanner".to_owned(),
            subject: "inbound.received".to_owned(),
            failure: "decode: no such field".to_owned(),
            parked_at: 1_000,
            identity: None,
            payload: Bytes::new(),
            claim: None,
            trace: None,
        }
    }

    #[test]
    fn a_filter_fits_by_all_it_says() {
        let check = |filter: DeadFilter, expected: bool| {
            assert_eq!(filter.fits(&dead()), expected, "{filter:?}");
        };
        let any = DeadFilter::default();
        check(any.clone(), true);
        check(DeadFilter { stage: Some("scanner".to_owned()), ..any.clone() }, true);
        check(DeadFilter { stage: Some("storage".to_owned()), ..any.clone() }, false);
        check(DeadFilter { since: Some(1_000), ..any.clone() }, true);
        check(DeadFilter { since: Some(1_001), ..any.clone() }, false);
        check(DeadFilter { failure: Some("no such".to_owned()), ..any.clone() }, true);
        check(DeadFilter { failure: Some("timeout".to_owned()), ..any }, false);
    }
}
