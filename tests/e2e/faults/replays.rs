//! What comes again: within JetStream's duplicate window, and after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use async_nats::{
    Message,
    jetstream::{self, stream::Config},
};
use e2e::{Cluster, Plan, SOON, eventually};
use futures_util::StreamExt as _;
use serde_json::Value;
use test_peer::{Peer, Setup};
use tokio::time::{sleep, timeout};

use crate::{
    faults::{observers::all_events, scene::repeats},
    pipeline_out::mail,
};

const WINDOW: Duration = Duration::from_millis(500);

/// The messages of one mail that came in and one that went out, in the order of their stages.
const SUBJECTS: [&str; 4] =
    ["inbound.received", "inbound.scanned", "outbound.scanned", "outbound.reported"];

/// Everything that is told of the inbox and the two mails, in whatever order.
const TOLD: [&str; 6] = [
    "inbox.created",
    "email.received",
    "email.scan.complete",
    "email.thread.new",
    "email.queued",
    "email.sent",
];

/// Every message that a mail is on its way is published again: at once, which JetStream takes for what it
/// is, and after the window, when it is a message like any other. Either way nothing is stored or sent twice, and storage
/// counts what it left alone. What is announced again, because it may never have been, has the ids it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_beyond_the_window_changes_nothing() -> anyhow::Result<()> {
    let peer = Peer::start(Setup::default()).await;
    let plan = Plan { sink: Some(peer.address), ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
    let jetstream = jetstream::new(client.clone());
    shorten_windows(&jetstream).await?;
    let mut heard = BTreeMap::new();
    for subject in SUBJECTS {
        heard.insert(subject, client.subscribe(subject).await.context("subscribe")?);
    }
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let content =
        format!("From: x@example.com\r\nTo: {}\r\nSubject: In\r\n\r\nOnce.\r\n", inbox.address);
    let reply = cluster
        .connect()
        .await?
        .send("x@example.com", &[&inbox.address], content.as_bytes())
        .await?;
    ensure!(reply.code == 250, "{reply:?}");
    let stored = agent.wait_for(&inbox, "In").await?;
    agent.send(&mail(&inbox, "bob@elsewhere.example", "Out"), None).await?.success()?;
    eventually(SOON, "the mail to be sent", async || {
        let emails = agent.emails(&inbox).await?;
        Ok(emails.iter().any(|it| it["status"] == "sent").then_some(()))
    })
    .await?;
    let events = eventually(SOON, "all to be told of", async || {
        let events = all_events(&agent).await?;
        let is_told = |kind: &&str| events.iter().any(|it| it["event"] == **kind);
        Ok(TOLD.iter().all(is_told).then_some(events))
    })
    .await?;

    for (n, subject) in SUBJECTS.into_iter().enumerate() {
        let heard = heard.get_mut(subject).context("find the subscription")?;
        let message = timeout(SOON, heard.next()).await.with_context(|| subject)?;
        replay(&jetstream, message.context("hear the message")?).await?;
        eventually(SOON, &format!("a repeat of {subject} to be counted"), async || {
            Ok((repeats(&cluster.metrics("storage-1").await?) > n as u64).then_some(()))
        })
        .await?;
    }
    let emails = agent.emails(&inbox).await?;
    ensure!(emails.len() == 2, "{} emails", emails.len());
    ensure!(emails.iter().any(|it| it["id"] == stored["id"]), "another mail");
    ensure!(ids(&all_events(&agent).await?) == ids(&events), "something new was told of");
    ensure!(peer.content_count() == 1, "sent {} times", peer.content_count());
    cluster.stop().await
}

fn ids(events: &[Value]) -> BTreeSet<&str> {
    events.iter().filter_map(|it| it["eventId"].as_str()).collect()
}

async fn shorten_windows(jetstream: &jetstream::Context) -> anyhow::Result<()> {
    for name in ["INBOUND", "SCANNED", "OUTBOUND", "REPORTED", "EVENTS"] {
        let stream = jetstream.get_stream(name).await.context("find a stream")?;
        let config = stream.cached_info().config.clone();
        let config = Config { duplicate_window: WINDOW, ..config };
        jetstream.update_stream(config).await.with_context(|| format!("shorten {name}"))?;
    }
    Ok(())
}

/// Publishes it again until JetStream does not know it any more.
async fn replay(jetstream: &jetstream::Context, message: Message) -> anyhow::Result<()> {
    let headers = message.headers.context("find the identity")?;
    for _ in 0..200 {
        let subject = message.subject.clone();
        let publish =
            jetstream.publish_with_headers(subject, headers.clone(), message.payload.clone());
        let ack = publish.await.context("publish")?.await.context("wait for the ack")?;
        if !ack.duplicate {
            return Ok(());
        }
        sleep(WINDOW / 5).await;
    }
    anyhow::bail!("{} is a duplicate for ever", message.subject)
}
