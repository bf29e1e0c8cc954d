//! outbox → `outbound.accepted`, `email.held`, `email.expired`, `email.cancelled`
//!
//! Mail that had to wait goes when its inbox may send it: inboxes take turns, and only as much is
//! handed over as the sender is about to take, so that nobody stands in a long queue behind others.
//! Any number of replicas do so at the same time; the database keeps them apart.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use bus::{Bus, Failure};
use contract::{Emit as _, Record, SubmissionAccepted};
use store::{OutboxAgenda, Store};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    events,
    metrics::OutboxMetrics,
    notices::Notices,
    return_paths::{self, ReturnPaths},
};

/// The stages that the mail goes to from here.
const AHEAD: [&str; 2] = ["router", "deliverer"];

/// As much may wait for them. More would be more for a mail to stand behind, less would keep them
/// waiting between two looks.
const MOST_AHEAD: u64 = 32;

/// Between two looks while the sender has enough.
const TICK: Duration = Duration::from_millis(25);

/// The longest time between two looks: another replica may have left something behind.
const LONGEST: Duration = Duration::from_secs(1);

/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What is released and not confirmed for so long is published again. Within JetStream's duplicate
/// window, in which that does nothing if it was published.
const UNCONFIRMED: Duration = Duration::from_secs(10);

/// Between two measurements of what waits.
const MEASURE: Duration = Duration::from_secs(10);

/// Releases mail until shutdown.
pub(crate) struct Release {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) return_paths: ReturnPaths,
    pub(crate) notices: Notices,
    pub(crate) metrics: OutboxMetrics,
    /// Something waits that did not before.
    pub(crate) wake: Arc<Notify>,
    pub(crate) shutdown: CancellationToken,
}

