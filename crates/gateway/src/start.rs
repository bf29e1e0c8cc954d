//! What the gateway waits for, and what it keeps an eye on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bus::{Bus, Server};
use service::Process;
use store::{Reader, Schema, Store};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{Config, gateway::starting, metrics::Metrics, server};

const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How often, and how long, the database is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to both, as long as it takes, and meanwhile answers that it does. `None` when told to
/// stop.
pub(crate) async fn wait(
    listener: &TcpListener,
    config: &Config,
    metrics: &Metrics,
    process: &Process,
) -> anyhow::Result<Option<(Store, Bus)>> {
    let started = Arc::new(AtomicBool::new(false));
    process.health.add("gateway: start", {
        let started = Arc::clone(&started);
        move || if started.load(Ordering::Relaxed) { Ok(()) } else { Err("starting".to_owned()) }
    });
    let meanwhile = process.shutdown.child_token();
    let connect = async {
        let connected = tokio::select! {
            // First, because being told to stop also fails the connecting.
            biased;
            () = process.shutdown.cancelled() => Ok(None),
            connected = connect(config, process) => connected,
        };
        meanwhile.cancel();
        connected
    };
    let answer =
        server::serve(listener, starting(metrics.clone()), config.max_connections, &meanwhile);
    let (connected, ()) = tokio::join!(connect, answer);
    started.store(true, Ordering::Relaxed);
    connected
}

async fn connect(config: &Config, process: &Process) -> anyhow::Result<Option<(Store, Bus)>> {
    let bus =
        Bus::connect(Server::new(&config.nats, &config.nats_login), "gateway", process).await?;
    let opened = Store::wait(&config.database, Schema::Await, "gateway", process).await;
    Ok(opened.context("open the database")?.map(|store| (store, bus)))
}

/// Makes the domains known to every intake.
pub(crate) async fn announce_domains(bus: &Bus, domains: &[String], stop: &CancellationToken) {
    let directory = bus.directory();
    for domain in domains {
        while let Err(err) = directory.add_domain(domain).await {
            tracing::warn!("enter a domain into the directory: {err:#}");
            tokio::select! {
                () = tokio::time::sleep(RETRY_EVERY) => (),
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Keeps readiness true to whether the database answers.
pub(crate) async fn watch_database(reader: Reader, process: &Process) {
    let answers = Arc::new(AtomicBool::new(true));
    process.health.add("gateway: database", {
        let answers = Arc::clone(&answers);
        move || if answers.load(Ordering::Relaxed) { Ok(()) } else { Err("does not answer".into()) }
    });
    loop {
        let probed = timeout(PROBE_TIMEOUT, reader.account("")).await;
        let is_there = matches!(probed, Ok(Ok(_)));
        if answers.swap(is_there, Ordering::Relaxed) && !is_there {
            tracing::warn!("the database does not answer");
        }
        tokio::select! {
            () = tokio::time::sleep(PROBE_EVERY) => (),
            () = process.shutdown.cancelled() => return,
        }
    }
}
