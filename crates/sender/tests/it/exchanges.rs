//! Mail exchangers, found in DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sender::Config;
use test_dns::Dns;

use crate::{
    CONTENT, check, delivery, due,
    peer::{Answer, Peer, Setup, say},
    send,
};

fn config(dns: &Dns, port: u16) -> Config {
    Config {
        dns: vec![dns.address],
        mx_port: port,
        allow_private_targets: true,
        ..Config::default()
    }
}

/// Servers at 127.0.0.1 and 127.0.0.2, on the same port.
async fn two_peers(first: Setup, second: Setup) -> (Peer, Peer) {
    let first = Peer::start(first).await;
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), first.address.port()));
    (first, Peer::at(address, second).await)
}

const TWO: &str = "two IN MX 10 mx1.test.\ntwo IN MX 20 mx2.test.\n\
    mx1 IN A 127.0.0.1\nmx2 IN A 127.0.0.2";

#[tokio::test]
async fn the_best_exchanger_gets_the_mail() {
    let (first, second) = two_peers(Setup::default(), Setup::default()).await;
    let dns = Dns::start(TWO).await;
    let report = send(&config(&dns, first.address.port()), &["b@two.test"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].remote_host, "mx1.test");
    assert_eq!((first.seen().contents.len(), second.seen().connections), (1, 0));
}

#[tokio::test]
async fn the_next_exchanger_gets_what_the_first_could_not_take() {
    let failing: [(&str, Answer); 5] = [
        ("connect", Answer::Say("421 4.3.2 busy".to_owned())),
        ("connect", Answer::Say("554 5.3.2 not here".to_owned())),
        ("connect", Answer::Close),
        ("MAIL", Answer::Say("451 4.3.0 later".to_owned())),
        ("RCPT", Answer::Close),
    ];
    for (line, answer) in failing {
        let first = Setup::script(move |it| it.starts_with(line).then(|| answer.clone()));
        let (first, second) = two_peers(first, Setup::default()).await;
        let dns = Dns::start(TWO).await;
        let report = send(&config(&dns, first.address.port()), &["b@two.test"]).await;
        check(&report, &["Delivered 2.0.0"]);
        assert_eq!(report.recipients[0].remote_host, "mx2.test", "{line}");
        assert_eq!(second.seen().contents.len(), 1);
    }
}

/// Greylisting, a refusal, and a mail that may have been taken are no reason to ask elsewhere.
#[tokio::test]
async fn the_next_exchanger_is_not_asked_about_a_decision() {
    let deciding: [(&str, Answer, &str); 4] = [
        ("RCPT", Answer::Say("450 4.7.1 greylisted".to_owned()), "Delayed 4.7.1"),
        ("RCPT", Answer::Say("550 5.1.1 unknown".to_owned()), "Failed 5.1.1"),
        (".", Answer::Say("554 5.7.1 spam".to_owned()), "Failed 5.7.1"),
        (".", Answer::Close, "Unknown 4.4.2"),
    ];
    for (line, answer, expected) in deciding {
        let first = Setup::script(move |it| it.starts_with(line).then(|| answer.clone()));
        let (first, second) = two_peers(first, Setup::default()).await;
        let dns = Dns::start(TWO).await;
        check(&send(&config(&dns, first.address.port()), &["b@two.test"]).await, &[expected]);
        assert_eq!(second.seen().connections, 0, "{line}");
    }
}

/// One exchanger says never, the other says nothing now: it is worth another attempt.
#[tokio::test]
async fn a_refused_greeting_does_not_outweigh_a_silence() {
    let closed = Setup::script(|it| (it == "connect").then_some(Answer::Close));
    let refusing =
        Setup::script(|it| (it == "connect").then(|| say("554 5.3.2 not here")).flatten());
    let (first, _second) = two_peers(closed, refusing).await;
    let dns = Dns::start(TWO).await;
    let report = send(&config(&dns, first.address.port()), &["b@two.test"]).await;
    check(&report, &["Delayed 4.4.2"]);
}

#[tokio::test]
async fn equal_exchangers_share_the_mail() {
    let (first, second) = two_peers(Setup::default(), Setup::default()).await;
    let dns = Dns::start(
        "even IN MX 10 mx1.test.\neven IN MX 10 mx2.test.\nmx1 IN A 127.0.0.1\nmx2 IN A 127.0.0.2",
    )
    .await;
    let delivery = delivery(&config(&dns, first.address.port()));
    for _ in 0..30 {
        check(&delivery.attempt(CONTENT, &due(&["b@even.test"])).await, &["Delivered 2.0.0"]);
    }
    assert!(first.seen().connections > 0 && second.seen().connections > 0);
}

