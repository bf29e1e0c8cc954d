//! Pulls messages for a stage and keeps pulling, whatever NATS does.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, AckKind, Message, consumer::PullConsumer};
use contract::{
    Input as _,
    topology::{CONSUMERS, Consumer},
};
use futures_util::{FutureExt as _, Stream, StreamExt as _, future::try_join_all};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, warn};

use crate::{
    BatchStage, Bus, Failure, Stage, Traced,
    breaker::Breaker,
    settle::{Settled, Settler},
};

/// A pull request that nobody answers ends after this, so a lost connection is noticed.
const PULL_EXPIRES: Duration = Duration::from_secs(5);

/// How long messages in hand may take to finish once the process is told to stop.
const DRAIN: Duration = Duration::from_secs(25);

impl Bus {
    /// Runs a stage until shutdown, then lets the messages in hand finish. An error means that it
    /// cannot go on without an operator, such as a consumer that was deleted.
    pub async fn run<S: Stage>(&self, stage: S) -> anyhow::Result<()> {
        self.pull(OneByOne::new(stage), 1, S::CONCURRENCY).await
    }

    /// As `run`, for a stage that takes many messages at once.
    pub async fn run_batches<S: BatchStage>(&self, stage: S) -> anyhow::Result<()> {
        self.pull(stage, S::BATCH, S::CONCURRENCY).await
    }

    async fn pull<S: BatchStage>(
        &self,
        stage: S,
        batch: usize,
        concurrency: usize,
    ) -> anyhow::Result<()> {
        let declared = CONSUMERS
            .iter()
            .find(|it| it.durable == S::DURABLE && it.filter == S::In::SUBJECT)
            .with_context(|| format!("no consumer {} of {}", S::DURABLE, S::In::SUBJECT))?;
        let puller = Puller {
            bus: self.clone(),
            settler: Arc::new(Settler::new(self.clone(), stage)),
            slots: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            batch,
            tasks: TaskTracker::new(),
            breaker: Arc::new(Breaker::default()),
        };
        self.metrics.expect(S::DURABLE);
        let outcome = tokio::select! {
            outcome = puller.run(declared) => outcome,
            never = self.watch_queue(declared) => match never {},
        };
        puller.tasks.close();
        if time::timeout(DRAIN, puller.tasks.wait()).await.is_err() {
            warn!(stage = S::DURABLE, "left messages unfinished; they are delivered again");
        }
        outcome
    }
}

struct Puller<S: BatchStage> {
    bus: Bus,
    settler: Arc<Settler<S>>,
    /// One for each group of messages that may be in hand.
    slots: Arc<Semaphore>,
    concurrency: usize,
    batch: usize,
    tasks: TaskTracker,
    breaker: Arc<Breaker>,
}

impl<S: BatchStage> Puller<S> {
    async fn run(&self, declared: &Consumer) -> anyhow::Result<()> {
        let mut consumer = None;
        while !self.bus.shutdown.is_cancelled() {
            let pulled = async {
                let consumer = match &mut consumer {
                    Some(consumer) => consumer,
                    None => consumer.insert(self.consumer(declared).await?),
                };
                self.pull_once(consumer).await
            };
            if let Err(err) = pulled.await {
                warn!(stage = S::DURABLE, "cannot pull: {err:#}");
                consumer = None;
                self.check(declared).await?;
                self.pause(Duration::from_millis(500)).await;
            }
        }
        info!(stage = S::DURABLE, "stops pulling");
        Ok(())
    }

    /// Asks for as many messages as there are free slots and no more: a message waiting in the
    /// client would run out its ack wait, be delivered again, and be handled twice at the same time.
    async fn pull_once(&self, consumer: &PullConsumer) -> anyhow::Result<()> {
        let Some(mut free) = self.free_slots().await else { return Ok(()) };
        let mut messages = consumer
            .batch()
            .max_messages(free.len() * self.batch)
            .expires(PULL_EXPIRES)
            .messages()
            .await
            .context("pull")?
            .ready_chunks(self.batch);
        loop {
            let group = tokio::select! {
                group = messages.next() => group,
                () = self.bus.shutdown.cancelled() => {
                    give_back(messages).await;
                    return Ok(());
                }
            };
            let Some(group) = group else { return Ok(()) };
            let group: Vec<Message> =
                group.into_iter().collect::<Result<_, _>>().map_err(boxed).context("pull")?;
            let slot = match free.pop() {
                Some(slot) => slot,
                // Groups came smaller than asked for.
                None => Arc::clone(&self.slots).acquire_owned().await.context("wait for a slot")?,
            };
            self.spawn(group, slot);
        }
    }

