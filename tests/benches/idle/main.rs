//! What idle connections cost: resident memory with none and with all of them. 10,000 SMTP sessions that
//! have said EHLO, at intake; 5,000 long-polls and 5,000 WebSockets, at the gateway, and how long one event
//! takes to all of these. And how long a client takes that reads 10,000 events from the beginning, from a
//! gateway that has none of them in memory.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::{
    env, fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use e2e::{Agent, Cluster, SOON};
use futures_util::{StreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const EVENTS: usize = 10_000;

/// Opened at the same time.
const AT_ONCE: usize = 50;

/// Twice as many as there are clients of the other kinds.
const SESSIONS: usize = 2;

fn main() -> anyhow::Result<()> {
    let sockets: usize = match env::var("POSTHOUSE_BENCH_SOCKETS") {
        Ok(sockets) => sockets.parse().context("read POSTHOUSE_BENCH_SOCKETS")?,
        Err(_) => 5_000,
    };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    tokio::runtime::Runtime::new()?.block_on(run(sockets))
}

async fn run(count: usize) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    sessions(&cluster, count * SESSIONS).await?;
    polls(&agent, count).await?;
    web_sockets(&cluster, &agent, count).await?;
    replay(cluster, &agent).await
}

/// Each has said EHLO, and waits.
async fn sessions(cluster: &Cluster, count: usize) -> anyhow::Result<()> {
    let address = *cluster.smtp().first().context("find intake")?;
    let before = resident("posthouse-intak")?;
    let greeted = async |_| {
        let mut stream = TcpStream::connect(address).await?;
        said(&mut stream, "220 ").await?;
        stream.write_all(b"EHLO client.example\r\n").await?;
        said(&mut stream, "250 ").await?;
        anyhow::Ok(stream)
    };
    let open = gather(count, greeted).await?;
    report("SMTP sessions", count, before, resident("posthouse-intak")?);
    drop(open);
    Ok(())
}

/// Each waits for an event.
async fn polls(agent: &Agent, count: usize) -> anyhow::Result<()> {
    let address = agent.api.base().trim_start_matches("http://");
    let before = resident("posthouse-gatew")?;
    let request = format!(
        "GET /v1/events?timeout=25 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n",
        agent.token
    );
    let asked = async |_| {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        anyhow::Ok(stream)
    };
    let mut open = gather(count, asked).await?;
    // Until the last one's request has been read.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let with = resident("posthouse-gatew")?;
    for stream in &mut open {
        let answered = stream.try_read(&mut [0]);
        ensure!(answered.is_err_and(|it| it.kind() == ErrorKind::WouldBlock), "one has an answer");
    }
    report("long-polls", count, before, with);
    Ok(())
}

async fn gather<T>(
    count: usize,
    open: impl AsyncFn(usize) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let opened = stream::iter(0..count).map(|n| open(n)).buffer_unordered(AT_ONCE);
    opened.collect::<Vec<_>>().await.into_iter().collect()
}

/// Reads until a line begins so.
async fn said(stream: &mut TcpStream, begin: &str) -> anyhow::Result<()> {
    let (mut heard, mut room) = (String::new(), [0; 512]);
    while !heard.lines().any(|it| it.starts_with(begin)) {
        let read = timeout(SOON, stream.read(&mut room)).await.context("hear something")??;
        ensure!(read > 0, "hung up after {heard:?}");
        heard.push_str(&String::from_utf8_lossy(&room[..read]));
    }
    Ok(())
}

fn report(what: &str, count: usize, before: u64, with: u64) {
    let each = with.saturating_sub(before) as f64 / 1_024.0 / count as f64;
    println!(
        "{count} {what}: {:.0} MiB before, {:.0} with, {each:.1} KiB each",
        mib(before),
        mib(with)
    );
}

fn mib(octets: u64) -> f64 {
    octets as f64 / 1_048_576.0
}

