//! Eight inboxes have 100,000 mails queued: how long takes the mail of a quiet neighbour, do the eight
//! keep to their limits, and what does the queue cost.
//!
//! The quiet inbox is measured twice. First while the eight are held by a limit, then while they are
//! let go and keep four senders as busy as they can be.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

mod memory;
mod sink;

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use e2e::{Agent, Cluster, Inbox, Plan, eventually};
use serde_json::json;
use tokio::time::sleep;

use crate::{memory::Cost, sink::Sink};

const INBOXES: usize = 8;
const SENDERS: usize = 4;
const PER_MINUTE: usize = 600;
const PROBES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(1_800);
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let mails = match env::var("POSTHOUSE_BENCH_MAILS") {
        Ok(mails) => mails.parse().context("read POSTHOUSE_BENCH_MAILS")?,
        Err(_) => 100_000,
    };
    tokio::runtime::Runtime::new()?.block_on(run(mails))
}

async fn run(mails: usize) -> anyhow::Result<()> {
    let sink = Sink::start().await?;
    let plan = Plan {
        senders: Some(SENDERS),
        storage: "daily_email_limit = 10000000\nlimits.scale.per_minute = 600",
        sink: Some(sink.address),
        ..Plan::default()
    };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let bench = Bench { agent: cluster.api()?.sign_up().await?, cluster, sink };
    let mut loud = Vec::new();
    for _ in 0..INBOXES {
        loud.push(bench.agent.inbox().await?);
    }
    let quiet = bench.agent.inbox().await?;
    bench.probe(&quiet, "warm").await?;

    let before = Cost::now(&bench.cluster)?;
    let start = Instant::now();
    bench.fill(&loud, mails).await?;
    let sent = bench.sent(mails);
    println!(
        "{mails} mails in the ledger in {:.0} s; {sent} sent by then\n",
        start.elapsed().as_secs_f64()
    );
    println!("{}", Cost::now(&bench.cluster)?.table(&before, mails));

    let held = bench.probes(&quiet, "held").await?;
    // The neighbours' limits are watched for more than a minute of their own.
    sleep(2 * MINUTE).await;
    let (most, inbox) = bench.most_in_a_minute();
    println!("most mails of an inbox in any 60 s: {most} ({inbox}); the limit is {PER_MINUTE}");

    bench.let_go(&loud).await?;
    sleep(Duration::from_secs(5)).await;
    let (before, start) = (bench.sent(mails), Instant::now());
    let busy = bench.probes(&quiet, "busy").await?;
    let rate = (bench.sent(mails) - before) as f64 / start.elapsed().as_secs_f64();
    println!(
        "still queued: {}; the neighbours sent {rate:.0} mails/s\n",
        mails - bench.sent(mails)
    );
    println!("| a quiet inbox's mail to the remote 250, ms | p50 | longest |\n|---|---|---|");
    println!("| neighbours held by their limit | {} |", ends(held));
    println!("| neighbours at full speed | {} |", ends(busy));
    bench.cluster.stop().await
}

struct Bench {
    cluster: Cluster,
    agent: Agent,
    sink: Sink,
}

impl Bench {
    async fn jetstream(&self) -> anyhow::Result<jetstream::Context> {
        let client = async_nats::connect(&self.cluster.nats.url).await;
        Ok(jetstream::new(client.context("connect to NATS")?))
    }

    /// Over NATS, as fast as it takes them; returns when all are in the ledger.
    async fn fill(&self, loud: &[Inbox], mails: usize) -> anyhow::Result<()> {
        let jetstream = self.jetstream().await?;
        let mut acks = Vec::new();
        for n in 0..mails {
            let place = n % loud.len();
            let subject = format!("loud{place} {n}");
            acks.push(self.publish(&jetstream, &loud[place], &subject).await?);
            if acks.len() == 1_000 {
                for ack in acks.drain(..) {
                    ack.await.context("wait for the ack")?;
                }
            }
        }
        for ack in acks {
            ack.await.context("wait for the ack")?;
        }
        eventually(PATIENCE, "every mail to be in the ledger", async || {
            sleep(Duration::from_millis(500)).await;
            let waiting = waiting(&jetstream, "SUBMISSIONS", "submission-scanner").await?
                + waiting(&jetstream, "OUTBOUND", "ledger").await?;
            Ok((waiting == 0).then_some(()))
        })
        .await
    }

