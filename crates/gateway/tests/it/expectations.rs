//! Waiting by expectation: what is refused, and how long a request is held.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Agent, Answer, Bench, Inbox, content, eventually};

async fn expect(agent: &Agent<'_>, inbox: &Inbox, what: &Value) -> String {
    let made = agent.post(&inbox.path("/expect"), what).await;
    assert_eq!(made.status.as_u16(), 201, "{:?}", made.json());
    made.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn foreign_and_unknown_ones_do_not_exist() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let email_id = bench.deliver(&inbox, &content("Hello", "Text", None)).await;
    let id = expect(&agent, &inbox, &json!({ "kind": "any", "inReplyTo": email_id })).await;
    let path = format!("/v1/expectations/{id}");
    let shown = agent.get(&path).await.ok();
    assert!(shown["inReplyTo"].as_str().unwrap().ends_with("@example.com>"), "{shown}");
    assert_eq!(shown["candidates"], Value::Null, "absent where there are none");
    stranger.get(&path).await.is(404, "not_found");
    stranger.delete(&path).await.is(404, "not_found");
    stranger.get(&inbox.path("/expectations")).await.is(404, "not_found");
    stranger.post(&inbox.path("/expect"), &json!({ "kind": "any" })).await.is(404, "not_found");
    agent.get("/v1/expectations/exp_0?timeout=5").await.is(404, "not_found");
    let own = stranger.inbox().await;
    let foreign = json!({ "kind": "reply", "inReplyTo": email_id });
    stranger.post(&own.path("/expect"), &foreign).await.is(404, "not_found");
    agent.get(&format!("{path}?timeout=soon")).await.is(400, "invalid_request");
    agent.get(&inbox.path("/expectations?state=over")).await.is(400, "invalid_request");
    assert_eq!(agent.get(&path).await.ok(), shown);
    agent.delete(&inbox.path("")).await.ok();
    agent.post(&inbox.path("/expect"), &json!({ "kind": "any" })).await.is(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_held_until_it_is_settled() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = expect(&agent, &inbox, &json!({ "kind": "any", "timeoutSeconds": 600 })).await;
    let path = format!("/v1/expectations/{id}");
    let begun = Instant::now();
    let waits = agent.get(&format!("{path}?timeout=1")).await.ok();
    assert_eq!(waits["state"], "waiting");
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let other = bench.another().await;
    let held = |url: &str| {
        let request = bench.http.get(format!("{url}{path}?timeout=20")).bearer_auth(&agent.token);
        tokio::spawn(async move { Answer::to(request).await.ok() })
    };
    let (here, there) = (held(&bench.url), held(&other));
    eventually(async || {
        let text = bench.process.metrics.text().unwrap();
        text.lines().any(|it| it.starts_with("mail_gateway_waiters") && it.ends_with(" 1"))
    })
    .await;
    let begun = Instant::now();
    let called_off = Answer::to(agent.request(Method::DELETE, &path)).await.ok();
    assert_eq!(called_off["state"], "cancelled");
    assert_eq!(here.await.unwrap(), called_off, "woken");
    // Nobody tells the other gateway: it looks for itself.
    assert_eq!(there.await.unwrap(), called_off);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(agent.delete(&path).await.ok(), called_off, "once more changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_held_request_when_it_is_written() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = expect(&agent, &inbox, &json!({ "kind": "any", "timeoutSeconds": 2 })).await;
    // The one that storage would have ended meanwhile, and nobody did: it is held as long as was asked for.
    let begun = Instant::now();
    let waits = agent.get(&format!("/v1/expectations/{id}?timeout=3")).await.ok();
    assert_eq!(waits["state"], "waiting");
    assert!(begun.elapsed() >= Duration::from_secs(3));
    let held = {
        let request = agent.request(Method::GET, &format!("/v1/expectations/{id}?timeout=20"));
        tokio::spawn(async move { Answer::to(request).await.ok() })
    };
    bench.store.writer.expire_expectations().await.unwrap();
    assert_eq!(held.await.unwrap()["state"], "expired");
}
