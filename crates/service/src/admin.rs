//! The port for those who run the service: /healthz, /readyz, /metrics.

use std::{io, net::SocketAddr};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::{TcpListener, TcpSocket};

use crate::Process;

/// Clients that connect all at once wait in this queue. Beyond it their packets are dropped, and each
/// waits a second: with the usual 128, a busy minute does that.
const BACKLOG: u32 = 1024;

/// Binds a port; the error names it and the key that sets it.
pub async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    bind(address)
        .with_context(|| format!("listen on {address}: choose another address with `{key}`"))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves the admin port until the process ends; also while it drains, so that /readyz can say so.
pub async fn serve_admin(address: SocketAddr, process: &Process) -> anyhow::Result<()> {
    let listener = listen(address, "admin").await?;
    tokio::spawn(serve(listener, process.clone()));
    Ok(())
}

pub(crate) async fn serve(listener: TcpListener, process: Process) {
    if let Err(err) = axum::serve(listener, router(process)).await {
        tracing::error!("admin port: {err}");
    }
}

fn router(process: Process) -> Router {
    Router::new()
        // The process only, never what it depends on: a restart would not bring NATS back.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(process)
}

async fn readyz(State(process): State<Process>) -> Response {
    if process.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    match process.health.unready() {
        unready if unready.is_empty() => "ready\n".into_response(),
        unready => (StatusCode::SERVICE_UNAVAILABLE, unready.join("\n") + "\n").into_response(),
    }
}

fn is_ready(process: &Process) -> bool {
    !process.shutdown.is_cancelled() && process.health.unready().is_empty()
}

async fn metrics(State(process): State<Process>) -> Response {
    process.metrics.note_ready(is_ready(&process));
    match process.metrics.text() {
        Ok(text) => {
            let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (content_type, text).into_response()
        }
        Err(err) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{err:#}\n")).into_response(),
    }
}
