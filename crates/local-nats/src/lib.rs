//! Runs a `nats-server` of our own as a child process, for development and tests.
//!
//! Every acknowledged message is on disk (`sync_interval: always`), so that what happens here when a
//! process is killed is what happens elsewhere. It listens on one address. Whoever reaches that may do
//! everything, unless there are `Logins`: then it has the accounts of `deploy/nats/accounts.conf`.

mod binary;
mod process;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::process::Child;

pub use crate::binary::find;

/// How long the server may take to recover its streams, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Options {
    /// The `nats-server` to run; see `find`.
    pub binary: PathBuf,
    /// Keeps the streams, the configuration and the log.
    pub dir: PathBuf,
    /// Port 0 for a free one.
    pub listen: SocketAddr,
    /// Without them the server asks nobody who they are.
    pub logins: Option<Logins>,
    /// One of several servers that keep copies of the streams.
    pub member: Option<Member>,
}

/// A server's place among those it shares the streams with.
#[derive(Clone, Debug)]
pub struct Member {
    /// No other server's.
    pub name: String,
    /// Where the others reach it.
    pub listen: SocketAddr,
    /// Where all of them are reached, this one too.
    pub routes: Vec<SocketAddr>,
}

/// What the variables in `deploy/nats/accounts.conf` stand for.
#[derive(Clone)]
pub struct Logins {
    /// The public key of who answers for agents' logins (`A…`).
    pub issuer: String,
    /// Of the user "posthouse".
    pub password: String,
    /// Of the users "posthouse-system" and "posthouse-agents".
    pub logins_password: String,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Options {
    /// A free port of the loopback interface, and the binary that `find` comes up with.
    pub fn new(dir: &Path) -> anyhow::Result<Options> {
        Ok(Options {
            binary: find()?,
            dir: dir.to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            logins: None,
            member: None,
        })
    }
}

/// A running nats-server. Dropping it kills the server.
pub struct LocalNats {
    pub url: String,
    options: Options,
    child: Child,
}

impl LocalNats {
    /// Starts a server and returns once it takes connections. One that an earlier process left
    /// running on the same directory is stopped first.
    pub async fn start(options: &Options) -> anyhow::Result<LocalNats> {
        let mut options = options.clone();
        // The server resolves relative paths against its working directory, and so would a restart.
        options.dir = std::path::absolute(&options.dir).context("find the directory of NATS")?;
        process::stop_orphan(&options.dir).await?;
        let (child, address) = process::spawn(&options).await?;
        options.listen = address;
        Ok(LocalNats { url: format!("nats://{address}"), options, child })
    }

    /// Its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the server as a crash would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill nats-server")
    }

    /// Lets the server finish what it is doing and stop.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        process::terminate(pid)?;
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            // Stopped by SIGTERM, the server exits with 1 or dies of the signal: either is a success.
            Ok(status) => status.map(drop).context("wait for nats-server"),
            Err(_) => {
                self.kill().await?;
                bail!("nats-server did not stop in {PATIENCE:?} and was killed")
            }
        }
    }

    /// Starts the server again after `kill` or `stop`, on the same port and with the same streams.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait().context("ask whether nats-server runs")?.is_none() {
            bail!("nats-server is still running");
        }
        (self.child, _) = process::spawn(&self.options).await?;
        Ok(())
    }

    /// Resolves when the server exits by itself, and says why as far as its log tells.
    pub async fn exited(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => process::death(&self.options.dir, status),
            Err(err) => anyhow::Error::new(err).context("wait for nats-server"),
        }
    }
}
