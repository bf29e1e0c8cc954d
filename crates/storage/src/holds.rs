//! Held mail: what was decided is announced (`email.approved`), and what nobody decides on in time is given
//! up. The decisions themselves are made by the gateway, under the lock that a release takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bus::Bus;
use contract::Record;
use store::Store;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::events;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// After a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// Between two times that what mail named is forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// Looks after held mail until shutdown.
pub(crate) struct Holds {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) shutdown: CancellationToken,
}

impl Holds {
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let mut purged: Option<Instant> = None;
        loop {
            let work = async {
                self.expire().await?;
                self.announce().await?;
                if purged.is_none_or(|it| it.elapsed() >= PURGE_EVERY) {
                    self.store.writer.purge_mentions().await.context("forget what mail named")?;
                    self.store.writer.purge_carried().await.context("forget what mail carried")?;
                    purged = Some(Instant::now());
                }
                anyhow::Ok(())
            };
            // A round that is interrupted is one that a crash interrupts.
            let done = tokio::select! {
                done = work => done,
                () = self.shutdown.cancelled() => return Ok(()),
            };
            let pause = match done {
                Ok(()) => LOOK_EVERY,
                Err(err) => {
                    tracing::warn!("look after held mail: {err:#}");
                    PAUSE
                }
            };
            tokio::select! {
                () = sleep(pause) => (),
                () = self.shutdown.cancelled() => return Ok(()),
            }
        }
    }

    async fn expire(&self) -> anyhow::Result<()> {
        let next = self.store.reader.next_hold_expiry().await?;
        if next.is_some_and(|it| it <= now()) {
            self.store.writer.expire_holds().await.context("give up held mail")?;
        }
        Ok(())
    }

    async fn announce(&self) -> anyhow::Result<()> {
        let news = self.store.reader.hold_news().await?;
        if news.is_empty() {
            return Ok(());
        }
        let records: Vec<Record> = news.iter().flat_map(|it| events::news(it, now())).collect();
        self.bus.publish(records).await?;
        let ids: Vec<String> = news.into_iter().map(|it| it.email.id).collect();
        Ok(self.store.writer.told_holds(&ids).await?)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
