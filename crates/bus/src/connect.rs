use async_nats::jetstream;
use service::Process;

use crate::{Claims, Directory, metrics::Metrics};

/// A connection to NATS. Cloning shares it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) metrics: Metrics,
}

impl Bus {
    /// Connects, waiting for NATS if it is away, and checks that the streams and consumers are as
    /// `contract::topology` says. From then on the connection mends itself; while it is lost the
    /// process is not ready.
    pub async fn connect(url: &str, service: &str, process: &Process) -> anyhow::Result<Bus> {
        unimplemented!()
    }

    /// Whether NATS can be reached now.
    pub fn is_connected(&self) -> bool {
        unimplemented!()
    }

    pub fn claims(&self) -> Claims {
        unimplemented!()
    }

    pub fn directory(&self) -> Directory {
        unimplemented!()
    }
}
