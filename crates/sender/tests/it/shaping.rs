//! How much goes where, and over which connection.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sender::{Attempt, Config, Delivery, Pool, Route, Timeouts};
use tempfile::TempDir;
use test_dns::Dns;

use crate::{
    CONTENT, check, delivery, due, now_micros,
    peer::{Answer, Peer, Setup, say},
    tls::identity,
    to_smarthost,
};

const SHAPES: &str = "[routes]\nfirst_pause_seconds = 1\nlongest_pause_seconds = 4\n";

/// The limits of everybody, where a test says nothing else.
pub(crate) fn limits(changed: &str) -> String {
    let all = [
        ("max_connections", "10"),
        ("messages_per_connection", "100"),
        ("connection_rate", "'6000/min'"),
        ("message_rate", "'1000/s'"),
        ("tls", "'opportunistic'"),
    ];
    let kept = all.iter().filter(|(key, _)| !changed.contains(key));
    let kept: Vec<_> = kept.map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{SHAPES}[default]\n{changed}\n{}\n", kept.join("\n"))
}

/// A shaping file, which has to outlive the delivery.
pub(crate) fn file(text: &str) -> (TempDir, Option<PathBuf>) {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("shaping.toml");
    std::fs::write(&path, text).expect("write");
    (dir, Some(path))
}

fn shaped(config: Config, text: &str) -> (TempDir, Delivery) {
    let (dir, shaping_file) = file(text);
    (dir, delivery(&Config { shaping_file, ..config }))
}

async fn deliver(delivery: &Delivery, mails: usize) {
    for _ in 0..mails {
        check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delivered 2.0.0"]);
    }
}

fn count(peer: &Peer, line: &str) -> usize {
    peer.seen().lines.iter().filter(|it| it.starts_with(line)).count()
}

async fn postponed(delivery: &Delivery) -> i64 {
    match delivery.try_attempt(CONTENT, &due(&["b@example.org"])).await {
        Attempt::Postponed { at_micros } => at_micros - now_micros(),
        Attempt::Reported(report) => panic!("{report:?}"),
    }
}

#[tokio::test]
async fn one_connection_takes_mail_after_mail() {
    let peer = Peer::start(Setup::default()).await;
    let (_dir, delivery) =
        shaped(to_smarthost(peer.address), &limits("messages_per_connection = 3"));
    deliver(&delivery, 7).await;
    let seen = peer.seen();
    assert_eq!((seen.contents.len(), seen.connections), (7, 3));
    assert_eq!((count(&peer, "EHLO"), count(&peer, "QUIT"), count(&peer, "RSET")), (3, 2, 0));
}

#[tokio::test]
async fn what_was_begun_is_reset_before_the_next_mail() {
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(Setup::script(move |line| {
        let first = line.starts_with("RCPT") && tries.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| say("550 5.1.1 unknown")).flatten()
    }))
    .await;
    let delivery = delivery(&to_smarthost(peer.address));
    check(&delivery.attempt(CONTENT, &due(&["a@example.org"])).await, &["Failed 5.1.1"]);
    deliver(&delivery, 2).await;
    assert_eq!((peer.seen().connections, count(&peer, "RSET")), (1, 1));
}

#[tokio::test]
async fn a_reused_session_says_its_tls_version() {
    let tls = Some(identity().acceptor);
    let peer = Peer::start(Setup { extensions: vec!["STARTTLS"], tls, ..Setup::default() }).await;
    let delivery = delivery(&to_smarthost(peer.address));
    for _ in 0..2 {
        let report = delivery.attempt(CONTENT, &due(&["b@example.org"])).await;
        check(&report, &["Delivered 2.0.0"]);
        assert_eq!(report.recipients[0].tls, "TLSv1.3");
    }
    assert_eq!((peer.seen().connections, peer.seen().contents.len()), (1, 2));
}

/// Every server closes what is idle in the end, with 421 or without a word.
#[tokio::test]
async fn a_session_that_was_closed_while_idle_is_nobodys_failure() {
    let said_421 = Answer::Raw(b"250 2.0.0 ok\r\n421 4.4.2 idle for too long\r\n".to_vec());
    for (at, answer) in [
        // Closed right after the reply, and a 421 that lies there when the next mail comes.
        ("closes", Answer::Close),
        ("says 421", said_421),
    ] {
        let mails = Arc::new(AtomicUsize::new(0));
        let setup = Setup::script(move |line| match line {
            "." if at == "says 421" && mails.fetch_add(1, Ordering::Relaxed) == 0 => {
                Some(answer.clone())
            }
            line if line.starts_with("MAIL") && at == "closes" => {
                (mails.fetch_add(1, Ordering::Relaxed) == 1).then(|| answer.clone())
            }
            _ => None,
        });
        let peer = Peer::start(setup).await;
        let delivery = delivery(&to_smarthost(peer.address));
        deliver(&delivery, 2).await;
        assert_eq!((peer.seen().connections, peer.seen().contents.len()), (2, 2), "{at}");
    }
}

