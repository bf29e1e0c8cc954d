//! Several senders that share limits, and a queue that is longer than they allow.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use sender::{Config, Route, Rule, Smarthost};
use tempfile::TempDir;

use crate::{
    outcomes,
    peer::{Answer, Peer, Setup, say},
    pipeline::{Bench, Running, eventually},
    shaping::{file, limits},
    smarthost,
};

const SENDERS: usize = 4;

fn shaped(bench: &Bench, text: &str) -> (TempDir, Config) {
    let (dir, shaping_file): (TempDir, Option<PathBuf>) = file(text);
    (dir, Config { shaping_file, ..bench.config.clone() })
}

/// So many senders, once each has its part.
async fn senders(config: &Config, count: usize) -> Vec<Running> {
    let running: Vec<_> = (0..count).map(|_| Running::start(config)).collect();
    let ready = async || running.iter().all(|it| it.process.health.unready().is_empty());
    eventually(ready).await;
    running
}

async fn stop(senders: Vec<Running>) {
    for sender in senders {
        sender.stop().await;
    }
}

async fn accept(bench: &Bench, domain: &str, mails: usize) {
    for n in 0..mails {
        let (name, _) = domain.split_once('.').expect("a domain");
        bench.accept(&format!("eml_{name}_{n}"), &[&format!("b@{domain}")]).await;
    }
}

/// The most that any stretch of time of this length saw.
fn most_within(length: Duration, times: &[Instant]) -> usize {
    let within =
        |from: Instant| times.iter().filter(|it| (from..from + length).contains(*it)).count();
    times.iter().map(|it| within(*it)).max().unwrap_or(0)
}

/// How many senders the bucket knows of.
async fn replicas(bench: &Bench) -> usize {
    let client = async_nats::connect(&bench.nats.url).await.expect("connect");
    let stream = async_nats::jetstream::new(client).get_stream("KV_SHAPING").await.expect("stream");
    let mut heartbeats = 0;
    let subjects = stream.info_with_subjects("$KV.SHAPING.replica.>").await.expect("info");
    for subject in subjects.collect::<Vec<_>>().await {
        let (subject, _) = subject.expect("a subject");
        let last = stream.get_last_raw_message_by_subject(&subject).await.expect("a message");
        heartbeats += usize::from(last.headers.get("KV-Operation").is_none());
    }
    heartbeats
}

