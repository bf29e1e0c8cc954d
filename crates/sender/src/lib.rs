//! Mail goes out: each submission to its destinations, each attempt to a result, each delay to its
//! next time.
//!
//! The sender reads the ledger, and the keys to sign with, and never writes them: what became of a mail is an event.

mod attempts;
mod capture;
mod config;
mod content;
mod deliverer;
mod delivery;
mod dns;
mod domain_keys;
mod dot;
mod exchange;
mod hello;
mod memory;
mod metrics;
mod mta_sts;
mod reply;
mod route;
mod router;
mod schedule;
mod shaping;
mod sign;
mod smtp;
mod source;
mod suspended;
mod visit;

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Bus, Server};
use contract::topology::{POLICIES, SHAPING};
use service::Process;
use store::{Schema, Store};

use crate::{
    attempts::Attempts, deliverer::Deliverer, domain_keys::DomainKeys, dot::Dots, router::Router,
    suspended::Suspended,
};
pub use crate::{
    config::{Config, DkimAlgorithm, DkimKey, MtaSts, Route, Rule, Smarthost, Timeouts, TlsPolicy},
    delivery::{Attempt, Delivery},
    schedule::Retries,
    source::Pool,
};

/// Routes and delivers until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let mut delivery = Delivery::new(&config, &process.metrics.registry("sender")?)?;
    let bus =
        Bus::connect(Server::new(&config.nats, &config.nats_login), "sender", &process).await?;
    let board = bus.board(SHAPING);
    let shaping = delivery.share_over(board.clone());
    delivery.share_policies(bus.bucket(POLICIES));
    let opened = Store::wait(&config.database, Schema::Await, "sender", &process).await;
    let Some(store) = opened.context("open the database")? else { return Ok(()) };
    let domain_keys = DomainKeys::open(&store, config.domain_keys_file.as_deref()).await?;
    let dots = Dots::new(&bus);
    let suspended = Suspended::default();
    suspended.load(&store.reader).await.context("look for suspensions")?;
    let following = (suspended.clone(), store.reader.clone());
    let attempts = Attempts { ledger: store.reader, domain_keys, delivery, dots, suspended };
    let attempts = Arc::new(attempts);
    let router = Router { attempts: Arc::clone(&attempts) };
    let deliverer = Deliverer { attempts };
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
        tokio::try_join!(bus.run(router), bus.run(deliverer), hello::check(&config)).map(drop)
    };
    tokio::select! {
        worked = work => worked?,
        () = shaping.upkeep(&board) => (),
        () = following.0.follow(&following.1) => (),
    }
    shaping.leave(&board).await;
    Ok(())
}