#[tokio::test]
async fn a_session_that_saw_421_is_not_used_again() {
    let mails = AtomicUsize::new(0);
    let peer = Peer::start(Setup::script(move |line| {
        let first = line.starts_with("RCPT") && mails.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| say("421 4.3.2 closing")).flatten()
    }))
    .await;
    let delivery = delivery(&to_smarthost(peer.address));
    check(&delivery.attempt(CONTENT, &due(&["a@example.org"])).await, &["Delayed 4.3.2"]);
    deliver(&delivery, 1).await;
    assert_eq!(peer.seen().connections, 2);
}

#[tokio::test]
async fn a_host_that_is_down_gets_the_next_mail_when_it_is_back() {
    let calls = AtomicUsize::new(0);
    let peer = Peer::start(Setup::script(move |line| {
        let busy = line == "connect" && calls.fetch_add(1, Ordering::Relaxed) < 2;
        busy.then(|| say("421 4.3.2 busy")).flatten()
    }))
    .await;
    let (_dir, delivery) = shaped(to_smarthost(peer.address), &limits(""));
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.3.2"]);
    let first = postponed(&delivery).await;
    // Waits, finds it busy once more, and then it is left alone for longer.
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.3.2"]);
    let second = postponed(&delivery).await;
    assert!(second > first && second > 2_000_000, "{first} {second}");
    deliver(&delivery, 2).await;
    assert_eq!(peer.seen().connections, 3);
}

/// The mails of other hosts' domains go on.
#[tokio::test]
async fn the_next_exchanger_has_the_mail_while_the_first_is_left_alone() {
    let busy = Setup::script(|line| (line == "connect").then(|| say("421 busy")).flatten());
    let first = Peer::start(busy).await;
    let address = SocketAddr::from(([127, 0, 0, 2], first.address.port()));
    let second = Peer::at(address, Setup::default()).await;
    let dns = Dns::start(
        "two IN MX 10 mx1.test.\ntwo IN MX 20 mx2.test.\nmx1 IN A 127.0.0.1\nmx2 IN A 127.0.0.2",
    )
    .await;
    let config = Config {
        dns: vec![dns.address],
        mx_port: first.address.port(),
        allow_private_targets: true,
        ..Config::default()
    };
    let delivery = delivery(&config);
    for _ in 0..3 {
        let report = delivery.attempt(CONTENT, &due(&["b@two.test"])).await;
        check(&report, &["Delivered 2.0.0"]);
        assert_eq!(report.recipients[0].remote_host, "mx2.test");
    }
    assert_eq!((first.seen().connections, second.seen().connections), (1, 1));
}

#[tokio::test]
async fn a_mail_that_found_no_room_is_given_up_at_its_time() {
    let peer = Peer::start(Setup::script(|it| (it == "connect").then(|| say("421 no")).flatten()));
    let peer = peer.await;
    let delivery = delivery(&to_smarthost(peer.address));
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.3.2"]);
    let mut due = due(&["b@example.org"]);
    due.expires_at_micros = now_micros() + 300_000;
    let Attempt::Postponed { at_micros } = delivery.try_attempt(CONTENT, &due).await else {
        panic!("tried")
    };
    assert_eq!(at_micros, due.expires_at_micros);
    let report = delivery.attempt(CONTENT, &due).await;
    check(&report, &["Failed 4.4.7"]);
    assert!(report.recipients[0].diagnostic.contains("no room"), "{report:?}");
    assert_eq!(peer.seen().connections, 1);
}

#[tokio::test]
async fn a_provider_that_requires_tls_gets_nothing_in_clear() {
    let require = limits("tls = 'required'");
    let plain = Peer::start(Setup::default()).await;
    let (_file, delivery) = shaped(to_smarthost(plain.address), &require);
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.7.4"]);

    // Nor where STARTTLS is offered and broken.
    let broken = Setup::script(|it| (it == "STARTTLS").then(|| say("454 not now")).flatten());
    let broken = Peer::start(Setup { extensions: vec!["STARTTLS"], ..broken }).await;
    let (_file, delivery) = shaped(to_smarthost(broken.address), &require);
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.7.4"]);
    assert_eq!(plain.seen().contents.len() + broken.seen().contents.len(), 0);
    assert!(!plain.seen().lines.iter().any(|it| it.starts_with("MAIL")));
}

