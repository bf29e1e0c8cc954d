//! Requests to send, over REST and over NATS, each under a key of its own and repeated until it is taken.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use e2e::{Agent, Inbox};
use serde_json::{Value, json};
use test_peer::Peer;
use tokio::{task::JoinSet, time::sleep};

/// What was accepted, by subject.
type Accepted = Arc<Mutex<BTreeMap<String, Kind>>>;

/// What becomes of a mail whose outcome nobody knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// It is sent again: there may be two.
    Retry,
    /// It is not: there is never more than one.
    Hold,
}

impl Kind {
    fn of(n: usize) -> Kind {
        if n.is_multiple_of(2) { Kind::Retry } else { Kind::Hold }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Retry => "retry",
            Kind::Hold => "hold",
        }
    }
}

pub(crate) struct Outbound {
    accepted: Accepted,
    stop: Arc<AtomicBool>,
    clients: JoinSet<anyhow::Result<()>>,
}

impl Outbound {
    /// `agents` is the same account at each gateway; NATS is reached directly, where agents are.
    pub(crate) async fn start(
        agents: Vec<Agent>,
        from: &Inbox,
        nats: &str,
        pause: Duration,
    ) -> anyhow::Result<Outbound> {
        let (accepted, stop) = (Accepted::default(), Arc::new(AtomicBool::new(false)));
        let addresses: Vec<&str> = nats.split(',').collect();
        let options = async_nats::ConnectOptions::new().max_reconnects(None);
        let client = options.connect(addresses).await.context("connect to NATS")?;
        let subject = format!("mail.v1.send.{}.{}", agents[0].account, from.id);
        let mut clients = JoinSet::new();
        clients.spawn(over_rest(agents, from.clone(), accepted.clone(), stop.clone(), pause));
        clients.spawn(over_nats(client, subject, accepted.clone(), stop.clone(), pause));
        Ok(Outbound { accepted, stop, clients })
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.lock().expect("not poisoned").len()
    }

    /// What was accepted so far.
    pub(crate) fn so_far(&self) -> BTreeMap<String, Kind> {
        self.accepted.lock().expect("not poisoned").clone()
    }

    /// What is under way is repeated until it is taken.
    pub(crate) async fn finish(mut self) -> anyhow::Result<BTreeMap<String, Kind>> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.context("run a client that sends")??;
        }
        Ok(self.so_far())
    }
}

fn request(subject: &str, n: usize) -> Value {
    json!({
        "to": ["somebody@world.test"], "subject": subject, "onUnknown": Kind::of(n).name(),
        "body": { "text": format!("What {subject} says.\r\n").repeat(40) },
    })
}

async fn over_rest(
    agents: Vec<Agent>,
    from: Inbox,
    accepted: Accepted,
    stop: Arc<AtomicBool>,
    pause: Duration,
) -> anyhow::Result<()> {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let subject = format!("rest {n}");
        let mut mail = request(&subject, n);
        mail["from"] = json!(from.address);
        for attempt in 0.. {
            let agent = &agents[(n + attempt) % agents.len()];
            match agent.send(&mail, Some(&subject.replace(' ', "-"))).await {
                Ok(answer) if answer.status < 300 => break,
                Ok(answer) => ensure!(answer.status >= 500, "{subject}: {answer:?}"),
                Err(_) => (),
            }
            ensure!(attempt < 3_000, "no gateway took {subject}");
            sleep(Duration::from_millis(100)).await;
        }
        accepted.lock().expect("not poisoned").insert(subject, Kind::of(n));
        sleep(pause).await;
    }
    Ok(())
}

async fn over_nats(
    client: async_nats::Client,
    subject: String,
    accepted: Accepted,
    stop: Arc<AtomicBool>,
    pause: Duration,
) -> anyhow::Result<()> {
    let jetstream = jetstream::new(client);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("nats {n}");
        let payload: Bytes = request(&name, n).to_string().into();
        for attempt in 0.. {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", name.replace(' ', "-"));
            let publish = jetstream.publish_with_headers(subject.clone(), headers, payload.clone());
            // Without an answer it may have been stored; the key makes it the same request.
            if let Ok(ack) = publish.await
                && ack.await.is_ok()
            {
                break;
            }
            ensure!(attempt < 3_000, "NATS did not take {name}");
            sleep(Duration::from_millis(100)).await;
        }
        accepted.lock().expect("not poisoned").insert(name, Kind::of(n));
        sleep(pause).await;
    }
    Ok(())
}

/// What arrived at the remote server, by subject.
pub(crate) fn arrived(peer: &Peer) -> anyhow::Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let mut arrived: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for content in peer.seen().contents {
        let text = String::from_utf8_lossy(&content);
        let subject = text.lines().find_map(|it| it.strip_prefix("Subject: "));
        let subject = subject.context("find a subject")?.to_owned();
        arrived.entry(subject).or_default().push(content);
    }
    Ok(arrived)
}
