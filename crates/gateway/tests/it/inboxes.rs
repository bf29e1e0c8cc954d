//! Making and deleting inboxes, in the database and for intake.

use bus::Resolution;
use reqwest::Method;
use serde_json::{Value, json};
use store::{Created, NewInbox};

use crate::bench::{Answer, Bench, eventually};

const DOMAIN: &str = "posthouse.localhost";

#[tokio::test]
async fn an_inbox_takes_mail_from_when_it_is_answered() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let name = json!({ "displayName": "Sarah", "localPart": "Sarah.Shield" });
    let inbox = agent.post("/v1/inboxes", &name).await.ok();
    let expected = json!({
        "id": inbox["id"], "address": "sarah.shield@posthouse.localhost", "displayName": "Sarah",
        "domain": DOMAIN, "isActive": true, "emailCount": 0, "expiresAt": null,
        "createdAt": inbox["createdAt"],
    });
    assert_eq!(inbox, expected);

    let directory = bench.bus.directory();
    let resolved = directory.resolve("sarahshield@posthouse.localhost", DOMAIN).await.unwrap();
    let inbox_id = inbox["id"].as_str().unwrap().to_owned();
    assert_eq!(resolved, Resolution::Inbox { account_id: agent.id.clone(), inbox_id });
    // And of its domain, strangers hear that it is served here.
    eventually(async || {
        directory.resolve("nobody@posthouse.localhost", DOMAIN).await.unwrap()
            == Resolution::UnknownRecipient
    })
    .await;
}

#[tokio::test]
async fn a_request_without_a_body_gets_a_random_address() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = Answer::to(agent.request(Method::POST, "/v1/inboxes")).await.ok();
    let address = inbox["address"].as_str().unwrap();
    assert!(address.starts_with("agent-") && address.ends_with("@posthouse.localhost"));
    assert_eq!(inbox["displayName"], Value::Null);
    let listed = agent.get("/v1/inboxes").await.ok();
    assert_eq!(listed, json!({ "data": [inbox] }));
}

#[tokio::test]
async fn dots_and_case_make_no_difference() {
    let bench = Bench::new().await;
    let (one, other) = (bench.agent().await, bench.agent().await);
    one.post("/v1/inboxes", &json!({ "localPart": "sarah.shield" })).await.ok();
    for taken in ["sarahshield", "s.arah.shield", "SarahShield"] {
        for agent in [&one, &other] {
            let answer = agent.post("/v1/inboxes", &json!({ "localPart": taken })).await;
            answer.is(409, "address_collision");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_an_address_is_named() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let refused = async |body: Value| agent.post("/v1/inboxes", &body).await;
    refused(json!({ "localPart": "ab" })).await.is(422, "invalid_local_part");
    refused(json!({ "localPart": "postmaster" })).await.is(422, "reserved_local_part");
    refused(json!({ "domain": "example.com" })).await.is(422, "unknown_domain");
    refused(json!({ "displayName": "a\nb" })).await.is(422, "invalid_display_name");
    let message = refused(json!({ "local_part": "abc" })).await.is(400, "invalid_request");
    assert!(message.contains("local_part"), "{message}");
    refused(json!([])).await.is(400, "invalid_request");
}

#[tokio::test]
async fn deleting_is_soft_and_final_for_mail() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let email = bench.deliver(&inbox, &crate::bench::content("s", "t", None)).await;

    assert_eq!(agent.delete(&inbox.path("")).await.ok(), json!({}));
    let canonical = inbox.address.parse::<mail::Address>().unwrap().canonical();
    let resolved = bench.bus.directory().resolve(&canonical, DOMAIN).await.unwrap();
    assert_eq!(resolved, Resolution::UnknownRecipient);
    assert_eq!(agent.get(&inbox.path("")).await.ok()["isActive"], false);
    assert_eq!(agent.get("/v1/inboxes").await.ok(), json!({ "data": [] }));
    for path in ["/emails", "/emails/poll?timeout=1", "/threads", &format!("/emails/{email}")] {
        agent.get(&inbox.path(path)).await.is(404, "not_found");
    }
    // Again, as after a lost answer; and the address stays taken for the grace period.
    agent.delete(&inbox.path("")).await.ok();
    let local = inbox.address.split('@').next().unwrap();
    let again = agent.post("/v1/inboxes", &json!({ "localPart": local })).await;
    again.is(409, "address_collision");
}

#[tokio::test]
async fn a_foreign_inbox_does_not_exist() {
    let bench = Bench::new().await;
    let (owner, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = owner.inbox().await;
    for path in ["", "/emails", "/emails/poll?timeout=1", "/threads", "/emails/eml_1/raw"] {
        stranger.get(&inbox.path(path)).await.is(404, "not_found");
    }
    stranger.delete(&inbox.path("")).await.is(404, "not_found");
    assert_eq!(owner.get(&inbox.path("")).await.ok()["isActive"], true);
}

/// The gateway died after the commit, before the directory knew.
#[tokio::test]
async fn a_repeated_request_finishes_what_was_cut_short() {
    let bench = Bench::new().await;
    let (owner, stranger) = (bench.agent().await, bench.agent().await);
    let half = NewInbox {
        id: "ibx_half".to_owned(),
        account_id: owner.id.clone(),
        address: "half@posthouse.localhost".to_owned(),
        canonical: "half@posthouse.localhost".to_owned(),
        domain: DOMAIN.to_owned(),
        display_name: None,
        expires_at: None,
        max_inboxes: None,
    };
    let created = bench.store.writer.create_inbox(&half).await.unwrap();
    assert!(matches!(created, Created::Inbox(_)));

    let body = json!({ "localPart": "half" });
    stranger.post("/v1/inboxes", &body).await.is(409, "address_collision");
    assert_eq!(owner.post("/v1/inboxes", &body).await.ok()["id"], "ibx_half");
    let directory = bench.bus.directory();
    let resolved = directory.resolve(&half.canonical, DOMAIN).await.unwrap();
    assert!(matches!(resolved, Resolution::Inbox { .. }), "{resolved:?}");
    owner.post("/v1/inboxes", &body).await.is(409, "address_collision");
}

#[tokio::test]
async fn answers_503_without_nats_and_makes_nothing() {
    let mut bench = Bench::new().await;
    bench.nats.kill().await.unwrap();
    eventually(async || !bench.bus.is_connected()).await;
    let agent = bench.agent().await;
    let answer = agent.post("/v1/inboxes", &json!({})).await;
    answer.is(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(agent.get("/v1/inboxes").await.ok(), json!({ "data": [] }));
}
