//! A gateway, what it stands on, and what the rest of the pipeline would do.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use bus::{Bus, Login, Server};
use contract::{Content, Envelope, Event, ForwardPath, MailScanned, Verdict, content::Place};
use gateway::{AgentLogins, Config};
use local_nats::{LocalNats, Logins, Options};
use nats_login::Issuer;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service::Process;
use store::{Arrival, Store};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

pub(crate) struct Bench {
    pub(crate) nats: LocalNats,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) gateway: JoinHandle<anyhow::Result<()>>,
    database: String,
    config: Config,
    _dir: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) octets: Vec<u8>,
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            octets: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.octets).unwrap()
    }

    /// The JSON of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.octets));
        self.json()
    }

    /// Fails if this is not the error of that status and name, in the contract's form.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["error"].as_str().unwrap()),
            (status, code),
            "{body}"
        );
        assert_eq!(body["requestId"], self.headers["x-request-id"].to_str().unwrap());
        assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        Bench::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let nats = LocalNats::start(&Options::new(dir.path()).unwrap()).await.unwrap();
        Bench::over(dir, nats, config).await
    }

    /// With a nats-server that asks who everybody is.
    pub(crate) async fn with_logins() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let issuer = Issuer::generate();
        let [issuer_file, password_file, logins_password_file] = [
            ("issuer", issuer.seed().unwrap()),
            ("password", "of-the-services".to_owned()),
            ("logins-password", "of-the-gateway".to_owned()),
        ]
        .map(|(name, secret)| {
            let file = dir.path().join(name);
            std::fs::write(&file, secret).unwrap();
            file
        });
        let logins = Logins {
            issuer: issuer.public_key().to_owned(),
            password: "of-the-services".to_owned(),
            logins_password: "of-the-gateway".to_owned(),
        };
        let options = Options { logins: Some(logins), ..Options::new(dir.path()).unwrap() };
        let nats = LocalNats::start(&options).await.unwrap();
        let config = Config {
            nats: nats.url.clone(),
            nats_login: Login::with_password("posthouse", &password_file),
            agent_logins: AgentLogins {
                issuer_file: Some(issuer_file),
                password_file: Some(logins_password_file),
                ..AgentLogins::default()
            },
            ..Config::default()
        };
        Bench::over(dir, nats, config).await
    }

    async fn over(dir: TempDir, nats: LocalNats, config: Config) -> Bench {
        let server = Server::new(&nats.url, &config.nats_login);
        bus::apply(server.clone(), 1, false).await.unwrap();
        let database = format!("sqlite:{}", dir.path().join("posthouse.db").display());
        store::migrate(&database).await.unwrap();
        let store = Store::open(&database).await.unwrap();
        let process = Process::default();
        let bus = Bus::connect(server, "test", &process).await.unwrap();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served =
            gateway::serve(listener, config.clone(), store.clone(), bus.clone(), process.clone());
        Bench {
            nats,
            store,
            bus,
            process,
            url,
            http: reqwest::Client::new(),
            gateway: tokio::spawn(served),
            database,
            config,
            _dir: dir,
        }
    }

    /// Stops it, and leaves the database and NATS.
    pub(crate) async fn end_gateway(&mut self) {
        self.process.shutdown.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(10), &mut self.gateway).await;
        stopped.expect("in time").unwrap().unwrap();
        // It closed the database that it was given, and its metrics are registered.
        self.store = Store::open(&self.database).await.unwrap();
        self.process = Process::default();
        let server = Server::new(&self.nats.url, &self.config.nats_login);
        self.bus = Bus::connect(server, "test", &self.process).await.unwrap();
    }

    /// After `end_gateway`: another, at another port.
    pub(crate) async fn start_gateway(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        self.url = format!("http://{}", listener.local_addr().unwrap());
        let (store, bus) = (self.store.clone(), self.bus.clone());
        let served =
            gateway::serve(listener, self.config.clone(), store, bus, self.process.clone());
        self.gateway = tokio::spawn(served);
    }

    /// How many messages a stream has.
    pub(crate) async fn count(&self, stream: &str) -> u64 {
        let options = match &self.config.nats_login.user {
            Some(user) => async_nats::ConnectOptions::with_user_and_password(
                user.clone(),
                "of-the-services".to_owned(),
            ),
            None => async_nats::ConnectOptions::new(),
        };
        let client = options.connect(&self.nats.url).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(stream).await.unwrap();
        stream.cached_info().state.messages
    }

    /// Announces what did not happen.
    pub(crate) async fn announce(&self, inbox: &Inbox, email: contract::Email) {
        let event = Event {
            event_id: format!("test/{}", email.id),
            event: "email.received".to_owned(),
            account_id: inbox.account_id.clone(),
            inbox_id: inbox.id.clone(),
            data: Some(email),
            ..Default::default()
        };
        self.bus.publish(event).await.unwrap();
    }

    /// A second gateway, which has seen nothing of what happened. Returns its URL.
    pub(crate) async fn another(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (store, bus) = (self.store.clone(), self.bus.clone());
        let process = Process { shutdown: self.process.shutdown.clone(), ..Process::default() };
        tokio::spawn(gateway::serve(listener, Config::default(), store, bus, process));
        url
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A new account of the configured tier.
    pub(crate) async fn agent(&self) -> Agent<'_> {
        let account = Answer::to(self.request(Method::POST, "/v1/signup")).await.ok();
        Agent {
            bench: self,
            id: account["id"].as_str().unwrap().to_owned(),
            token: account["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Stops the gateway as SIGTERM would.
    pub(crate) async fn stop(self) {
        self.process.shutdown.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(10), self.gateway).await;
        stopped.expect("in time").unwrap().unwrap();
    }
}

#[derive(Clone)]
pub(crate) struct Agent<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Agent<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bench.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn inbox(&self) -> Inbox {
        let inbox = self.post("/v1/inboxes", &json!({})).await.ok();
        Inbox {
            account_id: self.id.clone(),
            id: inbox["id"].as_str().unwrap().to_owned(),
            address: inbox["address"].as_str().unwrap().to_owned(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) account_id: String,
    pub(crate) id: String,
    pub(crate) address: String,
}

impl Inbox {
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/inboxes/{}{rest}", self.id)
    }
}

/// A mail with a text and, on demand, an attachment.
pub(crate) fn content(subject: &str, text: &str, attachment: Option<&str>) -> String {
    let head = format!(
        "From: Sarah <sarah@example.com>\r\nTo: agent@example.com\r\nSubject: {subject}\r\n\
         Message-ID: <{}@example.com>\r\nMIME-Version: 1.0\r\n",
        Uuid::now_v7().simple()
    );
    match attachment {
        None => format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"),
        Some(attached) => format!(
            "{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--b\r\n\
             Content-Type: text/html\r\n\
             Content-Disposition: attachment; filename=\"page.html\"\r\n\r\n{attached}\r\n--b--\r\n"
        ),
    }
}

impl Bench {
    /// Does what storage does when a mail has come: stores it, and announces it. Returns its id.
    pub(crate) async fn deliver(&self, inbox: &Inbox, content: &str) -> String {
        let event = self.store_only(inbox, content).await;
        let id = event.data.as_ref().unwrap().id.clone();
        self.bus.publish(event).await.unwrap();
        id
    }

    /// As `deliver`, but nobody hears of it.
    pub(crate) async fn store_only(&self, inbox: &Inbox, content: &str) -> Event {
        self.store_judged(inbox, content, Verdict::default()).await
    }

    /// As `store_only`, with a verdict.
    pub(crate) async fn store_judged(
        &self,
        inbox: &Inbox,
        content: &str,
        verdict: Verdict,
    ) -> Event {
        let scanned = MailScanned {
            mail_id: Uuid::now_v7().simple().to_string(),
            envelope: Some(Envelope {
                reverse_path: "sarah@example.com".to_owned(),
                forward_paths: vec![ForwardPath {
                    address: inbox.address.clone(),
                    account_id: inbox.account_id.clone(),
                    inbox_id: inbox.id.clone(),
                    email_id: format!("eml_{}", Uuid::now_v7().simple()),
                    ..ForwardPath::default()
                }],
                smtputf8: false,
            }),
            content: Some(Content {
                size_bytes: content.len() as u64,
                place: Some(Place::Inline(content.to_owned().into())),
            }),
            received_at_micros: 1,
            message: Some(mail::parse(content.as_bytes(), 1 << 20)),
            verdict: Some(verdict),
            ..Default::default()
        };
        let refusal =
            mail::auto_reply_refusal(content.as_bytes(), "sarah@example.com", &inbox.address);
        let email_id = &scanned.envelope.as_ref().unwrap().forward_paths[0].email_id;
        let no_auto_reply = refusal.map(|why| (email_id.clone(), why.to_string()));
        let arrival = Arrival {
            scanned,
            octets: content.as_bytes().to_vec(),
            whole_text: None,
            carried: String::new(),
            no_auto_reply: no_auto_reply.into_iter().collect(),
            offer: None,
        };
        let stored = self.store.writer.store(&[arrival]).await.unwrap();
        let email = stored[0][0].email.clone();
        Event {
            event_id: format!("received/{}", email.id),
            event: "email.received".to_owned(),
            account_id: inbox.account_id.clone(),
            inbox_id: inbox.id.clone(),
            data: Some(email),
            ..Default::default()
        }
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < Duration::from_secs(20), "never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
