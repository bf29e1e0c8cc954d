//! A mail server that takes everything, and remembers when.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// When each subject had its 250.
type Taken = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: Taken,
    task: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr().context("read own address")?;
        let taken = Taken::default();
        let task = tokio::spawn(serve(listener, Arc::clone(&taken)));
        Ok(Sink { address, taken, task })
    }

    pub(crate) fn taken(&self) -> HashMap<String, Vec<Instant>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has(&self, subject: &str) -> Option<Instant> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(subject).and_then(|it| it.first().copied())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, taken: Taken) {
    let mut sessions = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                sessions.spawn(session(stream, Arc::clone(&taken)));
            }
            Some(_) = sessions.join_next() => (),
        }
    }
}

/// Clients that break off are no concern of the sink's.
async fn session(stream: TcpStream, taken: Taken) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_ascii_uppercase();
        let reply = match command.split([' ', ':']).next() {
            Some("DATA") => {
                stream.write_all(b"354 go on\r\n").await?;
                let subject = content(&mut stream).await?;
                // Not later than the client can know of it.
                let now = Instant::now();
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.entry(subject).or_default().push(now);
                "250 taken\r\n"
            }
            Some("QUIT") => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 sink\r\n",
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}

/// Reads to the final dot; returns the subject.
async fn content(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut subject = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 || line == b".\r\n" {
            return Ok(subject);
        }
        if let Some(value) = line.strip_prefix(b"Subject: ") {
            subject = String::from_utf8_lossy(value).trim().to_owned();
        }
    }
}
