//! How queues and streams stand, as the metrics tell it.

use std::{future::pending, time::Duration};

use async_nats::jetstream;
use bus::{Failure, Stage};
use contract::{MailReceived, MailScanned};

use crate::{Bench, eventually, mail};

const SOON: Duration = Duration::from_secs(60);

impl Bench {
    /// The value of a series, if it is there.
    fn value(&self, series: &str) -> Option<f64> {
        let text = self.process.metrics.text().expect("metrics");
        let line = text.lines().find_map(|it| it.strip_prefix(series)?.strip_prefix(' '));
        line.map(|it| it.parse().expect("a number"))
    }

    async fn until(&self, series: &str, is: impl Fn(Option<f64>) -> bool) {
        eventually(SOON, || async { is(self.value(series)) }).await;
    }
}

fn queue(metric: &str, stage: &str, stream: &str) -> String {
    format!(r#"mail_queue_{metric}{{stage="{stage}",stream="{stream}",service="test"}}"#)
}

/// Keeps what it gets in hand.
struct Holds;

impl Stage for Holds {
    const DURABLE: &'static str = "scanner";
    const CONCURRENCY: usize = 2;
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, _: MailReceived) -> Result<MailScanned, Failure> {
        pending().await
    }
}

#[tokio::test]
async fn a_stage_tells_what_waits_for_it_and_for_how_long() {
    let bench = Bench::new().await;
    let series = |metric: &str| queue(metric, "scanner", "INBOUND");
    for n in 0..5 {
        bench.bus.publish(mail(&format!("mail-{n}"))).await.expect("publish");
    }
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Holds).await }
    });
    bench.until(&series("unacknowledged"), |it| it == Some(2.0)).await;
    assert_eq!(bench.value(&series("pending")), Some(3.0));
    assert_eq!(bench.value(&series("redelivered")), Some(0.0));
    // It is a moment old, and gets older while it is in hand.
    let first = bench.value(&series("oldest_message_age_seconds")).expect("an age");
    assert!(first < SOON.as_secs_f64(), "{first}");
    bench.until(&series("oldest_message_age_seconds"), |it| it > Some(first + 1.0)).await;
    for (outcome, count) in [("done", 0.0), ("retried", 0.0), ("parked", 0.0)] {
        let series = format!(
            r#"mail_stage_messages_total{{outcome="{outcome}",stage="scanner",service="test"}}"#
        );
        assert_eq!(bench.value(&series), Some(count), "{outcome} is there before it happens");
    }
    bench.process.shutdown.cancel();
    stage.abort();
}

#[tokio::test]
async fn what_a_stage_that_is_down_leaves_is_seen_by_who_watches_all() {
    let bench = Bench::new().await;
    let watch = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.watch_streams().await }
    });
    bench.until(&queue("pending", "ledger", "OUTBOUND"), |it| it == Some(0.0)).await;
    bench.until(r#"mail_dead_letters{stage="scanner",service="test"}"#, |it| it == Some(0.0)).await;
    let limit = r#"mail_stream_limit_bytes{stream="DEAD",service="test"}"#;
    assert_eq!(bench.value(limit), None, "nobody has set one");

    bench.bus.publish(mail("waits")).await.expect("publish");
    let jetstream = bench.jetstream().await;
    let parked = jetstream.publish("dead.scanner", "parked".into()).await.expect("publish");
    parked.await.expect("ack");
    let dead = jetstream.get_stream("DEAD").await.expect("stream");
    let limited =
        jetstream::stream::Config { max_bytes: 4096, ..dead.cached_info().config.clone() };
    jetstream.update_stream(limited).await.expect("limit");

    bench.until(limit, |it| it == Some(4096.0)).await;
    bench.until(&queue("pending", "scanner", "INBOUND"), |it| it == Some(1.0)).await;
    bench.until(r#"mail_dead_letters{stage="scanner",service="test"}"#, |it| it == Some(1.0)).await;
    bench
        .until(r#"mail_stream_messages{stream="INBOUND",service="test"}"#, |it| it == Some(1.0))
        .await;
    let bytes = bench.value(r#"mail_stream_bytes{stream="INBOUND",service="test"}"#);
    assert!(bytes > Some(0.0), "{bytes:?}");
    let lagging = r#"mail_stream_lagging_replicas{stream="KV_DIRECTORY",service="test"}"#;
    assert_eq!(bench.value(lagging), Some(0.0));

    bench.process.shutdown.cancel();
    watch.await.expect("join").expect("watch");
}

#[tokio::test]
async fn what_cannot_be_learned_is_absent() {
    let bench = Bench::new().await;
    let watch = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.watch_streams().await }
    });
    let series = queue("pending", "rejudger", "REJUDGED");
    bench.until(&series, |it| it == Some(0.0)).await;
    bench.jetstream().await.delete_stream("REJUDGED").await.expect("delete");
    bench.until(&series, |it| it.is_none()).await;
    bench.until(r#"mail_stream_bytes{stream="REJUDGED",service="test"}"#, |it| it.is_none()).await;
    assert_eq!(
        bench.value(&queue("pending", "scanner", "INBOUND")),
        Some(0.0),
        "the others are there"
    );
    bench.process.shutdown.cancel();
    watch.await.expect("join").expect("watch");
}
