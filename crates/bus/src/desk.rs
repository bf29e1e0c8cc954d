//! JetStream as an operator sees it: how much waits for which stage, pausing a stage, what is to be tried
//! later. The parked messages are in `dead`.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use async_nats::{
    HeaderMap, header,
    jetstream::{
        self, ErrorCode,
        message::StreamMessage,
        stream::{RawMessageError, RawMessageErrorKind},
    },
};
use bytes::Bytes;
use contract::{
    DeliveryDue, Emit,
    topology::{CONSUMERS, Consumer, STREAMS},
};
use prost::Message as _;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;

use crate::{Server, connect, publish, runner::boxed};

/// For the connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deliveries that are to be tried again wait under these subjects.
const LATER: &str = "outbound.later.>";

/// A connection for one command. Cloning shares it.
#[derive(Clone)]
pub struct Desk {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
}

/// A stage's consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct StageState {
    /// Its durable name, and the label of its metrics.
    pub durable: &'static str,
    pub stream: &'static str,
    /// Messages that no replica has taken yet; on some streams each may be several mails.
    pub pending: u64,
    /// Messages that a replica has in hand, or that wait to be tried again.
    pub in_hand: u64,
    /// Of those, delivered more than once.
    pub redelivered: u64,
    /// Requests of replicas that wait for messages: 0 means that nobody is there, or everybody is busy.
    pub pulls: u64,
    /// Messages acknowledged since the consumer was made, or a little more: the streams' other subjects
    /// count, too.
    pub acknowledged: u64,
    /// When the oldest message was stored that is not acknowledged; microseconds since 1970.
    pub oldest_at: Option<i64>,
    /// Of a paused stage: for how long yet.
    pub paused_for: Option<Duration>,
}

/// A stream of the topology.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamState {
    pub name: &'static str,
    pub messages: u64,
    pub bytes: u64,
    pub replicas: usize,
    /// Of the other replicas, those that are behind or away.
    pub lagging: Vec<String>,
    /// In a cluster.
    pub leader: Option<String>,
}

/// A delivery that is to be tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Later {
    pub sequence: u64,
    pub subject: String,
    /// Microseconds since 1970.
    pub at: i64,
    pub due: DeliveryDue,
    payload: Bytes,
    headers: HeaderMap,
}

impl Desk {
    pub async fn connect(server: impl Into<Server>) -> anyhow::Result<Desk> {
        let server = server.into();
        let options = server.login.options().await.context("read the login for NATS")?;
        let options = options.name("posthouse").connection_timeout(PATIENCE);
        let client = timeout(PATIENCE, options.connect(server.addresses())).await;
        let client = client
            .with_context(|| format!("NATS at {} does not answer (--nats)", server.url))?
            .with_context(|| format!("connect to NATS at {} (--nats)", server.url))?;
        let jetstream = connect::context(&client);
        Ok(Desk { client, jetstream })
    }

    /// Of the server.
    pub fn version(&self) -> String {
        self.client.server_info().version
    }

    /// Whether the server asks who somebody is.
    pub fn asks_who(&self) -> bool {
        self.client.server_info().auth_required
    }

    /// The time by the server's clock.
    pub async fn clock(&self) -> anyhow::Result<i64> {
        #[derive(Deserialize)]
        struct Said {
            ts: Option<String>,
        }
        let said: jetstream::response::Response<Said> =
            self.jetstream.request("STREAM.INFO.DEAD", &()).await.context("ask for DEAD")?;
        let jetstream::response::Response::Ok(Said { ts: Some(ts) }) = said else {
            anyhow::bail!("the server does not say the time");
        };
        let time = OffsetDateTime::parse(&ts, &Rfc3339).context("read the server's time")?;
        micros(time)
    }

    /// Every stage, in the order that mail comes through them.
    pub async fn stages(&self) -> anyhow::Result<Vec<StageState>> {
        let mut states = Vec::new();
        for consumer in CONSUMERS {
            states.push(self.stage(consumer).await?);
        }
        Ok(states)
    }

