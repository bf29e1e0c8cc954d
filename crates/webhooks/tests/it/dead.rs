//! Receivers that hang hold up nobody else.

use webhooks::Config;

use crate::bench::{Answer, Bench, eventually};

const WEBHOOKS: usize = 100;
const EVENTS: usize = 3;

fn is_dead(name: &str) -> bool {
    name.parse::<usize>().is_ok_and(|it| it.is_multiple_of(5))
}

/// Of 100 webhooks, 20 never answer, each for every event of several inboxes. The 80 have got everything
/// before any of the 20 has run out of its time: had one waited for them, it would not have.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_that_hang_delay_none_of_the_other_eighty() {
    let mut bench = Bench::with(Config { timeout_seconds: 30, ..Config::default() }).await;
    bench.receiver.answer(|name, _| match is_dead(name) {
        true => Answer::Nothing,
        false => Answer::Status(200),
    });
    let mut dead = Vec::new();
    for n in 0..WEBHOOKS {
        let name = n.to_string();
        let id = bench.webhook(&name, &["email.received"]).await;
        if is_dead(&name) {
            dead.push((name, id));
        }
    }
    bench.start();
    for n in 0..EVENTS {
        bench.announce(&format!("ibx_{n}"), "email.received", &n.to_string()).await;
    }
    eventually(async || {
        (0..WEBHOOKS)
            .map(|it| it.to_string())
            .filter(|it| !is_dead(it))
            .all(|it| bench.receiver.calls(&it).len() == EVENTS)
    })
    .await;
    for (name, id) in &dead {
        assert!(bench.attempts(id).await.is_empty(), "{name} has been given up meanwhile");
    }
    eventually(async || dead.iter().all(|(name, _)| !bench.receiver.calls(name).is_empty())).await;
}
