use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use async_nats::{
    Client, Event,
    connection::State,
    jetstream::{self, context::ContextBuilder},
};
use contract::topology::DIRECTORY;
use service::{Process, Stopped, Traces};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Board, Bucket, Claims, Directory, Server, Uploads, bundle::Bundlers, metrics::Metrics, topology,
};

/// The longest wait for JetStream to answer: a publish that takes longer counts as failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to NATS. Cloning shares it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) metrics: Metrics,
    pub(crate) bundlers: Arc<Bundlers>,
    pub(crate) traces: Traces,
    pub(crate) shutdown: CancellationToken,
}

impl Bus {
    /// Connects, waiting for NATS if it is away, and checks that the streams and consumers are as
    /// `contract::topology` says. From then on the connection mends itself; while it is lost the
    /// process is not ready. The error is `Stopped` if the process is told to stop meanwhile.
    pub async fn connect(
        server: impl Into<Server>,
        service: &str,
        process: &Process,
    ) -> anyhow::Result<Bus> {
        let client = connect(&server.into(), service, process.shutdown.clone()).await?;
        let metrics = Metrics::register(&process.metrics.registry(service)?)?;
        let verified = Arc::new(AtomicBool::new(false));
        process.health.add(format!("{service}: nats"), {
            let (client, verified) = (client.clone(), Arc::clone(&verified));
            move || match client.connection_state() {
                State::Connected if verified.load(Ordering::Relaxed) => Ok(()),
                State::Connected => Err("streams not verified yet".to_owned()),
                _ => Err("not connected".to_owned()),
            }
        });
        let jetstream = context(&client);
        let bundlers = Arc::new(Bundlers::start(&client, &jetstream, &metrics));
        let shutdown = process.shutdown.clone();
        let traces = process.traces.clone();
        let bus = Bus { client, jetstream, metrics, bundlers, traces, shutdown };
        bus.wait_for_topology().await?;
        if !bus.client.server_info().auth_required {
            warn!(
                "NATS asks nobody who they are: whoever reaches it can read and send everybody's mail"
            );
        }
        verified.store(true, Ordering::Relaxed);
        Ok(bus)
    }

    /// Whether NATS can be reached now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    pub fn claims(&self) -> Claims {
        Claims::new(self.jetstream.clone())
    }

    pub fn uploads(&self) -> Uploads {
        Uploads::new(self.jetstream.clone())
    }

    pub fn directory(&self) -> Directory {
        Directory::new(self.bucket(DIRECTORY))
    }

    /// One of the key-value buckets of `contract::topology`.
    pub fn bucket(&self, name: &'static str) -> Bucket {
        Bucket::new(self.jetstream.clone(), name)
    }

    /// The key-value bucket of this name.
    pub fn board(&self, bucket: &'static str) -> Board {
        Board::new(self.jetstream.clone(), bucket)
    }

    /// NATS may be away at the start, and come up before its streams can be used.
    async fn wait_for_topology(&self) -> anyhow::Result<()> {
        loop {
            match topology::verify(&self.jetstream).await {
                Ok(()) => return Ok(()),
                Err(topology::Mismatch::Wrong(why)) => anyhow::bail!(why),
                Err(topology::Mismatch::Unknown(err)) => {
                    warn!("cannot read the streams yet: {err:#}");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => (),
                () = self.shutdown.cancelled() => return Err(Stopped.into()),
            }
        }
    }
}

/// Returns at once; the connection is made, and made again, in the background. `name` is how NATS
/// shows it.
pub async fn connect(
    server: &Server,
    name: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<Client> {
    let options = server.login.options().await.context("read the login for NATS")?;
    options
        .name(name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| match attempts {
            0 | 1 => Duration::ZERO,
            _ => Duration::from_millis(500),
        })
        .event_callback(move |event| {
            match event {
                Event::Connected => info!("NATS is connected"),
                // Who stops may see NATS stop too, and needs it no more.
                Event::Disconnected if shutdown.is_cancelled() => (),
                Event::Disconnected => warn!("NATS is away"),
                Event::SlowConsumer(subscription) => warn!(subscription, "missed messages"),
                Event::ServerError(err) => warn!("NATS says: {err}"),
                _ => (),
            }
            ready(())
        })
        .connect(server.addresses())
        .await
        .context("connect to NATS")
}

pub(crate) fn context(client: &async_nats::Client) -> jetstream::Context {
    ContextBuilder::new().timeout(ANSWER_TIMEOUT).ack_timeout(ANSWER_TIMEOUT).build(client.clone())
}
