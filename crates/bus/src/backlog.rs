//! How much waits for stages.

use anyhow::Context as _;
use contract::topology::CONSUMERS;

use crate::{Bus, runner::boxed};

impl Bus {
    /// How many messages no replica of these stages has taken yet, all together.
    pub async fn backlog(&self, durables: &[&str]) -> anyhow::Result<u64> {
        let mut waiting = 0;
        for consumer in CONSUMERS.iter().filter(|it| durables.contains(&it.durable)) {
            let durable = consumer.durable;
            let stream = self.jetstream.get_stream_no_info(consumer.stream).await;
            let stream = stream.with_context(|| format!("look up stream {}", consumer.stream))?;
            let info = stream.consumer_info(durable).await.map_err(|err| boxed(err.into()));
            waiting += info.with_context(|| format!("look up consumer {durable}"))?.num_pending;
        }
        Ok(waiting)
    }
}
