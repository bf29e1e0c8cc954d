//! What is not taken is tried again; what waits for it waits; what gives up is said.

use contract::WebhookDue;
use store::{Switch, WebhookChange};
use webhooks::Config;

use crate::bench::{ACCOUNT, Answer, Bench, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_waits_for_its_event_and_others_go_on() {
    let mut bench = Bench::new().await;
    let id = bench.webhook("hook", &["email.received"]).await;
    let failures = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(2));
    bench.receiver.answer(move |_, call| {
        use std::sync::atomic::Ordering::SeqCst;
        let is_poison = call.subject() == "a1";
        let fails =
            is_poison && failures.fetch_update(SeqCst, SeqCst, |it| it.checked_sub(1)).is_ok();
        Answer::Status(if fails { 500 } else { 204 })
    });
    bench.start();
    for (inbox, subject) in [("ibx_a", "a1"), ("ibx_a", "a2"), ("ibx_b", "b1"), ("ibx_a", "a3")] {
        bench.announce(inbox, "email.received", subject).await;
    }
    eventually(async || bench.receiver.subjects("hook").last().is_some_and(|it| it == "a3")).await;
    let seen = bench.receiver.subjects("hook");
    let of_a: Vec<&String> = seen.iter().filter(|it| it.starts_with('a')).collect();
    assert_eq!(of_a, ["a1", "a1", "a1", "a2", "a3"]);
    let place = |subject: &str| seen.iter().rposition(|it| it == subject).unwrap();
    assert!(place("b1") < place("a1"), "the other inbox did not wait: {seen:?}");
    eventually(async || bench.attempts(&id).await.len() == 6).await;
    let attempts = bench.attempts(&id).await;
    let of_a1: Vec<_> = attempts
        .iter()
        .filter(|it| it.sequence == 1)
        .map(|it| (it.attempt, it.outcome.as_str(), it.status, it.next_attempt_at.is_some()))
        .collect();
    assert_eq!(
        of_a1,
        [(1, "failed", 500, true), (2, "failed", 500, true), (3, "delivered", 204, false)]
    );
    assert_eq!(bench.store.reader.count_lanes(&id).await.unwrap(), 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_given_up_and_the_inbox_goes_on() {
    let mut bench = Bench::with(Config { retry_seconds: vec![1], ..Config::default() }).await;
    let id = bench.webhook("hook", &["email.received"]).await;
    bench
        .receiver
        .answer(|_, call| Answer::Status(if call.subject() == "bad" { 400 } else { 200 }));
    bench.start();
    bench.announce("ibx_a", "email.received", "bad").await;
    bench.announce("ibx_a", "email.received", "good").await;
    eventually(async || bench.attempts(&id).await.len() == 3).await;
    let attempts = bench.attempts(&id).await;
    let outcomes: Vec<&str> = attempts.iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["failed", "given_up", "delivered"]);
    bench.stop().await;
}

/// Ten failures in a row, and the time is over at once in this configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_takes_nothing_is_disabled_and_can_be_enabled() {
    let config =
        Config { retry_seconds: vec![1; 20], disable_after_seconds: 1, ..Config::default() };
    let mut bench = Bench::with(config).await;
    let id = bench.webhook("hook", &["email.received"]).await;
    bench.receiver.answer(|_, _| Answer::Status(503));
    bench.start();
    for n in 0..10 {
        bench.announce(&format!("ibx_{n}"), "email.received", &n.to_string()).await;
    }
    eventually(async || !bench.webhook_now(&id).await.enabled).await;
    assert_eq!(bench.webhook_now(&id).await.disabled_reason, "failing");
    let announced = bench.store.reader.announcements(10).await.unwrap();
    let disabled: Vec<_> = announced.iter().filter(|it| it.event == "webhook.disabled").collect();
    assert_eq!(disabled.len(), 1);
    assert!(disabled[0].data.contains(&id) && disabled[0].data.contains("failing"));

    let before = bench.receiver.calls("hook").len();
    bench.announce("ibx_0", "email.received", "while it is off").await;
    bench.receiver.answer(|_, _| Answer::Status(200));
    let change = WebhookChange { switch: Some(Switch::Resume), ..WebhookChange::default() };
    bench.store.writer.change_webhook(ACCOUNT, &id, &change).await.unwrap().unwrap();
    bench.due(WebhookDue::next(&id, "enabled".to_owned())).await;
    // All that was not taken, and what came meanwhile.
    eventually(async || bench.receiver.calls("hook").len() == before + 11).await;
    assert_eq!(bench.webhook_now(&id).await.progress.failures, 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_at_once_and_now_skips_what_was_missed() {
    let mut bench = Bench::new().await;
    let id = bench.webhook("hook", &["email.received"]).await;
    bench.receiver.answer(|_, _| Answer::Status(410));
    bench.start();
    bench.announce("ibx_a", "email.received", "1").await;
    eventually(async || !bench.webhook_now(&id).await.enabled).await;
    assert_eq!(bench.webhook_now(&id).await.disabled_reason, "gone");
    bench.announce("ibx_a", "email.received", "2").await;
    bench.receiver.answer(|_, _| Answer::Status(200));
    let bounds = bench.bus.event_log().bounds().await.unwrap();
    let switch = Switch::Skip { stream: bounds.stream, position: bounds.last };
    let change = WebhookChange { switch: Some(switch), ..WebhookChange::default() };
    bench.store.writer.change_webhook(ACCOUNT, &id, &change).await.unwrap().unwrap();
    bench.announce("ibx_a", "email.received", "3").await;
    eventually(async || bench.receiver.subjects("hook").contains(&"3".to_owned())).await;
    assert_eq!(bench.receiver.subjects("hook"), ["1", "3"]);
    bench.stop().await;
}
