//! Makes the streams, consumers and buckets as `contract::topology` says, or says how they differ.

use std::{fmt, time::Duration};

use anyhow::{Context as _, bail};
use async_nats::jetstream::{
    self, ErrorCode,
    consumer::{AckPolicy, DeliverPolicy, pull},
    context::GetStreamErrorKind,
    stream::{self, DiscardPolicy, RetentionPolicy, Source},
};
use contract::topology::{
    CLAIMS, CONSUMERS, Consumer, DEAD, DIRECTORY, DOTS, Keeps, POLICIES, SHAPING, STREAMS, Stream,
    UPLOADS,
};

use crate::{Server, connect};

/// A stage says every third of this that it is still at work; without word another replica gets the
/// message.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(15);

/// How many messages all replicas of a stage together may have in hand or waiting for a retry.
const MAX_ACK_PENDING: i64 = 5_000;

/// Longer than `UPLOAD_LIFETIME`, so that what may still be named can still be read.
const UPLOADS_AGE: Duration = Duration::from_secs(25 * 60 * 60);

/// Whoever needed a claim has removed it long before, or its message has left DEAD.
const CLAIMS_AGE: Duration = Duration::from_secs(45 * 24 * 60 * 60);

/// A policy holds for a year at most (RFC 8461 section 3.2).
const POLICIES_AGE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A delivery that comes again later than this has run out of time by itself.
const DOTS_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A destination that has heard nothing of us for so long has forgotten us as well.
const SHAPING_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Why the topology is not known to be right.
#[derive(Debug)]
pub(crate) enum Mismatch {
    /// It is wrong, and stays so until an operator acts.
    Wrong(String),
    /// It could not be read.
    Unknown(anyhow::Error),
}

/// What `apply` did, or would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Creates and updates; refuses what would lose messages. Idempotent. Of so many servers each stream is
/// to have a copy; without a number, new streams have one, and what is there stays as it is.
pub async fn apply(
    server: impl Into<Server>,
    replicas: impl Into<Option<usize>>,
    dry_run: bool,
) -> anyhow::Result<Vec<Change>> {
    let (server, replicas) = (server.into(), replicas.into());
    let options = server.login.options().await.context("read the login for NATS")?;
    let client = options.connect(server.addresses()).await;
    let client = client.with_context(|| format!("connect to NATS at {}", server.url))?;
    let jetstream = connect::context(&client);
    let mut changes = Vec::new();
    for wanted in streams(replicas.unwrap_or(1)) {
        changes.extend(apply_stream(&jetstream, wanted, replicas, dry_run).await?);
    }
    for consumer in CONSUMERS {
        changes.extend(apply_consumer(&jetstream, consumer, dry_run).await?);
    }
    Ok(changes)
}

/// Whether every stream and consumer is there and as wanted.
pub(crate) async fn verify(jetstream: &jetstream::Context) -> Result<(), Mismatch> {
    for wanted in streams(1) {
        let found = find_stream(jetstream, &wanted.name).await.map_err(Mismatch::Unknown)?;
        let Some(found) = found else {
            return Err(missing(format!("stream {}", wanted.name)));
        };
        if let Some(difference) = difference(&found, &wanted) {
            let name = &wanted.name;
            return Err(Mismatch::Wrong(format!("stream {name} is not as needed: {difference}")));
        }
    }
    for consumer in CONSUMERS {
        if !has_consumer(jetstream, consumer).await.map_err(Mismatch::Unknown)? {
            return Err(missing(format!("consumer {}", consumer.durable)));
        }
    }
    Ok(())
}

fn missing(what: String) -> Mismatch {
    Mismatch::Wrong(format!("{what} does not exist: run `posthouse streams apply`"))
}

async fn apply_stream(
    jetstream: &jetstream::Context,
    wanted: stream::Config,
    replicas: Option<usize>,
    dry_run: bool,
) -> anyhow::Result<Option<Change>> {
    let name = wanted.name.clone();
    let Some(found) = find_stream(jetstream, &name).await? else {
        if !dry_run {
            jetstream
                .create_stream(wanted)
                .await
                .with_context(|| format!("create stream {name}"))?;
        }
        return Ok(Some(Change { what: format!("create stream {name}") }));
    };
    let replicas = replicas.unwrap_or(found.num_replicas);
    let copies = (found.num_replicas != replicas)
        .then(|| format!("replicas is {}, not {replicas}", found.num_replicas));
    let Some(difference) = difference(&found, &wanted).or(copies) else {
        return Ok(None);
    };
    if found.retention != wanted.retention {
        bail!(
            "stream {name}: {difference}. Changing that could lose messages: drain the stream, \
             delete it and run this again"
        );
    }
    if !dry_run {
        // What an operator may have chosen stays.
        let update = stream::Config {
            max_bytes: found.max_bytes,
            max_messages: found.max_messages,
            num_replicas: replicas,
            placement: found.placement.clone(),
            ..wanted
        };
        jetstream.update_stream(update).await.with_context(|| format!("update stream {name}"))?;
    }
    Ok(Some(Change { what: format!("update stream {name}: {difference}") }))
}

