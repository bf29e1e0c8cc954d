//! A posthouse-webhooks, what it stands on, and receivers that do as they are told.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use bus::Bus;
use contract::{Event, WebhookDue};
use local_nats::{LocalNats, Options};
use serde_json::Value;
use service::Process;
use store::{NewWebhook, Store, WebhookSecrets};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;
use webhooks::Config;

pub(crate) const ACCOUNT: &str = "acct_1";

pub(crate) struct Bench {
    _nats: LocalNats,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) config: Config,
    pub(crate) receiver: Receiver,
    pub(crate) running: Vec<(Process, JoinHandle<anyhow::Result<()>>)>,
    process: Process,
    _dir: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        Bench::with(Config { retry_seconds: vec![1, 1, 1], ..Config::default() }).await
    }

    /// Nothing runs yet.
    pub(crate) async fn with(config: Config) -> Bench {
        // A second provider in the process would make rustls refuse to choose.
        _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let nats = LocalNats::start(&Options::new(dir.path()).unwrap()).await.unwrap();
        bus::apply(&nats.url, 1, false).await.unwrap();
        let database = format!("sqlite:{}", dir.path().join("posthouse.db").display());
        store::migrate(&database).await.unwrap();
        let store = Store::open(&database).await.unwrap();
        store.writer.create_account(ACCOUNT, 4, "hash").await.unwrap();
        let process = Process::default();
        let bus = Bus::connect(&nats.url, "test", &process).await.unwrap();
        let config =
            Config { nats: nats.url.clone(), database, allow_private_targets: true, ..config };
        let receiver = Receiver::start().await;
        let running = Vec::new();
        Bench { _nats: nats, store, bus, config, receiver, running, process, _dir: dir }
    }

    /// Starts a replica.
    pub(crate) fn start(&mut self) {
        let process = Process::default();
        let running = tokio::spawn(webhooks::run(self.config.clone(), process.clone()));
        self.running.push((process, running));
    }

    /// As `kill -9`: nothing is finished and nothing given back.
    pub(crate) fn kill(&mut self) {
        let (_, running) = self.running.remove(0);
        running.abort();
    }

    /// A webhook from now on; `name` is what the receiver knows it by.
    pub(crate) async fn webhook(&self, name: &str, events: &[&str]) -> String {
        let url = self.receiver.url(name);
        self.webhook_at(&url, events).await
    }

    pub(crate) async fn webhook_at(&self, url: &str, events: &[&str]) -> String {
        let bounds = self.bus.event_log().bounds().await.unwrap();
        let wanted = NewWebhook {
            id: format!("whk_{}", Uuid::now_v7().simple()),
            account_id: ACCOUNT.to_owned(),
            inbox_id: None,
            url: url.to_owned(),
            events: events.iter().map(|it| (*it).to_owned()).collect(),
            stream: bounds.stream,
            position: bounds.last,
        };
        self.store.writer.create_webhook(&wanted).await.unwrap().unwrap().id
    }

    pub(crate) async fn announce(&self, inbox_id: &str, event: &str, subject: &str) -> String {
        self.announce_for(ACCOUNT, inbox_id, event, subject).await
    }

    pub(crate) async fn announce_for(
        &self,
        account_id: &str,
        inbox_id: &str,
        event: &str,
        subject: &str,
    ) -> String {
        let event_id = format!("evt_{}", Uuid::now_v7().simple());
        let data = contract::Email {
            id: format!("eml_{subject}"),
            subject: subject.to_owned(),
            inbox_id: inbox_id.to_owned(),
            ..Default::default()
        };
        let event = Event {
            event_id: event_id.clone(),
            event: event.to_owned(),
            account_id: account_id.to_owned(),
            inbox_id: inbox_id.to_owned(),
            data: Some(data),
            ..Default::default()
        };
        self.bus.publish(event).await.unwrap();
        event_id
    }

    pub(crate) async fn due(&self, due: WebhookDue) {
        self.bus.publish(due).await.unwrap();
    }

    pub(crate) async fn secrets(&self) -> WebhookSecrets {
        WebhookSecrets::new(&self.store.writer.secret(webhooks::SECRET).await.unwrap())
    }

    /// What was tried, oldest first.
    pub(crate) async fn attempts(&self, id: &str) -> Vec<store::WebhookAttempt> {
        let page = self.store.reader.webhook_attempts(ACCOUNT, id, None, 1_000, None).await;
        page.unwrap().items.into_iter().rev().collect()
    }

    pub(crate) async fn webhook_now(&self, id: &str) -> store::Webhook {
        self.store.reader.webhook_by_id(id).await.unwrap().unwrap()
    }

    /// Everybody stops as told.
    pub(crate) async fn stop(mut self) {
        self.process.shutdown.cancel();
        for (process, running) in self.running.drain(..) {
            process.shutdown.cancel();
            let stopped = tokio::time::timeout(Duration::from_secs(40), running).await;
            stopped.expect("in time").unwrap().unwrap();
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn subject(&self) -> String {
        self.json()["data"]["subject"].as_str().unwrap_or_default().to_owned()
    }
}

type Answers = Arc<dyn Fn(&str, &Call) -> Answer + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Status(u16),
    /// Never.
    Nothing,
    /// Elsewhere.
    Redirect,
}

/// One server for many receivers, told apart by their paths.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<HashMap<String, Vec<Call>>>>,
    answers: Arc<Mutex<Answers>>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let answers: Answers = Arc::new(|_, _| Answer::Status(200));
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
        };
        let router = Router::new().route("/{name}", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    pub(crate) fn answer(&self, answers: impl Fn(&str, &Call) -> Answer + Send + Sync + 'static) {
        *self.answers.lock().unwrap() = Arc::new(answers);
    }

    pub(crate) fn calls(&self, name: &str) -> Vec<Call> {
        self.calls.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn subjects(&self, name: &str) -> Vec<String> {
        self.calls(name).iter().map(Call::subject).collect()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let call = Call { headers, body };
    let answers = receiver.answers.lock().unwrap().clone();
    let answer = answers(&name, &call);
    receiver.calls.lock().unwrap().entry(name).or_default().push(call);
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect => axum::response::Redirect::temporary("/elsewhere").into_response(),
        Answer::Nothing => std::future::pending().await,
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < Duration::from_secs(60), "never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
