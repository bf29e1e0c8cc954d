//! The API by request and reply.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::join_all};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    bench::{Bench, content},
    logins::AtNats,
};

#[tokio::test]
async fn answers_are_those_of_rest() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let at_nats = AtNats::of(&agent).await;

    let made = at_nats.ask("inboxes.create", &json!({ "localPart": "by-nats" })).await.unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(made["address"].as_str().unwrap().starts_with("by-nats@"), "{made}");
    let listed = at_nats.ask("inboxes.list", &json!({})).await.unwrap();
    assert_eq!(listed, agent.get("/v1/inboxes").await.ok());

    let inbox = crate::bench::Inbox {
        account_id: agent.id.clone(),
        id: id.to_owned(),
        address: made["address"].as_str().unwrap().to_owned(),
    };
    let email = bench.deliver(&inbox, &content("Order 17", "Tomorrow at ten", None)).await;
    let asked = json!({ "inboxId": id, "emailId": email });
    let read = at_nats.ask("emails.get", &asked).await.unwrap();
    assert_eq!(read, agent.get(&inbox.path(&format!("/emails/{email}"))).await.ok());
    assert_eq!(at_nats.ask("getEmail", &asked).await.unwrap(), read);
    let found = at_nats.ask("emails.search", &json!({ "q": "tomorrow" })).await.unwrap();
    assert_eq!(found["data"][0]["id"], email, "{found}");
    let updated = json!({ "emailId": email, "addLabels": ["done"] });
    at_nats.ask("emails.update", &updated).await.unwrap();
    let labels = agent.get("/v1/labels").await.ok();
    assert_eq!(at_nats.ask("listLabels", &json!({})).await.unwrap(), labels);
    assert!(labels.to_string().contains("done"));
    at_nats.ask("inboxes.delete", &json!({ "inboxId": id })).await.unwrap();
    assert_eq!(agent.get("/v1/inboxes").await.ok()["data"], json!([]));
    bench.stop().await;
}

#[tokio::test]
async fn errors_are_those_of_rest() {
    let bench = Bench::with_logins().await;
    let (agent, other) = (bench.agent().await, bench.agent().await);
    let (inbox, foreign) = (agent.inbox().await, other.inbox().await);
    let at_nats = AtNats::of(&agent).await;
    let check = async |operation: &str, asked: Value, status: &str, error: &str| {
        let answer = at_nats.ask(operation, &asked).await.unwrap_err();
        assert_eq!(answer, json!([status, error]), "{operation} {asked}");
    };
    check("inboxes.get", json!({ "inboxId": foreign.id }), "404", "not_found").await;
    check("inboxes.get", json!({ "inboxId": "ibx_0" }), "404", "not_found").await;
    check("inboxes.get", json!({}), "400", "invalid_request").await;
    check("inboxes.get", json!({ "inboxId": "../account" }), "404", "not_found").await;
    let many = json!({ "inboxId": inbox.id, "limit": "many" });
    check("emails.list", many, "400", "invalid_request").await;
    check("inboxes.list", json!({ "colour": "red" }), "400", "invalid_request").await;
    check("inboxes.list", json!([1]), "400", "invalid_request").await;
    check("inboxes.paint", json!({}), "404", "not_found").await;
    check("signUp", json!({}), "404", "not_found").await;
    let taken = json!({ "localPart": inbox.address.split('@').next() });
    check("inboxes.create", taken, "409", "address_collision").await;
    let nobody = json!({ "from": foreign.address, "to": ["a@b.example"], "subject": "x",
                         "body": { "text": "y" } });
    let answer = at_nats.ask("emails.send", &nobody).await.unwrap_err();
    let rest = agent.post("/v1/emails/send", &nobody).await;
    assert_eq!(answer, json!([rest.status.as_str(), rest.json()["error"]]));
    bench.stop().await;
}

#[tokio::test]
async fn a_key_makes_a_request_one() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let at_nats = AtNats::of(&agent).await;
    let mail = json!({ "from": inbox.address, "to": ["a@b.example"], "subject": "x",
                       "body": { "text": "y" } });
    let mut ids = BTreeSet::new();
    for header in ["Idempotency-Key", "Nats-Msg-Id"] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(header, "order-17");
        let subject = format!("mail.v1.api.{}.emails.send", at_nats.name);
        let sent = at_nats.client.request_with_headers(subject, headers, mail.to_string().into());
        let answer: Value = serde_json::from_slice(&sent.await.unwrap().payload).unwrap();
        ids.insert(answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    bench.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_into_a_message_says_so() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let at_nats = AtNats::of(&agent).await;
    let long = "Line after line of a very long mail.\r\n".repeat(30_000);
    let email = bench.deliver(&inbox, &content("Long", &long, None)).await;
    let asked = json!({ "inboxId": inbox.id, "emailId": email });
    let answer = at_nats.ask("getRawEmail", &asked).await.unwrap_err();
    assert_eq!(answer, json!(["413", "answer_too_large"]));
    agent.get(&inbox.path(&format!("/emails/{email}"))).await.ok();
    bench.stop().await;
}

