//! Reputation: the figures, and what a stopped inbox is answered.

use contract::{Action, DeliveryReported, RecipientReport};
use serde_json::{Value, json};
use store::{Brakes, Breakers, Policy};

use crate::{
    bench::{Agent, Bench, Inbox},
    send::ledger,
};

fn mail_from(inbox: &Inbox) -> Value {
    json!({
        "from": inbox.address, "to": ["a@example.com"], "subject": "Hello",
        "body": { "text": "Hi" },
    })
}

/// Sends a mail, which comes to this.
async fn send(bench: &Bench, agent: &Agent<'_>, inbox: &Inbox, action: Action) -> String {
    let _ledger = ledger(bench, None);
    let sent = agent.post("/v1/emails/send", &mail_from(inbox)).await.ok();
    let mail_id = sent["id"].as_str().unwrap().to_owned();
    let recipient = RecipientReport {
        forward_path: "a@example.com".to_owned(),
        action: action.into(),
        ..Default::default()
    };
    let report = DeliveryReported {
        mail_id: mail_id.clone(),
        domain: "example.com".to_owned(),
        attempt: 1,
        recipients: vec![recipient],
        ..Default::default()
    };
    let policy = Policy {
        breakers: Breakers::default(),
        brakes: Brakes::released(),
        is_bounce: |it| it.action() == Action::Failed,
    };
    let writer = bench.store.writer.clone().judging(policy);
    writer.report(&[report]).await.unwrap();
    mail_id
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_the_inboxes_the_domains_and_the_accounts() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let (inbox, other, foreign) =
        (agent.inbox().await, agent.inbox().await, stranger.inbox().await);
    let path = inbox.path("/reputation");
    let fresh = agent.get(&path).await.ok();
    assert_eq!((&fresh["standing"]["state"], &fresh["windowDays"]), (&json!("good"), &json!(7)));
    assert_eq!(fresh["standing"]["figures"]["score"], 100);
    assert_eq!(fresh["standing"]["countedFrom"], Value::Null);
    let made = agent.get(&inbox.path("")).await.ok();
    assert_eq!(fresh["standing"]["since"], made["createdAt"]);

    send(&bench, &agent, &inbox, Action::Failed).await;
    send(&bench, &agent, &other, Action::Delivered).await;
    send(&bench, &stranger, &foreign, Action::Delivered).await;
    let found = agent.get(&path).await.ok();
    let (own, domain) = (&found["standing"]["figures"], &found["domain"]["figures"]);
    assert_eq!(found["inboxId"], json!(inbox.id));
    assert_eq!((&own["attempted"], &own["bounced"]), (&json!(1), &json!(1)));
    assert_eq!((&own["bounceRate"], &own["score"]), (&json!(1.0), &json!(80)));
    // Strangers on the same domain are not among them.
    assert_eq!(found["domain"]["domain"], made["domain"]);
    assert_eq!((&domain["attempted"], &domain["bounceRate"]), (&json!(2), &json!(0.5)));
    assert_eq!(&found["account"], domain);
    let thresholds = &found["thresholds"];
    let expected = json!({ "warn": 0.05, "stop": 0.1, "minRecipients": 50, "min": 3 });
    assert_eq!(thresholds["bounces"], expected);
    let expected = json!({ "warn": 0.001, "stop": 0.003, "minRecipients": 300, "min": 2 });
    assert_eq!(thresholds["complaints"], expected);
    stranger.get(&path).await.is(404, "not_found");
    agent.get("/v1/inboxes/ibx_unknown/reputation").await.is(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_inbox_is_told_why_and_the_way_out() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let (inbox, other) = (agent.inbox().await, agent.inbox().await);
    let sent = send(&bench, &agent, &inbox, Action::Delivered).await;
    let row = bench.store.reader.inbox_by_id(&inbox.id).await.unwrap().unwrap();
    bench.store.writer.stop_inbox(&row, "12 of 100 bounced").await.unwrap();

    let mut dry = mail_from(&inbox);
    dry["validateOnly"] = json!(true);
    let reply = json!({ "to": ["b@example.com"], "body": { "text": "x" } });
    for (path, request) in [
        ("/v1/emails/send".to_owned(), mail_from(&inbox)),
        ("/v1/emails/send".to_owned(), dry),
        (format!("/v1/emails/{sent}/forward"), reply),
    ] {
        let message = agent.post(&path, &request).await.is(422, "inbox_stopped");
        for part in ["12 of 100 bounced", "posthouse inbox resume", &inbox.id] {
            assert!(message.contains(part), "{message}");
        }
    }
    let standing = agent.get(&inbox.path("/reputation")).await.ok()["standing"].clone();
    assert_eq!((&standing["state"], &standing["reason"]), (&json!("stopped"), &json!("operator")));
    assert_eq!(standing["explanation"], "12 of 100 bounced");
    // Nothing else is touched: not the neighbour, and not what can be read.
    send(&bench, &agent, &other, Action::Delivered).await;
    agent.get(&inbox.path("/emails")).await.ok();

    bench.store.writer.resume_inbox(&row).await.unwrap();
    send(&bench, &agent, &inbox, Action::Delivered).await;
    let standing = agent.get(&inbox.path("/reputation")).await.ok()["standing"].clone();
    assert_eq!((&standing["state"], &standing["reason"]), (&json!("good"), &Value::Null));
    assert_eq!(standing["countedFrom"], standing["since"]);
    assert_eq!(standing["figures"]["delivered"], 1, "what came before counts no more");
}
