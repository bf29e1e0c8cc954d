//! What goes on beside the mail: saying that this replica is there, hearing what the others have
//! learned, closing what is idle.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bus::{Board, Posted, Watch};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::warn;

use super::{Shaping, lock, members::HEARTBEAT, now_micros, site::Site};

const REPLICA: &str = "replica.";

const TIDY: Duration = Duration::from_millis(500);

/// From when a replica is heard it waits this long before it sends: until then the others have made
/// room for it.
const SETTLE: Duration = Duration::from_secs(1);

/// For one word to NATS.
const PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_secs(1);

impl Shaping {
    /// Returns once this replica has its part of every limit. `upkeep` has to run meanwhile.
    pub(crate) async fn joined(&self) {
        // The sender is a field, so it is not gone.
        _ = self.joined.subscribe().wait_for(|it| *it).await;
    }

    pub(crate) fn has_joined(&self) -> bool {
        *self.joined.borrow()
    }

    /// Goes on until it is dropped. While NATS is away everything stays as it was last known.
    pub(crate) async fn upkeep(&self, board: &Board) {
        let mut beat = interval(HEARTBEAT);
        let mut tidy = interval(TIDY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match board.watch().await {
                Ok(watch) => self.follow(board, watch, &mut beat, &mut tidy).await,
                Err(err) => warn!("cannot see what the other senders know: {err:#}"),
            }
            self.tidy().await;
            sleep(PAUSE).await;
        }
    }

    /// Until the watch ends.
    async fn follow(
        &self,
        board: &Board,
        mut watch: Watch,
        beat: &mut tokio::time::Interval,
        tidy: &mut tokio::time::Interval,
    ) {
        let mut heard_at = None;
        loop {
            tokio::select! {
                posted = watch.next() => match posted {
                    Some(Ok(posted)) => self.hear(&posted),
                    Some(Err(err)) => return warn!("{err:#}"),
                    None => return,
                },
                _ = beat.tick() => {
                    self.say(board).await;
                    self.tell_courses().await;
                }
                _ = tidy.tick() => self.tidy().await,
            }
            // What was written before our own word has been heard before it.
            if lock(&self.members).heard_ourselves() {
                let heard_at = *heard_at.get_or_insert_with(Instant::now);
                self.bid_farewell(board).await;
                let is_alone = !lock(&self.members).are_others();
                if is_alone || heard_at.elapsed() >= SETTLE {
                    self.joined.send_replace(true);
                }
            }
        }
    }

    fn hear(&self, posted: &Posted) {
        let Some(id) = posted.key.strip_prefix(REPLICA) else {
            return self.learn(&posted.key, posted.value.as_deref());
        };
        let mut members = lock(&self.members);
        match posted.value {
            Some(_) => members.hear(id, posted.posted_at_micros),
            None => members.leave(id),
        }
    }

    async fn say(&self, board: &Board) {
        let key = format!("{REPLICA}{}", lock(&self.members).me());
        let said = timeout(PATIENCE, board.put(&key, Vec::new())).await;
        if let Err(err) = said.context("NATS does not answer").and_then(|it| it) {
            warn!("tell the other senders that this one is there: {err:#}");
        }
    }

    /// Who has died said no goodbye.
    async fn bid_farewell(&self, board: &Board) {
        let gone = lock(&self.members).take_gone();
        for id in gone {
            // Best effort: every replica does it, and the entry is forgotten in the end.
            _ = timeout(PATIENCE, board.remove(&format!("{REPLICA}{id}"))).await;
        }
    }

    /// The others take over what was this replica's.
    pub(crate) async fn leave(&self, board: &Board) {
        self.close_all(|_| 0).await;
        let key = format!("{REPLICA}{}", lock(&self.members).me());
        let left = timeout(PATIENCE, board.remove(&key)).await;
        if let Err(err) = left.context("NATS does not answer").and_then(|it| it) {
            warn!("tell the other senders that this one goes: {err:#}");
        }
    }

    async fn tidy(&self) {
        let now = now_micros();
        self.routes.tidy(&self.table.routes, now);
        lock(&self.measures).retain(|_, it| !it.is_over(now));
        self.close_all(|site| self.bounds(site).connections).await;
        lock(&self.sites).retain(|_, it| Arc::strong_count(it) > 1 || !it.is_at_rest());
    }

    async fn tell_courses(&self) {
        for site in self.all_sites() {
            if site.portion(|it| it.has_counted())
                && let Err(err) = self.tell_course(&site, None).await
            {
                return warn!("tell how a site takes to us: {err:#}");
            }
        }
    }

    /// Closes sessions that are idle for too long or above what a site may have.
    async fn close_all(&self, connections: impl Fn(&Site) -> u32) {
        let mut closing = JoinSet::new();
        for site in self.all_sites() {
            for slot in site.take_surplus(connections(&site)) {
                closing.spawn(slot.close());
            }
        }
        closing.join_all().await;
    }

    fn all_sites(&self) -> Vec<Arc<Site>> {
        lock(&self.sites).values().map(Arc::clone).collect()
    }
}
