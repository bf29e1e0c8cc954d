//! Purges what their consumer has passed from streams that keep it until then.

use std::time::Duration;

use anyhow::Context as _;
use contract::topology::{CONSUMERS, Keeps, STREAMS, Stream};
use tokio::time;
use tracing::warn;

use crate::Bus;

/// So long a message is kept at most after it has been passed.
const INTERVAL: Duration = Duration::from_secs(5);

impl Bus {
    /// Sweeps until shutdown. Any number of processes may do so at the same time.
    pub async fn sweep(&self) -> anyhow::Result<()> {
        let mut interval = time::interval(INTERVAL);
        interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => (),
                () = self.shutdown.cancelled() => return Ok(()),
            }
            if self.is_connected()
                && let Err(err) = self.sweep_once().await
            {
                warn!("{err:#}");
            }
        }
    }

    pub async fn sweep_once(&self) -> anyhow::Result<()> {
        for stream in STREAMS.iter().filter(|it| it.keeps == Keeps::UntilPassed) {
            let name = stream.name;
            self.sweep_stream(stream).await.with_context(|| format!("sweep stream {name}"))?;
        }
        Ok(())
    }

    /// Goes by the ack floor alone. That the consumer has nothing pending says nothing here: in a
    /// cluster it may not have heard of the newest messages yet.
    async fn sweep_stream(&self, stream: &Stream) -> anyhow::Result<()> {
        let found = self.jetstream.get_stream(stream.name).await.context("look up stream")?;
        let mut passed = u64::MAX;
        for consumer in CONSUMERS.iter().filter(|it| it.stream == stream.name) {
            let info = found.consumer_info(consumer.durable).await.context("look up consumer")?;
            passed = passed.min(info.ack_floor.stream_sequence);
        }
        let first = found.cached_info().state.first_sequence;
        if first <= passed && passed < u64::MAX {
            found.purge().sequence(passed + 1).await.context("purge")?;
        }
        Ok(())
    }
}
