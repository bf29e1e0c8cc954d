//! The REST API, as the client libraries of the contract expect it, and the tools for language models on top of it.
//!
//! It reads what storage wrote, and hands what is to be sent to the subject that agents on NATS
//! publish to. It never speaks SMTP, and it writes nothing of mail to the database: only accounts,
//! tokens, inboxes, domains, policies, lists of senders, expectations, and what agents note of their mail.

mod accounts;
mod attachments;
mod audit;
mod caller;
mod canaries;
mod claims;
mod config;
mod console;
mod cors;
mod deliveries;
mod dns_records;
mod documentation;
mod domain_check;
mod domains;
mod emails;
mod event_cursor;
mod events;
mod expectations;
mod extraction;
mod finish;
mod gate;
mod gateway;
mod grants;
mod happening;
mod holds;
mod inboxes;
mod labels;
mod leases;
mod links;
mod local_part;
mod mcp;
mod metrics;
mod nats;
mod octets;
mod operations;
mod outbound_allow;
mod outbound_policy;
mod outbox;
mod params;
mod policy;
mod poll;
mod precheck;
mod problem;
mod quarantine;
mod reading;
mod repeats;
mod replies;
mod reputation;
mod resolve;
mod resolver;
mod reviews;
mod revocations;
mod safe;
mod search;
mod selection;
mod send;
mod senders;
mod server;
mod signups;
mod sockets;
mod start;
mod suppressions;
mod tail;
mod threads;
mod tier;
mod time;
pub mod token;
mod tokens;
mod trace;
mod unsubscribe;
mod uploads;
mod verdicts;
mod waiters;
mod webhooks;
mod websocket;
mod work;
mod zone_file;

use std::sync::Arc;

use anyhow::Context as _;
use bus::Bus;
use service::Process;
use store::{Store, UnsubscribeTokens, Vault, WebhookSecrets};
use tokio::net::TcpListener;

pub use crate::{
    config::Config, console::ConsoleConfig, documentation::description, grants::operators_grant,
    nats::AgentLogins,
};
use crate::{
    domain_check::Checker,
    gateway::{Gateway, Parts},
    links::Links,
    metrics::Metrics,
    nats::{Door, Opening},
    webhooks::Targets,
};

/// Serves the API until shutdown. The port is taken at once; before the database and NATS are there,
/// every request is answered with 503.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let listener = service::listen(config.listen, "listen").await?;
    let metrics = Metrics::new(&process)?;
    let opening = Opening::new(&config, &process);
    let Some((store, bus)) = start::wait(&listener, &config, &metrics, &process).await? else {
        return Ok(());
    };
    serve_with(listener, config, store, bus, metrics, process, opening).await
}

/// As `run`, over what is connected already.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    store: Store,
    bus: Bus,
    process: Process,
) -> anyhow::Result<()> {
    let metrics = Metrics::new(&process)?;
    let opening = Opening::new(&config, &process);
    serve_with(listener, config, store, bus, metrics, process, opening).await
}

async fn serve_with(
    listener: TcpListener,
    config: Config,
    store: Store,
    bus: Bus,
    metrics: Metrics,
    process: Process,
    opening: Opening,
) -> anyhow::Result<()> {
    let secret = store.writer.secret("attachment-urls").await.context("read a secret")?;
    let links = Links::new(&secret, config.attachment_link_seconds);
    let secret = store.writer.secret("unsubscribe").await.context("read a secret")?;
    let tokens = UnsubscribeTokens::new(&secret);
    let secret = store.writer.secret("webhooks").await.context("read a secret")?;
    let webhook_secrets = WebhookSecrets::new(&secret);
    let targets = Targets::new(&config.dns, config.allow_private_webhooks)?;
    let stop = process.shutdown.clone();
    let max_connections = config.max_connections;
    let vault = Arc::new(open_vault(&config, &store).await?);
    let checker = Checker::new(&config, store.writer.clone(), bus.directory())?;
    let parts = Parts {
        links,
        tokens,
        webhook_secrets,
        targets,
        vault,
        checker: checker.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let gateway = Gateway::new(&config, store.clone(), bus.clone(), parts);
    let waiters = gateway.waiters().clone();
    let (tail, sockets) = gateway.live();
    let revocations = gateway.revocations();
    let router = gateway.router();
    let door = Door::open(&config, &store, router.clone(), &metrics, &process, opening).await?;
    let at_nats = async {
        if let Some(door) = &door {
            door.serve(&stop).await;
        }
    };
    tokio::join!(
        start::announce_domains(&bus, &config.domains, &stop),
        checker.run(&stop),
        start::watch_database(store.reader.clone(), &process),
        waiters.follow(&bus, &stop),
        tail.follow(&stop),
        sockets.keep(&stop),
        at_nats,
        revocations.follow(&store.reader, &stop),
        server::serve(&listener, router, max_connections, &stop),
    );
    store.close().await;
    Ok(())
}

/// What DKIM keys are sealed with: the operator's key, or else one that is in the database too.
async fn open_vault(config: &Config, store: &Store) -> anyhow::Result<Vault> {
    let Some(file) = &config.domain_keys_file else {
        let key = store.writer.secret("domain-keys").await.context("read a secret")?;
        return Ok(Vault::new(&key)?);
    };
    let key = tokio::fs::read_to_string(file).await;
    key.map_err(anyhow::Error::from)
        .and_then(|key| Ok(Vault::from_hex(&key)?))
        .with_context(|| format!("read domain_keys_file {}", file.display()))
}
