use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context as _, bail};

/// Below the range from which outgoing connections get theirs: a port stays ours while the program
/// that had it is down.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback address nobody listens on. Test processes begin to search at different places.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    let start = u16::try_from(process::id() % u32::from(COUNT / 100)).context("choose a port")?;
    for _ in 0..COUNT {
        let offset = (start * 100 + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free between {FIRST} and {}", FIRST + COUNT)
}
