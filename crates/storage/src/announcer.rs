//! Changed states of inboxes → `inbox.warned`, `inbox.cleared`, `inbox.stopped`, `inbox.resumed`; what is
//! written down in `announcements` → `inbox.created`, `domain.verified`, `expectation.matched` and others
//!
//! Whoever changes a state, a replica of storage, the gateway or an operator's command, leaves the change
//! in the database. It is announced from there: after the commit, and whatever died meanwhile.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bus::Bus;
use service::Process;
use store::Store;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{events, metrics::Metrics};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For one look and what comes of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Announced at one look; the rest is at the next.
const MOST_AT_ONCE: i64 = 100;

pub(crate) struct Announcer {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) process: Process,
    /// Something was settled that somebody may wait for.
    pub(crate) settled: Arc<Notify>,
}

impl Announcer {
    /// Goes on until shutdown; what fails is tried again. Of several replicas, each announces what it
    /// finds: an event has one identity, whoever publishes it.
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let shutdown = &self.process.shutdown;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_well = true;
        loop {
            tokio::select! {
                _ = looks.tick() => (),
                () = self.settled.notified() => (),
                () = shutdown.cancelled() => return Ok(()),
            }
            let done = tokio::select! {
                done = timeout(PATIENCE, self.announce()) => done,
                () = shutdown.cancelled() => return Ok(()),
            };
            let done = done.context("announce in time").flatten();
            if let Err(err) = &done
                && was_well
            {
                tracing::warn!(
                    "what happened to inboxes and domains, and what was expected, waits to be announced: {err:#}"
                );
            }
            was_well = done.is_ok();
        }
    }

    async fn announce(&self) -> anyhow::Result<()> {
        let (warned, stopped) = self.store.reader.troubled_inboxes().await?;
        self.metrics.set_troubled(warned, stopped);
        for change in self.store.reader.unannounced(MOST_AT_ONCE).await? {
            let event = events::standing(change.clone());
            self.bus.publish(event).await.context("publish an event")?;
            if self.store.writer.announced(&change.inbox_id, change.number).await? {
                self.metrics.note_change(&change.event, change.standing.reason.as_deref());
            }
        }
        for announcement in self.store.reader.announcements(MOST_AT_ONCE).await? {
            let record = announcement.record();
            self.bus.publish(record).await.context("publish an event")?;
            if self.store.writer.forget_announcement(&announcement).await? {
                self.metrics.note_expectation(&announcement.event);
            }
        }
        Ok(())
    }
}