async fn apply_consumer(
    jetstream: &jetstream::Context,
    consumer: &Consumer,
    dry_run: bool,
) -> anyhow::Result<Option<Change>> {
    let durable = consumer.durable;
    // A dry run may find the stream missing too; then the consumer is as well.
    if has_consumer(jetstream, consumer).await? {
        return Ok(None);
    }
    if !dry_run {
        let config = pull::Config {
            durable_name: Some(durable.to_owned()),
            filter_subject: consumer.filter.to_owned(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            ..Default::default()
        };
        jetstream
            .create_consumer_on_stream(config, consumer.stream)
            .await
            .with_context(|| format!("create consumer {durable}"))?;
    }
    Ok(Some(Change { what: format!("create consumer {durable} on {}", consumer.stream) }))
}

async fn find_stream(
    jetstream: &jetstream::Context,
    name: &str,
) -> anyhow::Result<Option<stream::Config>> {
    match jetstream.get_stream(name).await {
        Ok(found) => Ok(Some(found.cached_info().config.clone())),
        Err(err) => match err.kind() {
            GetStreamErrorKind::JetStream(err)
                if err.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => Err(err).with_context(|| format!("look up stream {name}")),
        },
    }
}

/// Also tells whether the consumer filters as wanted.
async fn has_consumer(jetstream: &jetstream::Context, consumer: &Consumer) -> anyhow::Result<bool> {
    let Ok(stream) = jetstream.get_stream_no_info(consumer.stream).await else { return Ok(false) };
    match stream.consumer_info(consumer.durable).await {
        Ok(info) if info.config.filter_subject == consumer.filter => Ok(true),
        Ok(info) => bail!(
            "consumer {} filters {:?} instead of {:?}: delete it and run `posthouse streams apply`",
            consumer.durable,
            info.config.filter_subject,
            consumer.filter
        ),
        Err(err) => match err.kind() {
            jetstream::context::ConsumerInfoErrorKind::NotFound => Ok(false),
            jetstream::context::ConsumerInfoErrorKind::StreamNotFound => Ok(false),
            _ => Err(err).with_context(|| format!("look up consumer {}", consumer.durable)),
        },
    }
}

/// Compares what correctness rests on; limits, and of how many servers each has a copy, are an operator's choice.
fn difference(found: &stream::Config, wanted: &stream::Config) -> Option<String> {
    let mut subjects = found.subjects.clone();
    let mut wanted_subjects = wanted.subjects.clone();
    subjects.sort();
    wanted_subjects.sort();
    let facts = [
        ("subjects", format!("{subjects:?}"), format!("{wanted_subjects:?}")),
        ("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention)),
        ("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard)),
        (
            "allow_msg_schedules",
            found.allow_message_schedules.to_string(),
            wanted.allow_message_schedules.to_string(),
        ),
        (
            "allow_atomic",
            found.allow_atomic_publish.to_string(),
            wanted.allow_atomic_publish.to_string(),
        ),
        (
            "deduplicates",
            (!found.duplicate_window.is_zero()).to_string(),
            (wanted.sources.is_none()).to_string(),
        ),
    ];
    facts
        .into_iter()
        .find(|(_, found, wanted)| found != wanted)
        .map(|(key, found, wanted)| format!("{key} is {found}, not {wanted}"))
}

/// Of every stream, those under the buckets too.
pub(crate) fn stream_names() -> impl Iterator<Item = String> {
    streams(1).into_iter().map(|it| it.name)
}

/// Every stream as wanted, those under the buckets too. DEAD comes first: others name it.
fn streams(replicas: usize) -> Vec<stream::Config> {
    let mut configs: Vec<stream::Config> = STREAMS.iter().map(config).collect();
    configs.push(key_value(DIRECTORY, Duration::ZERO));
    configs.push(key_value(POLICIES, POLICIES_AGE));
    configs.push(key_value(DOTS, DOTS_AGE));
    configs.push(key_value(SHAPING, SHAPING_AGE));
    let objects = |bucket: &str, max_age: Duration| stream::Config {
        name: format!("OBJ_{bucket}"),
        subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
        max_age,
        allow_rollup: true,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        ..Default::default()
    };
    configs.push(objects(CLAIMS, CLAIMS_AGE));
    configs.push(objects(UPLOADS, UPLOADS_AGE));
    for config in &mut configs {
        config.num_replicas = replicas;
        // Whoever has just written must be read, so the leader answers, never a follower.
        config.allow_direct = false;
    }
    configs
}

/// The stream under a key-value bucket, whose entries go after `max_age` (zero: never).
fn key_value(bucket: &str, max_age: Duration) -> stream::Config {
    stream::Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_age,
        allow_rollup: true,
        deny_delete: true,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        ..Default::default()
    }
}

fn config(stream: &Stream) -> stream::Config {
    let (retention, max_age) = match stream.keeps {
        Keeps::UntilDone => (RetentionPolicy::WorkQueue, Duration::ZERO),
        Keeps::UntilPassed => (RetentionPolicy::Limits, Duration::ZERO),
        Keeps::For(age) => (RetentionPolicy::Limits, age),
    };
    let discard = match stream.keeps {
        // JetStream takes no schedules where it may refuse what they would deliver.
        Keeps::UntilDone | Keeps::UntilPassed if !stream.schedules => DiscardPolicy::New,
        _ => DiscardPolicy::Old,
    };
    stream::Config {
        name: stream.name.to_owned(),
        subjects: stream.subjects.iter().map(|it| (*it).to_owned()).collect(),
        retention,
        max_age,
        discard,
        allow_message_schedules: stream.schedules,
        allow_atomic_publish: stream.batches,
        duplicate_window: if stream.deduplicates { DUPLICATE_WINDOW } else { Duration::ZERO },
        // A window of zero means two minutes, except on a stream that sources another: there it
        // means none. So this one sources what never is.
        sources: (!stream.deduplicates).then(|| {
            vec![Source {
                name: DEAD.name.to_owned(),
                filter_subject: Some("dead.nothing".to_owned()),
                ..Default::default()
            }]
        }),
        ..Default::default()
    }
}
