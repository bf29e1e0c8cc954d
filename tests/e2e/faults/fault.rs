//! What is done to a cluster under load, one at a time, at random moments.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::Context as _;
use e2e::{Cluster, Disk, Inbox, SOON, eventually};
use fastrand::Rng;
use tokio::time::sleep;

use crate::faults::poison::Poison;

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// SIGKILL, and started again a moment later.
    Kill(String),
    /// SIGSTOP, and SIGCONT a while later.
    Freeze(String),
    /// Nothing passes between the services and NATS, and no connection ends.
    Cut,
    /// No room on the disk of NATS, or of the database.
    FullDisk(&'static str),
    /// A service's clock is hours ahead or behind, and back again.
    Clock(String),
    Poison(Poison),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill(victim) => write!(f, "SIGKILL {victim}"),
            Fault::Freeze(victim) => write!(f, "SIGSTOP {victim}"),
            Fault::Cut => write!(f, "NATS unreachable"),
            Fault::FullDisk(whose) => write!(f, "disk full: {whose}"),
            Fault::Clock(victim) => write!(f, "clock jumps: {victim}"),
            Fault::Poison(poison) => write!(f, "poison: {poison:?}"),
        }
    }
}

/// The file systems that can be filled, by whose they are.
pub(crate) type Disks = BTreeMap<&'static str, Disk>;

/// Every fault that can be had here, once, shuffled.
pub(crate) fn deck(cluster: &Cluster, disks: &Disks, clocks: bool, rng: &mut Rng) -> Vec<Fault> {
    let mut deck = Vec::new();
    for victim in cluster.victims() {
        deck.push(Fault::Kill(victim.clone()));
        deck.push(Fault::Freeze(victim));
    }
    deck.extend(cluster.link.as_ref().map(|_| Fault::Cut));
    deck.extend(disks.keys().map(|whose| Fault::FullDisk(whose)));
    if clocks {
        deck.extend(cluster.names().into_iter().map(Fault::Clock));
    }
    deck.extend(Poison::ALL.map(Fault::Poison));
    rng.shuffle(&mut deck);
    deck
}

/// One that is had first where only a few are: one of each stage dies, each server of NATS and the database,
/// and what else there is, once.
pub(crate) fn short_deck(
    cluster: &Cluster,
    disks: &Disks,
    clocks: bool,
    rng: &mut Rng,
) -> Vec<Fault> {
    let frozen = rng.usize(..cluster.victims().len());
    let frozen = cluster.victims().swap_remove(frozen);
    let clock = rng.usize(..cluster.names().len());
    let clock = cluster.names().swap_remove(clock);
    let services = cluster.names();
    let mut deck = deck(cluster, disks, clocks, rng);
    deck.retain(|it| match it {
        Fault::Kill(victim) => !victim.ends_with("-2") || !services.contains(victim),
        Fault::Freeze(victim) => *victim == frozen,
        Fault::Clock(victim) => *victim == clock,
        _ => true,
    });
    deck
}

/// How long faults last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// At most so long between one and the next.
    pub(crate) pause: Duration,
    /// Whoever is stopped is for so long at most, but for one time in eight.
    pub(crate) freeze: Duration,
    /// That one time: longer than JetStream waits for an ack.
    pub(crate) long_freeze: Duration,
}

pub(crate) struct Striker<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) disks: &'a Disks,
    pub(crate) inbox: &'a Inbox,
    pub(crate) pace: Pace,
    pub(crate) rng: &'a mut Rng,
}

impl Striker<'_> {
    /// Does it and undoes it; a word about it if there is something to say.
    pub(crate) async fn strike(
        &mut self,
        fault: &Fault,
        n: usize,
    ) -> anyhow::Result<Option<String>> {
        match fault {
            Fault::Kill(victim) => self.kill(victim).await.map(|()| None),
            Fault::Freeze(victim) => {
                let duration = self.freeze_for();
                self.cluster.freeze(victim)?;
                sleep(duration).await;
                self.cluster.thaw(victim)?;
                Ok(Some(format!("{duration:.1?}")))
            }
            Fault::Cut => {
                let duration = self.freeze_for();
                let link = self.cluster.link.as_ref().context("find the link")?;
                link.cut();
                sleep(duration).await;
                link.mend();
                Ok(Some(format!("{duration:.1?}")))
            }
            Fault::FullDisk(whose) => self.fill(whose).await,
            Fault::Clock(victim) => {
                let hours = [-3, -1, 1, 3][self.rng.usize(..4)];
                self.cluster.set_clock(victim, hours * 3_600)?;
                sleep(self.moment(Duration::from_secs(4))).await;
                self.cluster.set_clock(victim, 0)?;
                Ok(Some(format!("{hours:+} h")))
            }
            Fault::Poison(poison) => {
                // Whoever takes it may be recovering from the last fault.
                let (cluster, inbox) = (&*self.cluster, self.inbox);
                eventually(SOON, "the poison to be taken", async || {
                    Ok(poison.give(cluster, inbox, n).await.ok())
                })
                .await?;
                Ok(None)
            }
        }
    }

    async fn kill(&mut self, victim: &str) -> anyhow::Result<()> {
        self.cluster.strike_down(victim).await?;
        sleep(self.moment(Duration::from_secs(1))).await;
        self.cluster.raise(victim).await
    }

    /// JetStream takes no more until nats-server is restarted, as its health check would have it; PostgreSQL
    /// gives up if it happens while it recovers.
    async fn fill(&mut self, whose: &str) -> anyhow::Result<Option<String>> {
        let disk = self.disks.get(whose).context("find the disk")?;
        disk.fill().await?;
        sleep(Duration::from_millis(1_500) + self.moment(self.pace.freeze)).await;
        disk.free().await?;
        let (victim, gave_up) = match (whose, &mut self.cluster.postgres) {
            ("nats", _) => ("nats-1", true),
            (_, Some(postgres)) => ("postgres", postgres.has_exited()?),
            (_, None) => return Ok(None),
        };
        if !gave_up {
            return Ok(None);
        }
        if victim == "nats-1" {
            self.cluster.strike_down(victim).await?;
        }
        self.cluster.raise(victim).await?;
        Ok(Some(format!("{victim} restarted")))
    }

    fn freeze_for(&mut self) -> Duration {
        match self.rng.u8(..8) {
            0 => self.pace.long_freeze,
            _ => Duration::from_millis(200) + self.moment(self.pace.freeze),
        }
    }

    /// Some time below `most`.
    pub(crate) fn moment(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.f64())
    }
}

/// Everybody is there again and says so.
pub(crate) async fn recovered(cluster: &mut Cluster) -> anyhow::Result<()> {
    for name in cluster.names() {
        cluster.ready(&name).await.with_context(|| format!("wait for {name}"))?;
    }
    Ok(())
}
