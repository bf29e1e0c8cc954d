//! SMTP → `inbound.received`, and on the submission ports → `mail.v1.send.<account>.<inbox>`
//!
//! A 250 after DATA means that JetStream has the mail on disk. Recipients are known from the
//! directory; a mail that cannot be kept now is refused with a 4yz reply, because the sender's queue
//! is the right place for it to wait. Mail from the world is not read here; mail that is handed in to be
//! sent is checked for what the client has to be told at once. No database is known.

mod admission;
mod auth;
mod command;
mod config;
mod data;
mod door;
mod line;
mod login;
mod memory;
mod metrics;
mod network;
mod pace;
mod post;
mod receive;
mod refusal;
mod reply;
mod sequence;
mod server;
mod session;
mod submit;
mod tls;
mod trace;
mod wire;

use bus::{Bus, Server};
use service::Process;

pub use crate::{
    config::{BareLineEnds, Config},
    door::{Door, Listeners},
    network::{InvalidNetwork, Network},
    server::serve,
};

/// Serves until told to stop.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let bus =
        Bus::connect(Server::new(&config.nats, &config.nats_login), "intake", &process).await?;
    let listeners = Listeners::open(&config).await?;
    serve(listeners, config, bus, process).await
}
