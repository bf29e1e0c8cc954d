//! Accepts connections, and lets them finish when told to stop.

use std::{io::Write as _, net::IpAddr, sync::Arc, time::Instant};

use anyhow::Context as _;
use bus::Bus;
use service::Process;
use tokio::{
    net::TcpStream,
    task::{JoinError, JoinSet},
    time::{Duration, sleep, timeout},
};

use crate::{
    Config,
    admission::{Admissions, Limits, Refusal},
    auth::Failures,
    door::{Door, Listeners},
    memory::Memory,
    metrics::Metrics,
    post::Post,
    reply::{self, Reply},
    session::{Session, Shared},
    tls,
};

/// Out of file descriptors: accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the connections of the listeners until the process is told to stop and mail that is being
/// received has been taken.
pub async fn serve(
    mut listeners: Listeners,
    config: Config,
    bus: Bus,
    process: Process,
) -> anyhow::Result<()> {
    let addresses = listeners.addresses().context("read address of listener")?;
    let (tls, certificate_ends) = tls::acceptor(&config)?;
    let metrics = Metrics::new(&process.metrics.registry("intake")?)?;
    metrics.certificate_ends(certificate_ends);
    let mut server = Server {
        admissions: Arc::new(Admissions::new(Limits {
            connections: config.max_connections,
            per_peer: config.max_connections_per_peer,
            per_peer_per_second: config.max_connections_per_peer_per_second,
        })),
        shared: Arc::new(Shared {
            post: Post::new(bus),
            tls,
            failures: Failures::new(config.max_auth_failures_per_peer, config.auth_window()),
            memory: Memory::new(config.max_memory_bytes),
            metrics,
            shutdown: process.shutdown.clone(),
            config,
        }),
        sessions: JoinSet::new(),
    };
    for (door, address) in addresses {
        tracing::info!("SMTP on {address}: {}", door.purpose());
    }
    loop {
        tokio::select! {
            () = process.shutdown.cancelled() => break,
            Some(ended) = server.sessions.join_next() => note_panic(ended),
            (door, accepted) = listeners.accept() => match accepted {
                Ok((stream, peer)) => server.admit(door, stream, peer.ip().to_canonical()),
                Err(err) => {
                    tracing::warn!("connection not accepted: {err}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listeners);
    server.drain().await;
    Ok(())
}

struct Server {
    shared: Arc<Shared>,
    admissions: Arc<Admissions>,
    /// A task for each connection: a panic ends one session only.
    sessions: JoinSet<()>,
}

impl Server {
    fn admit(&mut self, door: Door, stream: TcpStream, ip: IpAddr) {
        let exempt = self.shared.config.is_exempt(ip);
        let admission = match self.admissions.admit(ip, exempt, Instant::now()) {
            Ok(admission) => admission,
            Err(Refusal::Full) => return self.refuse(door, stream, &reply::TOO_MANY_CONNECTIONS),
            Err(Refusal::Peer) => return self.refuse(door, stream, &reply::TOO_MANY_FROM_PEER),
        };
        // Replies are small and awaited; that this fails is no reason not to send them.
        drop(stream.set_nodelay(true));
        let shared = Arc::clone(&self.shared);
        self.sessions.spawn(async move {
            let connections = shared.metrics.connections.clone();
            connections.inc();
            shared.metrics.sessions.inc();
            let _open = (admission, Gauged(connections));
            Session::new(shared, door, ip, exempt).run(stream).await;
        });
    }

    /// Says no without a task: a reply always fits into the buffer of a new socket. Whoever expects TLS
    /// could not read it.
    fn refuse(&self, door: Door, stream: TcpStream, reply: &Reply) {
        self.shared.metrics.replied(reply);
        if door == Door::Submissions {
            return;
        }
        let mut text = Vec::new();
        reply.write_to(&mut text);
        // The client may have gone already.
        drop(stream.into_std().and_then(|mut stream| stream.write(&text)));
    }

    async fn drain(mut self) {
        let all = async {
            while let Some(ended) = self.sessions.join_next().await {
                note_panic(ended);
            }
        };
        if timeout(self.shared.config.drain_timeout(), all).await.is_err() {
            tracing::warn!("{} sessions cut off", self.sessions.len());
            self.sessions.shutdown().await;
        }
    }
}

/// A gauge that was raised, lowered when dropped.
struct Gauged(prometheus::IntGauge);

impl Drop for Gauged {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn note_panic(ended: Result<(), JoinError>) {
    if let Err(err) = ended {
        tracing::error!("session failed: {err}");
    }
}
