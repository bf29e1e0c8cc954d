//! The runner, the buckets and the topology against a real nats-server.

mod batches;
mod board;
mod buckets;
mod bundles;
mod desk;
mod logins;
mod outage;
mod runner;
mod schedule;
mod standing;
mod submit;
mod sweep;
mod topology;
mod traces;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_nats::jetstream;
use bus::Bus;
use contract::{Bundle, BundledMessage, Content, MailReceived, MailScanned, Trace, content::Place};
use local_nats::{LocalNats, Options};
use prost::Message as _;
use service::Process;
use tempfile::TempDir;

/// A server with the topology applied, and one process connected to it.
struct Bench {
    nats: LocalNats,
    process: Process,
    bus: Bus,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().expect("directory");
        let nats = LocalNats::start(&Options::new(dir.path()).expect("nats-server"))
            .await
            .expect("start nats-server");
        bus::apply(&nats.url, 1, false).await.expect("apply topology");
        let process = Process::default();
        let bus = Bus::connect(&nats.url, "test", &process).await.expect("connect");
        Bench { nats, process, bus, _dir: dir }
    }

    async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(&self.nats.url).await.expect("connect"))
    }

    async fn count(&self, stream: &str) -> u64 {
        let stream = self.jetstream().await.get_stream(stream).await.expect("stream");
        stream.cached_info().state.messages
    }

    /// How many messages the consumer of a stream has still to see or to ack.
    async fn waiting(&self, stream: &str, durable: &str) -> u64 {
        let stream = self.jetstream().await.get_stream(stream).await.expect("stream");
        let info = stream.consumer_info(durable).await.expect("consumer");
        info.num_pending + info.num_ack_pending as u64
    }

    /// The mails in SCANNED, whether they came bundled or not.
    async fn scanned(&self) -> Vec<String> {
        let scanned = self.scanned_traces().await.into_iter();
        let mut ids: Vec<String> = scanned.map(|(mail, _)| mail.mail_id).collect();
        ids.sort();
        ids
    }

    /// As `scanned`, and where each stands in a trace.
    async fn scanned_traces(&self) -> Vec<(MailScanned, Trace)> {
        let mut stream = self.jetstream().await.get_stream("SCANNED").await.expect("stream");
        let mut mails = Vec::new();
        for sequence in 1..=stream.info().await.expect("info").state.last_sequence {
            let message = stream.get_raw_message(sequence).await.expect("message");
            let field = |name| message.headers.get(name).map(ToString::to_string);
            let field = |name| field(name).unwrap_or_default();
            let messages = match message.headers.get("Mail-Bundle") {
                Some(_) => Bundle::decode(message.payload.clone()).expect("a bundle").messages,
                None => vec![BundledMessage {
                    payload: message.payload.clone(),
                    trace: Some(Trace {
                        traceparent: field("traceparent"),
                        tracestate: field("tracestate"),
                    }),
                    ..BundledMessage::default()
                }],
            };
            for BundledMessage { payload, trace, .. } in messages {
                let mail = MailScanned::decode(payload).expect("a mail");
                mails.push((mail, trace.unwrap_or_default()));
            }
        }
        mails
    }
}

fn mail(id: &str) -> MailReceived {
    MailReceived {
        mail_id: id.to_owned(),
        content: Some(Content { size_bytes: 0, place: Some(Place::Inline("".into())) }),
        ..Default::default()
    }
}

/// What handlers were called with.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, id: &str) -> usize {
        let mut calls = self.0.lock().expect("lock");
        calls.push(id.to_owned());
        calls.iter().filter(|it| *it == id).count()
    }

    fn of(&self, id: &str) -> usize {
        self.0.lock().expect("lock").iter().filter(|it| *it == id).count()
    }
}

/// Asks until the answer is yes.
async fn eventually<F: Future<Output = bool>>(deadline: Duration, mut ask: impl FnMut() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < deadline, "not within {deadline:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
