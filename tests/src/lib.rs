//! Starts the real binaries on a nats-server, a database and a folder of their own, and talks to
//! them as users do: by SMTP, HTTP and NATS.

mod api;
mod cluster;
mod corpora;
mod disk;
mod dkimpy;
mod link;
mod load;
mod memory;
mod nats;
mod ports;
mod postgres;
mod program;
mod secrets;
mod smtp;
mod tools;
mod victims;

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

pub use crate::{
    api::{Agent, Answer, Api, Inbox},
    cluster::{Backend, Cluster, DOMAIN, Plan, SERVICES, operate},
    corpora::{corpora, emails_of, skip},
    disk::{Disk, Photograph},
    dkimpy::Dkimpy,
    link::Link,
    load::{Load, Sent},
    memory::memory_of,
    nats::servers,
    ports::free_port,
    postgres::{Postgres, Settings},
    program::{Program, binary},
    secrets::Secrets,
    smtp::{Reply, Smtp, Tls, crlf},
    tools::{cache, in_checkout, run},
};

/// How long anything may take that should happen at once, on a machine with other things to do.
pub const SOON: Duration = Duration::from_secs(30);

/// Asks until there is an answer, or fails saying what was waited for.
pub async fn eventually<T>(
    patience: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = probe().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} in vain: {what}");
        }
        sleep(Duration::from_millis(25)).await;
    }
}
