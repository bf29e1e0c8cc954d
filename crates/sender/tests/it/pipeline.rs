//! The whole service over a real nats-server and a real database.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bus::{Bus, Failure, Stage};
use contract::{Action, DeliveryDue, DeliveryReported, OnUnknown, SubmissionAccepted};
use local_nats::{LocalNats, Options};
use mail_auth::DkimResult;
use sender::{Config, Retries};
use service::Process;
use store::{
    Checked, Composed, Domain, DomainKeys, DomainStatus, Evidence, Manner, NewDomain, NewInbox,
    Outcome, Recorded, Store, Submitted, Vault, Weight,
};
use tempfile::TempDir;
use test_dns::Dns;
use tokio::task::JoinHandle;

use crate::{
    CONTENT,
    dkim::{self, SIGNED},
    now_micros, outcomes,
    peer::{Peer, Setup, say},
    to_smarthost,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Everything but the sender: it comes and goes.
pub(crate) struct Bench {
    pub(crate) config: Config,
    pub(crate) nats: LocalNats,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    reports: Arc<Mutex<Vec<DeliveryReported>>>,
    collector: JoinHandle<anyhow::Result<()>>,
    pub(crate) dir: TempDir,
}

/// Stands in for storage: records what is reported.
struct Collector {
    store: Store,
    reports: Arc<Mutex<Vec<DeliveryReported>>>,
}

impl Stage for Collector {
    const DURABLE: &'static str = "reporter";
    type In = DeliveryReported;
    type Out = ();

    async fn handle(&self, report: DeliveryReported) -> Result<(), Failure> {
        let recorded = self.store.writer.report(std::slice::from_ref(&report)).await;
        recorded.map_err(|err| Failure::Transient(err.into()))?;
        self.reports.lock().expect("lock").push(report);
        Ok(())
    }
}

pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) fn start(config: &Config) -> Running {
        let process = Process::default();
        let task = tokio::spawn(sender::run(config.clone(), process.clone()));
        Running { process, task }
    }

    pub(crate) async fn stop(self) {
        self.process.shutdown.cancel();
        self.task.await.expect("no panic").expect("a clean end");
    }
}

impl Bench {
    pub(crate) async fn new(peer: &Peer) -> Bench {
        let dir = tempfile::tempdir().expect("directory");
        let nats = LocalNats::start(&Options::new(dir.path()).expect("nats-server"))
            .await
            .expect("start nats-server");
        bus::apply(&nats.url, 1, false).await.expect("apply topology");
        let bus = Bus::connect(&nats.url, "test", &Process::default()).await.expect("connect");
        let database = format!("sqlite:{}", dir.path().join("test.db").display());
        store::migrate(&database).await.expect("migrate");
        let store = Store::open(&database).await.expect("open");
        let retries =
            Retries { delays_seconds: vec![1], greylisted_seconds: 1, ..Retries::default() };
        let config =
            Config { nats: nats.url.clone(), database, retries, ..to_smarthost(peer.address) };
        let reports = Arc::<Mutex<Vec<DeliveryReported>>>::default();
        let collector = Collector { store: store.clone(), reports: Arc::clone(&reports) };
        let running = bus.clone();
        let collector = tokio::spawn(async move { running.run(collector).await });
        Bench { config, nats, store, bus, reports, collector, dir }
    }

    /// Enters a mail into the ledger, as storage does, and announces it.
    pub(crate) async fn accept(&self, mail_id: &str, forward_paths: &[&str]) {
        self.accept_content(mail_id, CONTENT, forward_paths).await;
    }

    /// Of which no copy is to go out unasked.
    pub(crate) async fn accept_holding(&self, mail_id: &str, forward_paths: &[&str]) {
        self.accept_whole(mail_id, CONTENT, forward_paths, OnUnknown::Hold).await;
    }

    async fn accept_content(&self, mail_id: &str, content: &[u8], forward_paths: &[&str]) {
        self.accept_whole(mail_id, content, forward_paths, OnUnknown::Unspecified).await;
    }

