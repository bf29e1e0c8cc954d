//! Claiming, and what workers say of what they have in hand.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use store::{Claim, Lease};
use tokio::task::JoinHandle;

use crate::bench::{Agent, Answer, Bench, Inbox, content, eventually};

pub(crate) async fn claim(agent: &Agent<'_>, inbox: &Inbox, body: &Value) -> Vec<Value> {
    let answer = agent.post(&inbox.path("/claim"), body).await.ok();
    answer["data"].as_array().unwrap().clone()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

pub(crate) async fn say(agent: &Agent<'_>, lease: &Value, what: &str, body: &Value) -> Answer {
    agent.post(&format!("/v1/leases/{}/{what}", text(lease, "leaseId")), body).await
}

/// One that ends now, as no worker could ask for.
pub(crate) async fn over(bench: &Bench, inbox: &Inbox) -> Lease {
    lease_for(bench, inbox, 0).await
}

async fn lease_for(bench: &Bench, inbox: &Inbox, lease: i64) -> Lease {
    let claim = Claim {
        account_id: &inbox.account_id,
        inbox_id: &inbox.id,
        most: 1,
        lease,
        worker: "slow",
        key: None,
    };
    bench.store.writer.claim(&claim).await.unwrap().unwrap().leases.remove(0)
}

/// A mail to this inbox from somebody who wants an answer.
pub(crate) fn question(inbox: &Inbox) -> String {
    content("s", "t", None).replace("To: agent@example.com", &format!("To: {}", inbox.address))
}

/// Starts a claim and returns once the gateway holds it.
async fn held(bench: &Bench, agent: &Agent<'_>, inbox: &Inbox) -> JoinHandle<Answer> {
    let waiters = || {
        let text = bench.process.metrics.text().unwrap();
        let line = text.lines().find(|it| it.starts_with("mail_gateway_waiters"));
        line.and_then(|it| it.rsplit(' ').next()?.parse::<i64>().ok()).unwrap_or(0)
    };
    let before = waiters();
    let request = agent.request(Method::POST, &inbox.path("/claim"));
    let request = request.json(&json!({ "timeout": 25 }));
    let held = tokio::spawn(Answer::to(request));
    eventually(async || waiters() > before).await;
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_handed_out_with_its_text_and_acked() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &content("Order", "Your code is 204117", Some("<p>x"))).await;
    let asked = json!({ "max": 5, "leaseSeconds": 30, "worker": "ada" });
    let [lease] = claim(&agent, &inbox, &asked).await.try_into().unwrap();
    assert!(text(&lease, "leaseId").starts_with("lease_"));
    let read = agent.get(&format!("/v1/emails/{id}")).await.ok();
    for field in ["text", "code", "threadId", "subject", "replyText", "isRead"] {
        assert_eq!(lease["email"][field], read[field], "{field}");
    }
    assert!(lease["email"]["attachments"][0]["downloadUrl"].is_string());
    assert_eq!((text(&lease, "emailId"), text(&lease, "worker")), (&*id, "ada"));
    assert_eq!((&lease["attempt"], &lease["inboxId"]), (&json!(1), &json!(inbox.id)));
    assert_eq!(lease["threadId"], read["threadId"]);
    assert_eq!(claim(&agent, &inbox, &json!({})).await, Vec::<Value>::new());

    let shown = agent.get(&format!("/v1/leases/{}", text(&lease, "leaseId"))).await.ok();
    assert_eq!((&shown["state"], &shown["expiresAt"]), (&json!("active"), &lease["expiresAt"]));
    assert!(shown["email"].is_null());
    let longer = say(&agent, &lease, "extend", &json!({ "leaseSeconds": 600 })).await.ok();
    assert!(text(&longer, "expiresAt") > text(&lease, "expiresAt"));
    let acked = say(&agent, &lease, "ack", &json!({})).await.ok();
    assert_eq!(acked["state"], "acked");
    assert_eq!(say(&agent, &lease, "ack", &json!({})).await.ok(), acked, "once more");
    let queue = agent.get(&inbox.path("/queue")).await.ok();
    let counts = json!({ "ready": 0, "leased": 0, "delayed": 0, "setAside": 0, "acked": 1 });
    assert_eq!(queue, json!({ "inboxId": inbox.id, "maxAttempts": 5, "counts": counts }));
    // The plain list has nothing to do with it.
    let listed = agent.get(&inbox.path("/emails")).await.ok();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][0]["isRead"]),
        (&json!(id), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_woken_by_mail_nak_ack_and_expiry() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let answered = async |claim: JoinHandle<Answer>| claim.await.unwrap().ok()["data"][0].clone();

    let waiting = held(&bench, &agent, &inbox).await;
    let first = "From: a@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: s\r\n\r\n1\r\n";
    let id = bench.deliver(&inbox, first).await;
    let lease = answered(waiting).await;
    assert_eq!(text(&lease, "emailId"), id);

    let waiting = held(&bench, &agent, &inbox).await;
    say(&agent, &lease, "nak", &json!({ "reason": "busy" })).await.ok();
    let lease = answered(waiting).await;
    assert_eq!((text(&lease, "emailId"), &lease["attempt"]), (&*id, &json!(2)));

    let waiting = held(&bench, &agent, &inbox).await;
    let next = "From: a@example.com\r\nMessage-ID: <2@example.com>\r\nSubject: s\r\n\
                References: <1@example.com>\r\n\r\n2\r\n";
    let next = bench.deliver(&inbox, next).await;
    assert!(!waiting.is_finished(), "its thread is in somebody's hands");
    say(&agent, &lease, "ack", &json!({})).await.ok();
    let lease = answered(waiting).await;
    assert_eq!(text(&lease, "emailId"), next);
    say(&agent, &lease, "nak", &json!({})).await.ok();

    // These are over when they are over, and nothing has to happen.
    let lease = lease_for(&bench, &inbox, 2_000_000).await;
    let again = answered(held(&bench, &agent, &inbox).await).await;
    assert_eq!((text(&again, "emailId"), &again["attempt"]), (&*lease.email_id, &json!(3)));
    say(&agent, &again, "nak", &json!({ "delaySeconds": 2 })).await.ok();
    let lease = answered(held(&bench, &agent, &inbox).await).await;
    assert_eq!((text(&lease, "emailId"), &lease["attempt"]), (&*next, &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_gateway_gives_back_is_found() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    bench.deliver(&inbox, &content("s", "t", None)).await;
    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    let waiting = held(&bench, &agent, &inbox).await;
    let other = bench.another().await;
    let nak = format!("{other}/v1/leases/{}/nak", text(&lease, "leaseId"));
    Answer::to(bench.http.post(nak).bearer_auth(&agent.token)).await.ok();
    assert_eq!(waiting.await.unwrap().ok()["data"][0]["emailId"], lease["emailId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_in_vain_is_empty() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let start = Instant::now();
    assert_eq!(claim(&agent, &inbox, &json!({ "timeout": 1 })).await, Vec::<Value>::new());
    assert!(start.elapsed() >= Duration::from_secs(1));
    let waiting = held(&bench, &agent, &inbox).await;
    agent.delete(&inbox.path("")).await.ok();
    waiting.await.unwrap().is(404, "not_found");
    agent.post(&inbox.path("/claim"), &json!({})).await.is(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_too_often_is_set_aside_and_tried_again_on_demand() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &content("Poison", "t", None)).await;
    let set = agent.request(Method::PUT, &inbox.path("/queue")).json(&json!({ "maxAttempts": 1 }));
    assert_eq!(Answer::to(set).await.ok()["maxAttempts"], 1);
    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    say(&agent, &lease, "nak", &json!({ "reason": "cannot be read" })).await.ok();
    let aside = agent.get(&inbox.path("/set-aside")).await.ok();
    let [mail] = aside["data"].as_array().unwrap().as_slice() else { panic!("{aside}") };
    assert_eq!((text(mail, "id"), text(mail, "setAsideReason")), (&*id, "cannot be read"));
    assert!(mail["attempts"] == 1 && mail["setAsideAt"].is_string(), "{mail}");
    assert_eq!(agent.get(&inbox.path("/queue")).await.ok()["counts"]["setAside"], 1);
    assert_eq!(claim(&agent, &inbox, &json!({})).await, Vec::<Value>::new());

    let requeue = format!("/v1/emails/{id}/requeue");
    for _ in 0..2 {
        let again = agent.post(&requeue, &json!({})).await.ok();
        assert_eq!(again, json!({ "id": id, "state": "queued" }));
    }
    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    assert_eq!(lease["attempt"], 1);
    say(&agent, &lease, "ack", &json!({})).await.ok();
    agent.post(&requeue, &json!({})).await.is(409, "already_acked");
    let metrics = bench.process.metrics.text().unwrap();
    for (event, count) in [("claimed", 2), ("nacked", 1), ("acked", 1), ("set_aside", 1)] {
        let line =
            format!("mail_gateway_leases_total{{event=\"{event}\",service=\"gateway\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_what_is_wrong() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &content("s", "t", None)).await;
    for (path, method) in [
        ("/claim", Method::POST),
        ("/queue", Method::GET),
        ("/queue", Method::PUT),
        ("/set-aside", Method::GET),
    ] {
        let foreign = stranger.request(method.clone(), &inbox.path(path)).json(&json!({}));
        Answer::to(foreign).await.is(404, "not_found");
        let nobody = bench.request(method, &inbox.path(path));
        Answer::to(nobody).await.is(401, "authentication_error");
    }
    for (body, field) in [
        (json!({ "max": 0 }), "max"),
        (json!({ "leaseSeconds": 4 }), "leaseSeconds"),
        (json!({ "timeout": 26 }), "timeout"),
        (json!({ "worker": "a\u{7}" }), "worker"),
        (json!({ "most": 1 }), "body"),
    ] {
        let message = agent.post(&inbox.path("/claim"), &body).await.is(400, "invalid_request");
        assert!(message.starts_with(field), "{message}");
    }
    let wrong =
        agent.request(Method::PUT, &inbox.path("/queue")).json(&json!({ "maxAttempts": 0 }));
    Answer::to(wrong).await.is(400, "invalid_request");

    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    let path = format!("/v1/leases/{}", text(&lease, "leaseId"));
    stranger.get(&path).await.is(404, "not_found");
    agent.get("/v1/leases/lease_0").await.is(404, "not_found");
    for what in ["ack", "nak", "extend"] {
        stranger.post(&format!("{path}/{what}"), &json!({})).await.is(404, "not_found");
        agent.post(&format!("/v1/leases/lease_0/{what}"), &json!({})).await.is(404, "not_found");
    }
    let far = json!({ "delaySeconds": 86_401 });
    say(&agent, &lease, "nak", &far).await.is(400, "invalid_request");
    let wordy = json!({ "reason": "x".repeat(1_001) });
    say(&agent, &lease, "nak", &wordy).await.is(400, "invalid_request");
    let short = json!({ "leaseSeconds": 1 });
    say(&agent, &lease, "extend", &short).await.is(400, "invalid_request");
    stranger.post(&format!("/v1/emails/{id}/requeue"), &json!({})).await.is(404, "not_found");

    say(&agent, &lease, "nak", &json!({})).await.ok();
    for what in ["ack", "extend"] {
        let message = say(&agent, &lease, what, &json!({})).await.is(409, "lease_lost");
        assert!(message.contains("given back"), "{message}");
    }
    let lost = over(&bench, &inbox).await;
    for what in ["ack", "nak", "extend"] {
        let path = format!("/v1/leases/{}/{what}", lost.id);
        let message = agent.post(&path, &json!({})).await.is(409, "lease_lost");
        assert!(message.contains("expired"), "{message}");
    }
    let shown = agent.get(&format!("/v1/leases/{}", lost.id)).await.ok();
    assert_eq!(shown["state"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_is_repeated() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    for n in 0..3 {
        bench.deliver(&inbox, &content(&format!("s{n}"), "t", None)).await;
    }
    let claim = async |key: &str, worker: &str| {
        let asked = json!({ "max": 2, "worker": worker });
        let request = agent.request(Method::POST, &inbox.path("/claim")).json(&asked);
        let answer = Answer::to(request.header("Idempotency-Key", key)).await.ok();
        answer["data"].as_array().unwrap().clone()
    };
    let first = claim("1", "ada").await;
    assert_eq!(first.len(), 2);
    assert_eq!(claim("1", "ada").await, first, "with the mails, and until the same moments");
    let [third] = claim("1", "bob").await.try_into().unwrap();
    assert!(first.iter().all(|it| it["emailId"] != third["emailId"]), "his own key");
    assert_eq!(claim("2", "ada").await, Vec::<Value>::new());
    say(&agent, &first[0], "ack", &json!({})).await.ok();
    assert_eq!(claim("1", "ada").await, first[1..], "what has not ended");
    say(&agent, &first[1], "nak", &json!({})).await.ok();
    let [again] = claim("1", "ada").await.try_into().unwrap();
    assert_eq!((&again["emailId"], &again["attempt"]), (&first[1]["emailId"], &json!(2)));

    let request = agent.request(Method::POST, &inbox.path("/claim"));
    let wrong = Answer::to(request.header("Idempotency-Key", "a b")).await;
    wrong.is(400, "invalid_request");
}
