//! Against the real nats-server.

use std::net::{Ipv4Addr, SocketAddr};

use local_nats::{LocalNats, Options};
use tokio::net::{TcpListener, TcpStream};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("create directory")
}

fn address(nats: &LocalNats) -> &str {
    nats.url.strip_prefix("nats://").expect("address")
}

#[tokio::test]
async fn restarts_on_its_port() {
    let dir = directory();
    let mut nats = LocalNats::start(&Options::new(dir.path()).expect("find")).await.expect("start");
    let url = nats.url.clone();
    TcpStream::connect(address(&nats)).await.expect("connect");

    nats.kill().await.expect("kill");
    TcpStream::connect(address(&nats)).await.expect_err("killed");
    nats.restart().await.expect("restart");
    assert_eq!(nats.url, url);
    TcpStream::connect(address(&nats)).await.expect("connect");

    nats.restart().await.expect_err("it runs");
    nats.stop().await.expect("stop");
    TcpStream::connect(address(&nats)).await.expect_err("stopped");
}

#[tokio::test]
async fn names_a_busy_port() {
    let dir = directory();
    let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let listen = busy.local_addr().expect("address");
    let options = Options { listen, ..Options::new(dir.path()).expect("find") };
    let err = LocalNats::start(&options).await.err().expect("refuse");
    assert!(format!("{err:#}").contains(&listen.to_string()), "{err:#}");
}

#[tokio::test]
async fn says_why_it_exited() {
    let dir = directory();
    std::fs::write(dir.path().join("store"), "a file where a directory has to be").expect("write");
    let err = LocalNats::start(&Options::new(dir.path()).expect("find")).await.err();
    let err = format!("{:#}", err.expect("refuse"));
    assert!(err.contains("nats-server exited") && err.contains("not a directory"), "{err}");
}

#[tokio::test]
async fn replaces_a_server_that_was_left_running() {
    let dir = directory();
    let options = Options::new(dir.path()).expect("find");
    let mut left = LocalNats::start(&options).await.expect("start");
    let listen: SocketAddr = address(&left).parse().expect("parse");
    let stopped = tokio::spawn(async move { left.exited().await });

    LocalNats::start(&Options { listen, ..options }).await.expect("start in its place");
    stopped.await.expect("the first has stopped");
}
