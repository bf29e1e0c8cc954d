use std::time::Duration;

use anyhow::anyhow;
use bus::{BatchStage, Failure, Stage, Traced};
use contract::{MailReceived, MailScanned};

use crate::{Bench, Calls, eventually, mail};

const SOON: Duration = Duration::from_secs(20);

/// Does what the id of the mail says.
struct Obedient(Calls);

impl Stage for Obedient {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mail: MailReceived) -> Result<MailScanned, Failure> {
        let call = self.0.note(&mail.mail_id);
        match mail.mail_id.as_str() {
            "flaky" if call == 1 => Err(anyhow!("not yet").into()),
            "panics-once" if call == 1 => panic!("boom"),
            "panics" => panic!("boom"),
            "hopeless" => Err(Failure::Permanent(anyhow!("never"))),
            _ => Ok(MailScanned { mail_id: mail.mail_id, ..Default::default() }),
        }
    }
}

/// Publishes one mail twice under one identity and lets the stage run until so many messages came
/// out of it and were parked; returns how often the handler was called.
async fn run_with(id: &str, scanned: u64, dead: u64) -> usize {
    let bench = Bench::new().await;
    let calls = Calls::default();
    let stage = tokio::spawn({
        let (bus, calls) = (bench.bus.clone(), calls.clone());
        async move { bus.run(Obedient(calls)).await }
    });
    bench.bus.publish(mail(id)).await.expect("publish");
    bench.bus.publish(mail(id)).await.expect("publish");
    eventually(SOON, || async {
        calls.of(id) > 0
            && bench.waiting("INBOUND", "scanner").await == 0
            && bench.count("SCANNED").await == scanned
            && bench.count("DEAD").await == dead
    })
    .await;
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
    calls.of(id)
}

#[tokio::test]
async fn stores_the_output_and_acks_the_input() {
    assert_eq!(run_with("plain", 1, 0).await, 1);
}

#[tokio::test]
async fn parks_what_is_hopeless() {
    assert_eq!(run_with("hopeless", 0, 1).await, 1);
}

#[tokio::test]
async fn parks_what_makes_the_handler_panic() {
    assert_eq!(run_with("panics", 0, 1).await, 3);
}

async fn retried(id: &str) {
    let bench = Bench::new().await;
    let calls = Calls::default();
    let stage = tokio::spawn({
        let (bus, calls) = (bench.bus.clone(), calls.clone());
        async move { bus.run(Obedient(calls)).await }
    });
    bench.bus.publish(mail(id)).await.expect("publish");
    eventually(SOON, || async { calls.of(id) == 2 && bench.count("SCANNED").await == 1 }).await;
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
    assert_eq!(bench.count("DEAD").await, 0);
}

#[tokio::test]
async fn retries_a_transient_failure() {
    retried("flaky").await;
}

#[tokio::test]
async fn retries_a_panic() {
    retried("panics-once").await;
}

#[tokio::test]
async fn says_why_it_parked() {
    let bench = Bench::new().await;
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Obedient(Calls::default())).await }
    });
    bench.bus.publish(mail("hopeless")).await.expect("publish");
    eventually(SOON, || async { bench.count("DEAD").await == 1 }).await;
    let dead = bench.jetstream().await.get_stream("DEAD").await.expect("stream");
    let parked = dead.get_raw_message(1).await.expect("message");
    assert_eq!(parked.subject.as_str(), "dead.scanner");
    assert_eq!(parked.headers.get("Mail-Failure").expect("reason").as_str(), "never");
    assert_eq!(parked.headers.get("Mail-Subject").expect("subject").as_str(), "inbound.received");
    let (count, told) = bench.bus.parked(10).await.expect("look");
    assert_eq!((count, told.len()), (1, 1));
    assert_eq!((&*told[0].durable, &*told[0].subject), ("scanner", "inbound.received"));
    assert_eq!((&*told[0].failure, told[0].sequence), ("never", 1));
    assert!(told[0].parked_at_micros > 0 && told[0].size_bytes > 0);
    dead.delete_message(1).await.expect("delete");
    assert_eq!(bench.bus.parked(10).await.expect("look"), (0, Vec::new()));
    eventually(SOON, || async {
        let standings = bench.bus.pipeline().await.expect("look");
        let scanner = standings.iter().find(|it| it.durable == "scanner").expect("the scanner");
        (scanner.waiting, scanner.in_hand, scanner.done) == (0, 0, 1)
    })
    .await;
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}

/// Takes batches, and fails those with a bad mail among them.
struct Picky(Calls);

impl BatchStage for Picky {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mails: Vec<Traced<MailReceived>>) -> Result<Vec<MailScanned>, Failure> {
        self.0.note(&format!("batch of {}", mails.len()));
        if mails.iter().any(|it| it.event.mail_id == "bad") {
            return Err(Failure::Permanent(anyhow!("a bad one")));
        }
        Ok(mails
            .into_iter()
            .map(|it| MailScanned { mail_id: it.event.mail_id, ..Default::default() })
            .collect())
    }
}

#[tokio::test]
async fn a_bad_mail_in_a_batch_hurts_no_other() {
    let bench = Bench::new().await;
    for n in 0..30 {
        bench.bus.publish(mail(&n.to_string())).await.expect("publish");
    }
    bench.bus.publish(mail("bad")).await.expect("publish");
    for n in 30..60 {
        bench.bus.publish(mail(&n.to_string())).await.expect("publish");
    }
    let calls = Calls::default();
    let stage = tokio::spawn({
        let (bus, calls) = (bench.bus.clone(), calls.clone());
        async move { bus.run_batches(Picky(calls)).await }
    });
    eventually(SOON, || async {
        bench.scanned().await.len() == 60 && bench.count("DEAD").await == 1
    })
    .await;
    let batches = calls.0.lock().expect("lock").clone();
    assert!(batches.iter().any(|it| it != "batch of 1"), "{batches:?}");
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}

#[tokio::test]
async fn losing_the_consumer_is_an_error() {
    let bench = Bench::new().await;
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Obedient(Calls::default())).await }
    });
    bench.bus.publish(mail("plain")).await.expect("publish");
    eventually(SOON, || async { bench.count("SCANNED").await == 1 }).await;
    let jetstream = bench.jetstream().await;
    jetstream.delete_consumer_from_stream("scanner", "INBOUND").await.expect("delete");
    let ended = tokio::time::timeout(SOON, stage).await.expect("end").expect("join");
    let err = ended.expect_err("an error");
    assert!(format!("{err:#}").contains("posthouse streams apply"), "{err:#}");
}