    pub(crate) async fn accept_whole(
        &self,
        mail_id: &str,
        content: &[u8],
        forward_paths: &[&str],
        on_unknown: OnUnknown,
    ) {
        let forward_paths: Vec<String> = forward_paths.iter().map(|it| (*it).to_owned()).collect();
        let (account_id, inbox_id) = (format!("acct_{mail_id}"), format!("ibx_{mail_id}"));
        let writer = &self.store.writer;
        writer.create_account(&account_id, 1, &format!("hash {mail_id}")).await.expect("account");
        let inbox = NewInbox {
            id: inbox_id.clone(),
            account_id: account_id.clone(),
            address: format!("{mail_id}@example.com"),
            canonical: format!("{mail_id}@example.com"),
            domain: "example.com".to_owned(),
            display_name: None,
            expires_at: None,
            max_inboxes: None,
        };
        writer.create_inbox(&inbox).await.expect("inbox");
        let composed = Composed {
            octets: content.to_vec(),
            message: mail::parse(content, 1000),
            verdict: contract::Verdict::default(),
            reverse_path: inbox.address.clone(),
            forward_paths: forward_paths.clone(),
            thread_id: None,
            send_at: 0,
            handover: SubmissionAccepted::default(),
            notify: Vec::new(),
            list_id: None,
        };
        let submitted = Submitted {
            mail_id: mail_id.to_owned(),
            account_id: account_id.clone(),
            inbox_id: inbox_id.clone(),
            idempotency_key: "key".to_owned(),
            request_digest: String::new(),
            requested_at: now_micros(),
            manner: Manner::default(),
            outcome: Outcome::Composed(Box::new(composed)),
            scrutiny: store::Scrutiny::default(),
            counted_for: Vec::new(),
            lease_id: None,
        };
        let entered = writer.enter(&[submitted]).await.expect("enter");
        assert!(entered[0].to_send);
        let accepted = SubmissionAccepted {
            mail_id: mail_id.to_owned(),
            account_id,
            inbox_id,
            reverse_path: inbox.address,
            forward_paths,
            accepted_at_micros: now_micros(),
            on_unknown: on_unknown.into(),
            ..SubmissionAccepted::default()
        };
        self.bus.publish(accepted).await.expect("publish");
    }

    pub(crate) fn reports(&self) -> Vec<DeliveryReported> {
        self.reports.lock().expect("lock").clone()
    }

    pub(crate) async fn eventually_reported(&self, count: usize) -> Vec<DeliveryReported> {
        eventually(async || self.reports().len() >= count).await;
        self.reports()
    }

    async fn dead(&self) -> u64 {
        let client = async_nats::connect(&self.nats.url).await.expect("connect");
        let stream = async_nats::jetstream::new(client).get_stream("DEAD").await.expect("stream");
        stream.cached_info().state.messages
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.collector.abort();
    }
}

