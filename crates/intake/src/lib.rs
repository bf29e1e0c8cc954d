//! SMTP → `inbound.received`
//!
//! A 250 after DATA means that JetStream has the mail on disk. Recipients are known from the
//! directory; a mail that cannot be kept now is refused with a 4yz reply, because the sender's queue
//! is the right place for it to wait. Nothing here reads a message, and no database is known.

mod admission;
mod command;
mod config;
mod data;
mod line;
mod memory;
mod metrics;
mod network;
mod pace;
mod post;
mod receive;
mod reply;
mod sequence;
mod server;
mod session;
mod tls;
mod trace;
mod wire;

use bus::Bus;
use service::Process;

pub use crate::{
    config::{BareLineEnds, Config},
    network::{InvalidNetwork, Network},
    server::serve,
};

/// Serves until told to stop.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let bus = Bus::connect(&config.nats, "intake", &process).await?;
    let listener = service::listen(config.listen, "listen").await?;
    serve(listener, config, bus, process).await
}
