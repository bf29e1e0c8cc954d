//! Mail goes out: each submission to its destinations, each attempt to a result, each delay to its
//! next time.
//!
//! The sender reads the ledger, and the keys to sign with, and never writes them: what became of a mail is an event.

mod capture;
mod config;
mod content;
mod deliverer;
mod delivery;
mod domain_keys;
mod dot;
mod exchange;
mod memory;
mod metrics;
mod public_address;
mod reply;
mod route;
mod router;
mod schedule;
mod sign;
mod smtp;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bus::Bus;
use service::Process;
use store::Store;

pub use crate::{
    config::{Config, DkimAlgorithm, DkimKey, Route, Rule, Smarthost, Timeouts, TlsPolicy},
    delivery::Delivery,
    schedule::Retries,
};
use crate::{deliverer::Deliverer, domain_keys::DomainKeys, dot::Dots, router::Router};

/// How long to wait for a database that is away, or being migrated.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Routes and delivers until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let delivery = Delivery::new(&config, &process.metrics.registry("sender")?)?;
    let bus = Bus::connect(&config.nats, "sender", &process).await?;
    let Some(store) = open_store(&config.database, &process).await? else { return Ok(()) };
    let domain_keys = DomainKeys::open(&store, config.domain_keys_file.as_deref()).await?;
    let dots = Dots::new(&bus);
    let deliverer = Deliverer { ledger: store.reader, domain_keys, delivery, dots };
    tokio::try_join!(bus.run(Router), bus.run(deliverer))?;
    Ok(())
}

/// The database, once its schema is current. `None` at shutdown.
async fn open_store(url: &str, process: &Process) -> anyhow::Result<Option<Store>> {
    let is_open = Arc::new(AtomicBool::new(false));
    let seen = is_open.clone();
    process.health.add("database", move || {
        seen.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "not open yet".to_owned())
    });
    let mut warned = false;
    loop {
        match Store::open(url).await {
            Ok(store) => {
                is_open.store(true, Ordering::Relaxed);
                return Ok(Some(store));
            }
            Err(err) if err.is_transient() => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!("waiting for the database: {:#}", anyhow::Error::new(err));
                }
            }
            Err(err) => return Err(err).context("open the database"),
        }
        tokio::select! {
            () = process.shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(DATABASE_PAUSE) => (),
        }
    }
}
