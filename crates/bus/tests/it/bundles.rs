//! What is published at the same moment shares a message, and nothing else.

use std::time::Duration;

use anyhow::anyhow;
use async_nats::HeaderMap;
use bus::{Failure, Stage};
use contract::{Bundle, BundledMessage, Emit as _, MailReceived, MailScanned};
use futures_util::future::try_join_all;
use prost::Message as _;

use crate::{Bench, Calls, eventually, mail};

const SOON: Duration = Duration::from_secs(20);

struct Fussy(Calls);

impl Stage for Fussy {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mail: MailReceived) -> Result<MailScanned, Failure> {
        let call = self.0.note(&mail.mail_id);
        match mail.mail_id.as_str() {
            "hopeless" => Err(Failure::Permanent(anyhow!("never"))),
            "panics" => panic!("boom"),
            "flaky" if call == 1 => Err(anyhow!("not yet").into()),
            "unlucky" if call <= 3 => Err(anyhow!("not yet").into()),
            _ => Ok(MailScanned { mail_id: mail.mail_id, ..Default::default() }),
        }
    }
}

/// Publishes these mails as one bundle.
async fn bundle(bench: &Bench, ids: &[&str]) {
    let message = |id: &&str| {
        let record = mail(id).records().remove(0);
        BundledMessage { identity: record.identity, payload: record.payload.into(), trace: None }
    };
    let bundle = Bundle { messages: ids.iter().map(message).collect() };
    publish(bench, "inbound.received", ids.len(), bundle.encode_to_vec()).await;
}

async fn publish(bench: &Bench, subject: &'static str, count: usize, payload: Vec<u8>) {
    let mut headers = HeaderMap::new();
    headers.insert("Mail-Bundle", count.to_string());
    let jetstream = bench.jetstream().await;
    let ack = jetstream.publish_with_headers(subject, headers, payload.into()).await;
    ack.expect("publish").await.expect("ack");
}

/// Hands a bundle to the stage; returns which mails came out once so many did and so many are parked.
async fn run_with(ids: &[&str], done: usize, dead: u64) -> (Vec<String>, Calls) {
    let bench = Bench::new().await;
    bundle(&bench, ids).await;
    let calls = Calls::default();
    let stage = tokio::spawn({
        let (bus, calls) = (bench.bus.clone(), calls.clone());
        async move { bus.run(Fussy(calls)).await }
    });
    eventually(SOON, || async {
        bench.waiting("INBOUND", "scanner").await == 0
            && bench.scanned().await.len() >= done
            && bench.count("DEAD").await == dead
    })
    .await;
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
    (bench.scanned().await, calls)
}

#[tokio::test]
async fn everything_in_a_bundle_is_handled() {
    let (done, calls) = run_with(&["a", "b", "c"], 3, 0).await;
    assert_eq!(done, ["a", "b", "c"]);
    assert_eq!(["a", "b", "c"].map(|it| calls.of(it)), [1, 1, 1]);
}

#[tokio::test]
async fn what_is_hopeless_is_parked_alone() {
    let (done, _) = run_with(&["a", "hopeless", "b"], 2, 1).await;
    assert_eq!(done, ["a", "b"]);
}

#[tokio::test]
async fn what_panics_is_parked_alone() {
    let (done, calls) = run_with(&["a", "panics", "b"], 2, 1).await;
    assert_eq!(done, ["a", "b"]);
    assert_eq!(calls.of("panics"), 1 + 3);
}

/// What the stage depends on may have been away: that is no reason to take bundles apart.
#[tokio::test]
async fn a_bundle_is_tried_again() {
    let (done, calls) = run_with(&["a", "flaky"], 2, 0).await;
    assert_eq!(done, ["a", "flaky"]);
    assert_eq!(calls.of("flaky"), 2);
}

#[tokio::test]
async fn a_bundle_that_keeps_failing_is_taken_apart() {
    let (done, calls) = run_with(&["a", "unlucky", "b"], 3, 0).await;
    assert_eq!(done, ["a", "b", "unlucky"]);
    assert_eq!(calls.of("unlucky"), 4);
}

#[tokio::test]
async fn what_is_no_bundle_is_parked() {
    let bench = Bench::new().await;
    publish(&bench, "inbound.received", 2, b"\xff nonsense".to_vec()).await;
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Fussy(Calls::default())).await }
    });
    eventually(SOON, || async { bench.count("DEAD").await == 1 }).await;
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
    assert_eq!(bench.count("SCANNED").await, 0);
}

/// Whoever publishes at the same moment shares messages, and each is told when its own is stored.
#[tokio::test(flavor = "multi_thread")]
async fn the_busier_the_fewer_messages() {
    let bench = Bench::new().await;
    let ids: Vec<String> = (0..500).map(|it| format!("{it:03}")).collect();
    let publish = ids.iter().map(|it| bench.bus.publish(mail(it)));
    try_join_all(publish).await.expect("publish");
    let messages = bench.count("INBOUND").await;
    assert!(messages < 250, "{messages} messages for 500 mails");
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Fussy(Calls::default())).await }
    });
    eventually(SOON, || async { bench.scanned().await.len() == 500 }).await;
    assert_eq!(bench.scanned().await, ids);
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}

#[tokio::test]
async fn what_comes_alone_keeps_its_identity() {
    let bench = Bench::new().await;
    bench.bus.publish(mail("a")).await.expect("publish");
    bench.bus.publish(mail("a")).await.expect("publish");
    assert_eq!(bench.count("INBOUND").await, 1);
}

/// A full stream refuses a bundle as it refuses a message, and everybody in it hears so.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_that_the_stream_is_full() {
    let bench = Bench::new().await;
    let jetstream = bench.jetstream().await;
    let stream = jetstream.get_stream("INBOUND").await.expect("stream");
    let config = stream.cached_info().config.clone();
    let full = async_nats::jetstream::stream::Config { max_messages: 1, ..config };
    jetstream.update_stream(full).await.expect("update");
    bench.bus.publish(mail("first")).await.expect("publish");
    let ids: Vec<String> = (0..50).map(|it| it.to_string()).collect();
    for published in
        futures_util::future::join_all(ids.iter().map(|it| bench.bus.publish(mail(it)))).await
    {
        let err = published.expect_err("refuse");
        assert!(matches!(err, bus::PublishError::Full { .. }), "{err:#?}");
    }
}
