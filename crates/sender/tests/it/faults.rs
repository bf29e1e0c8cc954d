//! Servers that put off, break off, and misbehave.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sender::{Attempt, Config, Timeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    CONTENT, check, delivery, due, now_micros,
    peer::{Answer, Peer, Setup, say},
    send, to_smarthost,
};

/// Every remote server may take a second.
fn to_impatient(address: SocketAddr) -> Config {
    let timeouts = Timeouts {
        connect_seconds: 1,
        reply_seconds: 1,
        data_seconds: 1,
        block_seconds: 1,
        end_of_data_seconds: 1,
    };
    Config { timeouts, ..to_smarthost(address) }
}

fn at(line: &'static str, answer: Answer) -> Setup {
    Setup::script(move |it| it.starts_with(line).then(|| answer.clone()))
}

fn reply(line: &'static str, text: &str) -> Setup {
    at(line, Answer::Say(text.to_owned()))
}

const MINUTE: i64 = 60_000_000;

#[track_caller]
fn check_next(report: &contract::DeliveryReported, minutes: i64) {
    let pause = report.next_attempt_at_micros - report.attempted_at_micros;
    let (low, high) = (minutes * MINUTE * 9 / 10, minutes * MINUTE * 11 / 10 + MINUTE / 10);
    assert!((low..=high).contains(&pause), "{} s", pause / 1_000_000);
}

#[tokio::test]
async fn delays_on_greylisting() {
    let tries = Arc::new(AtomicUsize::new(0));
    let peer = Peer::start(Setup::script(move |line| {
        let first = line.starts_with("RCPT") && tries.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| say("451 4.7.1 greylisted, come back")).flatten()
    }))
    .await;
    let delivery = delivery(&to_smarthost(peer.address));
    let mut due = due(&["b@example.org"]);
    let report = delivery.attempt(CONTENT, &due).await;
    check(&report, &["Delayed 4.7.1"]);
    assert_eq!(report.recipients[0].diagnostic, "451 4.7.1 greylisted, come back");
    check_next(&report, 5);
    due.attempt = 2;
    let report = delivery.attempt(CONTENT, &due).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.attempt, 2);
}

#[tokio::test]
async fn a_delayed_recipient_delays_no_other() {
    let peer = Peer::start(reply("RCPT TO:<b@", "452 4.2.2 full")).await;
    let report = send(&to_smarthost(peer.address), &["a@example.org", "b@example.org"]).await;
    check(&report, &["Delivered 2.0.0", "Delayed 4.2.2"]);
    assert!(report.next_attempt_at_micros > 0);
}

#[tokio::test]
async fn the_outcome_is_unknown_after_the_dot() {
    let peer = Peer::start(at(".", Answer::Close)).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Unknown 4.4.2"]);
    assert!(report.recipients[0].diagnostic.contains("unknown"), "{report:?}");
    check_next(&report, 1);
    assert_eq!(peer.seen().connections, 1);
}

#[tokio::test]
async fn the_outcome_is_unknown_when_the_reply_takes_too_long() {
    let peer = Peer::start(at(".", Answer::Hang)).await;
    let report = send(&to_impatient(peer.address), &["b@example.org"]).await;
    check(&report, &["Unknown 4.4.2"]);
    assert!(report.recipients[0].diagnostic.contains("unknown"), "{report:?}");
}

/// The dot never got away, so nobody has the mail.
#[tokio::test]
async fn the_outcome_is_known_before_the_dot() {
    let peer = Peer::start(at("DATA", Answer::Close)).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Delayed 4.4.2"]);
    assert!(!report.recipients[0].diagnostic.contains("unknown"), "{report:?}");

    // More than the buffers on the way hold.
    let content = [CONTENT, "x\r\n".repeat(10_000_000).as_bytes()].concat();
    let stalling = at("DATA", Answer::Stall("354 go ahead".to_owned()));
    let peer = Peer::start(Setup { extensions: Vec::new(), ..stalling }).await;
    let report =
        delivery(&to_impatient(peer.address)).attempt(&content, &due(&["b@example.org"])).await;
    check(&report, &["Delayed 4.4.2"]);
    assert!(!report.recipients[0].diagnostic.contains("unknown"), "{report:?}");
}

