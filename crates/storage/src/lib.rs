//! The only writer of mail. `inbound.scanned` → inboxes and threads; `outbound.scanned` → the ledger
//! and `outbound.accepted`; `outbound.reported` → statuses. Each announces events on
//! `mail.v1.event.>`, after the commit that makes them true.
//!
//! Keeps the directory in NATS as the database says. Speaks no SMTP and judges no mail.

mod announcer;
mod arrivals;
mod config;
mod events;
mod house;
mod ledger;
mod metrics;
mod open;
mod portions;
mod reporter;
mod request;

use bus::{Bus, Failure};
use service::Process;
use store::Policy;

pub use crate::config::Config;
use crate::{
    announcer::Announcer, arrivals::Arrivals, house::House, ledger::Ledger, metrics::Metrics,
    reporter::Reporter,
};

/// Migrates the database, and stores until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let metrics = Metrics::register(&process.metrics.registry("storage")?)?;
    let policy = Policy {
        breakers: config.breakers.clone(),
        brakes: config.brakes.clone(),
        is_bounce: reporter::is_bounce,
    };
    let opened = open::open(&config.database, policy, &process).await?;
    let Some(store) = opened else { return Ok(()) };
    let bus = Bus::connect(&config.nats, "storage", &process).await?;
    let arrivals =
        Arrivals { claims: bus.claims(), store: store.clone(), metrics: metrics.clone() };
    let ledger = Ledger {
        claims: bus.claims(),
        store: store.clone(),
        domains: config.domains.clone(),
        metrics: metrics.clone(),
    };
    let reporter = Reporter { writer: store.writer.clone(), metrics: metrics.clone() };
    let announcer =
        Announcer { bus: bus.clone(), store: store.clone(), metrics, process: process.clone() };
    let house = House::new(&config, bus.directory(), store.clone(), &process);
    let outcome = tokio::try_join!(
        bus.run_batches(arrivals),
        bus.run_batches(ledger),
        bus.run_batches(reporter),
        house.keep(),
        announcer.keep(),
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
