//! Signing up, tokens, tiers.

use gateway::Config;
use reqwest::Method;
use serde_json::json;

use crate::bench::{Answer, Bench};

#[tokio::test]
async fn an_account_is_as_the_contract_says() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    assert!(agent.id.starts_with("acct_") && agent.token.starts_with("lm_sk_live_"));
    agent.inbox().await;

    let account = agent.get("/v1/account").await.ok();
    let expected = json!({
        "id": agent.id, "tier": 4, "tierName": "scale",
        "limits": { "maxInboxes": null, "dailyEmailLimit": 10_000, "canSend": true },
        "usage": { "inboxCount": 1, "totalEmailsReceived": 0 },
        "xVerificationPending": false,
        "createdAt": account["createdAt"], "lastActiveAt": account["lastActiveAt"],
    });
    assert_eq!(account, expected);
    assert!(account["createdAt"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn without_a_valid_token_there_is_nothing() {
    let bench = Bench::new().await;
    bench.agent().await;
    let forged = format!("lm_sk_live_{}", "A".repeat(43));
    for request in [
        bench.request(Method::GET, "/v1/account"),
        bench.request(Method::GET, "/v1/account").bearer_auth(&forged),
        bench.request(Method::GET, "/v1/account").bearer_auth(""),
        bench.request(Method::GET, "/v1/account").basic_auth("u", Some("p")),
        bench.request(Method::GET, &format!("/v1/account?token={forged}")),
        bench.request(Method::POST, "/v1/emails/send").body("not even JSON"),
    ] {
        let answer = Answer::to(request).await;
        answer.is(401, "authentication_error");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn tier_0_receives_only_until_it_verifies() {
    let bench = Bench::with(Config { signup_tier: 0, ..Config::default() }).await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let mail = json!({
        "from": inbox.address, "to": ["a@example.com"], "subject": "s", "body": { "text": "t" },
    });
    agent.post("/v1/emails/send", &mail).await.is(403, "insufficient_tier");
    for _ in 1..5 {
        agent.inbox().await;
    }
    let message = agent.post("/v1/inboxes", &json!({})).await.is(403, "insufficient_tier");
    assert!(message.contains('5'), "{message}");

    let verified = agent.post("/v1/verify/x", &json!({ "handle": "@sarah" })).await.ok();
    assert_eq!(verified, json!({ "status": "verified" }));
    let account = agent.get("/v1/account").await.ok();
    assert_eq!((&account["tier"], &account["tierName"]), (&json!(1), &json!("free_verified")));
    assert_eq!(account["limits"]["canSend"], true);
    // Verifying again, without a body, lowers nothing.
    Answer::to(agent.request(Method::POST, "/v1/verify/x")).await.ok();
}

#[tokio::test]
async fn an_operator_can_close_the_door() {
    let bench = Bench::with(Config { signup_enabled: false, ..Config::default() }).await;
    Answer::to(bench.request(Method::POST, "/v1/signup")).await.is(422, "signup_disabled");
}

#[tokio::test]
async fn signups_are_limited() {
    let bench = Bench::with(Config { signups_per_minute: 2, ..Config::default() }).await;
    bench.agent().await;
    bench.agent().await;
    let refused = Answer::to(bench.request(Method::POST, "/v1/signup")).await;
    refused.is(429, "rate_limited");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
}
