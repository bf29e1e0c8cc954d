//! A small SMTP server for tests, that says what a test wants it to say. What it cannot do panics.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// What to do about a line.
#[derive(Clone, Debug)]
pub enum Answer {
    Say(String),
    /// Octets as they are.
    Raw(Vec<u8>),
    /// The usual answer, after a while.
    Later(Duration),
    /// Says it, and closes the connection.
    Cut(String),
    /// Says it, and then neither speaks nor listens.
    Stall(String),
    Hang,
    Close,
}

/// Asked about each line of the client, with "connect" for the connection and "." for the end of data.
/// `None` for the usual answer.
pub type Script = dyn Fn(&str) -> Option<Answer> + Send + Sync;

#[derive(Clone)]
pub struct Setup {
    pub extensions: Vec<&'static str>,
    pub script: Arc<Script>,
    pub tls: Option<TlsAcceptor>,
    /// TLS from the first octet.
    pub implicit_tls: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            extensions: vec!["PIPELINING", "8BITMIME", "SIZE 10000000"],
            script: Arc::new(|_| None),
            tls: None,
            implicit_tls: false,
        }
    }
}

impl Setup {
    pub fn script(script: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Setup {
        Setup { script: Arc::new(script), ..Setup::default() }
    }

    pub fn offering(extensions: &[&'static str]) -> Setup {
        Setup { extensions: extensions.to_vec(), ..Setup::default() }
    }
}

pub fn say(reply: &str) -> Option<Answer> {
    Some(Answer::Say(reply.to_owned()))
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The lines of the client, without content.
    pub lines: Vec<String>,
    /// What stood between DATA and the dot that ended it, as it came.
    pub contents: Vec<Vec<u8>>,
    pub connections: usize,
    /// Connections that are open now, and the most that ever were.
    pub open: usize,
    pub most_open: usize,
    /// When each connection and each mail came.
    pub connected_at: Vec<Instant>,
    pub taken_at: Vec<Instant>,
}

impl Seen {
    pub fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|it| it == line)
    }
}

pub struct Peer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Peer {
    pub async fn start(setup: Setup) -> Peer {
        Peer::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), setup).await
    }

    pub async fn at(address: SocketAddr, setup: Setup) -> Peer {
        let listener = TcpListener::bind(address).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(accept(listener, setup, Arc::clone(&seen)));
        Peer { address, seen, task }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// How many mails it was given whole, whatever it said to them.
    pub fn content_count(&self) -> usize {
        self.seen.lock().expect("not poisoned").contents.len()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, setup: Setup, seen: Arc<Mutex<Seen>>) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let open = Open::new(&seen);
        let (setup, seen) = (setup.clone(), Arc::clone(&seen));
        // A client that goes away ends its session.
        sessions.spawn(async move { _ = serve(stream, &setup, &seen, open).await });
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection counts as open for as long as this lives.
struct Open(Arc<Mutex<Seen>>);

impl Open {
    fn new(seen: &Arc<Mutex<Seen>>) -> Open {
        let mut now = seen.lock().expect("not poisoned");
        now.connections += 1;
        now.open += 1;
        now.most_open = now.most_open.max(now.open);
        now.connected_at.push(Instant::now());
        Open(Arc::clone(seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().expect("not poisoned").open -= 1;
    }
}

async fn serve(
    stream: TcpStream,
    setup: &Setup,
    seen: &Mutex<Seen>,
    open: Open,
) -> std::io::Result<()> {
    let mut open = Some(open);
    let mut stream: Box<dyn Io> = Box::new(stream);
    if setup.implicit_tls {
        let acceptor = setup.tls.as_ref().expect("a certificate");
        stream = Box::new(acceptor.accept(stream).await?);
    }
    let mut stream = BufReader::new(stream);
    let mut encrypted = setup.implicit_tls;
    if !answer(&mut stream, (setup.script)("connect"), "220 peer.example ESMTP").await? {
        return Ok(());
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end_matches("\r\n").to_owned();
        seen.lock().expect("not poisoned").lines.push(line.clone());
        let verb = line.split(' ').next().unwrap_or_default().to_uppercase();
        let usual = match verb.as_str() {
            "EHLO" => greeting(setup, encrypted),
            "DATA" => "354 go ahead".to_owned(),
            "STARTTLS" => "220 go ahead".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 2.0.0 ok".to_owned(),
        };
        if verb == "QUIT" {
            // Who hears the answer may connect anew at once.
            open.take();
        }
        let scripted = (setup.script)(&line);
        let is_scripted = scripted.is_some();
        if !answer(&mut stream, scripted, &usual).await? {
            return Ok(());
        }
        match verb.as_str() {
            "QUIT" => return Ok(()),
            "DATA" if !is_scripted => {
                let content = read_content(&mut stream).await?;
                {
                    let mut seen = seen.lock().expect("not poisoned");
                    seen.contents.push(content);
                    seen.taken_at.push(Instant::now());
                }
                if !answer(&mut stream, (setup.script)("."), "250 2.0.0 taken").await? {
                    return Ok(());
                }
            }
            "STARTTLS" => {
                if let Some(acceptor) = &setup.tls {
                    stream = BufReader::new(Box::new(acceptor.accept(stream.into_inner()).await?));
                    encrypted = true;
                }
            }
            _ => (),
        }
    }
}

fn greeting(setup: &Setup, encrypted: bool) -> String {
    let offered = setup.extensions.iter().filter(|it| !(encrypted && **it == "STARTTLS"));
    let mut lines = vec!["peer.example".to_owned()];
    lines.extend(offered.map(|it| (*it).to_owned()));
    let last = lines.len() - 1;
    let separator = |n: usize| if n == last { ' ' } else { '-' };
    let lines: Vec<_> =
        lines.iter().enumerate().map(|(n, it)| format!("250{}{it}", separator(n))).collect();
    lines.join("\r\n")
}

/// False if the session is over.
async fn answer(
    stream: &mut BufReader<Box<dyn Io>>,
    scripted: Option<Answer>,
    usual: &str,
) -> std::io::Result<bool> {
    let octets = match scripted {
        None => format!("{usual}\r\n").into_bytes(),
        Some(Answer::Say(reply)) => format!("{reply}\r\n").into_bytes(),
        Some(Answer::Raw(octets)) => octets,
        Some(Answer::Cut(reply)) => {
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            stream.flush().await?;
            return Ok(false);
        }
        Some(Answer::Stall(reply)) => {
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Some(Answer::Later(pause)) => {
            tokio::time::sleep(pause).await;
            format!("{usual}\r\n").into_bytes()
        }
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::Close) => return Ok(false),
    };
    stream.write_all(&octets).await?;
    stream.flush().await?;
    Ok(true)
}

/// Up to CRLF.CRLF, without it and as it came: dots doubled.
async fn read_content(stream: &mut BufReader<Box<dyn Io>>) -> std::io::Result<Vec<u8>> {
    let mut content = b"\r\n".to_vec();
    while !content.ends_with(b"\r\n.\r\n") {
        if stream.read_until(b'\n', &mut content).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(content[2..content.len() - 3].to_vec())
}
