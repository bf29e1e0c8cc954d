//! Publishes together what comes at the same moment.
//!
//! With `sync_interval: always` JetStream syncs every message by itself. What is handed over while the
//! last ones are on their way goes as one message, a `Bundle`: the busier, the more share a sync, and
//! nobody ever waits for company. What comes alone is published as it is, with its identity.

use std::collections::HashMap;

use anyhow::anyhow;
use async_nats::{
    HeaderMap, header,
    jetstream::{self, Message},
};
use bytes::Bytes;
use contract::{Bundle, BundledMessage, Record, Trace, topology::STREAMS};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use opentelemetry::trace::SpanContext;
use prometheus::Histogram;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    INLINE_LIMIT, PublishError,
    metrics::Metrics,
    publish::{self, settle},
    trace,
};

/// The payload is a `Bundle` of so many messages.
pub(crate) const BUNDLE_HEADER: &str = "Mail-Bundle";

/// Messages in a bundle. More would share a sync that is shared by many already, and be handled by one
/// replica.
const MOST: usize = 64;

/// Octets in a bundle, well below what NATS takes in one message (1 MiB).
const LIMIT: usize = 2 * INLINE_LIMIT;

/// Bundles on their way at a time: one is synced while the next is sent.
const FLIGHTS: usize = 2;

/// One for each subject that is bundled.
pub(crate) struct Bundlers(HashMap<&'static str, Bundler>);

impl Bundlers {
    pub(crate) fn start(
        client: &async_nats::Client,
        jetstream: &jetstream::Context,
        metrics: &Metrics,
    ) -> Bundlers {
        let subjects = STREAMS.iter().filter(|it| it.bundles).flat_map(|it| it.subjects);
        let bundler = |subject: &&'static str| {
            let (queue, waiting) = mpsc::channel(MOST);
            let publisher = Publisher {
                client: client.clone(),
                jetstream: jetstream.clone(),
                subject,
                sizes: metrics.bundled.with_label_values(&[subject]),
            };
            let task = AbortOnDropHandle::new(tokio::spawn(publisher.run(waiting)));
            (*subject, Bundler { queue, _task: task })
        };
        Bundlers(subjects.map(bundler).collect())
    }

    /// What takes this record, if it is of a kind that is bundled.
    pub(crate) fn of(&self, record: &Record) -> Option<&Bundler> {
        self.0.get(record.subject.as_str()).filter(|_| record.due.is_none())
    }
}

pub(crate) struct Bundler {
    queue: mpsc::Sender<Pending>,
    _task: AbortOnDropHandle<()>,
}

/// A record whose publisher waits.
struct Pending {
    identity: String,
    payload: Bytes,
    trace: Option<SpanContext>,
    done: oneshot::Sender<Result<(), PublishError>>,
}

impl Bundler {
    /// The future is ready once JetStream has stored the record.
    pub(crate) async fn add(
        &self,
        record: Record,
    ) -> Result<impl Future<Output = Result<(), PublishError>>, PublishError> {
        let (done, stored) = oneshot::channel();
        let Record { subject, identity, payload, trace, .. } = record;
        let pending = Pending { identity, payload: payload.into(), trace, done };
        let gone = |subject: &str| PublishError::Unavailable {
            subject: subject.to_owned(),
            source: anyhow!("this process stops"),
        };
        self.queue.send(pending).await.map_err(|_| gone(&subject))?;
        Ok(async move { stored.await.unwrap_or_else(|_| Err(gone(&subject))) })
    }
}

struct Publisher {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    subject: &'static str,
    sizes: Histogram,
}

