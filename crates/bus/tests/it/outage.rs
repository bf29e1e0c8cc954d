use std::time::Duration;

use bus::{Bus, Failure, PublishError, Stage};
use contract::{MailReceived, MailScanned};
use service::Process;

use crate::{Bench, Calls, eventually, mail};

struct Plain(Calls);

impl Stage for Plain {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mail: MailReceived) -> Result<MailScanned, Failure> {
        self.0.note(&mail.mail_id);
        Ok(MailScanned { mail_id: mail.mail_id, ..Default::default() })
    }
}

#[tokio::test]
async fn goes_on_when_nats_is_back() {
    let mut bench = Bench::new().await;
    let calls = Calls::default();
    let stage = tokio::spawn({
        let (bus, calls) = (bench.bus.clone(), calls.clone());
        async move { bus.run(Plain(calls)).await }
    });
    bench.bus.publish(mail("before")).await.expect("publish");
    bench.nats.kill().await.expect("kill");
    eventually(Duration::from_secs(10), || async { !bench.process.health.unready().is_empty() })
        .await;
    let refused = bench.bus.publish(mail("during")).await.expect_err("refuse");
    assert!(matches!(refused, PublishError::Unavailable { .. }), "{refused}");

    bench.nats.restart().await.expect("restart");
    eventually(Duration::from_secs(20), || async { bench.bus.is_connected() }).await;
    eventually(Duration::from_secs(20), || async {
        bench.bus.publish(mail("after")).await.is_ok()
    })
    .await;
    eventually(Duration::from_secs(60), || async {
        calls.of("before") > 0
            && calls.of("after") > 0
            && bench.scanned().await == ["after", "before"]
    })
    .await;
    assert!(bench.process.health.unready().is_empty());
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}

#[tokio::test]
async fn waits_for_nats_at_the_start() {
    let mut bench = Bench::new().await;
    bench.nats.kill().await.expect("kill");
    let (url, process) = (bench.nats.url.clone(), Process::default());
    let connecting = tokio::spawn({
        let process = process.clone();
        async move { Bus::connect(&url, "late", &process).await }
    });
    eventually(Duration::from_secs(10), || async { !process.health.unready().is_empty() }).await;
    bench.nats.restart().await.expect("restart");
    let bus = tokio::time::timeout(Duration::from_secs(30), connecting).await;
    assert!(bus.expect("in time").expect("join").expect("connect").is_connected());
}

#[tokio::test]
async fn a_full_stream_refuses() {
    let bench = Bench::new().await;
    let jetstream = bench.jetstream().await;
    let stream = jetstream.get_stream("INBOUND").await.expect("stream");
    let mut config = stream.cached_info().config.clone();
    config.max_messages = 1;
    jetstream.update_stream(config).await.expect("update");
    bench.bus.publish(mail("1")).await.expect("publish");
    let refused = bench.bus.publish(mail("2")).await.expect_err("refuse");
    assert!(matches!(refused, PublishError::Full { .. }), "{refused}");
}
