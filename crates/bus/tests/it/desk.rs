//! What an operator does at JetStream.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use bus::{DeadFilter, Desk};
use contract::DeliveryDue;

use crate::{Bench, eventually};

async fn desk(bench: &Bench) -> Desk {
    Desk::connect(&bench.nats.url).await.expect("connect")
}

async fn park(bench: &Bench, subject: &str, identity: Option<&str>, payload: &'static str) {
    let mut headers = HeaderMap::new();
    headers.insert("Mail-Subject", subject);
    headers.insert("Mail-Failure", "it did not fit");
    if let Some(identity) = identity {
        headers.insert("Mail-Identity", identity);
    }
    let ack = bench.jetstream().await;
    let ack = ack.publish_with_headers("dead.rejudger", headers, payload.into()).await;
    ack.expect("publish").await.expect("ack");
}

#[tokio::test]
async fn a_parked_message_goes_back_before_it_leaves() {
    let bench = Bench::new().await;
    let desk = desk(&bench).await;
    park(&bench, "inbound.rejudged", Some("r/1"), "one").await;
    park(&bench, "inbound.rejudged", None, "two").await;
    let dead = desk.dead(&DeadFilter::default(), 10).await.expect("read");
    let seen: Vec<_> = dead.iter().map(|it| (it.sequence, &*it.stage, &*it.failure)).collect();
    assert_eq!(seen, [(1, "rejudger", "it did not fit"), (2, "rejudger", "it did not fit")]);
    assert_eq!(desk.dead(&DeadFilter::default(), 1).await.expect("read").len(), 1);
    let of_other = DeadFilter { stage: Some("scanner".into()), ..DeadFilter::default() };
    assert!(desk.dead(&of_other, 10).await.expect("read").is_empty());

    desk.requeue(&dead[0]).await.expect("requeue");
    assert_eq!((bench.count("REJUDGED").await, bench.count("DEAD").await), (1, 1));
    // As after a crash between the two: the stream knows it already.
    desk.requeue(&dead[0]).await.expect_err("it is not in DEAD any more");
    assert_eq!(bench.count("REJUDGED").await, 1);
    desk.drop_dead(2).await.expect("drop");
    assert_eq!((bench.count("REJUDGED").await, bench.count("DEAD").await), (1, 0));
    assert_eq!(desk.dead_at(2).await.expect("read"), None);
}

#[tokio::test]
async fn what_would_be_sent_or_read_twice_stays() {
    let bench = Bench::new().await;
    let desk = desk(&bench).await;
    park(&bench, "mail.v1.send.acct_1.ibx_1", None, "{}").await;
    park(&bench, "mail.v1.event.acct_1.ibx_1.email.sent", Some("evt"), "{}").await;
    park(&bench, "mail.v1.send.acct_1.ibx_1", Some("key"), "{}").await;
    let dead = desk.dead(&DeadFilter::default(), 10).await.expect("read");
    let why = |n: usize| desk.check_requeue(&dead[n]).map_err(|err| err.to_string());
    assert!(why(0).expect_err("no key").contains("idempotency key was not noted"));
    assert!(why(1).expect_err("an event").contains("agents would read twice"));
    desk.requeue(&dead[2]).await.expect("requeue");
    let stream = bench.jetstream().await.get_stream("SUBMISSIONS").await.expect("stream");
    let message = stream.get_raw_message(1).await.expect("message");
    assert_eq!(message.headers.get("Nats-Msg-Id").map(|it| it.as_str()), Some("key"));
    assert_eq!(bench.count("DEAD").await, 2);
}

#[tokio::test]
async fn a_stage_is_paused_and_goes_on() {
    let bench = Bench::new().await;
    let desk = desk(&bench).await;
    let paused = async |durable: &str| {
        let stages = desk.stages().await.expect("stages");
        stages.into_iter().find(|it| it.durable == durable).expect("stage").paused_for
    };
    let until = SystemTime::now() + Duration::from_secs(600);
    desk.pause("scanner", until).await.expect("pause");
    let left = paused("scanner").await.expect("it is paused");
    assert!(left > Duration::from_secs(300) && left <= Duration::from_secs(600), "{left:?}");
    assert_eq!(paused("storage").await, None);
    desk.resume("scanner").await.expect("resume");
    assert_eq!(paused("scanner").await, None);
    let err = desk.pause("nobody", until).await.expect_err("there is none");
    assert!(err.to_string().contains("there is no stage nobody: there are scanner"), "{err}");
    let clock = desk.clock().await.expect("the time");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    assert!((clock - i64::try_from(now.as_micros()).expect("in range")).abs() < 60_000_000);
}

#[tokio::test]
async fn a_delivery_that_waits_is_tried_at_once_and_once() {
    let bench = Bench::new().await;
    let desk = desk(&bench).await;
    let at = SystemTime::now() + Duration::from_secs(3_600);
    for domain in ["a.test", "b.test"] {
        let due = DeliveryDue {
            mail_id: "m".into(),
            domain: domain.into(),
            attempt: 2,
            ..Default::default()
        };
        bench.bus.publish(due.at(Some(at))).await.expect("publish");
    }
    let later = desk.later(10).await.expect("read");
    let domains: Vec<&str> = later.iter().map(|it| it.due.domain.as_str()).collect();
    assert_eq!(domains, ["a.test", "b.test"]);
    assert_eq!(desk.later(1).await.expect("read").len(), 1);

    assert!(desk.flush(&later[0], "flush/1").await.expect("flush"));
    assert!(!desk.flush(&later[0], "flush/2").await.expect("flush"), "another has its place");
    // The one is due, and nothing of it waits; the other waits as before.
    eventually(Duration::from_secs(30), || async { bench.waiting("DUE", "deliverer").await == 1 })
        .await;
    eventually(Duration::from_secs(30), || async { bench.count("DUE").await == 2 }).await;
    assert_eq!(desk.later(10).await.expect("read"), later[1..]);
    desk.forget_later(&later[1]).await.expect("forget");
    assert!(desk.later(10).await.expect("read").is_empty());
    assert_eq!(bench.waiting("DUE", "deliverer").await, 1);
}
