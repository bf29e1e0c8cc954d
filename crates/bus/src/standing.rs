//! How queues and streams stand, as metrics: what waits, for how long, how much a stream holds.
//!
//! Each stage asks about its own queue, and one service about all of them: a stage that is down tells
//! nobody how its queue grows. What could not be learned is absent; the last figure would be a lie.

use std::{convert::Infallible, time::Duration};

use ::time::OffsetDateTime;
use anyhow::Context as _;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use contract::topology::{CONSUMERS, Consumer, DEAD};
use futures_util::TryStreamExt as _;
use tokio::time;
use tracing::debug;

use crate::{Bus, runner::boxed, topology};

/// Between two looks at the queue of a stage.
const QUEUE_INTERVAL: Duration = Duration::from_secs(5);

/// Between two looks at everything.
const STREAM_INTERVAL: Duration = Duration::from_secs(10);

/// For one look at one queue or stream.
const PATIENCE: Duration = Duration::from_secs(5);

impl Bus {
    /// Tells how the queue of a stage stands for as long as it is polled.
    pub(crate) async fn watch_queue(&self, consumer: &Consumer) -> Infallible {
        let mut interval = ticks(QUEUE_INTERVAL);
        loop {
            interval.tick().await;
            self.look_at_queue(consumer).await;
        }
    }

    /// Tells how all queues and streams stand until shutdown. Any number of processes may do so at the
    /// same time.
    pub async fn watch_streams(&self) -> anyhow::Result<()> {
        let mut interval = ticks(STREAM_INTERVAL);
        let look = async {
            loop {
                interval.tick().await;
                for consumer in CONSUMERS {
                    self.look_at_queue(consumer).await;
                }
                for name in topology::stream_names() {
                    self.look_at_stream(&name).await;
                }
                self.look_at_dead_letters().await;
            }
        };
        tokio::select! {
            never = look => match never {},
            () = self.shutdown.cancelled() => Ok(()),
        }
    }

    async fn look_at_queue(&self, consumer: &Consumer) {
        let labels = &[consumer.durable, consumer.stream];
        let queues = &self.metrics.queues;
        match in_time(self.queue(consumer)).await {
            Ok(queue) => {
                queues.pending.with_label_values(labels).set(queue.pending);
                queues.unacknowledged.with_label_values(labels).set(queue.unacknowledged);
                queues.redelivered.with_label_values(labels).set(queue.redelivered);
                queues.oldest.with_label_values(labels).set(queue.oldest.as_secs_f64());
            }
            Err(err) => {
                debug!(stage = consumer.durable, "look at a queue: {err:#}");
                // Those that were never there cannot be removed, which is as well.
                _ = queues.pending.remove_label_values(labels);
                _ = queues.unacknowledged.remove_label_values(labels);
                _ = queues.redelivered.remove_label_values(labels);
                _ = queues.oldest.remove_label_values(labels);
            }
        }
    }

    async fn queue(&self, consumer: &Consumer) -> anyhow::Result<Queue> {
        let stream = self.stream(consumer.stream).await?;
        let info = stream.consumer_info(consumer.durable).await.map_err(|err| boxed(err.into()));
        let info = info.context("look up consumer")?;
        let is_empty = info.num_pending == 0 && info.num_ack_pending == 0;
        let oldest = match is_empty {
            true => Duration::ZERO,
            false => age(&stream, consumer.filter, info.ack_floor.stream_sequence + 1).await?,
        };
        Ok(Queue {
            pending: figure(info.num_pending),
            unacknowledged: figure(info.num_ack_pending),
            redelivered: figure(info.num_redelivered),
            oldest,
        })
    }

    async fn look_at_stream(&self, name: &str) {
        let streams = &self.metrics.streams;
        let found =
            in_time(async { self.stream(name).await?.get_info().await.context("look up stream") });
        match found.await {
            Ok(info) => {
                let replicas = info.cluster.map(|it| it.replicas).unwrap_or_default();
                let lagging = replicas.iter().filter(|it| it.offline || !it.current).count();
                streams.messages.with_label_values(&[name]).set(figure(info.state.messages));
                streams.bytes.with_label_values(&[name]).set(figure(info.state.bytes));
                streams.lagging.with_label_values(&[name]).set(figure(lagging));
                match info.config.max_bytes {
                    1.. => streams.limit.with_label_values(&[name]).set(info.config.max_bytes),
                    _ => _ = streams.limit.remove_label_values(&[name]),
                }
            }
            Err(err) => {
                debug!(stream = name, "look at a stream: {err:#}");
                for gauge in [&streams.messages, &streams.bytes, &streams.limit, &streams.lagging] {
                    _ = gauge.remove_label_values(&[name]);
                }
            }
        }
    }

    async fn look_at_dead_letters(&self) {
        let dead = &self.metrics.streams.dead;
        let counted = in_time(async {
            let stream = self.stream(DEAD.name).await?;
            let subjects = stream.info_with_subjects(DEAD.subjects[0]).await;
            let subjects = subjects.context("look up stream")?;
            subjects.try_collect::<Vec<(String, usize)>>().await.context("read subjects")
        });
        let counted = counted.await;
        for stage in CONSUMERS.iter().map(|it| it.durable) {
            match &counted {
                Ok(subjects) => {
                    let of_stage =
                        subjects.iter().find(|it| it.0.strip_prefix("dead.") == Some(stage));
                    let count = of_stage.map_or(0, |it| it.1);
                    dead.with_label_values(&[stage]).set(figure(count));
                }
                Err(err) => {
                    debug!("look at dead letters: {err:#}");
                    _ = dead.remove_label_values(&[stage]);
                }
            }
        }
    }

    async fn stream(&self, name: &str) -> anyhow::Result<Stream<()>> {
        let stream = self.jetstream.get_stream_no_info(name).await;
        stream.with_context(|| format!("look up stream {name}"))
    }
}

/// A look at the queue of a stage.
struct Queue {
    pending: i64,
    unacknowledged: i64,
    redelivered: i64,
    oldest: Duration,
}

/// How long ago the first message from this sequence on was stored. What lies below the ack floor is
/// settled, the first above it is not.
async fn age(stream: &Stream<()>, subject: &str, sequence: u64) -> anyhow::Result<Duration> {
    match stream.get_first_raw_message_by_subject(subject, sequence).await {
        Ok(oldest) => {
            let age = OffsetDateTime::now_utc() - oldest.time;
            // The clocks of two machines may differ by more than its age.
            Ok(age.try_into().unwrap_or_default())
        }
        // It was settled meanwhile.
        Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(Duration::ZERO),
        Err(err) => Err(err).context("read the oldest message"),
    }
}

async fn in_time<T>(look: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    time::timeout(PATIENCE, look).await.context("wait for JetStream")?
}

fn ticks(period: Duration) -> time::Interval {
    let mut interval = time::interval(period);
    interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    interval
}

/// Gauges hold signed numbers.
fn figure(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
