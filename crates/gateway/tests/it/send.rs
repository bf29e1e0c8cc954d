//! Sending: what is published, and what is answered.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bus::{Claims, Failure, Stage};
use contract::{
    Action, DeliveryReported, Email, Event, Hold, HoldReason, RecipientReport, Rejection,
    SendRequest, Submission,
};
use reqwest::Method;
use serde_json::{Value, json};
use store::{Composed, Manner, Outcome, Rejected, Store, Submitted};
use tokio::task::JoinHandle;

use crate::bench::{Agent, Answer, Bench, Inbox, content, eventually};

/// What scanner and storage do with a request, in one: enter it into the ledger and announce it.
struct Ledger {
    store: Store,
    claims: Claims,
    rejection: Option<Rejection>,
    requests: Arc<Mutex<Vec<Submission>>>,
}

impl Stage for Ledger {
    const DURABLE: &'static str = "submission-scanner";

    type In = Submission;
    type Out = Event;

    async fn handle(&self, submission: Submission) -> Result<Event, Failure> {
        let octets = self.claims.get(&submission.request).await?.unwrap();
        let request: SendRequest = serde_json::from_slice(&octets).unwrap();
        if request.validate_only {
            return Ok(rehearsed(&submission, &request));
        }
        let outcome = match &self.rejection {
            Some(rejection) => Outcome::Rejected(Box::new(Rejected {
                rejection: rejection.clone(),
                ..Default::default()
            })),
            None => Outcome::Composed(Box::new(Composed {
                octets: b"Subject: s\r\n\r\nt\r\n".to_vec(),
                message: mail::parse(b"Subject: s\r\n\r\nt\r\n", 100),
                verdict: contract::Verdict::default(),
                reverse_path: "agent@posthouse.localhost".to_owned(),
                forward_paths: vec!["a@example.com".to_owned()],
                thread_id: None,
                send_at: 0,
                handover: contract::SubmissionAccepted::default(),
                notify: Vec::new(),
                list_id: None,
            })),
        };
        let submitted = Submitted {
            mail_id: submission.mail_id(),
            account_id: submission.account_id.clone(),
            inbox_id: submission.inbox_id.clone(),
            idempotency_key: submission.idempotency_key.clone(),
            request_digest: self.digest(&submission).await?,
            requested_at: submission.requested_at_micros,
            manner: Manner::default(),
            outcome,
            scrutiny: store::Scrutiny::default(),
            counted_for: Vec::new(),
            lease_id: Some(request.lease_id.clone()).filter(|it| !it.is_empty()),
        };
        let entered = self.store.writer.enter(&[submitted]).await;
        let entered = entered.map_err(anyhow::Error::from)?.remove(0);
        let email = entered.email;
        let is_rejected = entered.entry.rejection.is_some();
        let event = if is_rejected { "email.rejected" } else { "email.queued" };
        let (account_id, inbox_id) = (submission.account_id.clone(), submission.inbox_id.clone());
        self.requests.lock().unwrap().push(submission);
        Ok(Event {
            event_id: format!("{event}/{}", email.id),
            event: event.to_owned(),
            account_id,
            inbox_id,
            data: Some(email),
            ..Default::default()
        })
    }
}

/// What names a secret would be held.
fn rehearsed(submission: &Submission, request: &SendRequest) -> Event {
    let reason = HoldReason { kind: "secret".to_owned(), ..Default::default() };
    let is_held = request.subject.contains("secret");
    let hold = is_held.then(|| Hold { reasons: vec![reason], ..Default::default() });
    let email = Email { id: submission.mail_id(), hold, ..Default::default() };
    Event {
        event_id: format!("email.validated/{}", email.id),
        event: "email.validated".to_owned(),
        account_id: submission.account_id.clone(),
        inbox_id: submission.inbox_id.clone(),
        data: Some(email),
        ..Default::default()
    }
}

impl Ledger {
    async fn digest(&self, submission: &Submission) -> anyhow::Result<String> {
        let octets = self.claims.get(&submission.request).await?.unwrap();
        Ok(store::request_digest(Some(&serde_json::from_slice(&octets)?), &octets))
    }
}