/// The connection breaks while the content flows: so much of it that not all can be on its way.
#[tokio::test]
async fn a_connection_that_breaks_in_the_content_is_a_delay() {
    let content = [CONTENT, "x\r\n".repeat(10_000_000).as_bytes()].concat();
    let cutting = at("DATA", Answer::Cut("354 go ahead".to_owned()));
    let peer = Peer::start(Setup { extensions: Vec::new(), ..cutting }).await;
    let report =
        delivery(&to_smarthost(peer.address)).attempt(&content, &due(&["b@example.org"])).await;
    check(&report, &["Delayed 4.4.2"]);
    check_next(&report, 1);
}

/// Each reply takes its time, and all of them together more than any may.
#[tokio::test]
async fn slow_replies_are_waited_for() {
    let slow = Answer::Later(Duration::from_millis(400));
    let peer = Peer::start(Setup::script(move |line| {
        (line != "DATA" && line != "QUIT").then(|| slow.clone())
    }))
    .await;
    let report = send(&to_impatient(peer.address), &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
}

/// Slow is not silent: every block has its own time.
#[tokio::test]
async fn a_slow_reader_gets_the_whole_mail() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let config = to_impatient(listener.local_addr().expect("address"));
    let content = [CONTENT, "x\r\n".repeat(3_000_000).as_bytes()].concat();
    let size = content.len();
    let reader = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        for reply in ["220 hi\r\n", "250 slow\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            stream.write_all(reply.as_bytes()).await.expect("write");
            if reply != "354 go\r\n" {
                assert!(stream.read(&mut [0; 512]).await.expect("read") > 0);
            }
        }
        let mut rest = size - CONTENT.len();
        let mut block = vec![0; 512 * 1024];
        while rest > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            rest = rest.saturating_sub(stream.read(&mut block).await.expect("read"));
        }
        stream.write_all(b"250 taken\r\n").await.expect("write");
    });
    let started = Instant::now();
    let report = delivery(&config).attempt(&content, &due(&["b@example.org"])).await;
    check(&report, &["Delivered 2.0.0"]);
    assert!(started.elapsed() > Duration::from_secs(1), "{:?}", started.elapsed());
    reader.await.expect("reader");
}