    async fn stage(&self, consumer: &'static Consumer) -> anyhow::Result<StageState> {
        let Consumer { durable, stream, filter } = *consumer;
        let found = self.jetstream.get_stream_no_info(stream).await;
        let found = found.with_context(|| format!("look up stream {stream}"))?;
        let info = found.consumer_info(durable).await.map_err(|err| boxed(err.into()));
        let info = info.with_context(|| {
            format!("look up consumer {durable}: `posthouse streams apply` makes it")
        })?;
        let pending = info.num_pending;
        let in_hand = u64::try_from(info.num_ack_pending).unwrap_or_default();
        let mut oldest_at = None;
        if pending + in_hand > 0 {
            let floor = info.ack_floor.stream_sequence.saturating_add(1);
            let oldest = next(&found, filter, floor).await?;
            oldest_at = oldest.map(|it| micros(it.time)).transpose()?;
        }
        Ok(StageState {
            durable,
            stream,
            pending,
            in_hand,
            redelivered: u64::try_from(info.num_redelivered).unwrap_or_default(),
            pulls: u64::try_from(info.num_waiting).unwrap_or_default(),
            acknowledged: info.ack_floor.consumer_sequence,
            oldest_at,
            paused_for: info.pause_remaining.filter(|_| info.paused),
        })
    }

    pub async fn streams(&self) -> anyhow::Result<Vec<StreamState>> {
        let mut states = Vec::new();
        for stream in STREAMS {
            let found = self.jetstream.get_stream(stream.name).await;
            let found = found.with_context(|| format!("look up stream {}", stream.name))?;
            let info = found.cached_info();
            let cluster = info.cluster.as_ref();
            let lagging = cluster
                .into_iter()
                .flat_map(|it| &it.replicas)
                .filter(|it| it.offline || !it.current);
            states.push(StreamState {
                name: stream.name,
                messages: info.state.messages,
                bytes: info.state.bytes,
                replicas: info.config.num_replicas,
                lagging: lagging.map(|it| it.name.clone()).collect(),
                leader: cluster.and_then(|it| it.leader.clone()),
            });
        }
        Ok(states)
    }

    /// No replica of the stage gets a message until then; what they have in hand they finish.
    pub async fn pause(&self, durable: &str, until: SystemTime) -> anyhow::Result<()> {
        let stream = self.stream_of(durable).await?;
        let paused = stream.pause_consumer(durable, OffsetDateTime::from(until)).await;
        let paused = paused.with_context(|| format!("pause stage {durable}"))?;
        ensure!(paused.paused, "the server did not pause stage {durable}");
        Ok(())
    }

    pub async fn resume(&self, durable: &str) -> anyhow::Result<()> {
        let stream = self.stream_of(durable).await?;
        let resumed = stream.resume_consumer(durable).await;
        resumed.with_context(|| format!("resume stage {durable}")).map(drop)
    }

    async fn stream_of(&self, durable: &str) -> anyhow::Result<jetstream::stream::Stream<()>> {
        let consumer = CONSUMERS.iter().find(|it| it.durable == durable);
        let names: Vec<&str> = CONSUMERS.iter().map(|it| it.durable).collect();
        let consumer = consumer.with_context(|| {
            format!("there is no stage {durable}: there are {}", names.join(", "))
        })?;
        let stream = self.jetstream.get_stream_no_info(consumer.stream).await;
        stream.with_context(|| format!("look up stream {}", consumer.stream))
    }

    /// Publishes, and returns once JetStream has stored every record.
    pub async fn publish(&self, emit: impl Emit) -> anyhow::Result<()> {
        for record in emit.records() {
            let mut headers = HeaderMap::new();
            headers.insert(header::NATS_MESSAGE_ID, record.identity.as_str());
            self.put(record.subject, headers, record.payload.into()).await?;
        }
        Ok(())
    }

