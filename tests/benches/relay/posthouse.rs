//! The sender as a process of its own. What storage would write is written here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bus::Bus;
use contract::SubmissionAccepted;
use e2e::{Program, SOON, binary, eventually, free_port};
use local_nats::LocalNats;
use rustix::process::Signal;
use service::Process;
use store::{Composed, Manner, NewInbox, Outcome, Store, Submitted};
use tempfile::TempDir;

use crate::{CONNECTIONS, MAILS, SIZE_BYTES, sink::Sink};

const ACCOUNT: &str = "acct_bench";
const INBOX: &str = "ibx_bench";
const SENDER: &str = "bench@client.example";
const RECIPIENT: &str = "u@relay.example";

/// Mails that are entered together.
const PORTION: usize = 500;

pub(crate) struct Posthouse {
    sender: Program,
    store: Store,
    bus: Bus,
    _nats: LocalNats,
    _folder: TempDir,
}

impl Posthouse {
    pub(crate) async fn start(sink: &Sink) -> anyhow::Result<Posthouse> {
        let folder = TempDir::new().context("create folder")?;
        let nats = local_nats::Options::new(&folder.path().join("nats"))?;
        let nats = LocalNats::start(&nats).await?;
        bus::apply(&nats.url, 1, false).await?;
        let database = format!("sqlite:{}", folder.path().join("posthouse.db").display());
        store::migrate(&database).await?;
        let store = Store::open(&database).await?;
        make_inbox(&store).await?;
        let admin = free_port()?;
        let config = folder.path().join("sender.toml");
        let shaping = folder.path().join("shaping.toml");
        std::fs::write(&shaping, shaping_of(CONNECTIONS))?;
        let (host, port) = (sink.address.ip(), sink.address.port());
        let text = format!(
            "nats = {:?}\ndatabase = {database:?}\nadmin = \"{admin}\"\nshaping_file = {shaping:?}\n\
             [default_route]\nvia = \"smarthost\"\nhost = \"{host}\"\nport = {port}\n",
            nats.url
        );
        std::fs::write(&config, text)?;
        let arguments = vec!["--config".to_owned(), config.display().to_string()];
        let path = binary("posthouse-sender")?;
        let sender = Program::start("sender", path, arguments, folder.path())?;
        let ready = format!("http://{admin}/readyz");
        eventually(SOON, "the sender to be ready", async || {
            let answer = reqwest::get(&ready).await.ok();
            Ok(answer.filter(|it| it.status().is_success()).map(drop))
        })
        .await
        .with_context(|| sender.log())?;
        let bus = Bus::connect(&nats.url, "bench", &Process::default()).await?;
        Ok(Posthouse { sender, store, bus, _nats: nats, _folder: folder })
    }

    pub(crate) async fn round(&mut self, round: usize, sink: &Sink) -> anyhow::Result<Duration> {
        let before = sink.taken();
        self.sender.send(Signal::STOP)?;
        let ids: Vec<_> = (0..MAILS).map(|it| format!("eml_{round}_{it}")).collect();
        for ids in ids.chunks(PORTION) {
            let submitted: Vec<_> = ids.iter().map(|it| submitted(it)).collect();
            self.store.writer.enter(&submitted).await.context("enter mails")?;
            let accepted: Vec<_> = ids.iter().map(|it| accepted(it)).collect();
            self.bus.publish(accepted).await.context("publish mails")?;
        }
        let start = Instant::now();
        self.sender.send(Signal::CONT)?;
        let took = sink.until(start, before + MAILS).await.with_context(|| self.sender.log())?;
        self.sender.ensure_running()?;
        Ok(took)
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.sender.terminate().await
    }
}

/// As many connections as Postfix has, and no other limit.
fn shaping_of(connections: usize) -> String {
    format!(
        "[routes]\nfirst_pause_seconds = 30\nlongest_pause_seconds = 1800\n\
         [default]\nmax_connections = {connections}\nmessages_per_connection = 100000\n\
         connection_rate = \"100000/s\"\nmessage_rate = \"100000/s\"\ntls = \"opportunistic\"\n"
    )
}

async fn make_inbox(store: &Store) -> anyhow::Result<()> {
    store.writer.create_account(ACCOUNT, 1, "no hash").await?;
    let inbox = NewInbox {
        id: INBOX.to_owned(),
        account_id: ACCOUNT.to_owned(),
        address: SENDER.to_owned(),
        canonical: SENDER.to_owned(),
        domain: "client.example".to_owned(),
        display_name: None,
        expires_at: None,
        max_inboxes: None,
    };
    store.writer.create_inbox(&inbox).await?;
    Ok(())
}

fn submitted(mail_id: &str) -> Submitted {
    let octets = mail(mail_id);
    let composed = Composed {
        message: mail::parse(&octets, 1000),
        octets,
        verdict: contract::Verdict::default(),
        reverse_path: SENDER.to_owned(),
        forward_paths: vec![RECIPIENT.to_owned()],
        thread_id: None,
        send_at: 0,
        handover: accepted(mail_id),
        notify: Vec::new(),
        list_id: None,
    };
    Submitted {
        mail_id: mail_id.to_owned(),
        account_id: ACCOUNT.to_owned(),
        inbox_id: INBOX.to_owned(),
        idempotency_key: mail_id.to_owned(),
        request_digest: String::new(),
        requested_at: now_micros(),
        manner: Manner::default(),
        outcome: Outcome::Composed(Box::new(composed)),
        scrutiny: store::Scrutiny::default(),
        counted_for: Vec::new(),
        lease_id: None,
    }
}

fn accepted(mail_id: &str) -> SubmissionAccepted {
    SubmissionAccepted {
        mail_id: mail_id.to_owned(),
        account_id: ACCOUNT.to_owned(),
        inbox_id: INBOX.to_owned(),
        reverse_path: SENDER.to_owned(),
        forward_paths: vec![RECIPIENT.to_owned()],
        accepted_at_micros: now_micros(),
        ..SubmissionAccepted::default()
    }
}

/// A mail of the size that is measured.
fn mail(name: &str) -> Vec<u8> {
    let head = format!(
        "From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {name}\r\n\
         Message-ID: <{name}@client.example>\r\n\r\n"
    );
    let line = "All work and no play makes Jack a dull boy.\r\n";
    let body = line.repeat(SIZE_BYTES.saturating_sub(head.len()) / line.len());
    (head + &body).into_bytes()
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
