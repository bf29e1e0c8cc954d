//! What is delivered, to whom, how signed, in what order.

use aws_lc_rs::hmac;
use contract::WebhookDue;
use data_encoding::{BASE64, HEXLOWER};

use crate::bench::{Bench, Call, eventually};

/// As a receiver verifies it.
fn signature(secret: &str, call: &Call) -> String {
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut signed = format!("{}.{}.", call.header("webhook-id"), call.header("webhook-timestamp"));
    signed += std::str::from_utf8(&call.body).unwrap();
    format!("v1,{}", BASE64.encode(hmac::sign(&key, signed.as_bytes()).as_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_signed_and_noted() {
    let mut bench = Bench::new().await;
    let id = bench.webhook("hook", &["email.received"]).await;
    bench.start();
    bench.announce("ibx_1", "email.sent", "unwanted").await;
    bench.announce_for("acct_2", "ibx_2", "email.received", "foreign").await;
    let event_id = bench.announce("ibx_1", "email.received", "hello").await;
    eventually(async || bench.receiver.calls("hook").len() == 1).await;
    let call = bench.receiver.calls("hook").remove(0);
    assert_eq!(call.header("webhook-id"), event_id);
    assert_eq!(call.header("content-type"), "application/json");
    let secret = bench.secrets().await.secret(&id, 1);
    assert_eq!(call.header("webhook-signature"), signature(&secret, &call));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let expected = HEXLOWER.encode(hmac::sign(&key, &call.body).as_ref());
    assert_eq!(call.header("x-lobstermail-signature"), expected);
    let body = call.json();
    assert_eq!((&body["event"], &body["eventId"]), (&"email.received".into(), &event_id.into()));
    assert_eq!(body["data"]["emailId"], "eml_hello");
    assert_eq!(body["data"]["inboxId"], "ibx_1");
    eventually(async || bench.attempts(&id).await.len() == 1).await;
    let attempt = bench.attempts(&id).await.remove(0);
    assert_eq!((attempt.outcome.as_str(), attempt.status, attempt.attempt), ("delivered", 200, 1));
    assert!(bench.webhook_now(&id).await.progress.last_success_at.is_some());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_secrets_change_both_sign() {
    let mut bench = Bench::new().await;
    let id = bench.webhook("hook", &[]).await;
    let writer = bench.store.writer.clone();
    writer.rotate_webhook_secret(crate::bench::ACCOUNT, &id, i64::MAX).await.unwrap().unwrap();
    bench.start();
    bench.announce("ibx_1", "email.received", "hello").await;
    eventually(async || bench.receiver.calls("hook").len() == 1).await;
    let call = bench.receiver.calls("hook").remove(0);
    let secrets = bench.secrets().await;
    let (new, old) = (secrets.secret(&id, 2), secrets.secret(&id, 1));
    let expected = format!("{} {}", signature(&new, &call), signature(&old, &call));
    assert_eq!(call.header("webhook-signature"), expected);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_come_in_order_whatever_dies() {
    const EVENTS: usize = 300;
    let mut bench = Bench::new().await;
    let id = bench.webhook("hook", &["email.received"]).await;
    bench.start();
    bench.start();
    for n in 0..EVENTS {
        bench.announce(&format!("ibx_{}", n % 3), "email.received", &n.to_string()).await;
        if n == EVENTS / 2 {
            bench.kill();
            bench.start();
        }
    }
    eventually(async || {
        let seen: std::collections::BTreeSet<_> =
            bench.receiver.subjects("hook").into_iter().collect();
        seen.len() == EVENTS
    })
    .await;
    // At least once, and of each inbox in order, apart from what is repeated.
    for inbox in 0..3 {
        let mut newest = None;
        let mut seen: Vec<usize> = bench
            .receiver
            .subjects("hook")
            .iter()
            .map(|it| it.parse().unwrap())
            .filter(|it| it % 3 == inbox)
            .filter(|it| {
                let is_new = newest.is_none_or(|newest| *it > newest);
                newest = newest.max(Some(*it));
                is_new
            })
            .collect();
        assert_eq!(seen.len(), EVENTS / 3);
        seen.dedup();
        assert!(seen.is_sorted());
    }
    // A repeat is known by its identifier.
    let mut ids: Vec<(String, String)> = bench
        .receiver
        .calls("hook")
        .iter()
        .map(|it| (it.header("webhook-id").to_owned(), it.subject()))
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), EVENTS);
    assert_eq!(bench.store.reader.count_lanes(&id).await.unwrap(), 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_repeats_are_beside_the_order() {
    let mut bench = Bench::new().await;
    let id = bench.webhook("hook", &["email.received"]).await;
    bench.start();
    let event_id = bench.announce("ibx_1", "email.received", "hello").await;
    eventually(async || bench.attempts(&id).await.len() == 1).await;
    let sequence = bench.attempts(&id).await[0].sequence;
    let again = WebhookDue { again: sequence, ..WebhookDue::next(&id, "again-1".to_owned()) };
    bench.due(again).await;
    eventually(async || bench.receiver.calls("hook").len() == 2).await;
    let calls = bench.receiver.calls("hook");
    assert_eq!(calls[1].header("webhook-id"), event_id);
    assert_eq!(calls[0].body, calls[1].body);
    bench.due(WebhookDue { ping: true, ..WebhookDue::next(&id, "evt_ping".to_owned()) }).await;
    eventually(async || bench.attempts(&id).await.len() == 3).await;
    let calls = bench.receiver.calls("hook");
    assert_eq!(
        (calls[2].header("webhook-id"), &calls[2].json()["event"]),
        ("evt_ping", &"webhook.ping".into())
    );
    let attempts = bench.attempts(&id).await;
    assert_eq!(attempts.iter().map(|it| it.attempt).collect::<Vec<_>>(), [1, 0, 0]);
    // Another account's event is not told, whoever asks for it.
    bench.announce_for("acct_2", "ibx_2", "email.received", "foreign").await;
    let last = bench.bus.event_log().bounds().await.unwrap().last;
    bench.due(WebhookDue { again: last, ..WebhookDue::next(&id, "again-2".to_owned()) }).await;
    bench.announce("ibx_1", "email.received", "mine").await;
    eventually(async || bench.receiver.subjects("hook").contains(&"mine".to_owned())).await;
    assert!(!bench.receiver.subjects("hook").contains(&"foreign".to_owned()));
    bench.stop().await;
}
