//! SMTP over real TCP in front of a real nats-server.

mod chunking;
mod client;
mod dialogues;
mod limits;
mod logins;
mod mails;
mod outage;
mod recipients;
mod shutdown;
mod smuggling;
mod submission;
mod tls;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use bus::{Bus, Claims, Failure, Stage};
use bytes::Bytes;
use contract::{Envelope, Grant, MailReceived};
use intake::{Config, Door, Listeners};
use local_nats::{LocalNats, Options};
use service::Process;
use tempfile::TempDir;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use crate::client::Client;

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "lm_sk_live_secret";
const INBOXES: [&str; 4] = ["user", "user2", "postmaster", "abuse"];

/// An intake for local.example, and somebody who takes what it publishes.
struct World {
    nats: LocalNats,
    bus: Bus,
    intake: Intake,
    mails: UnboundedReceiver<Received>,
    _scanner: JoinHandle<anyhow::Result<()>>,
    _dir: TempDir,
}

struct Intake {
    address: SocketAddr,
    submission: SocketAddr,
    submissions: SocketAddr,
    process: Process,
    served: JoinHandle<anyhow::Result<()>>,
}

impl World {
    async fn new() -> World {
        World::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> World {
        let dir = tempfile::tempdir().expect("directory");
        let options = Options::new(dir.path()).expect("nats-server");
        let nats = LocalNats::start(&options).await.expect("start nats-server");
        bus::apply(&nats.url, 1, false).await.expect("apply topology");
        let bus = Bus::connect(&nats.url, "test", &Process::default()).await.expect("connect");
        let directory = bus.directory();
        directory.add_domain("local.example").await.expect("add domain");
        for name in INBOXES {
            let inbox_id = format!("ibx_{name}");
            let added =
                directory.add_inbox(&format!("{name}@local.example"), "acct_1", &inbox_id).await;
            added.expect("add inbox");
        }
        let token = bus::token_hash(TOKEN);
        directory.add_token(&token, "acct_1", &Grant::default()).await.expect("add token");
        let (sender, mails) = unbounded_channel();
        let scanner = Scanner { claims: bus.claims(), mails: sender };
        let scanner = tokio::spawn({
            let bus = bus.clone();
            async move { bus.run(scanner).await }
        });
        let intake = Intake::start(&nats, change).await;
        World { nats, bus, intake, mails, _scanner: scanner, _dir: dir }
    }

    async fn client(&self) -> Client {
        Client::connect(self.intake.address).await
    }

    /// A client that has been greeted and has said EHLO.
    async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.expect("220").await;
        client.ask("EHLO client.example\r\n", "250").await;
        client
    }

    async fn next_mail(&mut self) -> Received {
        let mail = timeout(PATIENCE, self.mails.recv()).await;
        mail.expect("no mail came").expect("the scanner stopped")
    }

    /// Asserts that no mail has come since the last one, by sending another.
    async fn no_further_mail(&mut self) {
        self.greeted().await.send_mail("marker@client.example", "\r\n").await;
        let mail = self.next_mail().await;
        assert_eq!(mail.envelope().reverse_path, "marker@client.example");
    }
}

impl Intake {
    fn config(nats: &LocalNats) -> Config {
        Config {
            hostname: "mx.local.example".to_owned(),
            domains: vec!["local.example".to_owned()],
            nats: nats.url.clone(),
            auth_failure_delay_millis: 1,
            ..Config::default()
        }
    }

    async fn start(nats: &LocalNats, change: impl FnOnce(&mut Config)) -> Intake {
        let mut config = Intake::config(nats);
        change(&mut config);
        let process = Process::default();
        let bus = Bus::connect(&config.nats, "intake", &process).await.expect("connect");
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for door in [Door::World, Door::Submission, Door::Submissions] {
            let listener = service::listen(free_port(), "listen").await.expect("listen");
            addresses.push(listener.local_addr().expect("address"));
            listeners.push((door, listener));
        }
        let listeners = Listeners::new(listeners);
        let served = tokio::spawn(intake::serve(listeners, config, bus, process.clone()));
        let [address, submission, submissions] = addresses[..] else { unreachable!("three") };
        Intake { address, submission, submissions, process, served }
    }

    /// The sum of all series of a metric that have this label value in them.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.process.metrics.text().expect("metrics");
        let series = text.lines().filter(|it| it.starts_with(name) && it.contains(label));
        series.map(|it| it.rsplit(' ').next().expect("value").parse::<f64>().expect("value")).sum()
    }
}

fn free_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

struct Received {
    event: MailReceived,
    content: Bytes,
}

impl Received {
    fn envelope(&self) -> &Envelope {
        self.event.envelope.as_ref().expect("envelope")
    }

    fn forward_paths(&self) -> Vec<&str> {
        self.envelope().forward_paths.iter().map(|it| it.address.as_str()).collect()
    }

    /// Our trace header, and below it what the client sent.
    fn split(&self) -> (String, &[u8]) {
        let date_ends = b" +0000\r\n";
        let end = self.content.windows(date_ends.len()).position(|it| it == date_ends);
        let (trace, sent) = self.content.split_at(end.expect("date") + date_ends.len());
        (String::from_utf8(trace.to_vec()).expect("UTF-8"), sent)
    }

    fn sent(&self) -> &[u8] {
        self.split().1
    }
}

/// Takes mails off the stream as the scanner does.
struct Scanner {
    claims: Claims,
    mails: UnboundedSender<Received>,
}

impl Stage for Scanner {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = ();

    async fn handle(&self, event: MailReceived) -> Result<(), Failure> {
        let place = event.content.as_ref().expect("content");
        let content = self.claims.get(place).await?.expect("the claim is there");
        // Nobody listens any more when a test is over.
        drop(self.mails.send(Received { event, content }));
        Ok(())
    }
}

/// Asks until the answer is yes.
async fn eventually(mut ask: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The cases of a corpus that stands beside the checkout, or `None`, loudly.
fn corpus(name: &str) -> Option<Vec<serde_json::Value>> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora"))
        .join(name)
        .join("expected.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: the corpus {} is not there", path.display());
        return None;
    };
    Some(text.lines().map(|it| serde_json::from_str(it).expect("a JSON line")).collect())
}
