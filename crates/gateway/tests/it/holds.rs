//! Held mail, policies, rules that allow and canaries, over REST.

use contract::HoldReason;
use reqwest::Method;
use serde_json::{Value, json};
use store::{Composed, Manner, NewHold, Outcome, Scrutiny, Submitted};

use crate::bench::{Agent, Answer, Bench, Inbox};

/// A held mail; returns its identifier.
pub(crate) async fn held(bench: &Bench, inbox: &Inbox, key: &str) -> String {
    let octets = b"Subject: s\r\n\r\nt\r\n".to_vec();
    let reason = |kind: &str| HoldReason { kind: kind.to_owned(), ..Default::default() };
    let hold = NewHold {
        reasons: vec![reason("secret"), reason("canary")],
        expires_after: 60_000_000,
        canary_ids: Vec::new(),
    };
    let composed = Composed {
        message: mail::parse(&octets, 100),
        octets,
        verdict: contract::Verdict::default(),
        reverse_path: inbox.address.clone(),
        forward_paths: vec!["Bob@Example.com".to_owned()],
        thread_id: None,
        send_at: 0,
        handover: contract::SubmissionAccepted::default(),
        notify: Vec::new(),
        list_id: None,
    };
    let submitted = Submitted {
        mail_id: contract::submission_id(&inbox.id, key),
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        idempotency_key: key.to_owned(),
        request_digest: String::new(),
        requested_at: 1,
        manner: Manner::default(),
        outcome: Outcome::Composed(Box::new(composed)),
        scrutiny: Scrutiny { hold: Some(hold), items: Vec::new() },
        counted_for: Vec::new(),
        lease_id: None,
    };
    bench.store.writer.enter(&[submitted]).await.unwrap()[0].email.id.clone()
}

async fn put(agent: &Agent<'_>, path: &str, body: &Value) -> Answer {
    Answer::to(agent.request(Method::PUT, path).json(body)).await
}

#[tokio::test]
async fn a_held_mail_is_decided_on_once() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let (yes, no) = (held(&bench, &inbox, "a").await, held(&bench, &inbox, "b").await);
    let path = |id: &str, verb: &str| format!("/v1/emails/{id}/{verb}");
    let waiting = agent.get("/v1/holds?state=waiting").await.ok();
    assert_eq!(waiting["data"].as_array().map(Vec::len), Some(2), "{waiting}");
    let hold = &waiting["data"][1]["hold"];
    assert_eq!(
        (&hold["state"], &hold["reasons"][0]["kind"]),
        (&json!("waiting"), &json!("secret"))
    );
    assert_eq!(stranger.get("/v1/holds").await.ok()["data"], json!([]));
    agent.get("/v1/holds?state=held").await.is(400, "invalid_request");

    for verb in ["approve", "decline"] {
        stranger.post(&path(&yes, verb), &json!({})).await.is(404, "not_found");
        agent.post(&path("eml_unknown", verb), &json!({})).await.is(404, "not_found");
        agent.post(&path(&yes, verb), &json!({ "x": 1 })).await.is(400, "invalid_request");
        let long = json!({ "reason": "x".repeat(1_001) });
        agent.post(&path(&yes, verb), &long).await.is(400, "invalid_request");
    }
    let wrong = json!({ "sha256": "00" });
    agent.post(&path(&yes, "approve"), &wrong).await.is(409, "content_differs");
    let right = json!({ "sha256": hold["sha256"], "reason": "A test key.", "allow": "domain" });
    for _ in 0..2 {
        let approved = agent.post(&path(&yes, "approve"), &right).await.ok();
        assert_eq!(approved, json!({ "id": yes, "status": "queued" }));
    }
    agent.post(&path(&yes, "decline"), &json!({})).await.is(409, "already_decided");
    let rules = agent.get("/v1/outbound-allow").await.ok();
    let rule = &rules["data"][0];
    assert_eq!(
        rules["data"].as_array().map(Vec::len),
        Some(1),
        "canaries are not allowed: {rules}"
    );
    assert_eq!((&rule["recipient"], &rule["kind"]), (&json!("example.com"), &json!("secret")));
    assert_eq!(rule["inboxId"], json!(inbox.id));

    let declined = agent.post(&path(&no, "decline"), &json!({ "reason": "No." })).await.ok();
    assert_eq!(declined["status"], "declined");
    agent.post(&path(&no, "approve"), &json!({})).await.is(409, "already_decided");
    agent.post(&path(&no, "cancel"), &json!({})).await.is(409, "not_cancellable");
    let email = agent.get(&format!("/v1/emails/{no}")).await.ok();
    let hold = &email["hold"];
    assert_eq!((&hold["state"], &hold["note"]), (&json!("declined"), &json!("No.")));
    assert_eq!(hold["decidedBy"].as_str().map(str::len), Some(12), "{hold}");
    assert!(
        hold["decidedBy"]
            .as_str()
            .is_some_and(|it| gateway::token::hash(&agent.token).starts_with(it))
    );
    assert_eq!(agent.get("/v1/holds?state=waiting").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_policy_is_the_accounts_or_an_inboxes() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let of_inbox = inbox.path("/outbound-policy");
    let default = agent.get("/v1/outbound-policy").await.ok();
    assert_eq!(default["rules"]["secrets"], Value::Null);
    let effective = json!({
        "secrets": "hold", "informationFlow": "hold", "injection": "warn", "injectionThreshold": 0.8,
        "approval": "never", "notScanned": "warn", "expiresAfterSeconds": 259_200,
    });
    assert_eq!(default["effective"], effective);
    let rules = json!({ "approval": "always", "secrets": "warn" });
    let set = put(&agent, "/v1/outbound-policy", &rules).await.ok();
    assert_eq!(
        (&set["rules"]["secrets"], &set["effective"]["approval"]),
        (&json!("warn"), &json!("always"))
    );
    let set = put(&agent, &of_inbox, &json!({ "approval": "never" })).await.ok();
    assert_eq!(
        (&set["effective"]["secrets"], &set["effective"]["approval"]),
        (&json!("warn"), &json!("never"))
    );
    let reset = agent.delete(&of_inbox).await.ok();
    assert_eq!(reset["effective"]["approval"], "always");
    put(&agent, &of_inbox, &json!({ "canaries": "off" })).await.is(400, "invalid_request");
    put(&agent, &of_inbox, &json!({ "injectionThreshold": 2 })).await.is(400, "invalid_request");
    put(&stranger, &of_inbox, &rules).await.is(404, "not_found");
    stranger.get(&of_inbox).await.is(404, "not_found");
    stranger.delete(&of_inbox).await.is(404, "not_found");
    assert_eq!(stranger.get("/v1/outbound-policy").await.ok()["effective"], effective);
}

