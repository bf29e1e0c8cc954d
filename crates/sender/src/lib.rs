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
mod exchange;
mod memory;
mod metrics;
mod public_address;
mod reply;
mod route;
mod router;
mod schedule;
mod shaping;
mod sign;
mod smtp;
mod source;
mod visit;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bus::Bus;
use contract::topology::SHAPING;
use service::Process;
use store::Store;

pub use crate::{
    config::{Config, DkimAlgorithm, DkimKey, Route, Rule, Smarthost, Timeouts, TlsPolicy},
    delivery::{Attempt, Delivery},
    schedule::Retries,
    source::Pool,
};
use crate::{deliverer::Deliverer, domain_keys::DomainKeys, router::Router};

/// How long to wait for a database that is away, or being migrated.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Routes and delivers until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let delivery = Delivery::new(&config, &process.metrics.registry("sender")?)?;
    let bus = Bus::connect(&config.nats, "sender", &process).await?;
    let board = bus.board(SHAPING);
    let shaping = delivery.share_over(board.clone());
    let Some(store) = open_store(&config.database, &process).await? else { return Ok(()) };
    let domain_keys = DomainKeys::open(&store, config.domain_keys_file.as_deref()).await?;
    let deliverer = Deliverer { ledger: store.reader, domain_keys, delivery };
    let waiting = Arc::clone(&shaping);
    process.health.add("limits", move || {
        waiting.has_joined().then_some(()).ok_or_else(|| "no part of them yet".to_owned())
    });
    let work = async {
        // Until then the limits are the other replicas' alone.
        tokio::select! {
            () = shaping.joined() => (),
            () = process.shutdown.cancelled() => return Ok(()),
        }
        tokio::try_join!(bus.run(Router), bus.run(deliverer)).map(drop)
    };
    tokio::select! {
        worked = work => worked?,
        () = shaping.upkeep(&board) => (),
    }
    shaping.leave(&board).await;
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