/// A question that is held is answered by what happens, and at the end of the service.
#[tokio::test]
async fn waits_and_lets_go() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let at_nats = AtNats::of(&agent).await;
    let asked = json!({ "inboxId": inbox.id, "timeout": 25, "since": "1970-01-01T00:00:00Z" });
    let wait = at_nats.ask("emails.wait", &asked);
    let mail = content("Here", "x", None);
    let deliver = bench.deliver(&inbox, &mail);
    let (answer, email) = tokio::join!(wait, deliver);
    assert_eq!(answer.unwrap()["data"][0]["id"], email);

    let asked = json!({ "timeout": 25 });
    let held = at_nats.ask("events.list", &asked).fuse();
    let mut held = std::pin::pin!(held);
    tokio::select! {
        _ = &mut held => panic!("nothing happened"),
        () = sleep(Duration::from_millis(300)) => (),
    }
    bench.process.shutdown.cancel();
    let answer = timeout(Duration::from_secs(10), held).await.expect("in time").unwrap();
    assert_eq!(answer["data"], json!([]));
    bench.stop().await;
}

#[tokio::test]
async fn one_token_has_so_many_questions_in_hand() {
    let bench = Bench::with_logins().await;
    let (agent, other) = (bench.agent().await, bench.agent().await);
    let (at_nats, others) = (AtNats::of(&agent).await, AtNats::of(&other).await);
    let asked = json!({ "timeout": 5 });
    let all = join_all((0..80).map(|_| at_nats.ask("events.list", &asked)));
    let other = async {
        // While the first are held.
        sleep(Duration::from_millis(500)).await;
        others.ask("account.get", &json!({})).await.unwrap();
    };
    let (answers, ()) = tokio::join!(all, other);
    let refused = answers.iter().filter(|it| **it == Err(json!(["429", "rate_limited"]))).count();
    assert_eq!((refused, answers.iter().filter(|it| it.is_ok()).count()), (16, 64));
    bench.stop().await;
}

/// Every operation, with every id of somebody else's.
#[tokio::test]
async fn a_foreign_id_is_unknown_to_every_operation() {
    let bench = Bench::with_logins().await;
    let (agent, other) = (bench.agent().await, bench.agent().await);
    let (own, foreign) = (agent.inbox().await, other.inbox().await);
    let email = bench.deliver(&foreign, &content("Secret", "Secret", None)).await;
    let before = other.get(&foreign.path(&format!("/emails/{email}"))).await.ok();
    let thread = before["threadId"].as_str().unwrap();
    let at_nats = AtNats::of(&agent).await;
    let info = at_nats.client.request("$SRV.INFO.posthouse", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&info.payload).unwrap();
    let mut asked = 0;
    for endpoint in info["endpoints"].as_array().unwrap() {
        let (name, path) = (&endpoint["name"], endpoint["metadata"]["path"].as_str().unwrap());
        let names: Vec<&str> =
            path.split('{').skip(1).filter_map(|it| it.split('}').next()).collect();
        for inbox in [&own.id, &foreign.id] {
            let value = |name: &str| match name {
                "inboxId" => inbox.as_str(),
                "emailId" => &email,
                "threadId" => thread,
                _ => "x",
            };
            let parameters: Value = names.iter().map(|it| (*it, value(it))).collect();
            // One's own inbox alone is nobody else's.
            if names.iter().all(|it| value(it) == own.id || value(it) == "x") {
                continue;
            }
            let answer = at_nats.ask(name.as_str().unwrap(), &parameters).await;
            let refusal = answer.expect_err(path);
            // Some look at the body first.
            assert!(refusal[0] == "404" || refusal[0] == "400", "{name}: {refusal}");
            asked += 1;
        }
    }
    assert!(asked >= 40, "{asked}");
    assert_eq!(other.get(&foreign.path(&format!("/emails/{email}"))).await.ok(), before);
    bench.stop().await;
}

/// As tools for NATS services look for them.
#[tokio::test]
async fn the_service_can_be_found() {
    let bench = Bench::with_logins().await;
    let agent = bench.agent().await;
    let at_nats = AtNats::of(&agent).await;
    at_nats.ask("account.get", &json!({})).await.unwrap();
    let mut ids = BTreeSet::new();
    for (verb, kind) in [("PING", "ping"), ("PING.posthouse", "ping"), ("INFO.posthouse", "info")] {
        let inbox = at_nats.client.new_inbox();
        let mut found = at_nats.client.subscribe(inbox.clone()).await.unwrap();
        let asked = at_nats.client.publish_with_reply(format!("$SRV.{verb}"), inbox, "".into());
        asked.await.unwrap();
        let answer = timeout(Duration::from_secs(20), found.next()).await.unwrap().unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["type"], format!("io.nats.micro.v1.{kind}_response"));
        assert_eq!(answer["name"], "posthouse");
        ids.insert(answer["id"].as_str().unwrap().to_owned());
        if kind == "info" {
            let endpoints = answer["endpoints"].as_array().unwrap();
            let create = endpoints.iter().find(|it| it["name"] == "createInbox").unwrap();
            assert_eq!(create["subject"], "mail.v1.api.*.*.createInbox");
            assert_eq!(create["metadata"]["path"], "/v1/inboxes");
            assert!(endpoints.iter().all(|it| it["name"] != "signUp"));
        }
    }
    assert_eq!(ids.len(), 1);
    bench.stop().await;
}
