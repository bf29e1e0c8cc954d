//! A connection with its buffers and deadlines.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    line::{Line, Lines},
    reply::{self, Reply},
};

/// Why a session ends without the client's wish.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    /// The client went away.
    Gone,
    /// We close, saying why.
    Because(Reply),
}

/// What an idle connection holds. Most never send a longer command.
const COMMAND_ROOM: usize = 1024;
const CONTENT_ROOM: usize = 16 * 1024;
/// Replies are sent together (RFC 2920), but not held back beyond this.
const MAX_OUTPUT: usize = 16 * 1024;
/// How long a client may leave replies unread.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How much is still read after we close, and for how long: octets left unread would reset the
/// connection, and the client might never see why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_OCTETS: usize = 1024 * 1024;

pub(crate) struct Wire<S> {
    stream: S,
    /// What was read and not yet taken.
    pub(crate) input: BytesMut,
    output: Vec<u8>,
    lines: Lines,
    /// When the session is over, whatever happens.
    ends_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, ends_at: Instant) -> Wire<S> {
        Wire {
            stream,
            input: BytesMut::new(),
            output: Vec::new(),
            lines: Lines::default(),
            ends_at,
        }
    }

    /// The connection without its buffers: what a client sent before TLS is forgotten with them, and
    /// so cannot be taken for what it sends inside (RFC 3207 section 5, CVE-2011-0411).
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    pub(crate) fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }

    /// The next command line. Replies go out when no further line has come with the last one.
    pub(crate) async fn line(
        &mut self,
        limit: usize,
        patience: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Line, Stop> {
        let deadline = self.ends_at.min(Instant::now() + patience);
        loop {
            if let Some(line) = self.lines.next(&mut self.input, limit) {
                if self.output.len() > MAX_OUTPUT {
                    self.flush().await?;
                }
                return Ok(line);
            }
            self.flush().await?;
            self.make_room(COMMAND_ROOM);
            tokio::select! {
                biased;
                read = timeout_at(deadline, self.stream.read_buf(&mut self.input)) => match read {
                    Ok(read) => came(read)?,
                    Err(_) => return Err(Stop::Because(reply::TIMED_OUT)),
                },
                () = shutdown.cancelled() => return Err(Stop::Because(reply::SHUTTING_DOWN)),
            }
        }
    }

    /// Reads more content; returns without any if none came until then.
    pub(crate) async fn read(&mut self, until: Instant) -> Result<(), Stop> {
        self.make_room(CONTENT_ROOM);
        let deadline = self.ends_at.min(until);
        match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
            Ok(read) => came(read),
            Err(_) if Instant::now() >= self.ends_at => Err(Stop::Because(reply::TIMED_OUT)),
            Err(_) => Ok(()),
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let write = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        let patience = self.ends_at.min(Instant::now() + WRITE_PATIENCE);
        match timeout_at(patience, write).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Stop::Gone),
        }
    }

    /// Sends what is left and ends the connection so that the client sees it.
    pub(crate) async fn close(mut self) {
        // The session may be over its time: the farewell has one of its own.
        self.ends_at = Instant::now() + LINGER;
        if self.flush().await.is_err() {
            return;
        }
        let farewell = async {
            self.stream.shutdown().await?;
            let mut left = LINGER_OCTETS;
            while left > 0 {
                self.input.clear();
                self.make_room(CONTENT_ROOM);
                match self.stream.read_buf(&mut self.input).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        // Whatever fails here, the client has gone or does not listen.
        drop(timeout(LINGER, farewell).await);
    }

    /// Room to read into; what a content needed is given back for the next command.
    fn make_room(&mut self, room: usize) {
        if self.input.is_empty() && self.input.capacity() > room {
            self.input = BytesMut::with_capacity(room);
        }
        if self.input.capacity() - self.input.len() < room {
            self.input.reserve(room);
        }
    }
}

fn came(read: io::Result<usize>) -> Result<(), Stop> {
    match read {
        Ok(0) | Err(_) => Err(Stop::Gone),
        Ok(_) => Ok(()),
    }
}
