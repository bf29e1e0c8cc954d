//! Those who are told: a webhook's receiver, and a reader of events by cursor.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use e2e::{Agent, eventually};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::faults::verify::PATIENCE;

/// How often each event was posted, by its id.
pub(crate) type Calls = Arc<Mutex<BTreeMap<String, usize>>>;

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    calls: Calls,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Receiver> {
        let calls = Calls::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/hook", post(take)).with_state(calls.clone());
        // It ends with the test.
        let task = tokio::spawn(async move { _ = axum::serve(listener, router).await });
        Ok(Receiver { address, calls, task })
    }

    pub(crate) fn calls(&self) -> BTreeMap<String, usize> {
        self.calls.lock().expect("not poisoned").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(calls): State<Calls>, headers: HeaderMap) {
    let id = headers.get("webhook-id").and_then(|it| it.to_str().ok()).unwrap_or("none");
    *calls.lock().expect("not poisoned").entry(id.to_owned()).or_default() += 1;
}

/// Follows an account's events from their beginning, from one cursor to the next.
pub(crate) struct Follower {
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    task: JoinSet<anyhow::Result<()>>,
}

impl Follower {
    pub(crate) fn start(agents: Vec<Agent>) -> Follower {
        let (seen, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let mut task = JoinSet::new();
        task.spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            async move {
                let mut after = "oldest".to_owned();
                for turn in 0.. {
                    let agent = &agents[turn % agents.len()];
                    // Who is away comes back; the cursor stays good.
                    let Ok((events, cursor)) = page(agent, &after, 1).await else {
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    if events.is_empty() && stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let ids = events.iter().map(id_of).collect::<anyhow::Result<Vec<_>>>()?;
                    seen.lock().expect("not poisoned").extend(ids);
                    after = cursor;
                }
                Ok(())
            }
        });
        Follower { seen, stop, task }
    }

    /// What it has seen, in order. Call it when nothing happens any more.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(task) = self.task.join_next().await {
            task.context("follow the events")??;
        }
        Ok(self.seen.lock().expect("not poisoned").clone())
    }
}

fn id_of(event: &Value) -> anyhow::Result<String> {
    Ok(event["eventId"].as_str().context("read an event's id")?.to_owned())
}

async fn page(agent: &Agent, after: &str, timeout: u8) -> anyhow::Result<(Vec<Value>, String)> {
    let path = format!("/v1/events?after={after}&timeout={timeout}&limit=200");
    let page = agent.get(&path).await?.success()?;
    let events = page["data"].as_array().context("read events")?.clone();
    Ok((events, page["cursor"].as_str().context("read cursor")?.to_owned()))
}

/// Everything that an account can be told, in order, read at one time.
pub(crate) async fn all_events(agent: &Agent) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut after) = (Vec::new(), "oldest".to_owned());
    loop {
        // Who has just come back, or lost a leader, may say so once more: the cursor stays good.
        let (events, cursor) = eventually(PATIENCE, "a page of events", async || {
            Ok(page(agent, &after, 0).await.ok())
        })
        .await?;
        if events.is_empty() {
            return Ok(all);
        }
        ensure!(after != cursor, "the cursor goes round");
        all.extend(events);
        after = cursor;
    }
}
