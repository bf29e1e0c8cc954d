//! Expectations whose time is over → `expectation.expired`. What a mail settles is settled with the mail.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use store::Writer;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Between two looks: one whose deadline is near may have been made meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A deadline is met within this.
const NEAREST: Duration = Duration::from_millis(20);

/// After a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// Between two times that what was settled long ago is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Ends what has waited long enough, until shutdown. Any number of replicas do so at the same time; the
/// database keeps them apart.
pub(crate) struct Expectations {
    pub(crate) store: store::Store,
    /// Something was settled that has to be told.
    pub(crate) settled: Arc<Notify>,
    pub(crate) shutdown: CancellationToken,
}

impl Expectations {
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let mut forgot: Option<Instant> = None;
        loop {
            let work = async {
                let rest = self.expire().await?;
                if forgot.is_none_or(|it| it.elapsed() >= FORGET_EVERY) {
                    let forget = self.writer().forget_expectations();
                    forget.await.context("forget what was expected")?;
                    forgot = Some(Instant::now());
                }
                anyhow::Ok(rest)
            };
            // A round that is interrupted is one that a crash interrupts.
            let done = tokio::select! {
                done = work => done,
                () = self.shutdown.cancelled() => return Ok(()),
            };
            let pause = done.unwrap_or_else(|err| {
                tracing::warn!("look after what is expected: {err:#}");
                PAUSE
            });
            tokio::select! {
                () = sleep(pause) => (),
                () = self.shutdown.cancelled() => return Ok(()),
            }
        }
    }

    fn writer(&self) -> &Writer {
        &self.store.writer
    }

    /// Returns how long nothing is over.
    async fn expire(&self) -> anyhow::Result<Duration> {
        let reader = &self.store.reader;
        let next = reader.next_expectation_deadline().await.context("find the next deadline")?;
        let Some(wait) = next.map(until) else { return Ok(LOOK_EVERY) };
        if !wait.is_zero() {
            return Ok(wait.clamp(NEAREST, LOOK_EVERY));
        }
        if self.writer().expire_expectations().await.context("expire what was expected")? > 0 {
            self.settled.notify_one();
        }
        Ok(NEAREST)
    }
}

fn until(deadline: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_micros(u64::try_from(deadline).unwrap_or_default()).saturating_sub(now)
}
