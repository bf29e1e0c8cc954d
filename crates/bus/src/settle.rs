//! Handles a group of messages and tells JetStream what became of each. The only code that acks.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use async_nats::{
    HeaderMap, header,
    jetstream::{AckKind, Message},
};
use contract::{BundledMessage, Delivered, Emit as _, Input as _, Record, Trace};
use futures_util::future::{join_all, try_join_all};
use opentelemetry::trace::SpanContext;
use service::mail_span;
use tokio::time;
use tracing::{Instrument as _, error, warn};

use crate::{
    BatchStage, Bus, Failure, bundle,
    publish::{self, CLAIM_HEADER},
    runner::boxed,
    topology::ACK_WAIT,
    trace::{self, Hand, trace_of},
};

/// The wait before each further attempt; the last one repeats.
const BACKOFF: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(600),
];

/// What fails this often, or kills its process this often, is parked: about two hours of retries.
const MAX_ATTEMPTS: usize = 20;

/// A handler that panics is wrong about this message, and will be again.
const MAX_PANICS: usize = 3;

/// A bundle that was delivered so often is taken apart: one of its messages may be at fault.
const MAX_BUNDLE_ATTEMPTS: usize = 3;

/// Of a parked message: what it was, and why it was parked.
pub(crate) const SUBJECT_HEADER: &str = "Mail-Subject";
pub(crate) const IDENTITY_HEADER: &str = "Mail-Identity";
pub(crate) const FAILURE_HEADER: &str = "Mail-Failure";

pub(crate) struct Settler<S: BatchStage> {
    bus: Bus,
    stage: Arc<S>,
}

/// What a group came to, for the breaker.
#[derive(Debug, PartialEq)]
pub(crate) enum Settled {
    /// Something got through, or the messages were at fault.
    Well,
    /// It may not have been the messages' fault.
    Badly,
}

impl<S: BatchStage> Settler<S> {
    pub(crate) fn new(bus: Bus, stage: S) -> Settler<S> {
        Settler { bus, stage: Arc::new(stage) }
    }

    pub(crate) async fn settle(&self, group: Vec<Message>) -> Settled {
        let metrics = &self.bus.metrics;
        let inflight = metrics.inflight.with_label_values(&[S::DURABLE]);
        let timer = metrics.duration.with_label_values(&[S::DURABLE]).start_timer();
        let size = group.iter().map(size_of::<S>).sum::<usize>();
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        inflight.add(size);
        let settled = keep_alive(&group, self.settle_group(&group)).await;
        inflight.sub(size);
        timer.observe_duration();
        settled
    }

    /// What has failed before is handled alone, so that it cannot take others down with it.
    async fn settle_group(&self, group: &[Message]) -> Settled {
        let (fresh, again): (Vec<&Message>, Vec<&Message>) =
            group.iter().partition(|it| attempt(it) == 1);
        let mut settled = Vec::new();
        for portion in portions::<S>(fresh) {
            settled.push(self.settle_together(portion).await);
        }
        for message in again {
            settled.push(self.settle_alone(message).await);
        }
        match settled.contains(&Settled::Well) {
            true => Settled::Well,
            false => Settled::Badly,
        }
    }

    async fn settle_together(&self, messages: Vec<&Message>) -> Settled {
        if let [message] = messages[..] {
            return self.settle_alone(message).await;
        }
        let (hand, handled) = self.handle(&messages).await;
        match handled {
            Ok(records) => self.finish(&messages, records, hand).await,
            Err(_) => {
                let mut settled = Settled::Badly;
                for message in messages {
                    if self.settle_alone(message).await == Settled::Well {
                        settled = Settled::Well;
                    }
                }
                settled
            }
        }
    }

