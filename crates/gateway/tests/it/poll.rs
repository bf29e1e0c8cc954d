//! The long-poll.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::bench::{Agent, Answer, Bench, Inbox, content, eventually};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

fn subjects(answer: &Value) -> Vec<String> {
    let emails = answer["data"].as_array().unwrap();
    emails.iter().map(|it| it["subject"].as_str().unwrap().to_owned()).collect()
}

/// Starts a poll and returns once the gateway holds it.
async fn held(
    bench: &Bench,
    agent: &Agent<'_>,
    inbox: &Inbox,
    query: &str,
) -> tokio::task::JoinHandle<(Answer, Instant)> {
    let before = waiters(bench);
    let request = agent.request(Method::GET, &inbox.path(&format!("/emails/poll?{query}")));
    let poll = tokio::spawn(async move { (Answer::to(request).await, Instant::now()) });
    eventually(async || waiters(bench) > before).await;
    // Past its first look, so that what wakes it is an event.
    tokio::time::sleep(Duration::from_millis(100)).await;
    poll
}

fn waiters(bench: &Bench) -> i64 {
    let text = bench.process.metrics.text().unwrap();
    let line = text.lines().find(|it| it.starts_with("mail_gateway_waiters"));
    line.and_then(|it| it.rsplit(' ').next()?.parse::<i64>().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_within_50_ms_of_the_mail_being_stored() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let mut fastest = Duration::MAX;
    for n in 0..5 {
        let poll = held(&bench, &agent, &inbox, "timeout=20").await;
        let subject = format!("Mail {n}");
        let event = bench.store_only(&inbox, &content(&subject, "Now", None)).await;
        let stored = Instant::now();
        bench.bus.publish(event).await.unwrap();
        let (answer, answered) = poll.await.unwrap();
        let answer = answer.ok();
        assert_eq!(subjects(&answer), [subject]);
        assert_eq!(answer["data"][0]["body"].as_str().unwrap().trim_end(), "Now", "text inline");
        fastest = fastest.min(answered - stored);
    }
    // Of several, because the machine may be busy with something else.
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_without_mail_ends_with_204() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    bench.deliver(&inbox, &content("Old", "t", None)).await;
    let start = Instant::now();
    let answer = agent.get(&inbox.path("/emails/poll?timeout=1")).await;
    assert_eq!((answer.status.as_u16(), answer.octets.len()), (204, 0));
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(waiters(&bench), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_arrivals_come_oldest_first() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    for subject in ["First", "Second", "Third"] {
        bench.deliver(&inbox, &content(subject, "t", None)).await;
    }
    let mut since = LONG_AGO.to_owned();
    for subject in ["First", "Second", "Third"] {
        let path = inbox.path(&format!("/emails/poll?timeout=5&since={since}"));
        let answer = agent.get(&path).await.ok();
        assert_eq!(subjects(&answer)[0], subject);
        since = answer["data"][0]["createdAt"].as_str().unwrap().to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_exact() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    bench.deliver(&inbox, &content("Your Code", "t", None)).await;
    let found = async |query: &str| {
        let path = inbox.path(&format!("/emails/poll?timeout=0&since={LONG_AGO}&{query}"));
        agent.get(&path).await.status == 200
    };
    assert!(found("from=sarah%40example.com").await);
    assert!(!found("from=Sarah%40example.com").await, "case counts, as it does for the client");
    assert!(!found("from=sarah").await);
    assert!(found("subject=r+Cod").await);
    assert!(!found("subject=code").await);
    assert!(!found("subject=%25").await, "no wildcards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_held_until_there_is_something_new() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    bench.deliver(&inbox, &content("Unwanted", "t", None)).await;
    let query = format!("timeout=20&since={LONG_AGO}");
    let path = inbox.path(&format!("/emails/poll?{query}"));
    agent.get(&path).await.ok();

    let repeat = held(&bench, &agent, &inbox, &query).await;
    assert!(!repeat.is_finished());
    bench.deliver(&inbox, &content("Wanted", "t", None)).await;
    let (answer, _) = timeout(Duration::from_secs(5), repeat).await.unwrap().unwrap();
    assert_eq!(subjects(&answer.ok()), ["Unwanted", "Wanted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_inbox_ends_the_wait() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let poll = held(&bench, &agent, &inbox, "timeout=20").await;
    agent.delete(&inbox.path("")).await.ok();
    let (answer, _) = timeout(Duration::from_secs(5), poll).await.unwrap().unwrap();
    answer.is(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_forgotten() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let poll = held(&bench, &agent, &inbox, "timeout=20").await;
    poll.abort();
    eventually(async || waiters(&bench) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_those_who_wait() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let poll = held(&bench, &agent, &inbox, "timeout=20").await;
    let start = Instant::now();
    bench.process.shutdown.cancel();
    let (answer, _) = poll.await.unwrap();
    assert_eq!(answer.status, 204);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_found_while_nats_is_away() {
    let mut bench = Bench::new().await;
    let (request, inbox) = {
        let agent = bench.agent().await;
        let inbox = agent.inbox().await;
        (agent.request(Method::GET, &inbox.path("/emails/poll?timeout=20")), inbox)
    };
    let poll = tokio::spawn(Answer::to(request));
    eventually(async || waiters(&bench) == 1).await;
    bench.nats.kill().await.unwrap();
    bench.store_only(&inbox, &content("Silent", "t", None)).await;
    let answer = timeout(Duration::from_secs(5), poll).await.unwrap().unwrap();
    assert_eq!(subjects(&answer.ok()), ["Silent"]);
}
