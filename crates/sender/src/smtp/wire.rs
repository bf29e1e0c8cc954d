//! The stream under lettre's SMTP connection.
//!
//! lettre keeps its stream to itself; this one can be encrypted underneath it, tells how far the
//! content got, and hands lettre's reply parser what it can read: any octet a server may send in a
//! reply (RFC 5321 section 4.2), in a bounded amount.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What a server may say in one session, in octets.
const MAX_HEARD: usize = 1024 * 1024;

const END_OF_DATA: &[u8; 5] = b"\r\n.\r\n";

/// Cloning shares the stream.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    stream: Stream,
    /// Read, cleaned, and not yet handed on.
    readable: VecDeque<u8>,
    /// The octets of the reply line being read.
    column: usize,
    /// All that was read while somebody listened.
    heard: Option<Vec<u8>>,
    heard_octets: usize,
    written_octets: u64,
    /// The last octets written.
    tail: [u8; END_OF_DATA.len()],
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
    /// A handshake is under way, or has failed.
    Gone,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        Wire(Arc::new(Mutex::new(Line {
            stream: Stream::Plain(stream),
            readable: VecDeque::new(),
            column: 0,
            heard: Some(Vec::new()),
            heard_octets: 0,
            written_octets: 0,
            tail: [0; END_OF_DATA.len()],
        })))
    }

    /// Does the TLS handshake and returns the version. What was said in clear is forgotten, whoever
    /// said it (RFC 3207 section 4.2).
    pub(crate) async fn encrypt(
        &self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<&'static str> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.line().stream, Stream::Gone) else {
            return Err(gone());
        };
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let version = match stream.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        };
        let mut line = self.line();
        line.stream = Stream::Encrypted(Box::new(stream));
        line.readable.clear();
        line.column = 0;
        line.heard = Some(Vec::new());
        Ok(version)
    }

    /// lettre begins every connection by reading a greeting; after STARTTLS there is none.
    pub(crate) fn feign_greeting(&self) {
        self.line().readable.extend(b"220 \r\n");
    }

    /// What the server said since the connection, or since it was encrypted. From here on nobody
    /// listens.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.line().heard.take().unwrap_or_default()
    }

    /// Nothing is there to be read, and the other side has not closed.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut line = self.line();
        if !line.readable.is_empty() {
            return false;
        }
        // Nobody is to be woken: the next read sees to that for itself.
        let mut cx = Context::from_waker(Waker::noop());
        let mut octets = [0; 1];
        let mut raw = ReadBuf::new(&mut octets);
        match &mut line.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(&mut cx, &mut raw).is_pending(),
            Stream::Encrypted(stream) => Pin::new(stream).poll_read(&mut cx, &mut raw).is_pending(),
            Stream::Gone => false,
        }
    }

    pub(crate) fn written_octets(&self) -> u64 {
        self.line().written_octets
    }

    /// The last thing written, as far as the operating system took it, is the end of data.
    pub(crate) fn ended_data(&self) -> bool {
        &self.line().tail == END_OF_DATA
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Every line end becomes CRLF, a bare code gets the space lettre insists on, and what is not
    /// printable ASCII becomes "?".
    fn admit(&mut self, octet: u8) {
        match octet {
            b'\r' => (),
            b'\n' => {
                if self.column == 3 {
                    self.readable.push_back(b' ');
                }
                self.readable.extend(b"\r\n");
                self.column = 0;
            }
            b'\t' | b' '..=b'~' => {
                self.readable.push_back(octet);
                self.column += 1;
            }
            _ => {
                self.readable.push_back(b'?');
                self.column += 1;
            }
        }
    }

    fn admit_all(&mut self, octets: &[u8]) -> io::Result<()> {
        self.heard_octets += octets.len();
        if self.heard_octets > MAX_HEARD {
            return Err(io::Error::other("the server says too much"));
        }
        if let Some(heard) = &mut self.heard {
            heard.extend(octets);
        }
        octets.iter().for_each(|it| self.admit(*it));
        Ok(())
    }

    fn note_written(&mut self, octets: &[u8]) {
        self.written_octets += octets.len() as u64;
        let new = &octets[octets.len().saturating_sub(self.tail.len())..];
        self.tail.rotate_left(new.len());
        let kept = self.tail.len() - new.len();
        self.tail[kept..].copy_from_slice(new);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut line = self.line();
        while line.readable.is_empty() {
            let mut octets = [0; 4096];
            let mut raw = ReadBuf::new(&mut octets);
            match &mut line.stream {
                Stream::Plain(stream) => ready!(Pin::new(stream).poll_read(cx, &mut raw))?,
                Stream::Encrypted(stream) => ready!(Pin::new(stream).poll_read(cx, &mut raw))?,
                Stream::Gone => return Poll::Ready(Err(gone())),
            }
            if raw.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            line.admit_all(raw.filled())?;
        }
        let (ready, _) = line.readable.as_slices();
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        line.readable.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.line();
        let count = match &mut line.stream {
            Stream::Plain(stream) => ready!(Pin::new(stream).poll_write(cx, buf))?,
            Stream::Encrypted(stream) => ready!(Pin::new(stream).poll_write(cx, buf))?,
            Stream::Gone => return Poll::Ready(Err(gone())),
        };
        line.note_written(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.line().stream {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Encrypted(stream) => stream.get_ref().0.peer_addr(),
            Stream::Gone => Err(gone()),
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            stream: Stream::Gone,
            readable: VecDeque::new(),
            column: 0,
            heard: None,
            heard_octets: 0,
            written_octets: 0,
            tail: [0; END_OF_DATA.len()],
        }
    }

    fn check(heard: &[u8], handed_on: &str) {
        let mut line = line();
        line.admit_all(heard).expect("few enough");
        assert_eq!(String::from_utf8(line.readable.into()).expect("ASCII"), handed_on);
    }

    #[test]
    fn every_reply_becomes_readable() {
        check(b"250 ok\r\n", "250 ok\r\n");
        check(b"250\r\n", "250 \r\n");
        check(b"250-a\n250 b\n", "250-a\r\n250 b\r\n");
        check(b"550 pas trouv\xe9\0\r\n", "550 pas trouv??\r\n");
    }

    #[test]
    fn an_endless_reply_ends() {
        let mut line = line();
        let block = vec![b'x'; MAX_HEARD];
        line.admit_all(&block).expect("just enough");
        line.admit_all(b"x").expect_err("one too many");
    }

    #[test]
    fn the_end_of_data_is_noticed_however_it_is_cut() {
        for cut in 0..5 {
            let mut line = line();
            line.note_written(b"body");
            line.note_written(&END_OF_DATA[..cut]);
            assert_ne!(&line.tail, END_OF_DATA);
            line.note_written(&END_OF_DATA[cut..]);
            assert_eq!(&line.tail, END_OF_DATA);
            assert_eq!(line.written_octets, 9);
        }
    }
}
