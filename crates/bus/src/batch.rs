//! Publishes many messages of one stream with few syncs: JetStream's atomic batches.
//!
//! With `sync_interval: always` JetStream syncs every message by itself; a batch, which it stores as a
//! whole or not at all, costs about a dozen syncs however large it is. Unlike a `Bundle` it ends as messages that
//! anybody can read. A batch that JetStream turns down, because some of it is stored already, say, is published message by
//! message: each has its identity, so nothing comes twice.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_nats::{HeaderMap, header};
use contract::{Record, topology::STREAMS};
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{PublishError, publish::check_connected, trace};

/// Fewer are published one by one. Measured in `docs/decisions`.
const FROM: usize = 24;

/// JetStream takes 1,000.
const MOST: usize = 500;

/// For all of a batch to be stored.
const PATIENCE: Duration = Duration::from_secs(10);

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Takes out of `records` what goes as batches: all for one stream that takes them, if it is enough.
pub(crate) fn take(records: &mut Vec<Record>) -> Vec<Record> {
    let is_batched = |it: &Record| it.due.is_none() && is_batched(&it.subject);
    if records.iter().filter(|it| is_batched(it)).count() < FROM {
        return Vec::new();
    }
    let (batched, others) = std::mem::take(records).into_iter().partition(is_batched);
    *records = others;
    batched
}

fn is_batched(subject: &str) -> bool {
    let is_of = |pattern: &str| match pattern.strip_suffix('>') {
        Some(prefix) => subject.starts_with(prefix),
        None => subject == pattern,
    };
    STREAMS.iter().any(|it| it.batches && it.subjects.iter().any(|it| is_of(it)))
}

/// Stores all of them; returns those that have to be published one by one.
pub(crate) async fn publish(
    client: &async_nats::Client,
    records: Vec<Record>,
) -> Result<Vec<Record>, PublishError> {
    let (mut records, mut rest) = (records, Vec::new());
    while !records.is_empty() {
        let later = records.split_off(records.len().min(MOST));
        let batch = std::mem::replace(&mut records, later);
        match timeout(PATIENCE, try_publish(client, &batch))
            .await
            .context("publish a batch in time")
        {
            Ok(Ok(())) => (),
            Ok(Err(Failed::Refused(why))) => {
                tracing::debug!("a batch of {} goes message by message: {why}", batch.len());
                rest.extend(batch);
            }
            // It may have been stored.
            Ok(Err(Failed::Unavailable(source))) | Err(source) => {
                let subject = batch.into_iter().next().map(|it| it.subject).unwrap_or_default();
                return Err(PublishError::Unavailable { subject, source });
            }
        }
    }
    Ok(rest)
}

enum Failed {
    /// Nothing of it was stored.
    Refused(String),
    Unavailable(anyhow::Error),
}

async fn try_publish(client: &async_nats::Client, batch: &[Record]) -> Result<(), Failed> {
    check_connected(client).map_err(Failed::Unavailable)?;
    let id = Uuid::now_v7().simple().to_string();
    let headers = |n: usize, record: &Record| {
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, record.identity.as_str());
        headers.insert(BATCH_ID, id.as_str());
        headers.insert(BATCH_SEQUENCE, (n + 1).to_string());
        trace::insert(&mut headers, record.trace.as_ref());
        headers
    };
    let Some((last, others)) = batch.split_last() else { return Ok(()) };
    for (n, record) in others.iter().enumerate() {
        let (subject, payload) = (record.subject.clone(), record.payload.clone().into());
        let sent = client.publish_with_headers(subject, headers(n, record), payload).await;
        sent.map_err(|err| Failed::Unavailable(err.into()))?;
    }
    let mut commit = headers(others.len(), last);
    commit.insert(BATCH_COMMIT, "1");
    let (subject, payload) = (last.subject.clone(), last.payload.clone().into());
    let answer = client.request_with_headers(subject, commit, payload).await;
    let answer = answer.map_err(|err| Failed::Unavailable(err.into()))?;
    settle(&answer.payload, batch.len())
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    count: usize,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    description: String,
}

fn settle(answer: &[u8], expected: usize) -> Result<(), Failed> {
    let read = || {
        let answer: Answer =
            serde_json::from_slice(answer).context("read the answer to a batch")?;
        if answer.error.is_none() && answer.count != expected {
            bail!("{} of a batch of {expected} were stored", answer.count);
        }
        Ok(answer.error)
    };
    match read() {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) => Err(Failed::Refused(refusal.description)),
        Err(err) => Err(Failed::Unavailable(anyhow!("{err:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(subject: &str) -> Record {
        Record {
            subject: subject.to_owned(),
            identity: String::new(),
            payload: Vec::new(),
            due: None,
            trace: None,
        }
    }

    #[test]
    fn many_events_go_together_and_few_do_not() {
        let events = |count| vec![record("mail.v1.event.a.b.email.received"); count];
        let mut few = events(FROM - 1);
        assert_eq!((take(&mut few).len(), few.len()), (0, FROM - 1));
        let mut many = events(FROM);
        many.push(record("outbound.accepted"));
        assert_eq!((take(&mut many).len(), many.len()), (FROM, 1));
    }

    #[test]
    fn reads_answers() {
        let of = |answer: &str| match settle(answer.as_bytes(), 2) {
            Ok(()) => "stored",
            Err(Failed::Refused(_)) => "refused",
            Err(Failed::Unavailable(_)) => "unavailable",
        };
        assert_eq!(of(r#"{"stream":"EVENTS","seq":2,"batch":"x","count":2}"#), "stored");
        // An older server knows no batches: what it stored is the last message.
        assert_eq!(of(r#"{"stream":"EVENTS","seq":2}"#), "unavailable");
        let refused = r#"{"error":{"code":400,"err_code":10174,"description":"not enabled"}}"#;
        assert_eq!(of(refused), "refused");
        assert_eq!(of("-"), "unavailable");
    }
}
