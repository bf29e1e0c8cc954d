//! Where messages stand in traces, without a span being made: everything is passed on.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::anyhow;
use async_nats::jetstream::message::StreamMessage;
use bus::{Failure, Stage};
use contract::{DeliveryDue, Emit as _, MailReceived, MailScanned, Record, Trace, traceparent};
use service::current_trace;

use crate::{Bench, eventually, mail};

const SOON: Duration = Duration::from_secs(20);

fn given(n: usize) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e47{n:02x}-00f067aa0ba902b7-01")
}

/// A record that stands there.
fn traced(record: Record, n: usize) -> Record {
    let trace = Trace { traceparent: given(n), tracestate: "vendor=1".to_owned() };
    Record { trace: trace.context(), ..record }
}

fn received(n: usize) -> Record {
    traced(mail(&n.to_string()).records().remove(0), n)
}

fn field<'a>(message: &'a StreamMessage, name: &str) -> Option<&'a str> {
    message.headers.get(name).map(|it| it.as_str())
}

/// Scans a mail at the second attempt, and never a bad one. Tells where it stands as its Subject.
struct Hesitant(AtomicUsize);

impl Stage for Hesitant {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mail: MailReceived) -> Result<MailScanned, Failure> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Failure::Transient(anyhow!("not yet")));
        }
        if mail.mail_id == "99" {
            return Err(Failure::Permanent(anyhow!("never")));
        }
        let subject = current_trace().map(|it| traceparent(&it)).unwrap_or_default();
        let message = contract::Message { subject, ..Default::default() };
        Ok(MailScanned { mail_id: mail.mail_id, message: Some(message), ..Default::default() })
    }
}

#[tokio::test]
async fn each_mail_of_a_bundle_keeps_its_own() {
    let bench = Bench::new().await;
    let records: Vec<Record> = (0..20).map(received).collect();
    bench.bus.publish(records).await.expect("publish");
    bench.bus.publish(mail("in none")).await.expect("publish");
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Hesitant(AtomicUsize::new(0))).await }
    });
    eventually(SOON, async || bench.scanned().await.len() == 21).await;

    for (mail, trace) in bench.scanned_traces().await {
        let expected = match mail.mail_id.parse() {
            Ok(n) => given(n),
            Err(_) => String::new(),
        };
        assert_eq!(trace.traceparent, expected, "{mail:?}");
        assert_eq!(mail.message.expect("a message").subject, expected, "around the handler");
        assert_eq!(trace.tracestate.is_empty(), expected.is_empty());
    }
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}

#[tokio::test]
async fn what_is_parked_keeps_its_trace() {
    let bench = Bench::new().await;
    bench.bus.publish(received(99)).await.expect("publish");
    let stage = tokio::spawn({
        let bus = bench.bus.clone();
        async move { bus.run(Hesitant(AtomicUsize::new(1))).await }
    });
    eventually(SOON, async || bench.count("DEAD").await == 1).await;
    let dead = bench.jetstream().await.get_stream("DEAD").await.expect("stream");
    let parked = dead.get_raw_message(1).await.expect("message");
    assert_eq!(field(&parked, "traceparent"), Some(&*given(99)));
    assert_eq!(field(&parked, "tracestate"), Some("vendor=1"));
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}

#[tokio::test]
async fn what_is_due_later_keeps_its_trace() {
    let bench = Bench::new().await;
    let due = DeliveryDue { mail_id: "eml_1".to_owned(), ..DeliveryDue::default() };
    let at = SystemTime::now() + Duration::from_secs(1);
    bench.bus.publish(traced(due.at(Some(at)), 7)).await.expect("publish");
    let due = bench.jetstream().await.get_stream("DUE").await.expect("stream");
    let moved = async || due.get_last_raw_message_by_subject("outbound.due").await.ok();
    eventually(SOON, async || moved().await.is_some()).await;
    let message = moved().await.expect("moved");
    assert_eq!(field(&message, "traceparent"), Some(&*given(7)));
    assert_eq!(field(&message, "tracestate"), Some("vendor=1"));
}