impl Release {
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let mut measured: Option<Instant> = None;
        let mut is_new = true;
        while !self.shutdown.is_cancelled() {
            let work = async {
                if std::mem::take(&mut is_new) {
                    // The limits may be others than before the start.
                    self.store.writer.wake_all_queues().await.context("wake queues")?;
                }
                if measured.is_none_or(|it| it.elapsed() >= MEASURE) {
                    self.measure().await?;
                    measured = Some(Instant::now());
                }
                self.round().await
            };
            // A round that is interrupted is one that a crash interrupts.
            let done = tokio::select! {
                done = work => done,
                () = self.shutdown.cancelled() => return Ok(()),
            };
            let pause = done.unwrap_or_else(|err| {
                tracing::warn!("release mail: {err:#}");
                PAUSE
            });
            tokio::select! {
                () = sleep(pause) => (),
                () = self.wake.notified() => (),
                () = self.shutdown.cancelled() => (),
            }
        }
        Ok(())
    }

    /// Does what is due; returns how long nothing is.
    async fn round(&self) -> anyhow::Result<Duration> {
        let agenda = self.store.reader.outbox_agenda().await?;
        if agenda.unconfirmed_since.is_some_and(|it| it < now() - micros(UNCONFIRMED)) {
            self.publish_again().await?;
        }
        if agenda.next_expiry.is_some_and(|it| it <= now()) {
            self.store.writer.expire_waiting().await?;
        }
        let is_crowded =
            agenda.next_release.is_some_and(|it| it <= now()) && !self.release().await?;
        self.announce().await?;
        if is_crowded {
            return Ok(TICK);
        }
        Ok(rest(&self.store.reader.outbox_agenda().await?, now()))
    }

    /// Hands over until nothing is due or the sender has enough; says whether nothing is.
    async fn release(&self) -> anyhow::Result<bool> {
        let mut published = Vec::new();
        let is_done = loop {
            let ahead = self.bus.backlog(&AHEAD).await?;
            if ahead >= MOST_AHEAD {
                break false;
            }
            let most = i64::try_from(MOST_AHEAD - ahead).unwrap_or(i64::MAX);
            let released = self.store.writer.release(&published, most).await?;
            for limit in &released.held {
                self.metrics.held(*limit);
            }
            published = self.publish(released.mails).await?;
            let agenda = self.store.reader.outbox_agenda().await?;
            if agenda.next_release.is_none_or(|it| it > now()) {
                break true;
            }
            if published.is_empty() {
                // Others have the queues that are due.
                break false;
            }
        };
        self.confirm(&published).await?;
        Ok(is_done)
    }

    async fn publish(&self, mails: Vec<SubmissionAccepted>) -> anyhow::Result<Vec<String>> {
        let ids: Vec<String> = mails.iter().map(|it| it.mail_id.clone()).collect();
        self.hand_over(mails).await?;
        self.metrics.released.inc_by(ids.len() as u64);
        Ok(ids)
    }

    /// With return paths made now: a mail may have waited for longer than they are valid.
    async fn hand_over(&self, mails: Vec<SubmissionAccepted>) -> anyhow::Result<()> {
        if mails.is_empty() {
            return Ok(());
        }
        let keys = self.return_paths.keys().await.map_err(Failure::cause)?;
        let mails = mails.into_iter().map(|it| return_paths::give(&keys, it));
        let mails: Vec<SubmissionAccepted> =
            mails.collect::<Result<_, Failure>>().map_err(Failure::cause)?;
        Ok(self.bus.publish(mails).await?)
    }

    async fn confirm(&self, published: &[String]) -> anyhow::Result<()> {
        if published.is_empty() {
            return Ok(());
        }
        Ok(self.store.writer.confirm_released(published).await?)
    }

    /// What somebody released who did not live to say that it was published.
    async fn publish_again(&self) -> anyhow::Result<()> {
        let mails = self.store.reader.unconfirmed(now() - micros(UNCONFIRMED)).await?;
        let ids: Vec<String> = mails.iter().map(|it| it.mail_id.clone()).collect();
        self.hand_over(mails).await?;
        self.metrics.republished.inc_by(ids.len() as u64);
        self.confirm(&ids).await
    }

    async fn announce(&self) -> anyhow::Result<()> {
        let news = self.store.reader.news().await?;
        if news.is_empty() {
            return Ok(());
        }
        let expired = news.iter().filter(|it| it.event == events::EXPIRED);
        let expired: Vec<String> = expired.map(|it| it.email.id.clone()).collect();
        let notices = self.notices.of_expired(&expired).await.map_err(Failure::cause)?;
        let mut records: Vec<Record> = news.iter().flat_map(|it| events::news(it, now())).collect();
        records.extend(notices.records());
        self.bus.publish(records).await?;
        let ids: Vec<String> = news.into_iter().map(|it| it.email.id).collect();
        Ok(self.store.writer.told_news(&ids).await?)
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let backlog = self.store.reader.outbox_backlog().await?;
        self.metrics.waiting.set(backlog.waiting);
        let age = backlog.oldest_due_at.map_or(0, |it| (now() - it).max(0));
        self.metrics.oldest.set(age as f64 / 1_000_000.0);
        Ok(())
    }
}

/// How long nothing is due.
fn rest(agenda: &OutboxAgenda, now: i64) -> Duration {
    if agenda.has_news {
        return Duration::ZERO;
    }
    let unconfirmed = agenda.unconfirmed_since.map(|it| it + micros(UNCONFIRMED));
    let moments = [agenda.next_release, agenda.next_expiry, unconfirmed];
    let next = moments.into_iter().flatten().min();
    let rest = next.map_or(LONGEST, |it| Duration::from_micros((it - now).max(0).unsigned_abs()));
    rest.clamp(TICK, LONGEST)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_until_the_first_thing_is_due() {
        let second = 1_000_000;
        let nothing = OutboxAgenda::default();
        assert_eq!(rest(&nothing, 0), LONGEST);
        let later = OutboxAgenda { next_release: Some(second / 2), ..nothing };
        assert_eq!(rest(&later, 0), Duration::from_millis(500));
        let expiry = OutboxAgenda { next_expiry: Some(second / 4), ..later };
        assert_eq!(rest(&expiry, 0), Duration::from_millis(250));
        assert_eq!(rest(&expiry, 7 * second), TICK, "another replica is at it");
        let far = OutboxAgenda { next_release: Some(3_600 * second), ..nothing };
        assert_eq!(rest(&far, 0), LONGEST);
        let unconfirmed = OutboxAgenda { unconfirmed_since: Some(-10 * second), ..nothing };
        assert_eq!(rest(&unconfirmed, -second / 10), Duration::from_millis(100));
        assert_eq!(rest(&OutboxAgenda { has_news: true, ..far }, 0), Duration::ZERO);
    }
}
