//! Agents at NATS: who gets in, and what they can do there.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, connection::State};
use contract::{Email, Grant, Right, SendLimits};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use store::NewToken;
use tokio::time::timeout;

use crate::bench::{Agent, Bench, Inbox, content, eventually};

/// An agent that knows nothing but its token and its account.
pub(crate) struct AtNats {
    pub(crate) client: Client,
    /// `<account>.<token>`, as it stands in subjects.
    pub(crate) name: String,
    errors: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn name(account: &str, token: &str) -> String {
    format!("{account}.{}", &bus::token_hash(token)[..12])
}

impl AtNats {
    pub(crate) async fn log_in(
        bench: &Bench,
        account: &str,
        token: &str,
    ) -> Result<AtNats, ConnectErrorKind> {
        let errors: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&errors);
        let name = name(account, token);
        let options = ConnectOptions::with_user_and_password("me".to_owned(), token.to_owned())
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .event_callback(move |event| {
                if let Event::ServerError(err) = event {
                    heard.lock().unwrap().push(err.to_string());
                }
                std::future::ready(())
            });
        let client = options.connect(&bench.nats.url).await.map_err(|err| err.kind())?;
        // Until the server has made up its mind, the client takes itself for connected.
        let first = client.request("$SYS.REQ.USER.INFO", "".into()).await;
        first.map_err(|_| ConnectErrorKind::Io)?;
        Ok(AtNats { client, name, errors })
    }

    pub(crate) async fn of(agent: &Agent<'_>) -> AtNats {
        AtNats::log_in(agent.bench, &agent.id, &agent.token).await.unwrap()
    }

    /// Whether the server said no to what was done to this subject.
    async fn is_refused(&self, subject: &str) -> bool {
        // What was refused is said before the answer to a ping.
        self.client.flush().await.unwrap();
        let round = self.client.request("$SYS.REQ.USER.INFO", "".into()).await;
        round.unwrap();
        let mut errors = self.errors.lock().unwrap();
        let is_refused = errors.iter().any(|it| {
            let it = it.to_lowercase();
            it.contains("permissions violation")
                && it.contains(&format!("\"{}\"", subject.to_lowercase()))
        });
        errors.clear();
        is_refused
    }

    /// A question to the API, and its answer.
    pub(crate) async fn ask(&self, operation: &str, parameters: &Value) -> Result<Value, Value> {
        let subject = format!("mail.v1.api.{}.{operation}", self.name);
        let answer = self.client.request(subject, parameters.to_string().into()).await.unwrap();
        let body = serde_json::from_slice(&answer.payload).unwrap();
        let headers = answer.headers.unwrap_or_default();
        match headers.get("Nats-Service-Error-Code") {
            None => Ok(body),
            Some(code) => {
                let body: Value = body;
                let said = headers.get("Nats-Service-Error").unwrap().as_str();
                assert!(said.starts_with(body["error"].as_str().unwrap()), "{said}");
                assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
                Err(json!([code.as_str(), body["error"]]))
            }
        }
    }
}

