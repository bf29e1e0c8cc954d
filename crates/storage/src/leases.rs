//! Leases on mail that workers have in hand: what time ends is ended, and what was handed out too often is set
//! aside, which the `Announcer` announces. Requests under a lease are the ledger's.

use std::time::Duration;

use anyhow::Context as _;
use bus::Failure;
use contract::{Rejection, SubmissionScanned};
use prometheus::{IntCounterVec, Opts, Registry};
use store::{Entered, Reader, Store, Swept};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::failure;

/// The longest time between two looks: a lease of less may have been given meanwhile.
const LONGEST: Duration = Duration::from_millis(500);

/// The shortest: whoever is at the work of an inbox is left to it.
const SHORTEST: Duration = Duration::from_millis(50);

/// After a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// Between two times that old leases are forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(crate) struct LeaseMetrics(IntCounterVec);

impl LeaseMetrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<LeaseMetrics> {
        let leases = IntCounterVec::new(
            Opts::new(
                "mail_storage_leases_total",
                "What became of leases here: acked or lost with a request to send, expired, set_aside.",
            ),
            &["event"],
        )?;
        ["acked", "lost", "expired", "set_aside"]
            .iter()
            .for_each(|it| _ = leases.with_label_values(&[it]));
        registry.register(Box::new(leases.clone())).context("register metric")?;
        Ok(LeaseMetrics(leases))
    }

    /// What the ledger says of a request.
    pub(crate) fn note_entered(&self, entered: &Entered) {
        if !entered.is_kept {
            self.0.with_label_values(&["lost"]).inc();
            return;
        }
        let is_new = !entered.repeated && entered.entry.rejection.is_none();
        if is_new && entered.entry.lease_id.is_some() {
            self.0.with_label_values(&["acked"]).inc();
        }
    }

    fn note_swept(&self, swept: Swept) {
        self.0.with_label_values(&["expired"]).inc_by(swept.expired);
        self.0.with_label_values(&["set_aside"]).inc_by(swept.set_aside);
    }
}

/// Looks after leases until shutdown. Any number of replicas do so.
pub(crate) struct Leases {
    pub(crate) store: Store,
    pub(crate) metrics: LeaseMetrics,
    pub(crate) shutdown: CancellationToken,
}

impl Leases {
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let mut purged: Option<Instant> = None;
        loop {
            let work = async {
                self.metrics.note_swept(self.store.writer.sweep_work().await?);
                if purged.is_none_or(|it| it.elapsed() >= PURGE_EVERY) {
                    while self.store.writer.forget_leases().await? > 0 {}
                    purged = Some(Instant::now());
                }
                anyhow::Ok(rest(self.store.reader.next_work_due().await?))
            };
            // A round that is interrupted is one that a crash interrupts.
            let done = tokio::select! {
                done = work => done,
                () = self.shutdown.cancelled() => return Ok(()),
            };
            let pause = done.unwrap_or_else(|err| {
                tracing::warn!("look after leases: {err:#}");
                PAUSE
            });
            tokio::select! {
                () = sleep(pause) => (),
                () = self.shutdown.cancelled() => return Ok(()),
            }
        }
    }
}

/// How long nothing is due.
fn rest(next: Option<i64>) -> Duration {
    let next = next.map_or(LONGEST, |it| Duration::from_micros(it.max(0).unsigned_abs()));
    next.clamp(SHORTEST, LONGEST)
}

/// Why a request is refused whose key is used already, but by whoever had the mail under another lease.
pub(crate) async fn lost_to_another(
    reader: &Reader,
    submission: &SubmissionScanned,
    known: &Entered,
    lease_id: &str,
) -> Result<Option<Rejection>, Failure> {
    if known.entry.lease_id.as_deref() == Some(lease_id) {
        return Ok(None);
    }
    lost(reader, submission, lease_id).await
}

/// Why a request is refused because of its lease, if it has one.
pub(crate) async fn lost(
    reader: &Reader,
    submission: &SubmissionScanned,
    lease_id: &str,
) -> Result<Option<Rejection>, Failure> {
    if lease_id.is_empty() {
        return Ok(None);
    }
    let (account_id, inbox_id) = (&submission.account_id, &submission.inbox_id);
    reader.lost_lease(account_id, inbox_id, lease_id).await.map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_until_the_first_lease_ends() {
        assert_eq!(rest(None), LONGEST);
        assert_eq!(rest(Some(200_000)), Duration::from_millis(200));
        assert_eq!(rest(Some(-200_000)), SHORTEST);
        assert_eq!(rest(Some(i64::MAX)), LONGEST);
    }
}
