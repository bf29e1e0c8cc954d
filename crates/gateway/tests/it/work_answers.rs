//! Answering with a lease: acked and sent, or neither.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::{
    bench::{Agent, Answer, Bench, Inbox, eventually},
    send::{ledger, mail_from, send},
    work::{claim, over, question, say, text},
};

async fn reply(agent: &Agent<'_>, email_id: &str, body: &Value) -> Answer {
    agent.post(&format!("/v1/emails/{email_id}/reply"), body).await
}

fn with(lease_id: &str) -> Value {
    json!({ "body": { "text": "Yes" }, "leaseId": lease_id })
}

async fn acked(agent: &Agent<'_>, inbox: &Inbox) -> Value {
    agent.get(&inbox.path("/queue")).await.ok()["counts"]["acked"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_acks_and_is_given_once() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let id = bench.deliver(&inbox, &question(&inbox)).await;
    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    let lease_id = text(&lease, "leaseId");
    let dry = json!({ "body": { "text": "Yes" }, "leaseId": lease_id, "validateOnly": true });
    assert_eq!(reply(&agent, &id, &dry).await.ok()["status"], "valid");
    assert_eq!(acked(&agent, &inbox).await, 0, "a dry run does nothing");

    let sent = reply(&agent, &id, &with(lease_id)).await.ok();
    assert_eq!((&sent["status"], acked(&agent, &inbox).await), (&json!("queued"), json!(1)));
    // Who did not get the answer asks again, and needs no key for that.
    assert_eq!(reply(&agent, &id, &with(lease_id)).await.ok(), sent);
    let other = json!({ "body": { "text": "No" }, "leaseId": lease_id });
    assert_eq!(reply(&agent, &id, &other).await.ok()["bodyDiffers"], true);
    assert_eq!(ledger.requests.lock().unwrap().len(), 1);
    let state = agent.get(&format!("/v1/leases/{lease_id}")).await.ok();
    assert_eq!(state["state"], "acked");
    let mut more = mail_from(&inbox);
    more["leaseId"] = json!(lease_id);
    let message = send(&agent, "another", &more).await.is(409, "lease_lost");
    assert!(message.contains("acked"), "{message}");
    assert_eq!(ledger.requests.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_answer_acks() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    for (n, verb) in ["reply-all", "forward"].into_iter().enumerate() {
        let id = bench.deliver(&inbox, &question(&inbox)).await;
        let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
        let mut body = with(text(&lease, "leaseId"));
        if verb == "forward" {
            body["to"] = json!(["d@example.com"]);
        }
        agent.post(&format!("/v1/emails/{id}/{verb}"), &body).await.ok();
        assert_eq!(acked(&agent, &inbox).await, n + 1, "{verb}");
    }
    bench.deliver(&inbox, &question(&inbox)).await;
    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    let mut mail = mail_from(&inbox);
    mail["leaseId"] = lease["leaseId"].clone();
    agent.post("/v1/emails/send", &mail).await.ok();
    assert_eq!(acked(&agent, &inbox).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_lost_lease_nothing_is_handed_on() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let ledger = ledger(&bench, None);
    let id = bench.deliver(&inbox, &question(&inbox)).await;
    let lost = over(&bench, &inbox).await;
    let message = reply(&agent, &id, &with(&lost.id)).await.is(409, "lease_lost");
    assert!(message.contains("expired"), "{message}");
    let [second] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    reply(&agent, &id, &with(&lost.id)).await.is(409, "lease_lost");
    let dry = json!({ "body": { "text": "Yes" }, "leaseId": lost.id, "validateOnly": true });
    reply(&agent, &id, &dry).await.is(409, "lease_lost");

    let unknown = format!("lease_{}", "0".repeat(32));
    reply(&agent, &id, &with(&unknown)).await.is(409, "lease_lost");
    let message = reply(&agent, &id, &with("lease_0")).await.is(422, "invalid_request");
    assert!(message.starts_with("leaseId"), "{message}");
    let other = bench.deliver(&inbox, &question(&inbox)).await;
    let wrong = reply(&agent, &other, &with(text(&second, "leaseId"))).await;
    assert!(wrong.is(422, "invalid_request").contains(&id));
    let foreign = stranger.inbox().await;
    let mut mail = mail_from(&foreign);
    mail["leaseId"] = second["leaseId"].clone();
    stranger.post("/v1/emails/send", &mail).await.is(409, "lease_lost");
    assert!(ledger.requests.lock().unwrap().is_empty());

    say(&agent, &second, "ack", &json!({})).await.ok();
    let message = reply(&agent, &id, &with(text(&second, "leaseId"))).await.is(409, "lease_lost");
    assert!(message.contains("acked"), "{message}");
    assert!(ledger.requests.lock().unwrap().is_empty());
}

/// The gateway took it, and the ledger says no: the lease ended in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_decides_is_the_answer() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &question(&inbox)).await;
    let [lease] = claim(&agent, &inbox, &json!({})).await.try_into().unwrap();
    let asked = {
        let request = agent.request(reqwest::Method::POST, &format!("/v1/emails/{id}/reply"));
        let request = request.json(&with(text(&lease, "leaseId")));
        tokio::spawn(async move { Answer::to(request).await })
    };
    let jetstream = jetstream::new(async_nats::connect(&bench.nats.url).await.unwrap());
    eventually(async || {
        let stream = jetstream.get_stream("SUBMISSIONS").await.unwrap();
        stream.cached_info().state.messages == 1
    })
    .await;
    say(&agent, &lease, "nak", &json!({})).await.ok();
    let start = Instant::now();
    let ledger = ledger(&bench, None);
    let message = asked.await.unwrap().is(409, "lease_lost");
    assert!(message.contains("given back"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(5));
    eventually(async || ledger.requests.lock().unwrap().len() == 1).await;
    assert_eq!(acked(&agent, &inbox).await, 0);
}

/// The ledger is away: what was answered with 200 is not to be lost because of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_its_way_keeps_its_lease() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &question(&inbox)).await;
    let [lease] = claim(&agent, &inbox, &json!({ "leaseSeconds": 5 })).await.try_into().unwrap();
    let path = format!("/v1/leases/{}", text(&lease, "leaseId"));
    reply(&agent, &id, &with(text(&lease, "leaseId"))).await.ok();
    let kept = agent.get(&path).await.ok();
    assert_eq!(kept["state"], "active");
    let lasts = seconds(text(&kept, "expiresAt")) - seconds(text(&lease, "claimedAt"));
    assert!(lasts >= 60, "{lasts}");
    // One that lasts for longer is left as it is.
    let longer = say(&agent, &lease, "extend", &json!({ "leaseSeconds": 3600 })).await.ok();
    reply(&agent, &id, &with(text(&lease, "leaseId"))).await.ok();
    assert_eq!(agent.get(&path).await.ok()["expiresAt"], longer["expiresAt"]);
    let _ledger = ledger(&bench, None);
    eventually(async || acked(&agent, &inbox).await == 1).await;
}

fn seconds(time: &str) -> i64 {
    let time = time::OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339);
    time.unwrap().unix_timestamp()
}
