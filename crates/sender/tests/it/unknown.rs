//! All of the mail was sent, and the reply was lost.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use contract::{DeliveryDue, OnUnknown, OutcomeResolved, Record, Resolution};

use crate::{
    CONTENT, check, delivery, due, outcomes,
    peer::{Answer, Peer, Setup},
    pipeline::{Bench, Running, eventually},
    to_smarthost,
};

const BOB: &str = "b@example.org";

/// Loses the first reply to an end of data.
async fn forgetful(answer: Answer) -> Peer {
    let dots = Arc::new(AtomicUsize::new(0));
    let first = move |line: &str| line == "." && dots.fetch_add(1, Ordering::Relaxed) == 0;
    Peer::start(Setup::script(move |line| first(line).then(|| answer.clone()))).await
}

/// That of the mail which was accepted under this identifier.
fn first_attempt(mail_id: &str) -> DeliveryDue {
    DeliveryDue {
        mail_id: mail_id.to_owned(),
        account_id: format!("acct_{mail_id}"),
        inbox_id: format!("ibx_{mail_id}"),
        domain: "example.org".to_owned(),
        forward_paths: vec![BOB.to_owned()],
        attempt: 1,
        on_unknown: OnUnknown::Hold.into(),
        ..due(&[BOB])
    }
}

#[tokio::test]
async fn it_is_sent_again_as_it_was() {
    let peer = forgetful(Answer::Close).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept("eml_1", &[BOB]).await;
    let reports = bench.eventually_reported(2).await;
    assert_eq!(outcomes(&reports[0]), ["Unknown 4.4.2"]);
    assert!(!reports[0].recipients[0].held && reports[0].next_attempt_at_micros > 0);
    assert_eq!(outcomes(&reports[1]), ["Delivered 2.0.0"]);
    let contents = peer.seen().contents;
    assert_eq!(contents.len(), 2);
    assert!(contents[0] == contents[1], "the same mail, Message-ID included");
    running.stop().await;
}

#[tokio::test]
async fn it_is_held_until_the_agent_decides() {
    let peer = forgetful(Answer::Close).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept_holding("eml_1", &[BOB]).await;
    let report = bench.eventually_reported(1).await.remove(0);
    assert_eq!(outcomes(&report), ["Unknown 4.4.2"]);
    assert!(report.recipients[0].held && report.next_attempt_at_micros == 0);

    // Delivered again, as after a crash between the report and its ack: nobody is tried.
    let again = Record::of(&first_attempt("eml_1"), "again".to_owned());
    bench.bus.publish(again).await.expect("publish");
    bench.accept("eml_2", &[BOB]).await;
    bench.eventually_reported(2).await;
    assert_eq!(peer.seen().contents.len(), 2, "the other mail's");

    let decision = OutcomeResolved {
        mail_id: "eml_1".to_owned(),
        account_id: "acct_eml_1".to_owned(),
        resolution: Resolution::Retry.into(),
        ..OutcomeResolved::default()
    };
    bench.store.writer.resolve(&decision).await.expect("resolve").expect("a mail");
    let second = DeliveryDue { attempt: 2, ..first_attempt("eml_1") };
    bench.bus.publish(second).await.expect("publish");
    let report = bench.eventually_reported(3).await.remove(2);
    assert_eq!(outcomes(&report), ["Delivered 2.0.0"]);
    running.stop().await;
}

/// As if the sender died between the remote server's 250 and its report: the attempt is handed to another
/// one while the first never comes back.
#[tokio::test]
async fn a_sender_that_dies_after_the_dot_leaves_word() {
    let peer = forgetful(Answer::Hang).await;
    let bench = Bench::new(&peer).await;
    let running = Running::start(&bench.config);
    bench.accept_holding("eml_1", &[BOB]).await;
    eventually(async || peer.seen().contents.len() == 1).await;
    let again = Record::of(&first_attempt("eml_1"), "again".to_owned());
    bench.bus.publish(again).await.expect("publish");
    let report = bench.eventually_reported(1).await.remove(0);
    assert_eq!(outcomes(&report), ["Unknown 4.4.2"]);
    assert!(report.recipients[0].held);
    assert_eq!(peer.seen().contents.len(), 1, "it was not sent again");
    drop(running);
}

#[tokio::test]
async fn it_does_not_fail_when_the_time_is_over() {
    let peer = Peer::start(Setup::script(|line| (line == ".").then_some(Answer::Close))).await;
    let mut due = due(&[BOB]);
    due.expires_at_micros = due.accepted_at_micros;
    let report = delivery(&to_smarthost(peer.address)).attempt(CONTENT, &due).await;
    check(&report, &["Unknown 4.4.2"]);
    assert!(report.recipients[0].held && report.next_attempt_at_micros == 0);
}