impl Publisher {
    async fn run(self, mut waiting: mpsc::Receiver<Pending>) {
        let (mut flights, mut taken) = (FuturesUnordered::new(), Vec::new());
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut taken, MOST),
                    if taken.is_empty() && flights.len() < FLIGHTS =>
                {
                    if count == 0 {
                        break;
                    }
                }
                Some(()) = flights.next() => (),
            }
            while flights.len() < FLIGHTS && !taken.is_empty() {
                let rest = taken.split_off(fitting(&taken));
                flights.push(self.publish(std::mem::replace(&mut taken, rest)));
            }
        }
        while flights.next().await.is_some() {}
    }

    async fn publish(&self, together: Vec<Pending>) {
        self.sizes.observe(together.len() as f64);
        let published = self.try_publish(&together).await;
        for it in together {
            let result = match &published {
                Ok(()) => Ok(()),
                Err(PublishError::Full { subject }) => {
                    Err(PublishError::Full { subject: subject.clone() })
                }
                Err(PublishError::Unavailable { subject, source }) => {
                    let source = anyhow!("{source:#}");
                    Err(PublishError::Unavailable { subject: subject.clone(), source })
                }
            };
            // Who asked may have gone.
            _ = it.done.send(result);
        }
    }

    async fn try_publish(&self, together: &[Pending]) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        let payload = match together {
            [alone] => {
                headers.insert(header::NATS_MESSAGE_ID, alone.identity.as_str());
                trace::insert(&mut headers, alone.trace.as_ref());
                alone.payload.clone()
            }
            _ => {
                headers.insert(BUNDLE_HEADER, together.len().to_string());
                let message = |it: &Pending| BundledMessage {
                    identity: it.identity.clone(),
                    payload: it.payload.clone(),
                    trace: it.trace.as_ref().map(Trace::of),
                };
                Bundle { messages: together.iter().map(message).collect() }.encode_to_vec().into()
            }
        };
        let (client, jetstream) = (&self.client, &self.jetstream);
        let started = publish::start(client, jetstream, self.subject.to_owned(), headers, payload);
        settle(started.await?).await
    }
}

/// How many of them fit into one bundle: one in any case.
fn fitting(pending: &[Pending]) -> usize {
    let mut octets = 0;
    let fits = |it: &&Pending| {
        octets += it.payload.len() + it.identity.len();
        octets <= LIMIT
    };
    pending.iter().take_while(fits).count().max(1)
}

/// Whether messages of this subject may come bundled. Agents' do not: they say who they are by the
/// subject, and each request has an identity of its own.
pub(crate) fn is_bundled(subject: &str) -> bool {
    STREAMS.iter().any(|it| it.bundles && it.subjects.contains(&subject))
}

pub(crate) fn is_marked(message: &Message) -> bool {
    field(message).is_some()
}

/// How many messages a bundle is said to have.
pub(crate) fn size(message: &Message) -> usize {
    field(message).and_then(|it| it.parse().ok()).unwrap_or(1)
}

fn field(message: &Message) -> Option<&str> {
    message.headers.as_ref()?.get(BUNDLE_HEADER).map(|it| it.as_str())
}

/// The messages in a bundle.
pub(crate) fn unpack(message: &Message) -> anyhow::Result<Vec<BundledMessage>> {
    let bundle = Bundle::decode(message.payload.clone());
    let bundle =
        bundle.map_err(|err| anyhow!("decode the bundle on {}: {err}", message.subject))?;
    Ok(bundle.messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sizes: &[usize], expected: usize) {
        let pending = |size: &usize| Pending {
            identity: String::new(),
            payload: vec![0; *size].into(),
            trace: None,
            done: oneshot::channel().0,
        };
        let pending: Vec<Pending> = sizes.iter().map(pending).collect();
        assert_eq!(fitting(&pending), expected, "{sizes:?}");
    }

    #[test]
    fn a_bundle_has_an_end() {
        check(&[1, 2, 3], 3);
        check(&[LIMIT / 2, LIMIT / 2, 1], 2);
        check(&[LIMIT, 1], 1);
        check(&[LIMIT + 1, 1], 1);
    }

    #[test]
    fn what_agents_publish_is_not_bundled() {
        assert!(is_bundled("inbound.received"));
        assert!(!is_bundled("mail.v1.send.>"));
    }
}
