//! A content on its way in, by DATA or BDAT, and what becomes of it.

use std::sync::Arc;

use bytes::Bytes;
use contract::{Envelope, MailReceived};
use opentelemetry::{
    KeyValue,
    trace::{SpanBuilder, SpanKind},
};
use service::mail_span;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, Instant},
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    BareLineEnds,
    command::Chunk,
    data::{Data, Fault, Framing, Limits},
    door::Door,
    memory::Share,
    pace::{Pace, TooSlow},
    post::Refusal,
    reply::{self, Reply},
    sequence::Step,
    session::{Session, Shared},
    trace,
    wire::{Stop, Wire},
};

/// A content that comes in pieces, between which other commands may come.
pub(crate) struct Chunks(Receipt);

/// What is known of a content before its end.
struct Receipt {
    mail_id: String,
    /// Where the trace of the mail begins.
    step: service::Step,
    data: Data,
    share: Share,
    pace: Pace,
}

impl Session {
    /// DATA: answers 354, and then the content.
    pub(crate) async fn data<S>(&mut self, wire: &mut Wire<S>) -> Result<Reply, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.sequence.allows(Step::Data) {
            return Ok(reply::BAD_SEQUENCE);
        }
        if !self.shared.post.is_open() {
            return Ok(reply::UNAVAILABLE);
        }
        self.sequence.advance(Step::Data);
        wire.say(&reply::START_DATA);
        wire.flush().await?;
        let mut receipt = self.receipt(Framing::Dot);
        receipt.receive(&self.shared, wire, usize::MAX).await?;
        Ok(self.finish(receipt).await)
    }

    /// BDAT (RFC 3030): the octets follow whatever is answered, so they are read whatever it is.
    pub(crate) async fn chunk<S>(&mut self, chunk: Chunk, wire: &mut Wire<S>) -> Result<Reply, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let size = usize::try_from(chunk.size).unwrap_or(usize::MAX);
        let mut receipt = match self.chunks.take() {
            Some(Chunks(receipt)) => receipt,
            None if self.sequence.allows(Step::Data) => {
                self.sequence.advance(Step::Data);
                self.receipt(Framing::Count)
            }
            None => {
                let mut unwanted = self.receipt(Framing::Count);
                unwanted.data.fail(Fault::Unwanted);
                unwanted.receive(&self.shared, wire, size).await?;
                return Ok(Fault::Unwanted.reply());
            }
        };
        receipt.receive(&self.shared, wire, size).await?;
        if chunk.last {
            return Ok(self.finish(receipt).await);
        }
        self.chunks = Some(Chunks(receipt));
        Ok(Reply::saying(250, "2.0.0", format!("{size} octets received")))
    }

    fn receipt(&self, framing: Framing) -> Receipt {
        let config = &self.shared.config;
        let limits = Limits {
            size: self.max_size(),
            header: config.max_header_bytes,
            line: config.max_line_bytes,
            // What goes out has one reading only.
            bare_line_ends: if self.door.is_submission() {
                BareLineEnds::Refuse
            } else {
                config.bare_line_ends
            },
        };
        let mail_id = Uuid::now_v7().simple().to_string();
        let trace = if self.door.is_submission() {
            // What is handed in is named after its own words, which are not known yet.
            String::new()
        } else {
            trace::header(
                &self.peer,
                trace::Protocol { extended: self.extended, authenticated: false },
                &self.envelope,
                &config.hostname,
                &mail_id,
                OffsetDateTime::now_utc(),
            )
        };
        Receipt {
            step: self.shared.post.traces().begin(None, || span(self.door)),
            mail_id,
            data: Data::new(framing, limits, &trace),
            share: self.shared.memory.share(),
            pace: Pace::new(
                Instant::now(),
                Duration::from_secs(config.data_timeout_secs),
                Duration::from_secs(config.data_window_secs),
                config.min_data_bytes_per_second,
            ),
        }
    }

    /// The content has come to its end: takes it, or says why not.
    async fn finish(&mut self, receipt: Receipt) -> Reply {
        let ended_at = Instant::now();
        self.mails += 1;
        self.sequence.advance(Step::DataEnd);
        let envelope = std::mem::take(&mut self.envelope);
        let Receipt { mail_id, step, data, share, .. } = receipt;
        let reply = match data.finish() {
            // Boxed, so that a session that only waits for commands has not the size of these.
            Ok(content) if self.door.is_submission() => {
                Box::pin(step.around(self.submit(envelope, content, share))).await
            }
            Ok(content) => {
                step.set(|| KeyValue::new("mail.id", mail_id.clone()));
                let log = mail_span(&mail_id, step.context());
                let taken = step.around(self.take(mail_id, envelope, content, share));
                Box::pin(taken.instrument(log)).await
            }
            Err(fault) => fault.reply(),
        };
        step.set(|| KeyValue::new("smtp.reply.code", i64::from(reply.code)));
        if reply.code >= 400 {
            step.fail(if reply.code < 500 { "transient" } else { "permanent" });
        }
        let outcome = match reply.code {
            200..400 => "accepted",
            400..500 => "deferred",
            _ => "rejected",
        };
        let metrics = &self.shared.metrics;
        metrics.mails.with_label_values(&[outcome]).inc();
        metrics.acceptance.observe(ended_at.elapsed().as_secs_f64());
        reply
    }

    /// The share is held until the mail is out of hand.
    async fn take(
        &self,
        mail_id: String,
        envelope: Envelope,
        content: Bytes,
        _share: Share,
    ) -> Reply {
        // Ours is one of them.
        if trace::hops(&content) > trace::MAX_HOPS + 1 {
            return reply::MAIL_LOOP;
        }
        if !self.shared.post.is_open() {
            return reply::UNAVAILABLE;
        }
        let octets = content.len() as u64;
        let accepted = Reply::saying(250, "2.0.0", format!("OK {mail_id}"));
        let mail = MailReceived {
            mail_id,
            envelope: Some(envelope),
            peer: Some(self.peer.clone()),
            content: None,
            received_at_micros: micros_since_1970(OffsetDateTime::now_utc()),
        };
        match self.shared.post.take(mail, content).await {
            Ok(()) => {
                self.shared.metrics.bytes.inc_by(octets);
                accepted
            }
            Err(Refusal::Full) => reply::FULL,
            Err(Refusal::Unavailable) => reply::UNAVAILABLE,
        }
    }
}

