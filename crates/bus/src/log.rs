//! The stream of events, for those who keep their own place in it. Nobody acks here.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, anyhow};
use async_nats::jetstream::{
    self, ErrorCode, Message,
    consumer::{
        AckPolicy, DeliverPolicy,
        pull::{self, Ordered, OrderedConfig},
    },
    stream::Stream,
};
use bytes::Bytes;
use contract::topology::EVENTS;
use futures_util::StreamExt as _;
use opentelemetry::trace::SpanContext;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

use crate::{Bus, Desk, runner::boxed, trace_of};

/// For one page.
const PATIENCE: Duration = Duration::from_secs(10);

/// A page ends after so many octets, whatever was asked for.
const PAGE_OCTETS: usize = 4 * 1024 * 1024;

/// A consumer that its process left behind goes after this.
const ABANDONED: Duration = Duration::from_secs(30);

/// Between two looks whether the connection is still the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Every event there is.
const ALL: &str = "mail.v1.event.>";

/// Cloning shares the connection.
#[derive(Clone)]
pub struct EventLog {
    client: async_nats::Client,
    jetstream: jetstream::Context,
}

/// What the stream holds now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// When the stream was made, in microseconds since 1970: another stream under the same name has
    /// another time.
    pub stream: i64,
    /// The sequence of the oldest event that is kept; one more than `last` if none is.
    pub first: u64,
    /// The sequence of the newest event there ever was.
    pub last: u64,
}

/// An event and its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub sequence: u64,
    pub subject: String,
    pub payload: Bytes,
    /// Where it stands in a trace.
    pub trace: Option<SpanContext>,
}

/// Events in the order of the stream.
#[derive(Debug, PartialEq)]
pub struct LoggedPage {
    pub events: Vec<Logged>,
    /// There may be more behind the last one.
    pub has_more: bool,
}

/// All events from some place on, without gaps, as they are stored.
pub struct Following {
    events: Ordered,
    client: async_nats::Client,
    /// How often the client had connected when this began.
    connects: u64,
}

impl Desk {
    pub fn event_log(&self) -> EventLog {
        EventLog { client: self.client.clone(), jetstream: self.jetstream.clone() }
    }
}

impl Bus {
    pub fn event_log(&self) -> EventLog {
        EventLog { client: self.client.clone(), jetstream: self.jetstream.clone() }
    }
}

impl EventLog {
    pub async fn bounds(&self) -> anyhow::Result<Bounds> {
        let info = self.stream().await?.get_info().await.context("look at the stream of events")?;
        let stream = i64::try_from(info.created.unix_timestamp_nanos() / 1_000)?;
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        // A stream that never had a message says 0 and 0.
        Ok(Bounds { stream, first: first.max(1), last })
    }

    /// The first `most` events behind a sequence whose subjects fit one of the filters.
    pub async fn read(
        &self,
        filters: Vec<String>,
        after: u64,
        most: usize,
    ) -> anyhow::Result<LoggedPage> {
        timeout(PATIENCE, self.read_page(filters, from(after), most))
            .await
            .context("read events in time")?
    }

    /// As `read`, from a moment on: microseconds since 1970.
    pub async fn read_since(
        &self,
        filters: Vec<String>,
        at: i64,
        most: usize,
    ) -> anyhow::Result<LoggedPage> {
        let start_time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000)?;
        let policy = DeliverPolicy::ByStartTime { start_time };
        timeout(PATIENCE, self.read_page(filters, policy, most))
            .await
            .context("read events in time")?
    }

    async fn read_page(
        &self,
        filters: Vec<String>,
        deliver_policy: DeliverPolicy,
        most: usize,
    ) -> anyhow::Result<LoggedPage> {
        let stream = self.stream().await?;
        let config = pull::Config {
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subjects: filters,
            inactive_threshold: ABANDONED,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.context("begin to read events")?;
        let mut messages =
            consumer.fetch().max_messages(most).messages().await.context("read events")?;
        let (mut events, mut octets) = (Vec::new(), 0);
        while octets < PAGE_OCTETS
            && let Some(message) = messages.next().await
        {
            let event = logged(message.map_err(boxed).context("read events")?)?;
            octets += event.payload.len();
            events.push(event);
        }
        let has_more = events.len() == most || octets >= PAGE_OCTETS;
        // Else the server forgets it in time.
        if let Err(err) = stream.delete_consumer(&consumer.cached_info().name).await {
            tracing::debug!("leave a consumer behind: {err}");
        }
        Ok(LoggedPage { events, has_more })
    }

    /// `None` if there is no such event any more.
    pub async fn get(&self, sequence: u64) -> anyhow::Result<Option<Logged>> {
        use jetstream::stream::RawMessageErrorKind;
        match self.stream().await?.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(Logged {
                sequence,
                subject: message.subject.to_string(),
                payload: message.payload,
                trace: trace_of(Some(&message.headers)),
            })),
            Err(err) => match err.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                RawMessageErrorKind::JetStream(err)
                    if err.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(err).context("read an event"),
            },
        }
    }

    /// Begins behind a sequence.
    pub async fn follow(&self, after: u64) -> anyhow::Result<Following> {
        let config = OrderedConfig {
            deliver_policy: from(after),
            filter_subject: ALL.to_owned(),
            ..Default::default()
        };
        let (client, connects) = (self.client.clone(), connects(&self.client));
        let consumer = self.stream().await?.create_consumer(config).await;
        let events = consumer.context("follow events")?.messages().await;
        Ok(Following { events: events.context("follow events")?, client, connects })
    }

    async fn stream(&self) -> anyhow::Result<Stream<()>> {
        let stream = self.jetstream.get_stream_no_info(EVENTS).await;
        stream.context("look up the stream of events")
    }
}

impl Following {
    /// `None` if it has ended and has to be begun anew.
    pub async fn next(&mut self) -> Option<anyhow::Result<Logged>> {
        loop {
            tokio::select! {
                message = self.events.next() => {
                    return Some(message?.context("follow events").and_then(logged));
                }
                // A server that was restarted has forgotten who follows; heartbeats that stay away would
                // say so after a quarter of a minute.
                () = sleep(LOOK_EVERY) => {
                    if connects(&self.client) != self.connects {
                        return None;
                    }
                }
            }
        }
    }
}

fn connects(client: &async_nats::Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

fn from(after: u64) -> DeliverPolicy {
    DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) }
}

fn logged(message: Message) -> anyhow::Result<Logged> {
    let sequence = message.info().map_err(|err| anyhow!(err))?.stream_sequence;
    let async_nats::Message { subject, payload, headers, .. } = message.message;
    let trace = trace_of(headers.as_ref());
    Ok(Logged { sequence, subject: subject.to_string(), payload, trace })
}