#[tokio::test]
async fn every_address_of_an_exchanger_is_tried() {
    let (first, second) =
        two_peers(Setup::script(|it| (it == "connect").then_some(Answer::Close)), Setup::default())
            .await;
    let dns = Dns::start("many IN MX 10 mx.test.\nmx IN A 127.0.0.1\nmx IN A 127.0.0.2").await;
    check(&send(&config(&dns, first.address.port()), &["b@many.test"]).await, &["Delivered 2.0.0"]);
    assert_eq!(second.seen().contents.len(), 1);
}

#[tokio::test]
async fn mail_goes_over_ipv6() {
    let peer = Peer::at(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), Setup::default()).await;
    let dns = Dns::start("six IN MX 10 mx6.test.\nmx6 IN AAAA ::1").await;
    check(&send(&config(&dns, peer.address.port()), &["b@six.test"]).await, &["Delivered 2.0.0"]);
    let without = Config { ipv6: false, ..config(&dns, peer.address.port()) };
    let report = send(&without, &["b@six.test"]).await;
    check(&report, &["Failed 5.4.4"]);
    assert!(report.recipients[0].diagnostic.contains("IPv6"), "{report:?}");
    let literal = "b@[IPv6:::1]";
    check(&send(&config(&dns, peer.address.port()), &[literal]).await, &["Delivered 2.0.0"]);
}

#[tokio::test]
async fn without_mx_the_address_counts() {
    let peer = Peer::start(Setup::default()).await;
    let dns = Dns::start(
        "bare IN A 127.0.0.1\nalias IN CNAME bare\nliteral IN MX 10 alias\nempty IN TXT nothing",
    )
    .await;
    let config = config(&dns, peer.address.port());
    for to in ["b@bare.test", "b@alias.test", "b@literal.test", "b@[127.0.0.1]"] {
        check(&send(&config, &[to]).await, &["Delivered 2.0.0"]);
    }
    check(&send(&config, &["b@empty.test"]).await, &["Failed 5.4.4"]);
}

#[tokio::test]
async fn an_exchanger_forbids_the_fallback_to_the_address() {
    let peer = Peer::start(Setup::default()).await;
    let dns = Dns::start("broken IN MX 10 nowhere.test.\nbroken IN A 127.0.0.1").await;
    check(&send(&config(&dns, peer.address.port()), &["b@broken.test"]).await, &["Failed 5.4.4"]);
    assert_eq!(peer.seen().connections, 0);
}

#[tokio::test]
async fn a_domain_can_say_no() {
    let dns = Dns::start("null IN MX 0 .\nnull IN A 127.0.0.1").await;
    let config = config(&dns, 1);
    check(&send(&config, &["b@null.test"]).await, &["Failed 5.1.10"]);
    check(&send(&config, &["b@missing.test"]).await, &["Failed 5.1.2"]);
}

/// The server is not responsible for this domain, and refuses to answer.
#[tokio::test]
async fn a_dns_failure_is_a_delay() {
    let dns = Dns::start("").await;
    let report = send(&config(&dns, 1), &["b@elsewhere.example"]).await;
    check(&report, &["Delayed 4.4.3"]);
    assert!(report.next_attempt_at_micros > 0);
}

#[tokio::test]
async fn private_targets_are_refused() {
    let peer = Peer::start(Setup::default()).await;
    let dns = Dns::start(
        "a IN MX 10 in.test.\nin IN A 127.0.0.1\nb IN A 10.0.0.1\nc IN AAAA fe80::1\n\
         d IN A 169.254.169.254",
    )
    .await;
    let config = Config { allow_private_targets: false, ..config(&dns, peer.address.port()) };
    for to in ["x@a.test", "x@b.test", "x@c.test", "x@d.test", "x@[127.0.0.1]", "x@[IPv6:::1]"] {
        let report = send(&config, &[to]).await;
        check(&report, &["Failed 5.4.4"]);
    }
    assert_eq!(peer.seen().connections, 0);
    assert!(matches!(peer.address.ip(), IpAddr::V4(_)));
}
