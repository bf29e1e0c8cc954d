//! What keeps an account from sending to an address: listed, added, lifted, its own affair.

use reqwest::Method;
use serde_json::{Value, json};
use store::{Evidence, Weight};

use crate::bench::{Answer, Bench};

const PATH: &str = "/v1/suppressions";

#[tokio::test]
async fn what_a_host_said_is_listed_and_lifted() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let fact = Evidence {
        account_id: agent.id.clone(),
        address: "Bob@example.net".to_owned(),
        source: "eml_1".to_owned(),
        reason: "recipient_unknown".to_owned(),
        evidence: "550 5.1.1 no such user".to_owned(),
        weight: Weight::Fact,
    };
    bench.store.writer.note_evidence(&[fact]).await.unwrap();
    let listed = agent.get(PATH).await.ok();
    let entry = &listed["data"][0];
    assert_eq!(entry["address"], "bob@example.net");
    assert_eq!(entry["reason"], "recipient_unknown");
    assert_eq!(entry["evidence"], "550 5.1.1 no such user");
    assert_eq!(entry["emailId"], "eml_1");
    assert!(entry["expiresAt"].is_string());
    assert_eq!((&listed["hasMore"], &listed["cursor"]), (&json!(false), &Value::Null));

    let path = format!("{PATH}/BOB@example.net");
    Answer::to(agent.request(Method::DELETE, &path)).await.ok();
    Answer::to(agent.request(Method::DELETE, &path)).await.is(404, "not_found");
    assert_eq!(agent.get(PATH).await.ok()["data"], json!([]));
}

#[tokio::test]
async fn an_account_adds_its_own_and_touches_no_others() {
    let bench = Bench::new().await;
    let (one, other) = (bench.agent().await, bench.agent().await);
    let wish = json!({ "address": "Carol@Example.net", "note": "asked us not to" });
    let added = one.post(PATH, &wish).await.ok();
    assert_eq!(added["address"], "carol@example.net");
    assert_eq!((&added["reason"], &added["evidence"]), (&json!("manual"), &wish["note"]));
    assert_eq!((&added["emailId"], &added["expiresAt"]), (&Value::Null, &Value::Null));
    assert_eq!(one.post(PATH, &wish).await.ok()["address"], added["address"]);

    assert_eq!(other.get(PATH).await.ok()["data"], json!([]));
    let path = format!("{PATH}/carol@example.net");
    Answer::to(other.request(Method::DELETE, &path)).await.is(404, "not_found");
    assert_eq!(one.get(PATH).await.ok()["data"].as_array().unwrap().len(), 1);
    Answer::to(bench.request(Method::GET, PATH)).await.is(401, "authentication_error");
    one.post(PATH, &json!({ "address": "nobody" })).await.is(400, "invalid_request");
    let long = json!({ "address": "a@example.net", "note": "x".repeat(1_001) });
    one.post(PATH, &long).await.is(400, "invalid_request");
}

#[tokio::test]
async fn the_record_of_an_address_says_who_lifted_what() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let path = format!("{PATH}/carol@example.net");
    let unknown = agent.get(&path).await.ok();
    assert_eq!((&unknown["suppression"], &unknown["history"]), (&Value::Null, &json!([])));
    agent.post(PATH, &json!({ "address": "Carol@example.net" })).await.ok();
    let known = agent.get(&path).await.ok();
    assert_eq!(known["suppression"]["scope"], "account");
    assert_eq!(known["history"][0]["liftedBy"], Value::Null);
    Answer::to(agent.request(Method::DELETE, &path)).await.ok();
    let lifted = agent.get(&path).await.ok();
    assert_eq!(lifted["suppression"], Value::Null);
    assert_eq!(lifted["history"][0]["liftedBy"], agent.id.as_str());
    assert!(lifted["history"][0]["liftedAt"].is_string());
    assert_eq!(stranger.get(&path).await.ok()["history"], json!([]));
    agent.get(&format!("{PATH}/nobody")).await.is(400, "invalid_request");
}

#[tokio::test]
async fn what_nobody_may_send_to_is_shown_and_not_lifted_by_an_account() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    for n in 0..2 {
        let id = format!("acct_complains_{n}");
        bench.store.writer.ensure_account(&id, 1).await.unwrap();
        let complaint = Evidence {
            account_id: id,
            address: "bob@example.net".to_owned(),
            source: format!("eml_{n}/complaint"),
            reason: "complaint".to_owned(),
            evidence: "feedback report: abuse".to_owned(),
            weight: Weight::Fact,
        };
        bench.store.writer.note_evidence(&[complaint]).await.unwrap();
    }
    let bob = ["bob@example.net".to_owned()].into();
    assert_eq!(bench.store.writer.suppress_globally(&bob, 2).await.unwrap(), 1);
    let path = format!("{PATH}/bob@example.net");
    let known = agent.get(&path).await.ok();
    assert_eq!(known["suppression"]["scope"], "global");
    assert_eq!((&known["suppression"]["emailId"], &known["history"]), (&Value::Null, &json!([])));
    Answer::to(agent.request(Method::DELETE, &path)).await.is(404, "not_found");
    assert_eq!(agent.get(&path).await.ok()["suppression"]["scope"], "global");
}