    async fn settle_alone(&self, message: &Message) -> Settled {
        let attempt = attempt(message);
        if is_bundle::<S>(message) {
            return self.settle_bundle(message, attempt).await;
        }
        if attempt > MAX_ATTEMPTS {
            // A handler that kills its process never gets to return a failure.
            let err = anyhow!("did not survive {MAX_ATTEMPTS} attempts");
            return self.park(message, attempt, &err).instrument(log_span::<S>(message)).await;
        }
        let (hand, handled) = self.handle(&[message]).await;
        let log = hand.log.clone();
        match handled {
            Ok(records) => self.finish(&[message], records, hand).instrument(log).await,
            Err(Failed::Panicked(err)) if attempt < MAX_PANICS => {
                self.retry(message, attempt, &err).instrument(log).await
            }
            Err(Failed::Classified(Failure::Transient(err))) if attempt < MAX_ATTEMPTS => {
                self.retry(message, attempt, &err).instrument(log).await
            }
            Err(
                Failed::Panicked(err)
                | Failed::Classified(Failure::Transient(err) | Failure::Permanent(err)),
            ) => self.park(message, attempt, &err).instrument(log).await,
        }
    }

    /// What cannot be done for all of it is done for each of its messages by itself.
    async fn settle_bundle(&self, bundle: &Message, attempt: usize) -> Settled {
        if attempt > MAX_BUNDLE_ATTEMPTS {
            return self.take_apart(bundle, attempt).await;
        }
        let (hand, handled) = self.handle(&[bundle]).await;
        match handled {
            Ok(records) => self.finish(&[bundle], records, hand).await,
            Err(Failed::Classified(Failure::Transient(err))) => {
                self.retry(bundle, attempt, &err).await
            }
            Err(_) => self.take_apart(bundle, attempt).await,
        }
    }

    /// Publishes what is in a bundle one by one. Done twice it does nothing: each has its identity.
    async fn take_apart(&self, bundle: &Message, attempt: usize) -> Settled {
        let messages = match bundle::unpack(bundle) {
            Ok(messages) => messages,
            Err(err) => return self.park(bundle, attempt, &err).await,
        };
        let count = messages.len();
        warn!(stage = S::DURABLE, count, "takes a bundle apart");
        let publish = messages.into_iter().map(|it| async move {
            let mut headers = HeaderMap::new();
            insert(&mut headers, header::NATS_MESSAGE_ID.as_ref(), &it.identity);
            let trace = it.trace.as_ref().and_then(Trace::context);
            trace::insert(&mut headers, trace.as_ref());
            let started = self.bus.start(bundle.subject.to_string(), headers, it.payload);
            publish::settle(started.await?).await
        });
        if let Err(err) = try_join_all(publish).await {
            return self.retry(bundle, attempt, &anyhow::Error::new(err)).await;
        }
        self.acknowledge(&[bundle]).await;
        self.count("taken_apart", count);
        Settled::Well
    }

    /// What is to be published, and whose hand it came from.
    async fn handle(&self, messages: &[&Message]) -> (Hand, Result<Vec<Record>, Failed>) {
        let events = messages.iter().map(|it| decode::<S>(it));
        let (hand, events) = match events.collect::<anyhow::Result<Vec<_>>>() {
            Ok(events) => {
                let events = events.into_iter().flatten().collect();
                Hand::take(&self.bus.traces, S::DURABLE, events)
            }
            Err(err) => {
                let headers = messages.first().and_then(|it| it.headers.as_ref());
                let hand = Hand::of_unread(trace_of(headers).as_ref());
                return (hand, Err(Failed::Classified(Failure::Permanent(err))));
            }
        };
        let count = events.len();
        // A task of its own, so that a panic fails these messages and not the process.
        let stage = Arc::clone(&self.stage);
        let work = hand.around(async move { stage.handle(events).await });
        let handled = match tokio::spawn(work).await {
            Ok(Ok(outs)) if outs.len() == count => Ok(records::<S>(&hand, outs)),
            Ok(Ok(outs)) => {
                let err = anyhow!("{} outputs for {count} events", outs.len());
                Err(Failed::Classified(Failure::Permanent(err)))
            }
            Ok(Err(failure)) => Err(Failed::Classified(failure)),
            Err(err) => Err(Failed::Panicked(anyhow!("the handler panicked: {err}"))),
        };
        if let Err(failed) = &handled {
            hand.fail(failed.kind());
        }
        (hand, handled)
    }