    pub(crate) async fn put(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> anyhow::Result<()> {
        let ack = publish::start(&self.client, &self.jetstream, subject, headers, payload).await?;
        Ok(publish::settle(ack).await?)
    }

    /// Deliveries that wait for their next attempt, the oldest entries first; as many as wanted.
    pub async fn later(&self, limit: usize) -> anyhow::Result<Vec<Later>> {
        let stream =
            self.jetstream.get_stream_no_info("DUE").await.context("look up stream DUE")?;
        let (mut found, mut from) = (Vec::new(), 1);
        while found.len() < limit
            && let Some(message) = next(&stream, LATER, from).await?
        {
            from = message.sequence.saturating_add(1);
            found.extend(later(message));
        }
        Ok(found)
    }

    /// Has a delivery tried at once. One message takes the other's place, so whoever is killed has done it or
    /// not; says whether it still waited.
    pub async fn flush(&self, later: &Later, key: &str) -> anyhow::Result<bool> {
        let mut headers = later.headers.clone();
        let now = OffsetDateTime::now_utc().format(&Rfc3339).context("write the time")?;
        headers.insert(header::NATS_SCHEDULE, format!("@at {now}"));
        // Another identity, or it would be taken for the one that it replaces.
        headers.insert(header::NATS_MESSAGE_ID, format!("{key}/{}", later.sequence));
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, later.sequence.to_string());
        let (subject, payload) = (later.subject.clone(), later.payload.clone());
        let ack = self.jetstream.publish_with_headers(subject, headers, payload).await;
        let acked = ack.with_context(|| format!("publish {}", later.subject))?.await;
        match acked {
            Ok(_) => Ok(true),
            // It has gone, or is another attempt by now.
            Err(err) if is_outdated(&err) => Ok(false),
            Err(err) => Err(err).with_context(|| format!("publish {}", later.subject)),
        }
    }

    /// Removes a delivery that waits.
    pub async fn forget_later(&self, later: &Later) -> anyhow::Result<()> {
        let stream =
            self.jetstream.get_stream_no_info("DUE").await.context("look up stream DUE")?;
        // One that has just become due is not there any more.
        if let Err(err) = stream.delete_message(later.sequence).await {
            tracing::debug!("remove a delivery that waits: {err}");
        }
        Ok(())
    }
}

fn is_outdated(err: &jetstream::context::PublishError) -> bool {
    use jetstream::context::PublishErrorKind;
    err.kind() == PublishErrorKind::WrongLastSequence
}

fn later(message: StreamMessage) -> Option<Later> {
    let at = message.headers.get(header::NATS_SCHEDULE)?.as_str().strip_prefix("@at ")?;
    let at = micros(OffsetDateTime::parse(at, &Rfc3339).ok()?).ok()?;
    Some(Later {
        sequence: message.sequence,
        subject: message.subject.to_string(),
        at,
        due: DeliveryDue::decode(message.payload.clone()).ok()?,
        payload: message.payload,
        headers: message.headers,
    })
}

/// The first message under these subjects from a sequence on.
pub(crate) async fn next(
    stream: &jetstream::stream::Stream<()>,
    filter: &str,
    from: u64,
) -> anyhow::Result<Option<StreamMessage>> {
    let asked = stream.raw_message_builder().sequence(from).next_by_subject(filter.to_owned());
    match asked.send().await {
        Ok(message) => Ok(Some(message)),
        Err(err) if is_gone(&err) => Ok(None),
        Err(err) => Err(err).with_context(|| format!("read {filter}")),
    }
}

/// There is no such message, or none any more.
pub(crate) fn is_gone(err: &RawMessageError) -> bool {
    match err.kind() {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(err) => err.error_code() == ErrorCode::NO_MESSAGE_FOUND,
        _ => false,
    }
}

pub(crate) fn micros(time: OffsetDateTime) -> anyhow::Result<i64> {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).context("read a time")
}