    async fn publish(
        &self,
        jetstream: &jetstream::Context,
        inbox: &Inbox,
        subject: &str,
    ) -> anyhow::Result<jetstream::context::PublishAckFuture> {
        let request = json!({
            "to": ["bob@elsewhere.example"], "subject": subject,
            "body": { "text": "All work and no play makes Jack a dull boy.\n".repeat(40) },
        });
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", subject);
        let to = format!("mail.v1.send.{}.{}", self.agent.account, inbox.id);
        let payload = request.to_string().into();
        Ok(jetstream.publish_with_headers(to, headers, payload).await?)
    }

    async fn probes(&self, quiet: &Inbox, name: &str) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        for n in 0..PROBES {
            took.push(self.probe(quiet, &format!("{name} {n}")).await?);
            sleep(Duration::from_millis(700)).await;
        }
        Ok(took)
    }

    /// How long a mail takes from the request to the remote 250.
    async fn probe(&self, quiet: &Inbox, subject: &str) -> anyhow::Result<Duration> {
        let jetstream = self.jetstream().await?;
        let start = Instant::now();
        self.publish(&jetstream, quiet, subject).await?.await.context("wait for the ack")?;
        let end = eventually(MINUTE, "the quiet one's mail", async || Ok(self.sink.has(subject)));
        Ok(end.await? - start)
    }

    /// How many of the neighbours' mails are sent.
    fn sent(&self, mails: usize) -> usize {
        let taken = self.sink.taken();
        taken.keys().filter(|it| it.starts_with("loud")).count().min(mails)
    }

    /// The most mails of a neighbour in any minute, wherever it begins, and whose they are.
    fn most_in_a_minute(&self) -> (usize, String) {
        let mut times: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
        for (subject, taken) in self.sink.taken() {
            if let Some((inbox, _)) = subject.split_once(' ')
                && inbox.starts_with("loud")
            {
                times.entry(inbox.to_owned()).or_default().extend(taken);
            }
        }
        let of = |(inbox, mut times): (String, Vec<Instant>)| {
            times.sort();
            let mut first = 0;
            let mut most = 0;
            for (n, time) in times.iter().enumerate() {
                while *time - times[first] >= MINUTE {
                    first += 1;
                }
                most = most.max(n + 1 - first);
            }
            (most, inbox)
        };
        times.into_iter().map(of).max().unwrap_or_default()
    }

    async fn let_go(&self, loud: &[Inbox]) -> anyhow::Result<()> {
        let folder = tempfile::tempdir().context("make a folder")?;
        for inbox in loud {
            let database = &self.cluster.database;
            let arguments =
                ["inbox", "limits", &inbox.id, "--per-minute", "0", "--database", database];
            let shown = e2e::operate(folder.path(), &arguments).await?;
            ensure!(shown.contains("per_minute: no limit"), "{shown}");
        }
        Ok(())
    }
}

/// What a stage has not dealt with yet.
async fn waiting(
    jetstream: &jetstream::Context,
    stream: &str,
    durable: &str,
) -> anyhow::Result<u64> {
    let stream = jetstream.get_stream(stream).await.context("look up stream")?;
    let info = stream.consumer_info(durable).await.context("look up consumer")?;
    Ok(info.num_pending + info.num_ack_pending as u64)
}

fn ends(mut took: Vec<Duration>) -> String {
    took.sort();
    let millis = |it: &Duration| it.as_secs_f64() * 1_000.0;
    let middle = took.get(took.len() / 2).map_or(0.0, millis);
    format!("{middle:.0} | {:.0}", took.last().map_or(0.0, millis))
}
