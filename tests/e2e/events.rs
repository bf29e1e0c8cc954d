//! A client that comes and goes as it pleases ends with every event, each once.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{Agent, Cluster, Load, Plan, SOON, eventually};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};

const CLIENTS: usize = 4;
const MAILS: usize = 25;

/// Beside each mail: received, scanned, a new thread. And once: the inbox.
const EVENTS: usize = CLIENTS * MAILS * 3 + 1;

/// Somebody on the way through the events.
struct Reader {
    agent: Agent,
    after: String,
    seen: Vec<String>,
    /// Which way he comes and when he goes: any order will do, but the same in each run.
    turns: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_and_goes_has_each_event_once() -> anyhow::Result<()> {
    let plan = Plan { replicas: 2, ..Plan::default() };
    let mut cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let load = Load::start(&cluster.smtp(), &inbox.address, CLIENTS, MAILS);
    let api = cluster.api()?;
    let reader =
        Reader { agent: agent.clone(), after: "oldest".to_owned(), seen: Vec::new(), turns: 7 };
    let reading = tokio::spawn(reader.read_all());

    for (accepted, restarted) in [(15, "gateway-1"), (40, "nats"), (70, "storage-1")] {
        eventually(Duration::from_secs(120), "the load to proceed", async || {
            Ok((load.accepted() >= accepted).then_some(()))
        })
        .await?;
        if restarted == "nats" {
            cluster.nats.kill().await?;
            cluster.nats.restart().await?;
        } else {
            cluster.kill(restarted).await?;
            cluster.restart(restarted).await?;
        }
    }
    load.finish().await?;
    let seen = timeout(Duration::from_secs(180), reading).await.context("read all events")???;

    let mut all: Vec<String> = Vec::new();
    let mut after = "oldest".to_owned();
    while all.len() < EVENTS {
        let path = format!("/v1/events?after={after}&timeout=0&limit=1000");
        let page = api.call(Method::GET, &path, Some(&agent.token), &[], None).await?.success()?;
        let events = page["data"].as_array().context("read events")?;
        ensure!(!events.is_empty(), "only {} events", all.len());
        all.extend(events.iter().map(|it| it["eventId"].as_str().unwrap_or_default().to_owned()));
        after = page["cursor"].as_str().context("read cursor")?.to_owned();
    }
    let once: BTreeSet<&String> = seen.iter().collect();
    ensure!(once.len() == seen.len(), "{} events, {} different ones", seen.len(), once.len());
    // A mail whose 250 was lost was sent again, and is there twice: then there are more.
    ensure!(all.starts_with(&seen), "another order");
    cluster.stop().await
}

impl Reader {
    async fn read_all(mut self) -> anyhow::Result<Vec<String>> {
        while self.seen.len() < EVENTS {
            let turn = self.turn(3);
            // Whatever fails meanwhile is away, and comes back.
            _ = match turn {
                0 => self.poll().await,
                1 => self.listen().await,
                _ => self.stream().await,
            };
        }
        Ok(self.seen)
    }

    /// A number below `most`.
    fn turn(&mut self, most: u64) -> u64 {
        self.turns = self.turns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.turns >> 33) % most
    }

    fn note(&mut self, event: &Value, id: &str) -> anyhow::Result<()> {
        self.seen.push(event[id].as_str().context("read id")?.to_owned());
        self.after = event["cursor"].as_str().context("read cursor")?.to_owned();
        Ok(())
    }

    async fn poll(&mut self) -> anyhow::Result<()> {
        let limit = self.turn(20) + 1;
        let path = format!("/v1/events?after={}&limit={limit}&timeout=1", self.after);
        let page = self.agent.get(&path).await?.success()?;
        for event in page["data"].as_array().context("read events")? {
            self.note(event, "eventId")?;
        }
        self.after = page["cursor"].as_str().context("read cursor")?.to_owned();
        Ok(())
    }

    /// By WebSocket, and gone in the middle.
    async fn listen(&mut self) -> anyhow::Result<()> {
        let base = self.agent.api.base().replace("http", "ws");
        let url = format!("{base}/v1/ws?token={}&after={}", self.agent.token, self.after);
        let (mut socket, _) = timeout(Duration::from_secs(5), connect_async(url)).await??;
        for _ in 0..=self.turn(30) {
            let message = timeout(Duration::from_secs(1), socket.next()).await?;
            let Message::Text(text) = message.context("hear more")?? else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            if frame["type"] == "event" {
                self.note(&frame, "event_id")?;
            }
        }
        Ok(())
    }

    /// By server-sent events, and gone in the middle.
    async fn stream(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/v1/events?after=oldest", self.agent.api.base());
        let request = reqwest::Client::new().get(url).bearer_auth(&self.agent.token);
        let mut request = request.header("accept", "text/event-stream");
        if self.after != "oldest" {
            request = request.header("last-event-id", &self.after);
        }
        let mut response = timeout(Duration::from_secs(5), request.send()).await??;
        ensure!(response.status() == 200, "{}", response.status());
        let mut text = String::new();
        for _ in 0..=self.turn(5) {
            let chunk = timeout(Duration::from_secs(1), response.chunk()).await??;
            text += std::str::from_utf8(&chunk.context("hear more")?)?;
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|it| it.strip_prefix("data: "));
                if let Some(data) = data {
                    self.note(&serde_json::from_str(data)?, "eventId")?;
                }
                text = rest.to_owned();
            }
        }
        Ok(())
    }
}

/// What an account has besides mail is told of as well.
#[tokio::test(flavor = "multi_thread")]
async fn inboxes_and_threads_are_told_of() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let (inbox, other) = (agent.inbox().await?, agent.inbox().await?);
    for subject in ["one", "Re: one"] {
        let mail = serde_json::json!({
            "from": other.address, "to": [inbox.address], "subject": subject, "body": { "text": "x" }
        });
        agent.send(&mail, Some(&subject.replace([' ', ':'], "-"))).await?.success()?;
        agent.wait_for(&inbox, subject).await?;
    }
    agent.delete(&format!("/v1/inboxes/{}", inbox.id)).await?.success()?;
    let path = format!("/v1/events?after=oldest&timeout=0&limit=1000&inbox={}", inbox.id);
    let events = eventually(SOON, "the end of the inbox", async || {
        let page = agent.get(&path).await?.success()?;
        let events = page["data"].as_array().context("read events")?.clone();
        let is_over = events.iter().any(|it| it["event"] == "inbox.deleted");
        Ok(is_over.then_some(events))
    })
    .await?;
    let count = |name: &str| events.iter().filter(|it| it["event"] == name).count();
    for (name, times) in [
        ("inbox.created", 1),
        ("email.received", 2),
        ("email.scan.complete", 2),
        ("email.thread.new", 1),
        ("email.thread.reply", 1),
        ("inbox.deleted", 1),
    ] {
        ensure!(count(name) == times, "{name}: {} times", count(name));
    }
    let created = events.iter().find(|it| it["event"] == "inbox.created").context("find it")?;
    ensure!(created["data"]["address"] == inbox.address.as_str(), "{created}");
    cluster.stop().await
}
