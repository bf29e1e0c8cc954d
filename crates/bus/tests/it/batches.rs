//! Many events at once are stored as a batch, each as a message of its own and once.

use contract::Record;

use crate::Bench;

fn events(numbers: std::ops::Range<usize>) -> Vec<Record> {
    let event = |n: usize| Record {
        subject: format!("mail.v1.event.acct_1.ibx_{}.email.received", n % 3),
        identity: format!("evt_{n}"),
        payload: format!("{n}").into_bytes(),
        due: None,
        trace: None,
    };
    numbers.map(event).collect()
}

/// The numbers of the events that are stored, in their order.
async fn stored(bench: &Bench) -> Vec<usize> {
    let mut stream = bench.jetstream().await.get_stream("EVENTS").await.expect("stream");
    let mut numbers = Vec::new();
    for sequence in 1..=stream.info().await.expect("info").state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("message");
        numbers.push(String::from_utf8_lossy(&message.payload).parse().expect("a number"));
    }
    numbers
}

#[track_caller]
fn check(found: Vec<usize>, last: usize) {
    assert_eq!(found, (0..last).collect::<Vec<_>>());
}

#[tokio::test]
async fn many_are_stored_in_their_order() {
    let bench = Bench::new().await;
    bench.bus.publish(events(0..1_200)).await.expect("publish");
    check(stored(&bench).await, 1_200);
    let stream = bench.jetstream().await.get_stream("EVENTS").await.expect("stream");
    for sequence in [1, 600, 1_200] {
        let message = stream.get_raw_message(sequence).await.expect("message");
        assert!(message.headers.get("Nats-Batch-Id").is_some(), "came alone: {sequence}");
    }
}

#[tokio::test]
async fn what_is_stored_already_is_not_stored_again() {
    let bench = Bench::new().await;
    bench.bus.publish(events(0..5)).await.expect("one by one");
    bench.bus.publish(events(0..60)).await.expect("some of them again");
    bench.bus.publish(events(0..60)).await.expect("all of them again");
    bench.bus.publish(events(50..100)).await.expect("and some more");
    check(stored(&bench).await, 100);
}

#[tokio::test]
async fn several_publish_at_once() {
    let bench = Bench::new().await;
    let publish = |part: usize| bench.bus.publish(events(part * 100..(part + 1) * 100));
    futures_util::future::try_join_all((0..8).map(publish)).await.expect("publish");
    let mut found = stored(&bench).await;
    found.sort_unstable();
    check(found, 800);
}

#[tokio::test]
async fn without_nats_nothing_waits_to_be_published_later() {
    let mut bench = Bench::new().await;
    bench.nats.stop().await.expect("stop");
    let refused = bench.bus.publish(events(0..60)).await.expect_err("refuse");
    assert!(matches!(refused, bus::PublishError::Unavailable { .. }), "{refused:?}");
}