#[tokio::test]
async fn refusals_of_the_content_count_for_everybody_accepted() {
    for (line, text, expected) in [
        ("DATA", "451 4.3.0 later", "Delayed 4.3.0"),
        ("DATA", "554 5.7.1 no", "Failed 5.7.1"),
        ("DATA", "250 what?", "Delayed 4.5.0"),
        (".", "552 5.3.4 too big", "Failed 5.3.4"),
        (".", "452 4.3.1 disk full", "Delayed 4.3.1"),
        ("MAIL", "550 5.7.1 not from you", "Failed 5.7.1"),
        ("MAIL", "451 4.4.3 cannot check you", "Delayed 4.4.3"),
    ] {
        let peer = Peer::start(reply(line, text)).await;
        let report = send(&to_smarthost(peer.address), &["a@example.org", "b@example.org"]).await;
        check(&report, &[expected, expected]);
        assert!(report.recipients[0].diagnostic.contains(text), "{line}: {report:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_holds_nobody() {
    for line in ["connect", "EHLO", "MAIL", "RCPT", "DATA"] {
        let peer = Peer::start(at(line, Answer::Hang)).await;
        let started = Instant::now();
        let report = send(&to_impatient(peer.address), &["b@example.org"]).await;
        check(&report, &["Delayed 4.4.2"]);
        assert!(started.elapsed().as_secs() < 5, "{line}: {:?}", started.elapsed());
        check_next(&report, 1);
    }
}

#[tokio::test]
async fn a_closing_server_delays_the_rest() {
    let peer = Peer::start(reply("RCPT TO:<b@", "421 4.3.2 closing")).await;
    let recipients = ["a@example.org", "b@example.org", "c@example.org"];
    let report = send(&to_smarthost(peer.address), &recipients).await;
    check(&report, &["Delayed 4.4.2", "Delayed 4.3.2", "Delayed 4.4.2"]);
    assert!(!peer.seen().has("DATA"));
}

#[tokio::test]
async fn a_refused_greeting_says_why() {
    let peer = Peer::start(reply("connect", "554 5.7.1 you are on a list")).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Failed 5.7.1"]);
    assert_eq!(report.recipients[0].remote_host, "127.0.0.1");

    let peer = Peer::start(reply("connect", "421 4.7.0 too many connections")).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Delayed 4.7.0"]);
}

/// What a 421 at the greeting says holds for the next mail too.
#[tokio::test]
async fn a_host_that_is_down_is_left_alone_for_a_while() {
    let peer = Peer::start(reply("connect", "421 4.7.0 too many connections")).await;
    let delivery = delivery(&to_smarthost(peer.address));
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.7.0"]);
    for _ in 0..3 {
        let attempt = delivery.try_attempt(CONTENT, &due(&["b@example.org"])).await;
        let Attempt::Postponed { at_micros } = attempt else { panic!("tried") };
        assert!(at_micros > now_micros() + 20_000_000);
    }
    assert_eq!(peer.seen().connections, 1);
}

#[tokio::test]
async fn nobody_at_home_is_a_delay() {
    let address = Peer::start(Setup::default()).await.address;
    let report = send(&to_smarthost(address), &["b@example.org"]).await;
    check(&report, &["Delayed 4.4.1"]);
    assert_eq!(report.recipients[0].remote_host, "");
}

#[tokio::test]
async fn odd_replies_are_understood() {
    for octets in [&b"250\r\n"[..], b"250 ok\n", b"250-a\n250 b\r\n", b"250 d\xe9j\xe0 vu\r\n"] {
        let peer = Peer::start(at("RCPT", Answer::Raw(octets.to_vec()))).await;
        let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
        check(&report, &["Delivered 2.0.0"]);
    }
    let endless = vec![b'x'; 2 * 1024 * 1024];
    for octets in [b"hello\r\n".to_vec(), b"250-a\r\n550 b\r\n".to_vec(), endless] {
        let peer = Peer::start(at("RCPT", Answer::Raw(octets))).await;
        let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
        check(&report, &["Delayed 4.4.2"]);
    }
}

#[tokio::test]
async fn what_takes_too_long_has_failed() {
    let peer = Peer::start(reply("RCPT", "450 4.2.1 busy")).await;
    let mut due = due(&["b@example.org"]);
    due.accepted_at_micros = now_micros() - 6 * 24 * 60 * MINUTE;
    due.attempt = 40;
    let report = delivery(&to_smarthost(peer.address)).attempt(CONTENT, &due).await;
    check(&report, &["Failed 4.4.7"]);
    assert!(report.recipients[0].diagnostic.contains("450 4.2.1 busy"), "{report:?}");
    assert_eq!(report.next_attempt_at_micros, 0);
}

#[tokio::test]
async fn a_mail_is_given_up_at_its_own_limit() {
    let peer = Peer::start(greylisting()).await;
    let config = to_smarthost(peer.address);
    let mut due = due(&["a@example.org"]);
    due.expires_at_micros = due.accepted_at_micros + 2_000_000;
    let report = delivery(&config).attempt(CONTENT, &due).await;
    check(&report, &["Delayed 4.7.1"]);
    assert_eq!(report.next_attempt_at_micros, due.expires_at_micros, "the last one");

    due.expires_at_micros = due.accepted_at_micros;
    let report = delivery(&config).attempt(CONTENT, &due).await;
    check(&report, &["Failed 4.4.7"]);
    assert!(report.recipients[0].diagnostic.contains("451 4.7.1"));
    assert_eq!(report.next_attempt_at_micros, 0);

    let tried = peer.seen().connections;
    due.expires_at_micros = due.accepted_at_micros - 61_000_000;
    let report = delivery(&config).attempt(CONTENT, &due).await;
    check(&report, &["Failed 4.4.7"]);
    assert_eq!(peer.seen().connections, tried, "nobody wants it any more");
}

fn greylisting() -> Setup {
    Setup::script(|line| line.starts_with("RCPT").then(|| say("451 4.7.1 later")).flatten())
}