    /// Publishes, and acks only what JetStream has taken over.
    async fn finish(&self, messages: &[&Message], records: Vec<Record>, hand: Hand) -> Settled {
        if let Err(err) = self.bus.publish(records).await {
            hand.fail("not_published");
            let err = anyhow::Error::new(err);
            for message in messages {
                self.retry(message, attempt(message), &err).await;
            }
            return Settled::Badly;
        }
        self.acknowledge(messages).await;
        self.count("done", messages.iter().map(|it| size_of::<S>(it)).sum());
        Settled::Well
    }

    async fn acknowledge(&self, messages: &[&Message]) {
        let acks = messages.iter().map(|it| async {
            if let Err(err) = it.double_ack().await {
                // Delivered again after the ack wait; the outputs have their identity.
                warn!(stage = S::DURABLE, "ack: {err}");
            }
        });
        join_all(acks).await;
    }

    async fn retry(&self, message: &Message, attempt: usize, err: &anyhow::Error) -> Settled {
        let delay = BACKOFF[attempt.saturating_sub(1).min(BACKOFF.len() - 1)];
        warn!(stage = S::DURABLE, attempt, ?delay, "will retry: {err:#}");
        self.count("retried", 1);
        if let Err(err) = message.ack_with(AckKind::Nak(Some(delay))).await {
            warn!(stage = S::DURABLE, "nak: {err}");
        }
        Settled::Badly
    }

    /// Keeps what no retry can help, with the reason, on `dead.<durable>`. What cannot be kept there
    /// stays where it is.
    async fn park(&self, message: &Message, attempt: usize, err: &anyhow::Error) -> Settled {
        error!(stage = S::DURABLE, attempt, "parked: {err:#}");
        if let Err(err) = self.try_park(message, err).await {
            return self.retry(message, attempt, &err).await;
        }
        self.count("parked", 1);
        Settled::Well
    }

    async fn try_park(&self, message: &Message, why: &anyhow::Error) -> anyhow::Result<()> {
        let sequence = message.info().map_err(boxed)?.stream_sequence;
        let mut headers = HeaderMap::new();
        if let Some(claim) = message.headers.as_ref().and_then(|it| it.get(CLAIM_HEADER)) {
            headers.insert(CLAIM_HEADER, claim.as_str());
        }
        insert(
            &mut headers,
            header::NATS_MESSAGE_ID.as_ref(),
            &format!("dead/{}/{sequence}", S::DURABLE),
        );
        let identity = message.headers.as_ref().and_then(|it| it.get(header::NATS_MESSAGE_ID));
        if let Some(identity) = identity {
            insert(&mut headers, IDENTITY_HEADER, identity.as_str());
        }
        insert(&mut headers, SUBJECT_HEADER, &message.subject);
        trace::insert(&mut headers, trace_of(message.headers.as_ref()).as_ref());
        insert(&mut headers, FAILURE_HEADER, &format!("{why:#}"));
        let subject = format!("dead.{}", S::DURABLE);
        let ack = self.bus.start(subject, headers, message.payload.clone()).await?;
        publish::settle(ack).await?;
        message.double_ack_with(AckKind::Term).await.map_err(boxed).context("term")
    }

    fn count(&self, outcome: &str, messages: usize) {
        let counter = self.bus.metrics.messages.with_label_values(&[S::DURABLE, outcome]);
        counter.inc_by(messages as u64);
    }
}

enum Failed {
    Classified(Failure),
    Panicked(anyhow::Error),
}

impl Failed {
    /// For traces.
    fn kind(&self) -> &'static str {
        match self {
            Failed::Classified(failure) => failure.kind(),
            Failed::Panicked(_) => "panicked",
        }
    }
}