#[tokio::test]
async fn a_token_opens_its_own_subjects_and_no_others() {
    let bench = Bench::with_logins().await;
    let (agent, other) = (bench.agent().await, bench.agent().await);
    let (inbox, foreign) = (agent.inbox().await, other.inbox().await);
    let second = name(&agent.id, "another token of the account");
    let at_nats = AtNats::of(&agent).await;
    let (own, theirs) = (&at_nats.name, name(&other.id, &other.token));
    let (id, other_id) = (&agent.id, &other.id);

    for subject in [
        format!("mail.v1.send.{other_id}.{}", foreign.id),
        format!("mail.v1.send.{id}.{}.more", inbox.id),
        "mail.v1.send".to_owned(),
        format!("mail.v1.event.{id}.{}.email.received", inbox.id),
        format!("mail.v1.event.{other_id}.{}.email.received", foreign.id),
        format!("mail.v1.api.{theirs}.inboxes.list"),
        format!("mail.v1.api.{second}.inboxes.list"),
        format!("_INBOX_{theirs}.x"),
        format!("_INBOX_{own}.x"),
        "_INBOX.x".to_owned(),
        "inbound.received".to_owned(),
        "inbound.scanned".to_owned(),
        "outbound.scanned".to_owned(),
        "outbound.accepted".to_owned(),
        "outbound.due".to_owned(),
        "outbound.reported".to_owned(),
        "webhooks.due".to_owned(),
        "dead.scanner".to_owned(),
        "$KV.directory.token.x".to_owned(),
        "$O.claims.C.x".to_owned(),
        "$JS.API.INFO".to_owned(),
        "$JS.API.STREAM.NAMES".to_owned(),
        "$JS.API.STREAM.MSG.GET.EVENTS".to_owned(),
        "$JS.API.DIRECT.GET.EVENTS".to_owned(),
        "$JS.API.CONSUMER.CREATE.EVENTS".to_owned(),
        "$JS.API.STREAM.DELETE.SUBMISSIONS".to_owned(),
        "$JS.ACK.SUBMISSIONS.submission-scanner.1.1.1.1.1".to_owned(),
        "$SYS.REQ.USER.AUTH".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SYS.REQ.SERVER.PING.CONNZ".to_owned(),
        "$SRV.STATS".to_owned(),
    ] {
        at_nats.client.publish(subject.clone(), "{}".into()).await.unwrap();
        assert!(at_nats.is_refused(&subject).await, "may publish on {subject}");
    }
    for subject in [
        ">".to_owned(),
        "*.>".to_owned(),
        "mail.>".to_owned(),
        "mail.v1.event.>".to_owned(),
        "mail.v1.event.*.>".to_owned(),
        format!("mail.v1.event.{other_id}.>"),
        format!("mail.v1.event.{other_id}.{}.email.received", foreign.id),
        format!("mail.v1.event.*.{}.>", inbox.id),
        format!("mail.v1.send.{id}.*"),
        "mail.v1.send.>".to_owned(),
        "mail.v1.api.>".to_owned(),
        format!("mail.v1.api.{own}.>"),
        "_INBOX.>".to_owned(),
        "_INBOX.*".to_owned(),
        "*.*.*".to_owned(),
        format!("_INBOX_{theirs}.>"),
        format!("_INBOX_{second}.>"),
        "inbound.>".to_owned(),
        "outbound.>".to_owned(),
        "dead.>".to_owned(),
        "$KV.>".to_owned(),
        "$JS.>".to_owned(),
        "$JS.EVENT.ADVISORY.>".to_owned(),
        "$SYS.>".to_owned(),
        "$SYS.REQ.USER.AUTH".to_owned(),
        "$SRV.PING".to_owned(),
        "_R_.>".to_owned(),
    ] {
        let _subscription = at_nats.client.subscribe(subject.clone()).await.unwrap();
        assert!(at_nats.is_refused(&subject).await, "may subscribe to {subject}");
        let group = "posthouse-gateway".to_owned();
        let _subscription = at_nats.client.queue_subscribe(subject.clone(), group).await.unwrap();
        assert!(at_nats.is_refused(&subject).await, "may join those at {subject}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn its_own_subjects_work() {
    let bench = Bench::with_logins().await;
    let (agent, other) = (bench.agent().await, bench.agent().await);
    let (inbox, foreign) = (agent.inbox().await, other.inbox().await);
    let at_nats = AtNats::of(&agent).await;

    let subject = format!("mail.v1.event.{}.>", agent.id);
    let mut events = at_nats.client.subscribe(subject.clone()).await.unwrap();
    assert!(!at_nats.is_refused(&subject).await);
    // Not that of the other, which comes first.
    bench.deliver(&foreign, &content("Not for you", "x", None)).await;
    let email = bench.deliver(&inbox, &content("For you", "x", None)).await;
    let event = timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!((&event["event"], &event["data"]["id"]), (&json!("email.received"), &json!(email)));

    let subject = format!("mail.v1.send.{}.{}", agent.id, inbox.id);
    let ack = at_nats.client.request(subject, "{}".into()).await.unwrap();
    let ack: Value = serde_json::from_slice(&ack.payload).unwrap();
    assert_eq!((&ack["stream"], &ack["seq"]), (&json!("SUBMISSIONS"), &json!(1)));

    // It can ask who it is.
    let info = at_nats.client.request("$SYS.REQ.USER.INFO", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&info.payload).unwrap();
    assert_eq!(info["data"]["user"], at_nats.name);
    assert_eq!(info["data"]["account"], "AGENTS");
    bench.stop().await;
}

#[tokio::test]
async fn a_token_alone_will_do() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let name = name(&agent.id, &agent.token);
    let options = ConnectOptions::with_token(agent.token.clone());
    let options = options.custom_inbox_prefix(format!("_INBOX_{name}"));
    let client = options.connect(&bench.nats.url).await.unwrap();
    let answer =
        client.request(format!("mail.v1.api.{name}.account.get"), "".into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["id"], agent.id);
    bench.stop().await;
}

#[tokio::test]
async fn others_are_kept_out() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    for token in
        ["", "x", "lm_sk_live_0000000000000000000000000000000000000000000", &"x".repeat(900)]
    {
        let refused = AtNats::log_in(&bench, &agent.id, token).await.err();
        assert_eq!(refused, Some(ConnectErrorKind::AuthorizationViolation), "{token:?}");
    }
    // Who is nobody, who uses the token as a name, and who takes the services' names.
    for options in [
        ConnectOptions::new(),
        ConnectOptions::with_user_and_password(agent.token.clone(), String::new()),
        ConnectOptions::with_user_and_password("posthouse".to_owned(), agent.token.clone()),
        ConnectOptions::with_user_and_password("posthouse-system".to_owned(), agent.token.clone()),
    ] {
        let refused = options.connect(&bench.nats.url).await.err().map(|it| it.kind());
        assert_eq!(refused, Some(ConnectErrorKind::AuthorizationViolation));
    }
    AtNats::of(&agent).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_disconnected_and_others_are_not() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let second = gateway::token::generate().unwrap();
    let hash = bus::token_hash(&second);
    bench.store.writer.add_token(&NewToken::whole(&hash, &agent.id)).await.unwrap();
    let revoked = AtNats::log_in(&bench, &agent.id, &second).await.unwrap();
    let kept = AtNats::of(&agent).await;
    revoked.ask("account.get", &json!({})).await.unwrap();

    assert!(bench.store.writer.revoke_token(&agent.id, &hash).await.unwrap());
    eventually(|| async { revoked.client.connection_state() != State::Connected }).await;
    let refused = AtNats::log_in(&bench, &agent.id, &second).await.err();
    assert_eq!(refused, Some(ConnectErrorKind::AuthorizationViolation));
    assert_eq!(kept.client.connection_state(), State::Connected);
    kept.ask("account.get", &json!({})).await.unwrap();
    bench.stop().await;
}