const SUSPENDS: &str = "[[automation]]\nregex = 'TSS04'\ntrigger = '2/h'\naction = 'suspend'\n\
    duration_minutes = 120\n";

#[tokio::test]
async fn a_receivers_words_suspend_it() {
    let words = say("421 4.7.0 [TSS04] deferred");
    let peer =
        Peer::start(Setup::script(move |it| it.starts_with("MAIL").then(|| words.clone())?));
    let peer = peer.await;
    let (_dir, delivery) = shaped(to_smarthost(peer.address), &(limits("") + SUSPENDS));
    for _ in 0..2 {
        check(
            &delivery.attempt(CONTENT, &due(&["b@example.org", "c@example.org"])).await,
            &["Delayed 4.7.0", "Delayed 4.7.0"],
        );
    }
    let pause = postponed(&delivery).await;
    assert!((119 * 60..122 * 60).contains(&(pause / 1_000_000)), "{pause}");
    assert_eq!(peer.seen().connections, 2);
}

#[tokio::test]
async fn a_receivers_words_slow_it_down() {
    let rule = "[[automation]]\nregex = 'unusual rate'\ntrigger = '1/h'\naction = 'slow'\n\
        message_rate = '1/h'\nduration_minutes = 30\n";
    let mails = AtomicUsize::new(0);
    let peer = Peer::start(Setup::script(move |line| {
        let first = line == "." && mails.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| say("450 4.7.28 an unusual rate of mail")).flatten()
    }))
    .await;
    let (_dir, delivery) = shaped(to_smarthost(peer.address), &(limits("") + rule));
    check(&delivery.attempt(CONTENT, &due(&["b@example.org"])).await, &["Delayed 4.7.28"]);
    deliver(&delivery, 1).await;
    let pause = postponed(&delivery).await;
    assert!(pause > 60_000_000, "{pause}");
    assert_eq!(peer.seen().contents.len(), 2);
}

#[tokio::test]
async fn an_address_that_is_new_sends_little() {
    let peer = Peer::start(Setup::default()).await;
    let warm = "warm_up = { first_day = 5, factor = 2.0, max_deferred_percent = 5, done_at = 100 }";
    let (_dir, delivery) = shaped(to_smarthost(peer.address), &limits(warm));
    deliver(&delivery, 5).await;
    let pause = postponed(&delivery).await;
    assert!(pause > 0, "{pause}");
    assert_eq!(peer.seen().contents.len(), 5);
}

#[tokio::test]
async fn mail_leaves_from_its_pool() {
    let pool = |name: &str, address: &str, lists: bool| Pool {
        name: name.to_owned(),
        source_addresses: vec![address.parse().expect("address")],
        domains: Vec::new(),
        lists,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let config = Config {
        pools: vec![pool("bulk", "127.0.0.7", true), pool("rest", "127.0.0.8", false)],
        timeouts: Timeouts { reply_seconds: 1, ..Timeouts::default() },
        ..to_smarthost(listener.local_addr().expect("address"))
    };
    let delivery = delivery(&config);
    let list = [b"List-Unsubscribe: <https://example.com/u>\r\n", CONTENT].concat();
    for (content, source) in [(CONTENT, "127.0.0.8"), (&list, "127.0.0.7")] {
        let recipients = due(&["b@example.org"]);
        let (accepted, _) = tokio::join!(listener.accept(), async {
            tokio::time::timeout(Duration::from_millis(500), delivery.attempt(content, &recipients))
                .await
        });
        let (_, peer) = accepted.expect("accept");
        assert_eq!(peer.ip(), source.parse::<IpAddr>().expect("address"));
    }
}

/// There is nothing to try, and nothing to wait for.
#[tokio::test]
async fn who_has_no_address_waits_for_no_connection() {
    let peer = Peer::start(Setup::default()).await;
    let delivery = delivery(&to_smarthost(peer.address));
    let Attempt::Reported(report) = delivery.try_attempt(CONTENT, &due(&["@example.org"])).await
    else {
        panic!("postponed")
    };
    check(&report, &["Failed 5.1.3"]);
    assert_eq!(peer.seen().connections, 0);
}

#[tokio::test]
async fn captured_mail_has_no_limits() {
    let dir = tempfile::tempdir().expect("directory");
    let route = Route::Capture { directory: dir.path().join("captured") };
    let text = limits("message_rate = '1/h'");
    let (_file, delivery) = shaped(Config { default_route: route, ..Config::default() }, &text);
    deliver(&delivery, 3).await;
}