/// What waits to be delivered, and what of it is in some sender's hands.
async fn due(bench: &Bench) -> (u64, usize) {
    let client = async_nats::connect(&bench.nats.url).await.expect("connect");
    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream.get_stream("DUE").await.expect("stream");
    let later = stream.info().await.expect("info").state.messages;
    let deliverer = stream.consumer_info("deliverer").await.expect("consumer");
    let accepted = jetstream.get_stream("ACCEPTED").await.expect("stream");
    let router = accepted.consumer_info("router").await.expect("consumer");
    let few = |it: u64| usize::try_from(it).expect("few");
    let busy = [deliverer, router].map(|it| it.num_ack_pending + few(it.num_pending));
    (later + busy[1] as u64, busy.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_senders_together_keep_to_the_limits() {
    let peer = Peer::start(Setup::script(|line| {
        (line == ".").then_some(Answer::Later(Duration::from_millis(100)))
    }))
    .await;
    let bench = Bench::new(&peer).await;
    let text = limits(
        "max_connections = 5\nmessages_per_connection = 3\nmessage_rate = '30/s'\nconnection_rate = '12/s'",
    );
    let (_dir, config) = shaped(&bench, &text);
    let senders = senders(&config, SENDERS).await;
    accept(&bench, "a.test", 80).await;
    eventually(async || peer.seen().contents.len() >= 80).await;
    let seen = peer.seen();
    assert!(seen.most_open <= 5, "{} connections", seen.most_open);
    let second = Duration::from_secs(1);
    // One per connection may have been let in before and come late.
    let mails = most_within(second, &seen.taken_at);
    let connections = most_within(second, &seen.connected_at);
    assert!(mails <= 30 + 5 && connections <= 12 + 5, "{mails} mails, {connections} connections");
    bench.eventually_reported(80).await;
    assert!(bench.reports().iter().all(|it| outcomes(it) == ["Delivered 2.0.0"]));
    stop(senders).await;
    // What was kept is closed with the senders.
    assert_eq!(peer.seen().open, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_one_for_all_senders() {
    let peer = Peer::start(Setup::script(|line| {
        (line == ".").then_some(Answer::Later(Duration::from_millis(20)))
    }))
    .await;
    let bench = Bench::new(&peer).await;
    let (_dir, config) = shaped(&bench, &limits("max_connections = 1"));
    let mut senders = senders(&config, SENDERS).await;
    accept(&bench, "a.test", 20).await;
    bench.eventually_reported(20).await;
    assert_eq!(peer.seen().most_open, 1);

    // Those that stay take over what one had that goes.
    for left in (1..SENDERS).rev() {
        senders.remove(0).stop().await;
        accept(&bench, &format!("{left}.test"), 5).await;
        bench.eventually_reported(20 + 5 * (SENDERS - left)).await;
    }
    assert_eq!(peer.seen().most_open, 1);
    stop(senders).await;
}

/// As after `kill -9`: nobody says goodbye.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_sender_had_goes_to_the_others() {
    let peer = Peer::start(Setup::default()).await;
    let bench = Bench::new(&peer).await;
    let (_dir, config) = shaped(&bench, &limits("max_connections = 1"));
    let mut senders = senders(&config, SENDERS).await;
    for dead in senders.drain(1..) {
        dead.task.abort();
    }
    eventually(async || replicas(&bench).await == 1).await;
    accept(&bench, "a.test", 5).await;
    bench.eventually_reported(5).await;
    assert_eq!(peer.seen().most_open, 1);
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tarpit_takes_nobody_elses_place() {
    let slow = Setup::script(|it| it.starts_with("RCPT").then_some(Answer::Hang));
    let slow = Peer::start(slow).await;
    let fast = Peer::start(Setup::default()).await;
    let bench = Bench::new(&fast).await;
    let (_dir, config) = shaped(&bench, &limits(""));
    let to_slow = Rule {
        domains: vec!["slow.test".to_owned()],
        route: Route::Smarthost(Smarthost {
            host: "localhost".to_owned(),
            ..smarthost(slow.address)
        }),
    };
    let config = Config { routes: vec![to_slow], ..config };
    accept(&bench, "slow.test", 500).await;
    let senders = senders(&config, 1).await;
    eventually(async || slow.seen().open == 10).await;
    accept(&bench, "fast.test", 1).await;
    let reports = bench.eventually_reported(1).await;
    assert_eq!((reports.len(), reports[0].domain.as_str()), (1, "fast.test"));
    // The others wait for later, and nobody has tried them.
    eventually(async || due(&bench).await == (500, 10)).await;
    assert_eq!((slow.seen().most_open, slow.seen().connections), (10, 10));
    drop(slow);
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_sender_learns_of_a_host_all_know() {
    let busy = Setup::script(|it| (it == "connect").then(|| say("421 4.3.2 busy")).flatten());
    let peer = Peer::start(busy).await;
    let bench = Bench::new(&peer).await;
    let hour = limits("").replace("= 1\n", "= 3600\n").replace("= 4\n", "= 3600\n");
    let (_dir, mut config) = shaped(&bench, &hour);
    config.retries.delays_seconds = vec![3600];
    let senders = senders(&config, SENDERS).await;
    accept(&bench, "first.test", 1).await;
    bench.eventually_reported(1).await;
    accept(&bench, "rest.test", 20).await;
    // All are put off: the first has an attempt behind it, the others have none.
    eventually(async || due(&bench).await == (21, 0)).await;
    assert_eq!((peer.seen().connections, bench.reports().len()), (1, 1));
    stop(senders).await;

    // And so does one that comes later.
    let late = self::senders(&config, 1).await;
    accept(&bench, "late.test", 1).await;
    eventually(async || due(&bench).await == (22, 0)).await;
    assert_eq!(peer.seen().connections, 1);
    stop(late).await;
}