/// Nobody was there to hear of it.
#[tokio::test]
async fn a_token_revoked_meanwhile_is_disconnected_at_the_start() {
    let mut bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let (id, token) = (agent.id.clone(), agent.token.clone());
    let at_nats = AtNats::of(&agent).await;
    bench.end_gateway().await;
    assert!(bench.store.writer.revoke_token(&id, &bus::token_hash(&token)).await.unwrap());
    assert_eq!(at_nats.client.connection_state(), State::Connected);
    bench.start_gateway().await;
    eventually(|| async { at_nats.client.connection_state() != State::Connected }).await;
    bench.stop().await;
}

#[tokio::test]
async fn without_a_gateway_nobody_gets_in_and_who_is_in_stays() {
    let mut bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let (id, token) = (agent.id.clone(), agent.token.clone());
    let at_nats = AtNats::of(&agent).await;
    let mut events = at_nats.client.subscribe(format!("mail.v1.event.{id}.>")).await.unwrap();
    bench.end_gateway().await;

    assert_eq!(AtNats::log_in(&bench, &id, &token).await.err(), Some(ConnectErrorKind::Io));
    let subject = format!("mail.v1.send.{id}.{}", inbox.id);
    let ack = at_nats.client.request(subject, "{}".into()).await.unwrap();
    let ack: Value = serde_json::from_slice(&ack.payload).unwrap();
    assert_eq!(ack["stream"], "SUBMISSIONS");
    bench.announce(&inbox, Email { id: "eml_1".to_owned(), ..Email::default() }).await;
    timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap();
    // Nobody answers questions, and NATS says so at once.
    let asked =
        at_nats.client.request(format!("mail.v1.api.{}.account.get", at_nats.name), "".into());
    asked.await.unwrap_err();

    bench.start_gateway().await;
    eventually(|| async { AtNats::log_in(&bench, &id, &token).await.is_ok() }).await;
    at_nats.ask("account.get", &json!({})).await.unwrap();
    bench.stop().await;
}

