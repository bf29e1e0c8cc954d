//! Webhooks, as the API has them; posthouse-webhooks has tests of its own.

use gateway::Config;
use reqwest::Method;
use serde_json::{Value, json};
use test_dns::Dns;

use crate::bench::{Agent, Answer, Bench};

async fn patch(agent: &Agent<'_>, id: &str, body: Value) -> Answer {
    Answer::to(agent.request(Method::PATCH, &format!("/v1/webhooks/{id}")).json(&body)).await
}

async fn bench() -> (Dns, Bench) {
    let dns = Dns::start("hook IN A 192.88.100.1\nhome IN A 10.0.0.1\n").await;
    let config = Config { dns: vec![dns.address], ..Config::default() };
    (dns, Bench::with(config).await)
}

#[tokio::test]
async fn a_webhook_is_made_read_changed_and_deleted() {
    let (_dns, bench) = bench().await;
    let agent = bench.agent().await;
    let url = "https://hook.test/mail";
    let made = agent.post("/v1/webhooks", &json!({ "url": url })).await.ok();
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("whk_"));
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!((&made["url"], &made["events"]), (&json!(url), &json!(["email.received"])));
    let path = format!("/v1/webhooks/{id}");
    let read = agent.get(&path).await.ok();
    assert!(read["secret"].is_null(), "it is shown once");
    assert_eq!((&read["enabled"], &read["failures"]), (&json!(true), &json!(0)));
    assert_eq!(agent.get("/v1/webhooks").await.ok(), json!({ "data": [read] }));

    let changed = patch(&agent, id, json!({ "events": ["*"], "enabled": false })).await.ok();
    assert_eq!((&changed["events"], &changed["enabled"]), (&json!(["*"]), &json!(false)));
    assert_eq!(changed["disabledReason"], "account");
    let changed = patch(&agent, id, json!({ "enabled": true, "from": "now" })).await.ok();
    assert_eq!((&changed["enabled"], &changed["disabledReason"]), (&json!(true), &Value::Null));
    patch(&agent, id, json!({ "from": "now" })).await.is(400, "invalid_request");

    let rotated = agent.post(&format!("{path}/rotate"), &json!({})).await.ok();
    assert_ne!(rotated["secret"], made["secret"]);
    assert!(rotated["previousSecretUntil"].is_string());
    assert_eq!(
        agent.get(&format!("{path}/attempts")).await.ok(),
        json!({ "data": [], "cursor": null })
    );
    assert_eq!(agent.delete(&path).await.ok(), json!({}));
    agent.get(&path).await.is(404, "not_found");
}

#[tokio::test]
async fn what_leads_inside_or_nowhere_is_refused() {
    let (_dns, bench) = bench().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    for url in [
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "https://home.test/",
        "https://none.test/",
        "https://localhost/",
        "http://hook.test/",
        "https://u:p@hook.test/",
        "hook.test",
        "",
    ] {
        let answer = agent.post("/v1/webhooks", &json!({ "url": url })).await;
        answer.is(422, "invalid_url");
    }
    let good = "https://hook.test/";
    let post = async |body: Value| agent.post("/v1/webhooks", &body).await;
    post(json!({ "url": good, "events": ["email.recieved"] })).await.is(422, "unknown_event");
    post(json!({ "url": good, "inboxId": "ibx_none" })).await.is(404, "not_found");
    post(json!({ "url": good, "evnts": [] })).await.is(400, "invalid_request");
    let made = post(json!({ "url": good, "inboxId": inbox.id })).await.ok();
    let id = made["id"].as_str().unwrap();
    patch(&agent, id, json!({ "url": "https://home.test/" })).await.is(422, "invalid_url");
    let ask = async |body: Value| agent.post(&format!("/v1/webhooks/{id}/redeliver"), &body).await;
    ask(json!({})).await.is(400, "invalid_request");
    ask(json!({ "eventId": "evt_none" })).await.is(404, "not_found");
}

#[tokio::test]
async fn another_accounts_webhook_is_none() {
    let (_dns, bench) = bench().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let made = agent.post("/v1/webhooks", &json!({ "url": "https://hook.test/" })).await.ok();
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/webhooks/{id}");
    stranger.get(&path).await.is(404, "not_found");
    stranger.get(&format!("{path}/attempts")).await.is(404, "not_found");
    patch(&stranger, id, json!({ "enabled": false })).await.is(404, "not_found");
    stranger.delete(&path).await.is(404, "not_found");
    for action in ["rotate", "ping"] {
        stranger.post(&format!("{path}/{action}"), &json!({})).await.is(404, "not_found");
    }
    let asked = json!({ "eventId": "evt_1" });
    stranger.post(&format!("{path}/redeliver"), &asked).await.is(404, "not_found");
    assert_eq!(stranger.get("/v1/webhooks").await.ok(), json!({ "data": [] }));
    assert_eq!(agent.get(&path).await.ok()["enabled"], true);
    let foreign = stranger.inbox().await;
    let asked = json!({ "url": "https://hook.test/", "inboxId": foreign.id });
    agent.post("/v1/webhooks", &asked).await.is(404, "not_found");
}