async fn web_sockets(cluster: &Cluster, agent: &Agent, count: usize) -> anyhow::Result<()> {
    let before = resident("posthouse-gatew")?;
    let opened = Instant::now();
    let mut sockets: Vec<Socket> = gather(count, async |_| open(agent).await).await?;
    let opening = opened.elapsed();
    let with = resident("posthouse-gatew")?;

    let told = Instant::now();
    announce(cluster, agent).await?;
    for socket in &mut sockets {
        let text = next(socket).await?;
        ensure!(text.contains("email.sent"), "{text}");
    }
    let telling = told.elapsed();
    let after = resident("posthouse-gatew")?;
    report("WebSockets", count, before, with);
    println!(
        "opened in {opening:.1?}; one event to all in {telling:.1?}, {:.0} MiB after it",
        mib(after)
    );
    Ok(())
}

async fn replay(mut cluster: Cluster, agent: &Agent) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await?;
    let jetstream = async_nats::jetstream::new(client);
    let subject = format!("mail.v1.event.{}.ibx_1.email.sent", agent.account);
    // As long as the event of a usual mail.
    let data = serde_json::json!({ "id": "eml_1", "preview": "x".repeat(1_000) });
    for n in (0..EVENTS).collect::<Vec<_>>().chunks(500) {
        let publish = n.iter().map(async |n| {
            let event = serde_json::json!({ "eventId": format!("evt_{n}"), "data": data });
            let ack = jetstream.publish(subject.clone(), event.to_string().into()).await?;
            anyhow::Ok(ack.await.map(drop)?)
        });
        futures_util::future::try_join_all(publish).await?;
    }
    cluster.kill("gateway-1").await?;
    cluster.restart("gateway-1").await?;
    for limit in [100, 1_000] {
        let (mut after, mut read, started) = ("oldest".to_owned(), 0, Instant::now());
        loop {
            let types = "types=email.sent&timeout=0";
            let path = format!("/v1/events?after={after}&limit={limit}&{types}");
            let page = agent.get(&path).await?.success()?;
            let events = page["data"].as_array().context("read events")?.len();
            if events == 0 {
                break;
            }
            read += events;
            after = page["cursor"].as_str().context("read cursor")?.to_owned();
        }
        ensure!(read >= EVENTS, "only {read} events");
        println!("{read} events replayed by {limit}: {:.2?}", started.elapsed());
    }
    cluster.stop().await
}

async fn open(agent: &Agent) -> anyhow::Result<Socket> {
    let url = format!("{}/v1/ws?token={}", agent.api.base().replace("http", "ws"), agent.token);
    let config = WebSocketConfig::default().read_buffer_size(1_024);
    let connected = timeout(SOON, connect_async_with_config(url, Some(config), true)).await;
    let (mut socket, _) = connected.context("open a socket in time")??;
    let text = next(&mut socket).await?;
    ensure!(text.contains("authenticated"), "{text}");
    Ok(socket)
}

/// The next frame that is not a ping.
async fn next(socket: &mut Socket) -> anyhow::Result<String> {
    loop {
        let message = timeout(SOON, socket.next()).await.context("hear something")?;
        match message.context("the socket ended")?? {
            Message::Text(text) if !text.contains("\"ping\"") => return Ok(text.to_string()),
            Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
            _ => (),
        }
    }
}

async fn announce(cluster: &Cluster, agent: &Agent) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await?;
    let subject = format!("mail.v1.event.{}.ibx_1.email.sent", agent.account);
    let event = serde_json::json!({
        "eventId": "evt_1", "event": "email.sent", "accountId": agent.account, "inboxId": "ibx_1",
        "timestamp": "2026-11-24T05:41:12.123Z", "data": { "id": "eml_1" }
    });
    client.publish_with_headers(subject, HeaderMap::new(), event.to_string().into()).await?;
    client.flush().await?;
    Ok(())
}

/// Of the process of this name that this one started; the kernel cuts names to 15 characters.
fn resident(name: &str) -> anyhow::Result<u64> {
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc").context("list processes")?.flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name));
            line.map(|it| it.trim().to_owned())
        };
        if field("PPid:").as_deref() == Some(&*own) && field("Name:").as_deref() == Some(name) {
            let kib = field("VmRSS:").and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
            return kib.map(|it| it * 1_024).context("read the resident memory");
        }
    }
    anyhow::bail!("there is no process {name}")
}