/// What a question asks to have answered elsewhere is not.
#[tokio::test]
async fn an_answer_cannot_be_sent_to_somebody_else() {
    let bench = Bench::with_logins().await;
    let (agent, victim) = (bench.agent().await, bench.agent().await);
    let inbox: Inbox = victim.inbox().await;
    let (at_nats, victim_at_nats) = (AtNats::of(&agent).await, AtNats::of(&victim).await);
    let events = format!("mail.v1.event.{}.>", victim.id);
    let mut events = victim_at_nats.client.subscribe(events).await.unwrap();
    let answers = format!("_INBOX_{}.>", victim_at_nats.name);
    let mut answers = victim_at_nats.client.subscribe(answers).await.unwrap();
    victim_at_nats.client.flush().await.unwrap();

    for reply in [
        format!("mail.v1.event.{}.{}.email.received", victim.id, inbox.id),
        format!("_INBOX_{}.x", victim_at_nats.name),
        format!("mail.v1.send.{}.{}", victim.id, inbox.id),
        format!("mail.v1.api.{}.account.get", victim_at_nats.name),
        "inbound.received".to_owned(),
    ] {
        for subject in [format!("mail.v1.api.{}.account.get", at_nats.name), "$SRV.INFO".to_owned()]
        {
            let asked = at_nats.client.publish_with_reply(subject, reply.clone(), "{}".into());
            // Only `_INBOX…` is answered there, and nothing says whose that is: it is a client's.
            if !reply.starts_with("_INBOX") {
                asked.await.unwrap();
            }
        }
    }
    let forged = format!("_INBOX_{}.x", victim_at_nats.name);
    let subject = format!("mail.v1.api.{}.account.get", at_nats.name);
    at_nats.client.publish_with_reply(subject, forged, "{}".into()).await.unwrap();
    // An honest question is answered after those.
    at_nats.ask("account.get", &json!({})).await.unwrap();
    victim_at_nats.client.flush().await.unwrap();
    assert!(timeout(Duration::from_millis(300), events.next()).await.is_err());
    assert!(timeout(Duration::from_millis(1), answers.next()).await.is_err());
    assert_eq!(bench.count("SUBMISSIONS").await, 0);
    assert_eq!(bench.count("INBOUND").await, 0);

    // JetStream confirms to wherever it is asked to, with words of its own; in the account of agents,
    // and so in no stream.
    let subject = format!("mail.v1.send.{}.x", agent.id);
    let before = bench.count("EVENTS").await;
    for reply in ["inbound.received", "outbound.accepted", "$KV.directory.token.x", "dead.x"] {
        let sent = at_nats.client.publish_with_reply(subject.clone(), reply, "{}".into());
        sent.await.unwrap();
    }
    let reply = format!("mail.v1.event.{}.x.email.sent", victim.id);
    at_nats.client.publish_with_reply(subject, reply, "{}".into()).await.unwrap();
    eventually(|| async { bench.count("SUBMISSIONS").await == 5 }).await;
    for stream in ["INBOUND", "ACCEPTED", "DEAD"] {
        assert_eq!(bench.count(stream).await, 0, "{stream}");
    }
    assert_eq!(bench.count("EVENTS").await, before);
    bench.stop().await;
}

