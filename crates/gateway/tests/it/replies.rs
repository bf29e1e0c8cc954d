//! Answering and passing on.

use contract::SendRequest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bench::{Agent, Answer, Bench, Inbox, content, eventually},
    send::{Running, ledger},
};

/// A mail from a list's member to the inbox and others.
fn from_sarah(inbox: &Inbox) -> String {
    format!(
        "From: Sarah <sarah@example.com>\r\nReply-To: desk@example.com\r\n\
         To: {}, bob@example.com\r\nCc: carol@example.com\r\nSubject: Lunch\r\n\
         Message-ID: <1@example.com>\r\nReferences: <0@example.com>\r\n\r\nAt noon?\r\n",
        inbox.address
    )
}

async fn post(agent: &Agent<'_>, path: &str, key: &str, body: &Value) -> Answer {
    let request = agent.request(Method::POST, path).header("Idempotency-Key", key);
    Answer::to(request.json(body)).await
}

/// The request that was handed on under this key.
async fn handed_on(bench: &Bench, ledger: &Running, key: &str) -> SendRequest {
    let find = || {
        let requests = ledger.requests.lock().unwrap();
        requests.iter().find(|it| it.idempotency_key == key).cloned()
    };
    eventually(async || find().is_some()).await;
    let submission = find().unwrap();
    let octets = bench.bus.claims().get(&submission.request).await.unwrap().unwrap();
    serde_json::from_slice(&octets).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_follows_from_the_mail() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let id = bench.deliver(&inbox, &from_sarah(&inbox)).await;
    let email = agent.get(&inbox.path(&format!("/emails/{id}"))).await.ok();
    let reply = format!("/v1/emails/{id}/reply");
    let body = json!({ "body": { "text": "Yes" }, "bcc": ["d@example.com"], "ttlSeconds": 60 });
    let sent = post(&agent, &reply, "k", &body).await.ok();
    assert_eq!(sent, json!({ "id": contract::submission_id(&inbox.id, "k"), "status": "queued" }));
    let request = handed_on(&bench, &ledger, "k").await;
    assert_eq!((&request.from, &*request.subject), (&inbox.address, "Re: Lunch"));
    assert_eq!((request.to, request.cc), (vec!["desk@example.com".to_owned()], vec![]));
    assert_eq!(request.bcc, ["d@example.com"]);
    assert_eq!(&*request.in_reply_to, "1@example.com");
    assert_eq!(request.thread_id, email["threadId"]);
    assert_eq!(request.ttl_seconds, Some(60));

    let entered = async || bench.store.reader.ledger_entry(&inbox.id, "k").await.unwrap().is_some();
    eventually(entered).await;
    assert_eq!(post(&agent, &reply, "k", &body).await.ok(), sent, "the key is honoured");
    let other = json!({ "body": { "text": "No" } });
    assert_eq!(post(&agent, &reply, "k", &other).await.ok()["bodyDiffers"], true);
    assert_eq!(ledger.requests.lock().unwrap().len(), 1);

    let all = format!("/v1/emails/{id}/reply-all");
    post(&agent, &all, "l", &json!({ "body": { "text": "Yes" } })).await.ok();
    let request = handed_on(&bench, &ledger, "l").await;
    assert_eq!(request.to, ["desk@example.com"]);
    assert_eq!(request.cc, ["bob@example.com", "carol@example.com"], "and not ourselves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_passed_on_whole_or_in_the_text() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let mail = content("Page", "See it", Some("<p>page"));
    let id = bench.deliver(&inbox, &mail).await;
    let forward = format!("/v1/emails/{id}/forward");
    post(&agent, &forward, "k", &json!({ "to": ["d@example.com"] })).await.ok();
    let request = handed_on(&bench, &ledger, "k").await;
    assert_eq!((&*request.subject, &*request.in_reply_to), ("Fwd: Page", ""));
    assert_eq!((request.to, &*request.thread_id), (vec!["d@example.com".to_owned()], ""));
    let [attachment] = request.attachments.as_slice() else { panic!("{:?}", request.attachments) };
    assert_eq!((&*attachment.filename, &*attachment.content_type), ("Page.eml", "message/rfc822"));
    assert_eq!(attachment.content, mail.as_bytes());

    let inline = json!({ "to": ["d@example.com"], "inline": true, "body": { "text": "FYI" } });
    post(&agent, &forward, "l", &inline).await.ok();
    let request = handed_on(&bench, &ledger, "l").await;
    let text = request.body.unwrap().text;
    assert!(text.starts_with("FYI\n\n---------- Forwarded message"), "{text}");
    assert!(text.contains("From: Sarah <sarah@example.com>") && text.contains("See it"), "{text}");
    assert_eq!(request.attachments[0].filename, "page.html");
    assert_eq!(request.attachments[0].content, b"<p>page");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_told() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let id = bench.deliver(&inbox, &from_sarah(&inbox)).await;
    let to_self = format!("From: {0}\r\nTo: {0}\r\nSubject: s\r\n\r\nt\r\n", inbox.address);
    let to_self = bench.deliver(&inbox, &to_self).await;
    let body = json!({ "body": { "text": "Yes" } });
    for verb in ["reply", "reply-all"] {
        let path = |id: &str| format!("/v1/emails/{id}/{verb}");
        stranger.post(&path(&id), &body).await.is(404, "not_found");
        agent.post(&path("eml_unknown"), &body).await.is(404, "not_found");
        agent.post(&path(&to_self), &body).await.is(422, "invalid_request");
        let message = agent.post(&path(&id), &json!({})).await.is(422, "invalid_request");
        assert!(message.starts_with("body"), "{message}");
        let wrong = json!({ "body": { "text": "x" }, "subject": "y" });
        let message = agent.post(&path(&id), &wrong).await.is(400, "invalid_request");
        assert!(message.contains("subject"), "{message}");
    }
    let forward = format!("/v1/emails/{id}/forward");
    let to = json!({ "to": ["d@example.com"] });
    stranger.post(&forward, &to).await.is(404, "not_found");
    let message = agent.post(&forward, &json!({})).await.is(422, "invalid_request");
    assert!(message.starts_with("to"), "{message}");
    let wrong = json!({ "to": ["d@example.com"], "subject": "y" });
    let message = agent.post(&forward, &wrong).await.is(400, "invalid_request");
    assert!(message.contains("subject"), "{message}");
    let dry = json!({ "to": ["d@example.com"], "validateOnly": true });
    let valid = agent.post(&forward, &dry).await.ok();
    assert_eq!(valid, json!({ "status": "valid", "recipients": ["d@example.com"] }));
    assert!(ledger.requests.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_not_answered_by_a_machine_unless_told_to() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let listed = from_sarah(&inbox).replace("\r\n\r\n", "\r\nList-Id: <l.example.com>\r\n\r\n");
    let id = bench.deliver(&inbox, &listed).await;
    let email = agent.get(&inbox.path(&format!("/emails/{id}"))).await.ok();
    assert_eq!(email["autoReply"]["allowed"], false, "{email}");
    let reason = email["autoReply"]["reason"].as_str().unwrap();
    assert!(reason.contains("mailing list"), "{reason}");

    let body = json!({ "body": { "text": "Yes" } });
    for verb in ["reply", "reply-all"] {
        let refused = post(&agent, &format!("/v1/emails/{id}/{verb}"), "k", &body).await;
        let message = refused.is(422, "auto_reply_refused");
        assert!(message.contains(reason) && message.contains("allowAutoReply"), "{message}");
    }
    let sent = json!({
        "from": inbox.address, "to": ["sarah@example.com"], "subject": "Re: Lunch",
        "body": { "text": "Yes" }, "inReplyTo": "<1@example.com>",
    });
    post(&agent, "/v1/emails/send", "k", &sent).await.is(422, "auto_reply_refused");
    assert_eq!(ledger.requests.lock().unwrap().len(), 0);

    // The key is free, because nothing came of it.
    let reply = format!("/v1/emails/{id}/reply");
    let allowed = json!({ "body": { "text": "Yes" }, "allowAutoReply": true });
    post(&agent, &reply, "k", &allowed).await.ok();
    assert_eq!(handed_on(&bench, &ledger, "k").await.automatic, "auto-replied");
    let by_person = json!({ "body": { "text": "Yes" }, "automatic": "no" });
    post(&agent, &reply, "l", &by_person).await.ok();
    assert_eq!(handed_on(&bench, &ledger, "l").await.automatic, "no");
    let wrong = json!({ "body": { "text": "Yes" }, "automatic": "maybe", "allowAutoReply": true });
    post(&agent, &reply, "m", &wrong).await.is(422, "invalid_request");
    let forward = json!({ "to": ["bob@example.com"], "body": { "text": "See" } });
    post(&agent, &format!("/v1/emails/{id}/forward"), "n", &forward).await.ok();

    let id = bench.deliver(&inbox, &from_sarah(&inbox).replace("<1@", "<2@")).await;
    let email = agent.get(&inbox.path(&format!("/emails/{id}"))).await.ok();
    assert_eq!(email["autoReply"], json!({ "allowed": true }));
    post(&agent, &format!("/v1/emails/{id}/reply"), "o", &body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_round_is_not_passed_on() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    let forwarded = async |times: usize| {
        let mail = format!(
            "{}Subject: s\r\n\r\nt\r\n",
            "From: a@example.com\r\nContent-Type: message/rfc822\r\n\r\n".repeat(times)
        );
        let id = bench.deliver(&inbox, &mail).await;
        let forward = json!({ "to": ["bob@example.com"], "validateOnly": true });
        agent.post(&format!("/v1/emails/{id}/forward"), &forward).await
    };
    forwarded(8).await.ok();
    forwarded(9).await.is(422, "forward_loop");
}
