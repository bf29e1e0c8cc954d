//! `kill -9` under load: what got a 250 is in its inbox, once.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use e2e::{Agent, Backend, Cluster, Inbox, Load, Plan, Sent, eventually};

const CLIENTS: usize = 20;
const MAILS: usize = 15;

#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_intake() -> anyhow::Result<()> {
    survives_kill("intake", Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_scanner() -> anyhow::Result<()> {
    survives_kill("scanner", Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_storage() -> anyhow::Result<()> {
    survives_kill("storage", Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_storage_on_postgres() -> anyhow::Result<()> {
    survives_kill("storage", Backend::Postgres).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_gateway() -> anyhow::Result<()> {
    survives_kill("gateway", Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_nats() -> anyhow::Result<()> {
    survives_kill("nats", Backend::Sqlite).await
}

/// Kills one replica of the service after a third of the load, and the other after two thirds.
async fn survives_kill(service: &str, backend: Backend) -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::plan(Plan { backend, replicas: 2, ..Plan::default() }).await?
    else {
        return Ok(());
    };
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;

    let load = Load::start(&cluster.smtp(), &inbox.address, CLIENTS, MAILS);
    for round in 1..=2 {
        reached(&load, CLIENTS * MAILS * round / 3).await?;
        if service == "nats" {
            cluster.nats.kill().await?;
            cluster.nats.restart().await?;
        } else {
            let name = format!("{service}-{round}");
            cluster.kill(&name).await?;
            cluster.restart(&name).await?;
        }
    }
    let sent = load.finish().await?;
    ensure!(sent.accepted.len() == CLIENTS * MAILS, "accepted {}", sent.accepted.len());
    everything_arrived_once(&agent, &inbox, &sent).await?;
    if service == "nats" {
        for name in cluster.names() {
            cluster.ready(&name).await?;
        }
    }
    cluster.stop().await
}

async fn reached(load: &Load, mails: usize) -> anyhow::Result<()> {
    eventually(Duration::from_secs(120), "the load to proceed", async || {
        Ok((load.accepted() >= mails).then_some(()))
    })
    .await
}

async fn everything_arrived_once(agent: &Agent, inbox: &Inbox, sent: &Sent) -> anyhow::Result<()> {
    let patience = Duration::from_secs(120);
    let counts = eventually(patience, "every accepted mail to be in its inbox", async || {
        let counts = count_subjects(agent, inbox).await?;
        let is_complete = sent.accepted.iter().all(|subject| counts.contains_key(subject));
        Ok(is_complete.then_some(counts))
    })
    .await?;
    for (subject, count) in counts {
        ensure!(count == 1, "{subject} is there {count} times");
        ensure!(sent.attempted.contains(&subject), "nobody sent {subject}");
    }
    Ok(())
}

async fn count_subjects(agent: &Agent, inbox: &Inbox) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for email in agent.emails(inbox).await? {
        let subject = email["subject"].as_str().unwrap_or_default().to_owned();
        *counts.entry(subject).or_default() += 1;
    }
    Ok(counts)
}
