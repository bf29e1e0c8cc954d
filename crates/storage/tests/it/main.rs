//! Storage between a real nats-server and a real database.

mod arrivals;
mod directory;
mod domains;
mod expectations;
mod grants;
mod holds;
mod leases;
mod loops;
mod outbound;
mod outbox;
mod replicas;
mod reports;
mod standing;
mod together;
mod tokens;
mod whole;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::jetstream;
use bus::{Bus, Resolution};
use bytes::Bytes;
use contract::{
    Content, Envelope, Event, EventSubject, ForwardPath, MailScanned, Mailbox, Message, Record,
    Submission, SubmissionScanned, content::Place, topology::STREAMS,
};
use futures_util::TryStreamExt as _;
use local_nats::{LocalNats, Options};
use service::Process;
use storage::{Config, WarmUpConfig};
use store::{Brakes, Created, Inbox, NewInbox, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);
const ACCOUNT: &str = "acct_1";
const DOMAIN: &str = "posthouse.localhost";

/// Events that tests of mail do not count.
const BESIDES: [&str; 7] = [
    "domain.verified",
    "email.scan.complete",
    "email.thread.new",
    "email.thread.reply",
    "inbox.created",
    "inbox.deleted",
    "inbox.expired",
];

/// A server with the topology applied, a database, and a process that publishes.
struct Bench {
    nats: LocalNats,
    bus: Bus,
    store: Store,
    config: Config,
    _dir: TempDir,
}

/// Storage, running.
struct Running {
    process: Process,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn stop(self) {
        self.process.shutdown.cancel();
        self.task.await.expect("join").expect("run");
    }
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().expect("directory");
        let options = Options::new(&dir.path().join("nats")).expect("nats-server");
        let nats = LocalNats::start(&options).await.expect("start nats-server");
        bus::apply(&nats.url, 1, false).await.expect("apply topology");
        let bus = Bus::connect(&nats.url, "test", &Process::default()).await.expect("connect");
        let database = format!("sqlite:{}", dir.path().join("posthouse.db").display());
        store::migrate(&database).await.expect("migrate");
        let store = Store::open(&database).await.expect("open");
        store.writer.ensure_account(ACCOUNT, 4).await.expect("account");
        let warm_up = WarmUpConfig { first_day: 0, ..WarmUpConfig::default() };
        // Tests say the same to the same people often.
        let brakes = Brakes::released();
        let config =
            Config { nats: nats.url.clone(), database, brakes, warm_up, ..Config::default() };
        Bench { nats, bus, store, config, _dir: dir }
    }

    /// Starts storage and waits until it is ready.
    async fn start(&self) -> Running {
        let process = Process::default();
        let task = tokio::spawn(storage::run(self.config.clone(), process.clone()));
        eventually(async || {
            assert!(!task.is_finished(), "storage ended");
            // The last part of it to become ready.
            let postmaster = format!("postmaster@{DOMAIN}");
            let resolved = self.bus.directory().resolve(&postmaster, DOMAIN).await;
            matches!(resolved, Ok(Resolution::Inbox { .. })) && process.health.unready().is_empty()
        })
        .await;
        Running { process, task }
    }

    async fn inbox(&self, local: &str) -> Inbox {
        self.inbox_of(ACCOUNT, local).await
    }

    async fn inbox_of(&self, account_id: &str, local: &str) -> Inbox {
        let address = format!("{local}@{DOMAIN}");
        let inbox = NewInbox {
            id: format!("ibx_{local}"),
            account_id: account_id.to_owned(),
            canonical: address.clone(),
            address,
            domain: DOMAIN.to_owned(),
            display_name: None,
            expires_at: None,
            max_inboxes: None,
        };
        match self.store.writer.create_inbox(&inbox).await.expect("create an inbox") {
            Created::Inbox(inbox) => inbox,
            other => panic!("{other:?}"),
        }
    }

    async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(&self.nats.url).await.expect("connect"))
    }

    /// Publishes under an identity of its own, as if it were another delivery.
    async fn deliver<E: contract::Input + prost::Message>(&self, event: &E, identity: &str) {
        let record = Record::of(event, identity.to_owned());
        self.bus.publish(record).await.expect("publish");
    }

    /// All events so far, but for those of an inbox's or a domain's own life and those that only go with
    /// `email.received`.
    async fn events(&self) -> Vec<Event> {
        let mut stream = self.jetstream().await.get_stream("EVENTS").await.expect("stream");
        let state = stream.info().await.expect("info").state.clone();
        let mut events = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.expect("message");
            let subject = EventSubject::parse(&message.subject).expect("the subject of an event");
            if !BESIDES.contains(&subject.event.as_str()) {
                events.push(serde_json::from_slice(&message.payload).expect("an event"));
            }
        }
        events
    }

    async fn count_events(&self) -> u64 {
        self.events().await.len() as u64
    }

    async fn wait_for_events(&self, count: usize) -> Vec<Event> {
        eventually(async || self.count_events().await >= count as u64).await;
        self.events().await
    }

    async fn count(&self, stream: &str) -> u64 {
        let stream = self.jetstream().await.get_stream(stream).await.expect("stream");
        stream.cached_info().state.messages
    }

    /// Whether storage has seen and acked every scanned mail.
    async fn all_stored(&self) -> bool {
        let stream = self.jetstream().await.get_stream("SCANNED").await.expect("stream");
        let info = stream.consumer_info("storage").await.expect("consumer");
        info.num_pending == 0 && info.num_ack_pending == 0
    }

    /// Why events were parked.
    async fn parked(&self) -> Vec<String> {
        let mut stream = self.jetstream().await.get_stream("DEAD").await.expect("stream");
        let state = stream.info().await.expect("info").state.clone();
        let mut reasons = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.expect("message");
            reasons.push(message.headers.get("Mail-Failure").expect("a reason").to_string());
        }
        reasons
    }

    /// How many messages are on this subject, by its name; none if there are none.
    async fn outbound(&self, filter: &str) -> Vec<(String, usize)> {
        let stream = self.stream_of(filter).await;
        let info = stream.info_with_subjects(filter).await.expect("info");
        info.try_collect().await.expect("subjects")
    }

    async fn stream_of(&self, subject: &str) -> jetstream::stream::Stream {
        let declared = STREAMS.iter().find(|it| it.subjects.contains(&subject)).expect("declared");
        self.jetstream().await.get_stream(declared.name).await.expect("stream")
    }

    /// The last message on a subject that nobody consumes here.
    async fn last_outbound(&self, subject: &str) -> Bytes {
        let stream = self.stream_of(subject).await;
        stream.get_last_raw_message_by_subject(subject).await.expect("message").payload
    }
}

