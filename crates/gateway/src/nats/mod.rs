//! NATS as a door for agents: they log in with their tokens, and ask there what REST answers.
//!
//! Logins are asked about by the server, in its system account, where connections can also be ended.
//! Questions come in the account that agents are in. Nothing here knows what a question is about: it
//! becomes a request to the API, of the token whose subject it came on.

mod answer;
mod api;
mod callout;
mod config;
mod counts;
mod discovery;
mod operations;
mod revocation;
mod server;
mod tokens;
mod turns;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use async_nats::{Client, connection::State};
use axum::Router;
use bus::{Login, Server};
use nats_login::Issuer;
use service::Process;
use store::Store;
use tokio_util::sync::CancellationToken;

pub use self::config::AgentLogins;
use self::{
    api::Api, callout::Callout, discovery::Discovery, operations::Operations,
    revocation::Revocation,
};
use crate::{Config, metrics::Metrics};

/// All replicas share the work.
const GROUP: &str = "posthouse-gateway";

/// At shutdown, for what is in hand.
const DRAIN: Duration = Duration::from_secs(20);

/// Whether agents are answered already. Until then the gateway is not ready: a login that nobody answers
/// for takes the server seconds to turn away.
#[derive(Clone, Default)]
pub(crate) struct Opening {
    logins: Arc<AtomicBool>,
    questions: Arc<AtomicBool>,
}

impl Opening {
    /// Registered before anything else is, so that there is no moment when the gateway seems ready.
    pub(crate) fn new(config: &Config, process: &Process) -> Opening {
        let opening = Opening::default();
        if config.agent_logins.issuer_file.is_some() {
            let Opening { logins, questions } = opening.clone();
            process.health.add("gateway: agents at nats", move || {
                match logins.load(Ordering::Relaxed) && questions.load(Ordering::Relaxed) {
                    true => Ok(()),
                    false => Err("not answered yet".to_owned()),
                }
            });
        }
        opening
    }
}

/// Returns once what was subscribed to has reached the server, or `false` when told to stop.
async fn has_opened(client: &Client, sign: &AtomicBool, stop: &CancellationToken) -> bool {
    tokio::select! {
        flushed = client.flush() => {
            if let Err(err) = flushed {
                tracing::warn!("subscribe at NATS: {err}");
            }
            sign.store(true, Ordering::Relaxed);
            true
        }
        () = stop.cancelled() => false,
    }
}

/// The door, connected.
pub(crate) struct Door {
    callout: Callout,
    revocation: Revocation,
    api: Api,
    discovery: Discovery,
}

impl Door {
    /// `None` where agents do not log in at NATS.
    pub(crate) async fn open(
        config: &Config,
        store: &Store,
        router: Router,
        metrics: &Metrics,
        process: &Process,
        opening: Opening,
    ) -> anyhow::Result<Option<Door>> {
        let logins = &config.agent_logins;
        let reader = store.reader.clone();
        let (Some(issuer), Some(password)) = (&logins.issuer_file, &logins.password_file) else {
            return Ok(None);
        };
        let seed = tokio::fs::read_to_string(issuer).await.map_err(anyhow::Error::from);
        let issuer = seed
            .and_then(|seed| Ok(Issuer::from_seed(&seed)?))
            .with_context(|| format!("read issuer_file {}", issuer.display()))?;
        let connect = async |user: &str, name: &str| {
            let login = Login {
                ca_file: config.nats_login.ca_file.clone(),
                ..Login::with_password(user, password)
            };
            let server = Server::new(&config.nats, &login);
            let client = bus::connect(&server, name, process.shutdown.clone()).await?;
            watch(&client, name, process);
            anyhow::Ok(client)
        };
        let system = connect(&logins.system_user, "gateway logins").await?;
        let agents = connect(&logins.agents_user, "gateway for agents").await?;
        let operations = Arc::new(Operations::new()?);
        Ok(Some(Door {
            callout: Callout {
                client: system.clone(),
                issuer: Arc::new(issuer),
                reader: reader.clone(),
                writer: store.writer.clone(),
                seconds: logins.seconds,
                logins: metrics.nats_logins.clone(),
                sign: opening.logins,
            },
            revocation: Revocation::new(system, reader.clone(), metrics.nats_kicks.clone()),
            discovery: Discovery::new(agents.clone(), Arc::clone(&operations)),
            api: Api::new(agents, router, reader, operations, opening.questions),
        }))
    }

    /// Until told to stop; then what is in hand is finished.
    pub(crate) async fn serve(&self, stop: &CancellationToken) {
        tokio::join!(
            self.callout.run(stop),
            self.revocation.run(stop),
            self.api.run(stop),
            self.discovery.run(stop),
        );
    }
}

fn watch(client: &Client, name: &str, process: &Process) {
    let client = client.clone();
    process.health.add(format!("gateway: nats, {name}"), move || match client.connection_state() {
        State::Connected => Ok(()),
        _ => Err("not connected".to_owned()),
    });
}