pub(crate) async fn eventually(mut ask: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts off the first so many recipients.
fn greylisting(times: usize) -> Setup {
    let tries = AtomicUsize::new(0);
    Setup::script(move |line| {
        let put_off = line.starts_with("RCPT") && tries.fetch_add(1, Ordering::Relaxed) < times;
        put_off.then(|| say("451 4.7.1 come back later")).flatten()
    })
}

/// An account proves this domain to be its own.
async fn verified(store: &Store, name: &str) -> Domain {
    store.writer.ensure_account("acct_owner", 4).await.expect("account");
    let vault = Vault::new(&store.writer.secret("domain-keys").await.expect("secret"));
    let wanted = NewDomain {
        id: "dom_1".to_owned(),
        account_id: "acct_owner".to_owned(),
        domain: name.to_owned(),
        dkim_selector: "ph1".to_owned(),
        next_check_at: i64::MAX,
        max_domains: None,
    };
    let keys = DomainKeys::generate().expect("keys");
    store.writer.add_domain(&wanted, &keys, &vault.expect("vault")).await.expect("add");
    let checked = Checked {
        status: DomainStatus::Verified,
        checks: Vec::new(),
        misses: 0,
        next_check_at: None,
    };
    match store.writer.record_check("dom_1", &checked).await.expect("record") {
        Recorded::Domain(domain) => *domain,
        other => panic!("{other:?}"),
    }
}

/// The DKIM records that the API tells, as lines of a zone file.
fn zone(domain: &Domain) -> String {
    let line = |(selector, text): (String, String)| {
        let strings = text.as_bytes().chunks(255);
        let strings = strings.map(|it| format!("\"{}\"", String::from_utf8_lossy(it)));
        let strings = strings.collect::<Vec<_>>().join(" ");
        format!("{selector}._domainkey.{}. IN TXT {strings}", domain.domain)
    };
    domain.dkim_records().map(line).join("\n")
}

#[tokio::test]
async fn mail_of_a_verified_domain_is_signed_with_its_keys() {
    let peer = Peer::start(Setup::default()).await;
    let bench = Bench::new(&peer).await;
    let domain = verified(&bench.store, "example.test").await;
    let dns = Dns::start(&zone(&domain)).await;
    let running = Running::start(&bench.config);
    bench.accept_content("eml_1", SIGNED, &["b@example.org"]).await;
    bench.eventually_reported(1).await;
    let received = peer.seen().contents.remove(0);
    let received = String::from_utf8(received).expect("ASCII").replace("\r\n..", "\r\n.");
    let results = dkim::verify(&dns, received.as_bytes()).await;
    assert_eq!(results, [DkimResult::Pass, DkimResult::Pass], "{received}");
    assert!(received.contains("a=rsa-sha256") && received.contains("a=ed25519-sha256"));

    // Mail of other domains is not.
    bench.accept("eml_2", &["b@example.org"]).await;
    bench.eventually_reported(2).await;
    assert!(!String::from_utf8_lossy(&peer.seen().contents[1]).contains("DKIM"));
    running.stop().await;
}

#[tokio::test]
async fn keys_sealed_with_another_key_make_mail_wait() {
    let peer = Peer::start(Setup::default()).await;
    let bench = Bench::new(&peer).await;
    verified(&bench.store, "example.test").await;
    let file = bench.dir.path().join("domain-keys");
    std::fs::write(&file, "07".repeat(32)).expect("write");
    let wrong = Config { domain_keys_file: Some(file), ..bench.config.clone() };
    let running = Running::start(&wrong);
    bench.accept_content("eml_1", SIGNED, &["b@example.org"]).await;
    bench.accept("eml_2", &["b@example.org"]).await;
    let mut reports = bench.eventually_reported(2).await;
    reports.sort_by(|a, b| a.mail_id.cmp(&b.mail_id));
    assert_eq!(outcomes(&reports[0]), ["Delayed 4.7.0"]);
    assert_eq!(outcomes(&reports[1]), ["Delivered 2.0.0"]);
    running.stop().await;
    let running = Running::start(&bench.config);
    let delivered =
        |it: &DeliveryReported| it.mail_id == "eml_1" && outcomes(it) == ["Delivered 2.0.0"];
    eventually(async || bench.reports().iter().any(delivered)).await;
    running.stop().await;
}

#[tokio::test]
async fn an_accepted_mail_goes_to_every_destination() {
    let peer = Peer::start(Setup::default()).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept("eml_1", &["a@example.org", "b@example.net", "c@example.org"]).await;
    let mut reports = bench.eventually_reported(2).await;
    reports.sort_by(|a, b| a.domain.cmp(&b.domain));
    assert_eq!(reports[0].domain, "example.net");
    assert_eq!(outcomes(&reports[0]), ["Delivered 2.0.0"]);
    assert_eq!(outcomes(&reports[1]), ["Delivered 2.0.0", "Delivered 2.0.0"]);
    assert_eq!(
        (reports[1].account_id.as_str(), reports[1].inbox_id.as_str()),
        ("acct_eml_1", "ibx_eml_1")
    );
    assert_eq!(peer.seen().contents.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_delayed_recipient_is_tried_again_and_nobody_else() {
    let peer = Peer::start(greylisting(1)).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept("eml_1", &["a@example.org", "b@example.org"]).await;
    let reports = bench.eventually_reported(2).await;
    assert_eq!(outcomes(&reports[0]), ["Delayed 4.7.1", "Delivered 2.0.0"]);
    assert_eq!(reports[1].attempt, 2);
    assert_eq!(reports[1].recipients.len(), 1);
    assert_eq!(reports[1].recipients[0].forward_path, "a@example.org");
    assert_eq!(outcomes(&reports[1]), ["Delivered 2.0.0"]);
    assert!(reports[1].attempted_at_micros >= reports[0].next_attempt_at_micros);
    assert_eq!(peer.seen().contents.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn what_is_suppressed_meanwhile_is_not_tried_again() {
    let peer = Peer::start(greylisting(2)).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept("eml_1", &["A@example.org", "b@example.org"]).await;
    let reports = bench.eventually_reported(1).await;
    assert_eq!(outcomes(&reports[0]), ["Delayed 4.7.1", "Delayed 4.7.1"]);
    let wish = Evidence {
        account_id: "acct_eml_1".to_owned(),
        address: "a@example.org".to_owned(),
        source: "wish".to_owned(),
        reason: "manual".to_owned(),
        evidence: "asked us not to".to_owned(),
        weight: Weight::Wish,
    };
    bench.store.writer.note_evidence(&[wish]).await.expect("suppress");
    let reports = bench.eventually_reported(2).await;
    let [b, a] = reports[1].recipients.as_slice() else { panic!("{:?}", reports[1]) };
    assert_eq!((b.action(), &*b.forward_path), (Action::Delivered, "b@example.org"));
    assert_eq!((a.action(), &*a.forward_path), (Action::Failed, "A@example.org"));
    assert_eq!(a.diagnostic, "suppressed: manual: asked us not to");
    assert!(a.suppressed && !b.suppressed);
    let paths = peer.seen().contents.len();
    assert_eq!(paths, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_delay_outlives_the_sender() {
    let peer = Peer::start(greylisting(1)).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept("eml_1", &["a@example.org"]).await;
    bench.eventually_reported(1).await;
    running.stop().await;
    let running = Running::start(&bench.config);
    let reports = bench.eventually_reported(2).await;
    assert_eq!(outcomes(&reports[1]), ["Delivered 2.0.0"]);
    running.stop().await;
}

#[tokio::test]
async fn who_is_settled_gets_no_second_copy() {
    let peer = Peer::start(Setup::script(|line| {
        (line == "RCPT TO:<b@example.org>").then(|| say("550 5.1.1 unknown")).flatten()
    }))
    .await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept("eml_1", &["a@example.org", "b@example.org"]).await;
    let report = bench.eventually_reported(1).await.remove(0);
    let again = DeliveryDue {
        mail_id: "eml_1".to_owned(),
        domain: "example.org".to_owned(),
        forward_paths: vec!["a@example.org".to_owned(), "b@example.org".to_owned()],
        attempt: 9,
        ..DeliveryDue::default()
    };
    assert!(report.recipients.iter().all(|it| it.action() != Action::Delayed));
    bench.bus.publish(again).await.expect("publish");
    bench.accept("eml_2", &["a@example.org"]).await;
    bench.eventually_reported(2).await;
    running.stop().await;
    assert_eq!(peer.seen().contents.len(), 2);
    assert_eq!(bench.reports().len(), 2);
    assert_eq!(bench.dead().await, 0);
}

#[tokio::test]
async fn a_mail_nobody_accepted_is_parked() {
    let peer = Peer::start(Setup::default()).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    let unknown = DeliveryDue {
        mail_id: "eml_unknown".to_owned(),
        domain: "example.org".to_owned(),
        forward_paths: vec!["a@example.org".to_owned()],
        attempt: 1,
        ..DeliveryDue::default()
    };
    bench.bus.publish(unknown).await.expect("publish");
    eventually(async || bench.dead().await == 1).await;
    assert_eq!(peer.seen().connections, 0);
    running.stop().await;
}

#[tokio::test]
async fn waits_for_the_database() {
    let peer = Peer::start(Setup::default()).await;
    let bench = Bench::new(&peer).await;
    let database = bench.config.database.replace("test.db", "later.db");
    let config = Config { database: database.clone(), ..bench.config.clone() };
    let running = Running::start(&config);
    let unready = || running.process.health.unready().join(", ");
    eventually(async || unready().contains("database")).await;
    store::migrate(&database).await.expect("migrate");
    eventually(async || unready().is_empty()).await;
    running.stop().await;
}
