//! Postfix relaying everything to the sink.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use e2e::{SOON, eventually};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    CONNECTIONS, LOAD, MAILS,
    shared::postfix::{self, Load, Package},
    sink::Sink,
};

const RECIPIENT: &str = "u@relay.example";

pub(crate) struct Postfix {
    mta: postfix::Postfix,
    qmgr: Pid,
}

impl Postfix {
    pub(crate) async fn start(package: &Package, sink: &Sink) -> anyhow::Result<Postfix> {
        let (host, port) = (sink.address.ip(), sink.address.port());
        // Without the last, cleanup waits a second for a queue manager that is stopped.
        let settings = format!(
            "relayhost = [{host}]:{port}
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
default_destination_concurrency_limit = {CONNECTIONS}
initial_destination_concurrency = {CONNECTIONS}
smtp_dns_support_level = disabled
in_flow_delay = 0
"
        );
        let services = [
            "smtp unix - - n - - smtp",
            "relay unix - - n - - smtp",
            "scache unix - - n - 1 scache",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
        ];
        let mta = postfix::Postfix::start(package, &settings, &services).await?;
        // The queue manager comes with the first mail, and stays.
        let before = sink.taken();
        let one = Load { mails: 1, sessions: 1, ..LOAD };
        package.load(&mta.address.to_string(), RECIPIENT, &one).await?;
        sink.until(Instant::now(), before + 1).await.with_context(|| mta.log())?;
        let qmgr = child_of(mta.master()?, "qmgr")?;
        Ok(Postfix { mta, qmgr })
    }

    pub(crate) async fn round(&self, package: &Package, sink: &Sink) -> anyhow::Result<Duration> {
        let before = sink.taken();
        kill_process(self.qmgr, Signal::STOP)?;
        package.load(&self.mta.address.to_string(), RECIPIENT, &LOAD).await?;
        let start = Instant::now();
        kill_process(self.qmgr, Signal::CONT)?;
        let took = sink.until(start, before + MAILS).await.with_context(|| self.mta.log())?;
        // Postfix is done only when its queue is empty.
        let queue = self.mta.folder.path().join("queue/active");
        eventually(SOON, "Postfix's queue to be empty", async || {
            Ok((fs::read_dir(&queue)?.count() == 0).then_some(()))
        })
        .await?;
        Ok(took)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.mta.stop().await
    }
}

/// The process of this name that `parent` has started.
fn child_of(parent: Pid, name: &str) -> anyhow::Result<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let is_it = |stat: &str| {
        // "<pid> (<name>) <state> <parent> …"
        let mut words = stat.split([' ', '(', ')']).filter(|it| !it.is_empty()).skip(1);
        words.next() == Some(name) && words.nth(1) == Some(&parent)
    };
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        if is_it(&stat) {
            let pid = stat.split(' ').next().and_then(|it| it.parse().ok());
            return pid.and_then(Pid::from_raw).context("read a process id");
        }
    }
    anyhow::bail!("{name} does not run")
}