/// What narrows a token narrows its login.
#[tokio::test]
async fn a_token_for_one_inbox_has_the_subjects_of_one() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let (own, foreign) = (agent.inbox().await, agent.inbox().await);
    let narrowed = async |rights: &[Right], limits: SendLimits| {
        let token = gateway::token::generate().unwrap();
        let grant = Grant {
            rights: rights.iter().copied().collect(),
            inbox_ids: Some(vec![own.id.clone()]),
            limits,
            ..Grant::default()
        };
        let hash = bus::token_hash(&token);
        let made = NewToken { grant, ..NewToken::whole(&hash, &agent.id) };
        bench.store.writer.add_token(&made).await.unwrap();
        AtNats::log_in(&bench, &agent.id, &token).await.unwrap()
    };
    let check = async |at_nats: &AtNats, sends: &[bool; 3], hears: &[bool; 3]| {
        let inboxes = [&own.id, &foreign.id, "ibx_0"];
        for (inbox, allowed) in inboxes.iter().zip(sends) {
            let subject = format!("mail.v1.send.{}.{inbox}", agent.id);
            at_nats.client.publish(subject.clone(), "{}".into()).await.unwrap();
            assert_eq!(at_nats.is_refused(&subject).await, !allowed, "{subject}");
        }
        for (inbox, allowed) in [&own.id, &foreign.id, "*"].iter().zip(hears) {
            let subject = format!("mail.v1.event.{}.{inbox}.>", agent.id);
            let _subscription = at_nats.client.subscribe(subject.clone()).await.unwrap();
            assert_eq!(at_nats.is_refused(&subject).await, !allowed, "{subject}");
        }
        let all = format!("mail.v1.event.{}.>", agent.id);
        let _subscription = at_nats.client.subscribe(all.clone()).await.unwrap();
        assert!(at_nats.is_refused(&all).await);
    };
    let both = narrowed(&[Right::Read, Right::Send], SendLimits::default()).await;
    check(&both, &[true, false, false], &[true, false, false]).await;
    let reads = narrowed(&[Right::Read], SendLimits::default()).await;
    check(&reads, &[false; 3], &[true, false, false]).await;
    let sends = narrowed(&[Right::Send], SendLimits::default()).await;
    check(&sends, &[true, false, false], &[false; 3]).await;
    // Only the API knows whose limit it is.
    let limits = SendLimits { mails: Some(1), ..SendLimits::default() };
    let limited = narrowed(&[Right::Read, Right::Send], limits).await;
    check(&limited, &[false; 3], &[true, false, false]).await;

    // The API is one for all, and asks of each token what it may.
    let list = reads.ask("inboxes.list", &json!({})).await.unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    let refused = reads.ask("inboxes.create", &json!({})).await.unwrap_err();
    assert_eq!(refused[0], "403", "{refused}");
    let refused = reads.ask("inboxes.get", &json!({ "inboxId": foreign.id })).await.unwrap_err();
    assert_eq!(refused, json!(["404", "not_found"]));
    bench.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let token = gateway::token::generate().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let grant = Grant { expires_at: Some(now + 3_000_000), ..Grant::default() };
    let hash = bus::token_hash(&token);
    let made = NewToken { grant, ..NewToken::whole(&hash, &agent.id) };
    bench.store.writer.add_token(&made).await.unwrap();
    let at_nats = AtNats::log_in(&bench, &agent.id, &token).await.unwrap();
    eventually(|| async { at_nats.client.connection_state() != State::Connected }).await;
    let refused = AtNats::log_in(&bench, &agent.id, &token).await.err();
    assert_eq!(refused, Some(ConnectErrorKind::AuthorizationViolation));
    bench.stop().await;
}

#[tokio::test]
async fn a_login_counts_as_use_of_its_token() {
    let bench = Bench::with_logins().await;
    let whole = bench.agent().await;
    let made = whole.post("/v1/tokens", &json!({ "rights": ["send"] })).await.ok();
    let (id, token) = (made["id"].clone(), made["token"].as_str().unwrap().to_owned());
    let last_used = async || {
        let all = whole.get("/v1/tokens").await.ok();
        let all = all["data"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["id"] == id).unwrap()["lastUsedAt"].clone()
    };
    assert_eq!(last_used().await, Value::Null);
    AtNats::log_in(&bench, &whole.id, &token).await.map(drop).unwrap();
    eventually(async || last_used().await.is_string()).await;
}