    fn spawn(&self, group: Vec<Message>, slot: OwnedSemaphorePermit) {
        let (settler, breaker) = (Arc::clone(&self.settler), Arc::clone(&self.breaker));
        self.tasks.spawn(async move {
            match settler.settle(group).await {
                Settled::Well => breaker.close(),
                Settled::Badly => breaker.note_failure(),
            }
            drop(slot);
        });
    }

    /// Waits for a free slot and takes all there are. While everything fails it is one slot at a
    /// time, at intervals: what this stage depends on is away, and every attempt counts against
    /// its message. `None` once the process is told to stop.
    async fn free_slots(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = tokio::select! {
            slot = Arc::clone(&self.slots).acquire_owned() => slot.ok()?,
            () = self.bus.shutdown.cancelled() => return None,
        };
        let mut free = vec![first];
        if let Some(delay) = self.breaker.delay() {
            self.pause(delay).await;
            return (!self.bus.shutdown.is_cancelled()).then_some(free);
        }
        while free.len() < self.concurrency
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            free.push(slot);
        }
        Some(free)
    }

    async fn consumer(&self, declared: &Consumer) -> anyhow::Result<PullConsumer> {
        let stream = self.bus.jetstream.get_stream_no_info(declared.stream).await?;
        stream.get_consumer(declared.durable).await.map_err(boxed).context("look up consumer")
    }

    /// Being cut off from NATS passes; a consumer that is gone does not.
    async fn check(&self, declared: &Consumer) -> anyhow::Result<()> {
        use jetstream::context::ConsumerInfoErrorKind::{NotFound, StreamNotFound};
        if !self.bus.is_connected() {
            return Ok(());
        }
        let stream = self.bus.jetstream.get_stream_no_info(declared.stream).await?;
        match stream.consumer_info(declared.durable).await {
            Err(err) if matches!(err.kind(), NotFound | StreamNotFound) => bail!(
                "consumer {} of stream {} is gone: run `posthouse streams apply`",
                declared.durable,
                declared.stream
            ),
            _ => Ok(()),
        }
    }

    async fn pause(&self, delay: Duration) {
        tokio::select! {
            () = time::sleep(delay) => (),
            () = self.bus.shutdown.cancelled() => (),
        }
    }
}

/// Messages that arrived but that nobody has looked at go to another replica at once.
async fn give_back<M>(mut messages: M)
where
    M: Stream<Item = Vec<Result<Message, async_nats::Error>>> + Unpin,
{
    while let Some(Some(group)) = messages.next().now_or_never() {
        for message in group.into_iter().flatten() {
            // Best effort: else it is delivered again after the ack wait.
            _ = message.ack_with(AckKind::Nak(None)).await;
        }
    }
}

/// A stage seen as one that takes batches of one, or bundles.
struct OneByOne<S> {
    stage: S,
    /// However the events come, so many are handled at the same time.
    hands: Semaphore,
}

impl<S: Stage> OneByOne<S> {
    fn new(stage: S) -> OneByOne<S> {
        OneByOne { stage, hands: Semaphore::new(S::CONCURRENCY) }
    }
}

impl<S: Stage> BatchStage for OneByOne<S> {
    const DURABLE: &'static str = S::DURABLE;
    const BATCH: usize = 1;

    type In = S::In;
    type Out = S::Out;

    async fn handle(&self, events: Vec<Traced<S::In>>) -> Result<Vec<S::Out>, Failure> {
        let handle = async |traced: Traced<S::In>| {
            let hand = self.hands.acquire().await.context("wait for a hand")?;
            let log = traced.log_span();
            let Traced { event, step } = traced;
            let handled = step.around(self.stage.handle(event)).instrument(log).await;
            if let Err(failure) = &handled {
                step.fail(failure.kind());
            }
            step.end();
            drop(hand);
            handled
        };
        try_join_all(events.into_iter().map(handle)).await
    }
}

pub(crate) fn boxed(err: async_nats::Error) -> anyhow::Error {
    anyhow::anyhow!(err)
}
