//! smtp-sink: takes everything and keeps nothing.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::{SOON, Smtp, eventually, free_port};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::sleep,
};

use crate::shared::postfix::Package;

const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: Arc<AtomicUsize>,
    _child: Child,
    _counter: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start(package: &Package) -> anyhow::Result<Sink> {
        let address = free_port()?;
        let mut child = Command::new(package.root.join("usr/sbin/smtp-sink"))
            .env("LD_LIBRARY_PATH", package.libraries())
            .args(["-c", "-u", "nobody", &address.to_string(), "128"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start smtp-sink")?;
        let taken = Arc::<AtomicUsize>::default();
        let stdout = child.stdout.take().context("read from smtp-sink")?;
        let counter = tokio::spawn(count(stdout, Arc::clone(&taken)));
        eventually(SOON, "smtp-sink to answer", async || Ok(Smtp::connect(address).await.ok()))
            .await?;
        Ok(Sink { address, taken, _child: child, _counter: counter })
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How long it takes from `start` until there are so many.
    pub(crate) async fn until(&self, start: Instant, taken: usize) -> anyhow::Result<Duration> {
        while self.taken() < taken {
            ensure!(start.elapsed() < PATIENCE, "{} of {taken} mails came", self.taken());
            sleep(Duration::from_millis(2)).await;
        }
        ensure!(self.taken() == taken, "{} mails came instead of {taken}", self.taken());
        Ok(start.elapsed())
    }
}

/// Reads "sess=… quit=… mesg=…", over and over with a carriage return before it.
async fn count(mut stdout: ChildStdout, taken: Arc<AtomicUsize>) {
    let (mut text, mut octets) = (String::new(), [0; 4096]);
    while let Ok(length @ 1..) = stdout.read(&mut octets).await {
        text += &String::from_utf8_lossy(&octets[..length]);
        // What follows the last complete word waits for its end.
        let Some((whole, rest)) = text.rsplit_once('\r') else { continue };
        let counts = whole.rsplit("mesg=").next().map(str::trim);
        if let Some(count) = counts.and_then(|it| it.parse().ok()) {
            taken.store(count, Ordering::Relaxed);
        }
        text = rest.to_owned();
        if let Some(count) = text.split("mesg=").nth(1).and_then(|it| it.trim().parse().ok()) {
            taken.fetch_max(count, Ordering::Relaxed);
        }
    }
}