#[tokio::test]
async fn rules_that_allow_come_and_go() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let path = "/v1/outbound-allow";
    let rule = json!({ "recipient": "Ops@Example.net", "kind": "secret", "inboxId": inbox.id, "note": "n" });
    let made = agent.post(path, &rule).await.ok();
    assert_eq!((&made["recipient"], &made["note"]), (&json!("ops@example.net"), &json!("n")));
    assert_eq!(agent.post(path, &rule).await.ok()["id"], made["id"], "it is there already");
    stranger.post(path, &rule).await.is(404, "not_found");
    for wrong in [
        json!({}),
        json!({ "recipient": "a b" }),
        json!({ "recipient": "x.test", "kind": "canary" }),
        json!({ "recipient": "x.test", "note": "x".repeat(1_001) }),
    ] {
        agent.post(path, &wrong).await.is(400, "invalid_request");
    }
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    stranger.delete(&one).await.is(404, "not_found");
    assert_eq!(stranger.get(path).await.ok()["data"], json!([]));
    agent.delete(&one).await.ok();
    agent.delete(&one).await.is(404, "not_found");
}

#[tokio::test]
async fn canaries_come_and_go() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let path = "/v1/canaries";
    let made = agent.post(path, &json!({ "label": "The wiki" })).await.ok();
    assert_eq!((&made["kind"], &made["hits"]), (&json!("api_key"), &json!(0)));
    assert!(made["token"].as_str().is_some_and(|it| it.starts_with("sk-proj-")), "{made}");
    let address = agent.post(path, &json!({ "label": "a", "kind": "address" })).await.ok();
    assert!(address["token"].as_str().is_some_and(|it| it.contains("@posthouse.localhost")));
    assert_eq!(agent.get(path).await.ok()["data"].as_array().map(Vec::len), Some(2));
    agent.post(path, &json!({ "label": " " })).await.is(400, "invalid_request");
    agent.post(path, &json!({ "label": "a", "kind": "x" })).await.is(400, "invalid_request");
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    assert_eq!(stranger.get(path).await.ok()["data"], json!([]));
    stranger.delete(&one).await.is(404, "not_found");
    agent.delete(&one).await.ok();
    agent.delete(&one).await.is(404, "not_found");
}
