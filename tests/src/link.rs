//! A way to a server that can be cut: while it is, nothing passes and nobody is told, as when packets are
//! dropped. What was under way arrives once it is mended, as TCP would have it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub struct Link {
    /// Where it begins.
    pub address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Link {
    pub async fn to(server: SocketAddr) -> anyhow::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen")?;
        let address = listener.local_addr().context("read the address of a link")?;
        let is_cut = Arc::new(watch::Sender::new(false));
        let task = tokio::spawn(accept(listener, server, is_cut.clone()));
        Ok(Link { address, is_cut, task })
    }

    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, is_cut: Arc<watch::Sender<bool>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let is_cut = is_cut.subscribe();
        connections.spawn(carry(client, server, is_cut));
        while connections.try_join_next().is_some() {}
    }
}

/// Ends as soon as either side does: half a NATS connection is none.
async fn carry(client: TcpStream, server: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    if is_cut.wait_for(|it| !it).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    _ = client.set_nodelay(true);
    _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, is_cut.clone()) => (),
        () = pump(from_server, to_client, is_cut) => (),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_cut: watch::Receiver<bool>,
) {
    let mut octets = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut octets).await {
        let is_open = is_cut.wait_for(|it| !it).await.is_ok();
        if count == 0 || !is_open || to.write_all(&octets[..count]).await.is_err() {
            return;
        }
    }
}
