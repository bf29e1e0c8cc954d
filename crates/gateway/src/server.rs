//! HTTP over TCP: a bounded number of connections, none of which can stall or linger.
//!
//! `axum::serve` sets no timeouts and no bound; this does, and hands requests to the same router.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::signups::Peer;

/// For a request's header section, and for the next request on a connection that is kept alive.
/// Longer than clients keep theirs (Node: 4 s), so that none sends into a closing connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that takes nothing of its answer for so long is gone.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Octets of a header section.
const HEADER_LIMIT: usize = 64 * 1024;

/// At shutdown, requests in hand may take so long. Held ones are answered at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until told to stop, then lets the requests in hand finish.
pub(crate) async fn serve(
    listener: &TcpListener,
    router: Router,
    max_connections: usize,
    stop: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let served = connection(stream, peer, router.clone(), stop.clone());
                connections.spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
            Err(err) => {
                // Most likely there are no file descriptors left: some will be soon.
                tracing::warn!("accept a connection: {err}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!("{} connections were cut while they were served", connections.len());
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    if let Err(err) = configure(&stream) {
        tracing::debug!("configure a connection: {err}");
    }
    let is_used = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let is_used = Arc::clone(&is_used);
        move |mut request: Request<Incoming>| {
            is_used.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(Body::new))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            // hyper closes a connection between two requests, but would wait for a first one.
            if !is_used.load(Ordering::Relaxed) {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = result {
        // The client's doing: it left, or did not speak HTTP.
        tracing::debug!("connection ended: {err}");
    }
}

fn configure(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(STALL_TIMEOUT))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(STALL_TIMEOUT))?;
    Ok(())
}