fn inline(octets: &[u8]) -> Content {
    let place = Some(Place::Inline(Bytes::copy_from_slice(octets)));
    Content { size_bytes: octets.len() as u64, place }
}

/// A mail of this number for an inbox.
fn mail(number: usize, inbox_id: &str) -> MailScanned {
    let path = ForwardPath {
        address: format!("{inbox_id}@{DOMAIN}"),
        account_id: ACCOUNT.to_owned(),
        inbox_id: inbox_id.to_owned(),
        email_id: format!("eml_{number:05}"),
        ..ForwardPath::default()
    };
    let message = Message {
        message_id: format!("{number}@example.com"),
        subject: format!("Subject {number}"),
        from: vec![Mailbox { address: "alice@example.com".to_owned(), ..Mailbox::default() }],
        ..Message::default()
    };
    MailScanned {
        mail_id: format!("mail_{number:05}"),
        envelope: Some(Envelope { forward_paths: vec![path], ..Envelope::default() }),
        content: Some(inline(format!("Subject: Subject {number}\r\n\r\nText\r\n").as_bytes())),
        message: Some(message),
        ..MailScanned::default()
    }
}

/// A request as the scanner hands it on.
fn submission(inbox: &Inbox, key: &str, requested_at: i64) -> SubmissionScanned {
    let request = br#"{"to":["bob@example.net"],"subject":"Hello","body":{"text":"Hi"}}"#;
    let submission = Submission {
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        token: None,
        idempotency_key: key.to_owned(),
        request: inline(request),
        requested_at_micros: requested_at,
    };
    SubmissionScanned {
        mail_id: submission.mail_id(),
        account_id: submission.account_id,
        inbox_id: submission.inbox_id,
        idempotency_key: submission.idempotency_key,
        requested_at_micros: requested_at,
        request: Some(submission.request),
        ..SubmissionScanned::default()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("in range")
}

/// Asks until the answer is yes.
async fn eventually(ask: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < SOON, "not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
