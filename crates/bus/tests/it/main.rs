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
mod submit;
mod sweep;
mod topology;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_nats::jetstream;
use bus::Bus;
use contract::{Bundle, Content, MailReceived, MailScanned, content::Place};
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
        let mut stream = self.jetstream().await.get_stream("SCANNED").await.expect("stream");
        let mut ids = Vec::new();
        for sequence in 1..=stream.info().await.expect("info").state.last_sequence {
            let message = stream.get_raw_message(sequence).await.expect("message");
            let payloads = match message.headers.get("Mail-Bundle") {
                Some(_) => {
                    let bundle = Bundle::decode(message.payload).expect("a bundle");
                    bundle.messages.into_iter().map(|it| it.payload).collect()
                }
                None => vec![message.payload],
            };
            for payload in payloads {
                ids.push(MailScanned::decode(payload).expect("a mail").mail_id);
            }
        }
        ids.sort();
        ids
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
