//! Decisions on mail whose outcome is unknown.

use bus::{Failure, Stage};
use contract::{Action, DeliveryReported, OutcomeResolved, RecipientReport};
use serde_json::json;
use store::Writer;

use crate::{
    bench::Bench,
    send::{ledger, mail_from, send},
};

/// Stands in for storage.
struct Resolver(Writer);

impl Stage for Resolver {
    const DURABLE: &'static str = "resolver";
    type In = OutcomeResolved;
    type Out = ();

    async fn handle(&self, decision: OutcomeResolved) -> Result<(), Failure> {
        let resolved = self.0.resolve(&decision).await;
        resolved.map_err(|err| Failure::Transient(err.into()))?.unwrap();
        Ok(())
    }
}

/// That the answer to the end of data was lost, and the mail is held.
async fn report_unknown(bench: &Bench, mail_id: &str) {
    let recipient = RecipientReport {
        forward_path: "a@example.com".to_owned(),
        action: Action::Unknown.into(),
        status: "4.4.2".to_owned(),
        held: true,
        ..Default::default()
    };
    let report = DeliveryReported {
        mail_id: mail_id.to_owned(),
        domain: "example.com".to_owned(),
        attempt: 1,
        recipients: vec![recipient],
        ..Default::default()
    };
    bench.store.writer.report(&[report]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_decides_once() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    let (resolver, bus) = (Resolver(bench.store.writer.clone()), bench.bus.clone());
    let resolver = tokio::spawn(async move { bus.run(resolver).await });
    for (key, decision, status) in [("a", "retry", "deferred"), ("b", "sent", "sent")] {
        let sent = send(&agent, key, &mail_from(&inbox)).await.ok();
        let id = sent["id"].as_str().unwrap();
        let path = format!("/v1/emails/{id}/resolve");
        let decide = json!({ "as": decision });
        agent.post(&path, &decide).await.is(409, "not_unknown");
        report_unknown(&bench, id).await;
        stranger.post(&path, &decide).await.is(404, "not_found");
        agent.post(&path, &json!({ "as": "lost" })).await.is(400, "invalid_request");
        agent.post(&path, &json!({})).await.is(400, "invalid_request");
        let answer = agent.post(&path, &decide).await.ok();
        assert_eq!(answer, json!({ "id": id, "status": status }));
        agent.post(&path, &decide).await.is(409, "not_unknown");
    }
    agent.post("/v1/emails/eml_none/resolve", &json!({ "as": "sent" })).await.is(404, "not_found");
    resolver.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_kept_while_storage_is_away() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    let sent = send(&agent, "k", &mail_from(&inbox)).await.ok();
    let id = sent["id"].as_str().unwrap();
    report_unknown(&bench, id).await;
    let path = format!("/v1/emails/{id}/resolve");
    let answer = agent.post(&path, &json!({ "as": "sent" })).await.ok();
    assert_eq!(answer["status"], "unknown", "not yet");
    let (resolver, bus) = (Resolver(bench.store.writer.clone()), bench.bus.clone());
    let resolver = tokio::spawn(async move { bus.run(resolver).await });
    let email = inbox.path(&format!("/emails/{id}"));
    crate::bench::eventually(async || agent.get(&email).await.ok()["status"] == "sent").await;
    resolver.abort();
}
