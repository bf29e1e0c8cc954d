//! The WebSockets that are open: how many there may be, and letting them end at shutdown.

use std::{sync::Arc, time::Duration};

use prometheus::IntGauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::Config;

/// At shutdown, for all to be told.
const DRAIN: Duration = Duration::from_secs(5);

const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Cloning shares it.
#[derive(Clone)]
pub(crate) struct Sockets {
    slots: Arc<Semaphore>,
    pub(crate) tracker: TaskTracker,
    /// A client that takes nothing for so long is too slow.
    pub(crate) patience: Duration,
    gauge: IntGauge,
}

impl Sockets {
    pub(crate) fn new(config: &Config, gauge: IntGauge) -> Sockets {
        Sockets {
            slots: Arc::new(Semaphore::new(config.max_websockets.min(Semaphore::MAX_PERMITS))),
            tracker: TaskTracker::new(),
            patience: Duration::from_secs(config.slow_client_seconds),
            gauge,
        }
    }

    /// `None` if there are as many as may be.
    pub(crate) fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Counts until told to stop; then waits until all have heard that it is over.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        let mut looks = interval(COUNT_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.gauge.set(i64::try_from(self.tracker.len()).unwrap_or(i64::MAX));
            tokio::select! {
                _ = looks.tick() => (),
                () = stop.cancelled() => break,
            }
        }
        self.tracker.close();
        if timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::debug!("{} WebSockets were cut", self.tracker.len());
        }
    }
}