/// From the beginning of its content on: who a session is from is nobody's mail yet.
fn span(door: Door) -> SpanBuilder {
    let name = if door.is_submission() { "submit mail" } else { "receive mail" };
    let protocol = KeyValue::new("network.protocol.name", "smtp");
    SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes([protocol])
}

impl Receipt {
    /// Reads to the end of the content, or so many octets of it.
    async fn receive<S>(
        &mut self,
        shared: &Arc<Shared>,
        wire: &mut Wire<S>,
        size: usize,
    ) -> Result<(), Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut left = size;
        loop {
            let before = wire.input.len();
            let ended = self.data.feed(&mut wire.input, left);
            let taken = before - wire.input.len();
            left -= taken;
            self.cover(shared).await;
            if ended || left == 0 {
                return Ok(());
            }
            if self.data.is_hopeless() {
                return Err(Stop::Because(reply::TOO_LARGE));
            }
            self.pace
                .came(taken, Instant::now())
                .map_err(|TooSlow| Stop::Because(reply::TOO_SLOW))?;
            wire.read(self.pace.due_at()).await?;
        }
    }

    /// Gets memory for what is held, or lets it go. The client is not read from meanwhile.
    async fn cover(&mut self, shared: &Arc<Shared>) {
        let asked_at = Instant::now();
        let patience = shared.config.memory_timeout();
        if !self.share.cover(self.data.held(), patience).await {
            self.data.fail(Fault::NoMemory);
        }
        if self.data.fault().is_some() {
            self.share = shared.memory.share();
        }
        self.pace.pause(asked_at.elapsed());
    }
}

impl Fault {
    fn reply(self) -> Reply {
        match self {
            Fault::BareLineEnd => reply::BARE_LINE_END,
            Fault::LineTooLong => reply::TEXT_LINE_TOO_LONG,
            Fault::HeaderTooLarge => reply::HEADER_TOO_LARGE,
            Fault::TooLarge => reply::TOO_LARGE,
            Fault::NoMemory => reply::NO_MEMORY,
            Fault::Unwanted => reply::BAD_SEQUENCE,
        }
    }
}

pub(crate) fn micros_since_1970(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000_000 + i64::from(time.microsecond())
}