pub(crate) struct Running {
    pub(crate) requests: Arc<Mutex<Vec<Submission>>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn ledger(bench: &Bench, rejection: Option<Rejection>) -> Running {
    let requests: Arc<Mutex<Vec<Submission>>> = Arc::default();
    let stage = Ledger {
        store: bench.store.clone(),
        claims: bench.bus.claims(),
        rejection,
        requests: Arc::clone(&requests),
    };
    let bus = bench.bus.clone();
    Running { requests, task: tokio::spawn(async move { bus.run(stage).await }) }
}

pub(crate) fn mail_from(inbox: &Inbox) -> Value {
    json!({
        "from": inbox.address, "to": ["a@example.com"], "subject": "Hello",
        "body": { "text": "Hi" },
    })
}

pub(crate) async fn send(agent: &Agent<'_>, key: &str, mail: &Value) -> Answer {
    let request = agent.request(Method::POST, "/v1/emails/send").header("Idempotency-Key", key);
    Answer::to(request.json(mail)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_can_be_read_when_its_id_is_known() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let start = Instant::now();
    let sent = agent.post("/v1/emails/send", &mail_from(&inbox)).await.ok();
    assert!(start.elapsed() < Duration::from_millis(900), "woken, not timed out");
    assert_eq!(sent["status"], "queued");
    let id = sent["id"].as_str().unwrap();
    let email = agent.get(&inbox.path(&format!("/emails/{id}"))).await.ok();
    assert_eq!(email["direction"], "outbound");

    let requests = ledger.requests.lock().unwrap();
    let [submission] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((&submission.account_id, &submission.inbox_id), (&agent.id, &inbox.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_mail_however_often_it_is_sent() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let (inbox, other) = (agent.inbox().await, agent.inbox().await);
    let ledger = ledger(&bench, None);
    let first = send(&agent, "order-17", &mail_from(&inbox)).await.ok();
    for _ in 0..3 {
        assert_eq!(send(&agent, "order-17", &mail_from(&inbox)).await.ok(), first);
    }
    let mut changed = mail_from(&inbox);
    changed["subject"] = json!("Another");
    let repeat = send(&agent, "order-17", &changed).await.ok();
    assert_eq!((&repeat["id"], &repeat["bodyDiffers"]), (&first["id"], &json!(true)));
    assert_eq!(first["id"], contract::submission_id(&inbox.id, "order-17"));
    assert_eq!(ledger.requests.lock().unwrap().len(), 1);
    let elsewhere = send(&agent, "order-17", &mail_from(&other)).await.ok();
    assert_ne!(elsewhere["id"], first["id"], "keys are compared within an inbox");
    send(&agent, "with space", &mail_from(&inbox)).await.is(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_delivery_log_is_the_owners() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let (inbox, other) = (agent.inbox().await, agent.inbox().await);
    let _ledger = ledger(&bench, None);
    let sent = send(&agent, "k", &mail_from(&inbox)).await.ok();
    let id = sent["id"].as_str().unwrap();
    let path = format!("/v1/emails/{id}/deliveries");
    eventually(async || agent.get(&path).await.status == 200).await;
    assert_eq!(agent.get(&path).await.ok(), json!({ "data": [] }));
    let recipient = RecipientReport {
        forward_path: "a@example.com".to_owned(),
        action: Action::Delayed.into(),
        status: "4.2.1".to_owned(),
        diagnostic: "450 4.2.1 later".to_owned(),
        remote_host: "mx.example.com".to_owned(),
        ..RecipientReport::default()
    };
    let report = DeliveryReported {
        mail_id: id.to_owned(),
        domain: "example.com".to_owned(),
        attempt: 1,
        attempted_at_micros: 1_000_000,
        recipients: vec![recipient],
        next_attempt_at_micros: 61_000_000,
        ..Default::default()
    };
    bench.store.writer.report(&[report]).await.unwrap();
    let log = agent.get(&path).await.ok();
    let expected = json!({ "data": [{
        "attemptedAt": "1970-01-01T00:00:01.000Z", "recipient": "a@example.com", "source": "session",
        "domain": "example.com", "attempt": 1, "action": "delayed", "status": "4.2.1",
        "diagnostic": "450 4.2.1 later", "remoteHost": "mx.example.com", "tls": null,
        "nextAttemptAt": "1970-01-01T00:01:01.000Z",
    }] });
    assert_eq!(log, expected);
    let of_inbox = format!("/emails/{id}/deliveries");
    assert_eq!(agent.get(&inbox.path(&of_inbox)).await.ok(), expected);
    agent.get(&other.path(&of_inbox)).await.is(404, "not_found");
    stranger.get(&path).await.is(404, "not_found");
    stranger.get(&inbox.path(&of_inbox)).await.is(404, "not_found");
    agent.get("/v1/emails/eml_unknown/deliveries").await.is(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_the_answer_now_and_later() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let why = Rejection { code: "injection_risk".to_owned(), message: "no".to_owned() };
    let _ledger = ledger(&bench, Some(why));
    for _ in 0..2 {
        let answer = send(&agent, "k", &mail_from(&inbox)).await;
        assert_eq!(answer.is(422, "injection_risk"), "no");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_a_pipeline_that_stands_still() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let start = Instant::now();
    let sent = send(&agent, "k", &mail_from(&inbox)).await.ok();
    assert_eq!(sent["status"], "queued");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // It was kept all the same.
    let ledger = ledger(&bench, None);
    eventually(async || ledger.requests.lock().unwrap().len() == 1).await;
    assert_eq!(send(&agent, "k", &mail_from(&inbox)).await.ok(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_mail_passes_and_a_larger_one_is_refused() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let with = |octets: usize| {
        let mut mail = mail_from(&inbox);
        let content = zeroes(octets);
        mail["attachments"] = json!([
            { "filename": "a.bin", "contentType": "application/octet-stream", "content": content },
        ]);
        mail
    };
    agent.post("/v1/emails/send", &with(3_000_000)).await.ok();
    eventually(async || ledger.requests.lock().unwrap().len() == 1).await;
    let submission = ledger.requests.lock().unwrap()[0].clone();
    let request = bench.bus.claims().get(&submission.request).await.unwrap().unwrap();
    assert_eq!(request, serde_json::to_vec(&with(3_000_000)).unwrap(), "octet for octet");
    let refused = agent.post("/v1/emails/send", &with(30_000_000)).await;
    refused.is(413, "payload_too_large");
}

/// So many zero octets, in base64.
fn zeroes(octets: usize) -> String {
    "A".repeat(octets / 3 * 4)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_anything_is_sent() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let (inbox, foreign) = (agent.inbox().await, stranger.inbox().await);
    let ledger = ledger(&bench, None);
    let with = |key: &str, value: Value| {
        let mut mail = mail_from(&inbox);
        mail[key] = value;
        mail
    };
    let refused = async |mail: Value| agent.post("/v1/emails/send", &mail).await;
    assert_eq!(refused(with("to", json!(["not an address"]))).await.status, 422);
    assert_eq!(refused(with("to", json!([]))).await.status, 422);
    refused(with("from", json!("nobody"))).await.is(422, "invalid_sender");
    refused(with("from", json!(foreign.address))).await.is(404, "not_found");
    refused(with("from", json!("x@example.com"))).await.is(404, "not_found");
    refused(with("threadId", json!("thd_unknown"))).await.is(404, "not_found");
    let message =
        refused(with("blindCopy", json!(["b@example.com"]))).await.is(400, "invalid_request");
    assert!(message.contains("blindCopy"), "{message}");
    refused(with("to", json!("a@example.com"))).await.is(400, "invalid_request");

    let received = bench.deliver(&foreign, &content("s", "t", None)).await;
    let email = stranger.get(&foreign.path(&format!("/emails/{received}"))).await.ok();
    refused(with("threadId", email["threadId"].clone())).await.is(404, "not_found");
    agent.delete(&inbox.path("")).await.ok();
    refused(mail_from(&inbox)).await.is(404, "not_found");
    assert!(ledger.requests.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let mut mail = mail_from(&inbox);
    mail["validateOnly"] = json!(true);
    mail["bcc"] = json!(["b@example.com", "a@example.com"]);
    mail["headers"] = json!({ "X-Order": "17" });
    mail["sendAt"] = json!("2020-01-01T00:00:00Z");
    let recipients = json!(["a@example.com", "b@example.com"]);
    let valid = send(&agent, "k", &mail).await.ok();
    assert_eq!(valid, json!({ "status": "valid", "recipients": recipients }));
    for (field, value) in [
        ("to", json!(["nobody"])),
        ("bcc", json!(["nobody"])),
        ("headers", json!({ "Bcc": "b@example.com" })),
        ("headers", json!({ "X-A": "v\r\nBcc: b@example.com" })),
        ("sendAt", json!("tomorrow")),
        ("sendAt", json!("2999-01-01T00:00:00Z")),
        ("ttlSeconds", json!(0)),
    ] {
        let mut wrong = mail.clone();
        wrong[field] = value;
        let message = send(&agent, "k", &wrong).await.is(422, "invalid_request");
        assert!(message.starts_with(field), "{field}: {message}");
    }
    assert!(ledger.requests.lock().unwrap().is_empty());
    let mut secret = mail.clone();
    secret["subject"] = json!("A secret");
    let valid = send(&agent, "held", &secret).await.ok();
    assert_eq!(valid["heldBecause"][0]["kind"], "secret", "{valid}");

    mail["validateOnly"] = json!(false);
    let sent = send(&agent, "k", &mail).await.ok();
    mail["validateOnly"] = json!(true);
    assert_eq!(send(&agent, "k", &mail).await.ok(), sent, "the key is used: this is what it gets");
    assert_eq!(ledger.requests.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_for_later_is_scheduled() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    let mut mail = mail_from(&inbox);
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 86_400;
    let tomorrow = store::rfc3339(i64::try_from(tomorrow).unwrap() * 1_000_000);
    mail["sendAt"] = json!(tomorrow);
    let sent = send(&agent, "k", &mail).await.ok();
    assert_eq!(sent["status"], "scheduled");
    mail["validateOnly"] = json!(true);
    assert_eq!(send(&agent, "l", &mail).await.ok()["sendAt"], tomorrow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_its_limit() {
    let config = gateway::Config { daily_email_limit: 1, ..Default::default() };
    let bench = Bench::with(config).await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    let first = send(&agent, "one", &mail_from(&inbox)).await.ok();
    let refused = send(&agent, "two", &mail_from(&inbox)).await;
    refused.is(429, "rate_limited");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(send(&agent, "one", &mail_from(&inbox)).await.ok(), first, "a repeat is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_503_without_nats() {
    let mut bench = Bench::new().await;
    let (token, inbox) = {
        let agent = bench.agent().await;
        (agent.token.clone(), agent.inbox().await)
    };
    bench.nats.kill().await.unwrap();
    eventually(async || !bench.bus.is_connected()).await;
    let request = bench.request(Method::POST, "/v1/emails/send").bearer_auth(token);
    let answer = Answer::to(request.json(&mail_from(&inbox))).await;
    answer.is(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
}