/// What stands below no other step already stands below that of its event.
fn records<S: BatchStage>(hand: &Hand, outs: Vec<S::Out>) -> Vec<Record> {
    let of = |(out, trace): (S::Out, Option<SpanContext>)| {
        let records = out.records().into_iter();
        records.map(move |it| Record { trace: it.trace.or_else(|| trace.clone()), ..it })
    };
    outs.into_iter().zip(hand.contexts()).flat_map(of).collect()
}

/// For a message that nobody has read yet.
fn log_span<S: BatchStage>(message: &Message) -> tracing::Span {
    let events = decode::<S>(message).unwrap_or_default();
    let mail_id = events.first().map(|(it, _)| it.mail_id()).unwrap_or_default();
    mail_span(&mail_id, trace_of(message.headers.as_ref()).as_ref())
}

/// Tells JetStream while `work` goes on that the messages are in good hands.
async fn keep_alive<T>(messages: &[Message], work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut beat = time::interval_at(time::Instant::now() + ACK_WAIT / 3, ACK_WAIT / 3);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = beat.tick() => {
                // Best effort: if it fails, another replica gets the messages as well.
                _ = try_join_all(messages.iter().map(|it| it.ack_with(AckKind::Progress))).await;
            }
        }
    }
}

/// One event, or those of a bundle, and where each stands in a trace.
fn decode<S: BatchStage>(message: &Message) -> anyhow::Result<Vec<(S::In, Option<SpanContext>)>> {
    let info = message.info().map_err(boxed)?;
    let stored_at_micros = i64::try_from(info.published.unix_timestamp_nanos() / 1_000)?;
    let decode = |payload: &[u8], message_id: Option<&str>, claim: Option<&str>| {
        S::In::decode(Delivered {
            subject: &message.subject,
            payload,
            message_id,
            claim,
            stream_sequence: info.stream_sequence,
            stored_at_micros,
        })
        .map_err(|err| anyhow!("decode {}: {err}", message.subject))
    };
    if is_bundle::<S>(message) {
        let bundled = bundle::unpack(message)?;
        let decode = |it: &BundledMessage| {
            let event = decode(&it.payload, Some(&it.identity), None)?;
            Ok((event, it.trace.as_ref().and_then(Trace::context)))
        };
        return bundled.iter().map(decode).collect();
    }
    let header =
        |name: &str| message.headers.as_ref().and_then(|it| it.get(name)).map(|it| it.as_str());
    let message_id = header(header::NATS_MESSAGE_ID.as_ref());
    let event = decode(&message.payload, message_id, header(CLAIM_HEADER))?;
    Ok(vec![(event, trace_of(message.headers.as_ref()))])
}

fn is_bundle<S: BatchStage>(message: &Message) -> bool {
    bundle::is_bundled(S::In::SUBJECT) && bundle::is_marked(message)
}

/// How many events it is.
fn size_of<S: BatchStage>(message: &Message) -> usize {
    if is_bundle::<S>(message) { bundle::size(message) } else { 1 }
}

/// Groups of as many events as the stage takes at once, or of one bundle.
fn portions<S: BatchStage>(messages: Vec<&Message>) -> Vec<Vec<&Message>> {
    let mut portions: Vec<Vec<&Message>> = Vec::new();
    let mut room = 0;
    for message in messages {
        let size = size_of::<S>(message);
        match portions.last_mut() {
            Some(portion) if size <= room => portion.push(message),
            _ => {
                room = S::BATCH;
                portions.push(vec![message]);
            }
        }
        room = room.saturating_sub(size);
    }
    portions
}

/// 1 at the first delivery.
fn attempt(message: &Message) -> usize {
    message.info().ok().and_then(|it| usize::try_from(it.delivered).ok()).unwrap_or(1)
}

/// Header values hold no line breaks.
fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    headers.insert(name, value.replace(['\r', '\n'], " "));
}
