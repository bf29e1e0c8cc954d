//! The only writer of mail. `inbound.scanned` → inboxes and threads; `outbound.scanned` → the ledger
//! and `outbound.accepted`; `outbound.reported` → statuses. Each announces events on
//! `mail.v1.event.>`, after the commit that makes them true.
//!
//! Keeps the directory in NATS as the database says. Speaks no SMTP and judges no mail.

mod answerable;
mod arrivals;
mod config;
mod events;
mod house;
mod ledger;
mod lists;
mod metrics;
mod open;
mod portions;
mod reporter;
mod request;

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Bus, Failure};
use service::Process;
use store::UnsubscribeTokens;

pub use crate::config::Config;
use crate::{
    arrivals::Arrivals, house::House, ledger::Ledger, lists::Lists, metrics::Metrics,
    reporter::Reporter,
};

/// Migrates the database, and stores until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let metrics = Metrics::register(&process.metrics.registry("storage")?)?;
    let Some(store) = open::open(&config.database, &process).await? else { return Ok(()) };
    let bus = Bus::connect(&config.nats, "storage", &process).await?;
    let arrivals =
        Arrivals { claims: bus.claims(), store: store.clone(), metrics: metrics.clone() };
    let secret = store.writer.secret("unsubscribe").await.context("read a secret")?;
    let lists = Lists::new(&config, UnsubscribeTokens::new(&secret));
    let ledger = Ledger {
        claims: bus.claims(),
        uploads: bus.uploads(),
        lists: Arc::new(lists),
        store: store.clone(),
        domains: config.domains.clone(),
        metrics: metrics.clone(),
    };
    let reporter = Reporter { writer: store.writer.clone(), metrics };
    let house = House::new(&config, bus.directory(), store.clone(), &process);
    let outcome = tokio::try_join!(
        bus.run_batches(arrivals),
        bus.run_batches(ledger),
        bus.run_batches(reporter),
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
