//! How the stages get on, for people who watch them: what waits, what is in hand, what was parked.

use anyhow::Context as _;
use async_nats::jetstream::{consumer::Info, message::StreamMessage};
use contract::topology::{CONSUMERS, Consumer, DEAD};
use futures_util::future::try_join_all;

use crate::{
    Bus,
    desk::is_gone,
    runner::boxed,
    settle::{FAILURE_HEADER, SUBJECT_HEADER},
};

/// So many places are looked at for parked messages: those that an operator took away left gaps.
const MOST_LOOKS: u64 = 500;

/// One stage's consumer, at one moment. A message may be a bundle of many mails.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub durable: &'static str,
    pub stream: &'static str,
    /// Messages that no replica has taken yet.
    pub waiting: u64,
    /// Taken and not acknowledged: at work, or waiting for another attempt.
    pub in_hand: u64,
    /// Of those in hand, the ones that came a second time or more.
    pub again: u64,
    /// Pull requests that wait for messages. 0 with nothing in hand: no replica is there.
    pub pulls: u64,
    /// All that was ever acknowledged in a row. The difference over time is the throughput.
    pub done: u64,
    /// An operator has suspended it.
    pub is_paused: bool,
}

/// A message that no retry could help.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    pub sequence: u64,
    /// Whose message it was.
    pub durable: String,
    /// What it was published on.
    pub subject: String,
    pub failure: String,
    pub parked_at_micros: i64,
    pub size_bytes: usize,
}

impl Bus {
    /// Every stage, in the order of `contract::topology::CONSUMERS`.
    pub async fn pipeline(&self) -> anyhow::Result<Vec<Standing>> {
        try_join_all(CONSUMERS.iter().map(|it| self.standing(it))).await
    }

    async fn standing(&self, consumer: &'static Consumer) -> anyhow::Result<Standing> {
        let Consumer { durable, stream: name, .. } = *consumer;
        let stream = self.jetstream.get_stream_no_info(name).await;
        let stream = stream.with_context(|| format!("look up stream {name}"))?;
        let info = stream.consumer_info(durable).await.map_err(|err| boxed(err.into()));
        let info: Info = info.with_context(|| format!("look up consumer {durable}"))?;
        Ok(Standing {
            durable,
            stream: name,
            waiting: info.num_pending,
            in_hand: info.num_ack_pending as u64,
            again: info.num_redelivered as u64,
            pulls: info.num_waiting as u64,
            done: info.ack_floor.consumer_sequence,
            is_paused: info.paused,
        })
    }

    /// How many messages are parked, and the newest of them, so many at most.
    pub async fn parked(&self, most: usize) -> anyhow::Result<(u64, Vec<Parked>)> {
        let stream = self.jetstream.get_stream(DEAD.name).await;
        let stream = stream.context("look up the stream of parked messages")?;
        let state = &stream.cached_info().state;
        let first = state.first_sequence.max(state.last_sequence.saturating_sub(MOST_LOOKS) + 1);
        let mut parked = Vec::new();
        for sequence in (first..=state.last_sequence).rev() {
            if parked.len() == most {
                break;
            }
            match stream.get_raw_message(sequence).await {
                Ok(message) => parked.push(told(&message)),
                Err(err) if is_gone(&err) => (),
                Err(err) => return Err(err).context("read a parked message"),
            }
        }
        Ok((state.messages, parked))
    }
}

fn told(message: &StreamMessage) -> Parked {
    let header = |name: &str| {
        let value = message.headers.get(name).map(|it| it.as_str().to_owned());
        value.unwrap_or_default()
    };
    let nanos = message.time.unix_timestamp_nanos();
    Parked {
        sequence: message.sequence,
        durable: message.subject.strip_prefix("dead.").unwrap_or_default().to_owned(),
        subject: header(SUBJECT_HEADER),
        failure: header(FAILURE_HEADER),
        parked_at_micros: i64::try_from(nanos / 1_000).unwrap_or_default(),
        size_bytes: message.payload.len(),
    }
}
