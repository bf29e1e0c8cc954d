//! The only writer of mail. `inbound.scanned` → inboxes and threads; `outbound.scanned` → the ledger
//! and the outbox, and from there `outbound.accepted`; `outbound.reported` → statuses. Each announces events on
//! `mail.v1.event.>`, after the commit that makes them true.
//!
//! Keeps the directory in NATS as the database says. Speaks no SMTP and judges no mail.

mod arrivals;
mod config;
mod events;
mod house;
mod ledger;
mod limits;
mod metrics;
mod open;
mod portions;
mod release;
mod reporter;
mod request;

use std::sync::Arc;

use bus::{Bus, Failure};
use service::Process;
use tokio::sync::Notify;

use crate::{
    arrivals::Arrivals,
    house::House,
    ledger::Ledger,
    metrics::{Metrics, OutboxMetrics},
    release::Release,
    reporter::Reporter,
};
pub use crate::{
    config::Config,
    limits::{TierLimits, WarmUpConfig},
};

/// Migrates the database, and stores until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let registry = process.metrics.registry("storage")?;
    let metrics = Metrics::register(&registry)?;
    let outbox = OutboxMetrics::register(&registry)?;
    let Some(store) = open::open(&config.database, &process).await? else { return Ok(()) };
    let store = store.under(limits::policy(&config));
    let bus = Bus::connect(&config.nats, "storage", &process).await?;
    let arrivals =
        Arrivals { claims: bus.claims(), store: store.clone(), metrics: metrics.clone() };
    let wake = Arc::new(Notify::new());
    let ledger = Ledger {
        claims: bus.claims(),
        store: store.clone(),
        domains: config.domains.clone(),
        policy: limits::policy(&config),
        metrics: metrics.clone(),
        outbox: outbox.clone(),
        wake: Arc::clone(&wake),
    };
    let release = Release {
        bus: bus.clone(),
        store: store.clone(),
        metrics: outbox,
        wake,
        shutdown: process.shutdown.clone(),
    };
    let reporter = Reporter { writer: store.writer.clone(), metrics };
    let house = House::new(&config, bus.directory(), store.clone(), &process);
    let outcome = tokio::try_join!(
        bus.run_batches(arrivals),
        bus.run_batches(ledger),
        bus.run_batches(reporter),
        release.keep(),
        house.keep(),
        bus.sweep()
    );
    store.close().await;
    outcome.map(drop)
}

/// The database may come back, or the mail may be what it cannot take.
fn failure(err: store::Error) -> Failure {
    let is_transient = err.is_transient();
    let err = anyhow::Error::new(err);
    if is_transient { Failure::Transient(err) } else { Failure::Permanent(err) }
}
