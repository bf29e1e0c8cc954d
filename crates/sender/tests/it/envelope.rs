//! The transaction with a server that behaves.

use sender::Config;

use crate::{
    CONTENT, check, delivery, due,
    peer::{Peer, Setup, say},
    send, to_smarthost,
};

#[tokio::test]
async fn delivers_and_reports() {
    let peer = Peer::start(Setup::default()).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].forward_path, "b@example.org");
    assert_eq!(report.recipients[0].diagnostic, "250 2.0.0 taken");
    assert_eq!(report.recipients[0].remote_host, "127.0.0.1");
    assert_eq!(report.recipients[0].tls, "");
    assert_eq!(report.next_attempt_at_micros, 0);
    let seen = peer.seen();
    let size = CONTENT.len();
    let expected = [
        "EHLO sender.example.com",
        &format!("MAIL FROM:<agent@example.com> SIZE={size}"),
        "RCPT TO:<b@example.org>",
        "DATA",
    ];
    assert_eq!(seen.lines, expected);
    let stuffed = String::from_utf8(CONTENT.to_vec()).expect("ASCII").replace("\n.", "\n..");
    assert_eq!(String::from_utf8(seen.contents[0].clone()).expect("ASCII"), stuffed);
}

#[tokio::test]
async fn counts_what_became_of_recipients() {
    let peer = Peer::start(Setup::script(|line| {
        (line == "RCPT TO:<b@example.org>").then(|| say("550 5.1.1 no such user")).flatten()
    }))
    .await;
    let registry = prometheus::Registry::new();
    let delivery = sender::Delivery::new(&to_smarthost(peer.address), &registry).expect("valid");
    delivery.attempt(CONTENT, &due(&["a@example.org", "b@example.org"])).await;
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    for line in [
        "mail_out_attempts_total{outcome=\"delivered\",provider=\"local\",reply=\"2xx\"} 1",
        "mail_out_attempts_total{outcome=\"bounced\",provider=\"local\",reply=\"5xx\"} 1",
        "mail_out_connections{provider=\"local\"} 1",
        "mail_out_deliveries_total{class=\"2xx\",provider=\"local\"} 1",
        "mail_out_deliveries_total{class=\"5xx\",provider=\"local\"} 1",
        "mail_out_time_to_first_attempt_seconds_count 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
}

async fn refuses_one_of_three(extensions: &[&'static str]) {
    let setup = Setup::script(|line| {
        (line == "RCPT TO:<b@example.org>").then(|| say("550 5.1.1 no such user")).flatten()
    });
    let peer = Peer::start(Setup { extensions: extensions.to_vec(), ..setup }).await;
    let config = to_smarthost(peer.address);
    let report = send(&config, &["a@example.org", "b@example.org", "c@example.org"]).await;
    check(&report, &["Delivered 2.0.0", "Failed 5.1.1", "Delivered 2.0.0"]);
    assert_eq!(report.recipients[1].diagnostic, "550 5.1.1 no such user");
    assert_eq!(report.recipients[1].remote_host, "127.0.0.1");
    assert_eq!(report.next_attempt_at_micros, 0);
    assert_eq!(peer.seen().contents.len(), 1);
}

#[tokio::test]
async fn refuses_one_of_three_at_once() {
    refuses_one_of_three(&["PIPELINING"]).await;
}

#[tokio::test]
async fn refuses_one_of_three_one_by_one() {
    refuses_one_of_three(&[]).await;
}

#[tokio::test]
async fn sends_no_data_when_nobody_is_accepted() {
    let peer = Peer::start(Setup::script(|line| {
        line.starts_with("RCPT").then(|| say("550 5.1.1 no such user")).flatten()
    }))
    .await;
    let report = send(&to_smarthost(peer.address), &["a@example.org", "b@example.org"]).await;
    check(&report, &["Failed 5.1.1", "Failed 5.1.1"]);
    assert!(!peer.seen().has("DATA"));
}

#[tokio::test]
async fn the_null_reverse_path_stays_null() {
    let peer = Peer::start(Setup::offering(&[])).await;
    let mut due = due(&["b@example.org"]);
    due.reverse_path = String::new();
    let report = delivery(&to_smarthost(peer.address)).attempt(CONTENT, &due).await;
    check(&report, &["Delivered 2.0.0"]);
    assert!(peer.seen().has("MAIL FROM:<>"));
}

#[tokio::test]
async fn a_domain_goes_out_in_a_labels() {
    let peer = Peer::start(Setup::offering(&[])).await;
    let report = send(&to_smarthost(peer.address), &["b@bücher.example"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].forward_path, "b@bücher.example");
    assert!(peer.seen().has("RCPT TO:<b@xn--bcher-kva.example>"));
}

#[tokio::test]
async fn what_is_no_address_has_failed_and_hurts_no_other() {
    let peer = Peer::start(Setup::default()).await;
    let report =
        send(&to_smarthost(peer.address), &["b@example.org", "c>\r\nDATA@example.org"]).await;
    check(&report, &["Delivered 2.0.0", "Failed 5.1.3"]);
}

/// A line end that is none must not end the data for anybody on the way.
#[tokio::test]
async fn smuggles_nothing() {
    let peer = Peer::start(Setup::default()).await;
    let content = b"Subject: x\r\n\r\na\n.\nMAIL FROM:<evil@example.com>\r.\rb\r\n.\n";
    let report =
        delivery(&to_smarthost(peer.address)).attempt(content, &due(&["b@example.org"])).await;
    check(&report, &["Delivered 2.0.0"]);
    let seen = peer.seen();
    assert_eq!(
        String::from_utf8(seen.contents[0].clone()).expect("ASCII"),
        "Subject: x\r\n\r\na\r\n..\r\nMAIL FROM:<evil@example.com>\r\n..\r\nb\r\n..\r\n"
    );
    assert_eq!(seen.contents.len(), 1);
}

async fn send_content(config: &Config, content: &str, to: &str) -> contract::DeliveryReported {
    delivery(config).attempt(content.as_bytes(), &due(&[to])).await
}

const EIGHT_BIT: &str = "Subject: x\r\n\r\ngr\u{fc}n\r\n";
const INTERNATIONAL: &str = "Subject: gr\u{fc}n\r\n\r\nx\r\n";

#[tokio::test]
async fn eight_bits_need_8bitmime() {
    let peer = Peer::start(Setup::offering(&["8BITMIME"])).await;
    let config = to_smarthost(peer.address);
    check(&send_content(&config, EIGHT_BIT, "b@example.org").await, &["Delivered 2.0.0"]);
    assert!(peer.seen().has("MAIL FROM:<agent@example.com> BODY=8BITMIME"));
    assert_eq!(peer.seen().contents, [EIGHT_BIT.as_bytes()]);

    let peer = Peer::start(Setup::offering(&[])).await;
    let config = to_smarthost(peer.address);
    check(&send_content(&config, EIGHT_BIT, "b@example.org").await, &["Failed 5.6.3"]);
    assert!(!peer.seen().lines.iter().any(|it| it.starts_with("MAIL")));
}

#[tokio::test]
async fn international_mail_needs_smtputf8() {
    let peer = Peer::start(Setup::offering(&["8BITMIME", "SMTPUTF8"])).await;
    let config = to_smarthost(peer.address);
    check(&send_content(&config, INTERNATIONAL, "b@example.org").await, &["Delivered 2.0.0"]);
    assert!(peer.seen().has("MAIL FROM:<agent@example.com> BODY=8BITMIME SMTPUTF8"));
    let to = "b\u{fc}cher@example.org";
    check(&send_content(&config, "Subject: x\r\n\r\n", to).await, &["Delivered 2.0.0"]);
    assert!(peer.seen().has("RCPT TO:<b\u{fc}cher@example.org>"));

    let peer = Peer::start(Setup::offering(&["8BITMIME"])).await;
    let config = to_smarthost(peer.address);
    check(&send_content(&config, INTERNATIONAL, "b@example.org").await, &["Failed 5.6.7"]);
    check(&send_content(&config, "Subject: x\r\n\r\n", to).await, &["Failed 5.6.7"]);
}

#[tokio::test]
async fn what_is_too_big_is_not_sent() {
    let peer = Peer::start(Setup::offering(&["SIZE 50"])).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Failed 5.3.4"]);
    assert!(!peer.seen().lines.iter().any(|it| it.starts_with("MAIL")));
}

#[tokio::test]
async fn a_large_mail_arrives_whole() {
    let peer = Peer::start(Setup::default()).await;
    let content = format!("Subject: x\r\n\r\n{}", ".0123456789\r\n".repeat(500_000));
    let report = send_content(&to_smarthost(peer.address), &content, "b@example.org").await;
    check(&report, &["Delivered 2.0.0"]);
    let stuffed = content.replace("\r\n.", "\r\n..");
    assert!(peer.seen().contents == [stuffed.as_bytes()]);
}
