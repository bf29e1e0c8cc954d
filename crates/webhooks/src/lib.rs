//! Events go out: each to the webhooks that want it, signed, in order, until it is taken or time is over.
//!
//! A webhook keeps its place in the stream of events; nothing is copied. It reads on from there when it
//! is woken, delivers, and writes how far it is. An inbox whose event is not taken waits by itself, and the
//! others go on. It writes to the database what becomes of webhooks, and nothing else; it knows no SMTP and
//! serves no HTTP.

mod body;
mod caller;
mod client;
mod config;
mod lane;
mod metrics;
mod round;
mod run;
mod schedule;
mod signature;
mod waker;

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Bus, Failure, Server};
use service::Process;
use store::{Schema, Store, WebhookSecrets};

pub use crate::config::Config;
use crate::{caller::Caller, client::Client, metrics::Metrics, schedule::Schedule, waker::Waker};

/// The name of the secret that those of webhooks follow from.
pub const SECRET: &str = "webhooks";

/// Delivers until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let metrics = Metrics::new(&process.metrics.registry("webhooks")?)?;
    let client = Client::new(&config)?;
    let bus =
        Bus::connect(Server::new(&config.nats, &config.nats_login), "webhooks", &process).await?;
    let opened = Store::wait(&config.database, Schema::Await, "webhooks", &process).await;
    let Some(store) = opened.context("open the database")? else { return Ok(()) };
    let secret = store.writer.secret(SECRET).await.context("read a secret")?;
    let log = bus.event_log();
    let stream = log.bounds().await?.stream;
    let waker = Waker { store: store.clone(), stream };
    let caller = Caller {
        log,
        store: store.clone(),
        client,
        secrets: WebhookSecrets::new(&secret),
        schedule: Arc::new(Schedule::new(&config)),
        metrics,
        traces: process.traces.clone(),
        stop: process.shutdown.clone(),
    };
    let outcome = tokio::try_join!(bus.run_batches(waker), bus.run(caller));
    store.close().await;
    outcome.map(drop)
}

/// The database may come back, or what was asked of it can never work.
fn failure(err: store::Error) -> Failure {
    let is_transient = err.is_transient();
    let err = anyhow::Error::new(err);
    if is_transient { Failure::Transient(err) } else { Failure::Permanent(err) }
}

fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}
