//! What 5,000 idle WebSockets cost a gateway: its resident memory with none and with all of them, and how
//! long one event takes to all. And how long a client takes that reads 10,000 events from the beginning,
//! from a gateway that has none of them in memory.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::{env, fs, time::Instant};

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use e2e::{Agent, Cluster, SOON};
use futures_util::{StreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const EVENTS: usize = 10_000;

/// Opened at the same time.
const AT_ONCE: usize = 50;

fn main() -> anyhow::Result<()> {
    let sockets = match env::var("POSTHOUSE_BENCH_SOCKETS") {
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
    let before = resident("posthouse-gatew")?;
    let opened = Instant::now();
    let mut sockets: Vec<Socket> = stream::iter(0..count)
        .map(|_| open(&agent))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<anyhow::Result<_>>()?;
    let opening = opened.elapsed();
    let with = resident("posthouse-gatew")?;

    let told = Instant::now();
    announce(&cluster, &agent).await?;
    for socket in &mut sockets {
        let text = next(socket).await?;
        ensure!(text.contains("email.sent"), "{text}");
    }
    let telling = told.elapsed();
    let after = resident("posthouse-gatew")?;
    let mib = |octets: u64| octets as f64 / 1_048_576.0;
    println!("| {count} WebSockets | resident MiB |\n|---|---|");
    println!("| before | {:.0} |", mib(before));
    println!("| open and idle | {:.0} |", mib(with));
    println!("| after one event to all | {:.0} |", mib(after));
    println!(
        "\n{:.1} KiB each; opened in {opening:.1?}; one event to all in {telling:.1?}",
        mib(with.saturating_sub(before)) * 1_024.0 / count as f64
    );
    drop(sockets);
    replay(cluster, &agent).await
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
