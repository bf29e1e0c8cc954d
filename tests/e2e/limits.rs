//! No inbox passes its limits, however many processes send, and what is over them is not lost.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use e2e::{Backend, Cluster, Plan, eventually};
use serde_json::Value;

use crate::flood::flood;

const MINUTE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(180);

const INBOXES: usize = 8;
const MAILS: usize = 30;
const PER_MINUTE: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn no_inbox_passes_its_limit() -> anyhow::Result<()> {
    flooded(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_inbox_passes_its_limit_on_postgres() -> anyhow::Result<()> {
    flooded(Backend::Postgres).await
}

async fn flooded(backend: Backend) -> anyhow::Result<()> {
    let plan = Plan {
        backend,
        replicas: 2,
        senders: Some(4),
        storage: "limits.scale.per_minute = 20",
        ..Plan::default()
    };
    let Some(cluster) = Cluster::plan(plan).await? else { return Ok(()) };
    let agent = cluster.api()?.sign_up().await?;
    let mut inboxes = Vec::new();
    for n in 0..INBOXES {
        let inbox = agent.inbox().await?;
        flood(&cluster, &agent, &inbox, &format!("inbox{n}"), MAILS).await?;
        inboxes.push(inbox);
    }
    // Held and told why, before they go.
    let emails = eventually(PATIENCE, "every mail to be in the ledger", async || {
        let emails = agent.emails(&inboxes[0]).await?;
        Ok((emails.len() == MAILS).then_some(emails))
    })
    .await?;
    let held: Vec<&Value> = emails.iter().filter(|it| it["status"] == "held").collect();
    assert_eq!(held.len(), MAILS - PER_MINUTE);
    for email in held {
        assert_eq!(email["heldReason"], "this inbox may send 20 mails a minute", "{email}");
        assert!(email["heldUntil"].is_string(), "{email}");
    }

    let sent = eventually(PATIENCE, "every mail to be sent", async || {
        let sent = sent(&cluster.captured())?;
        let count: usize = sent.values().map(Vec::len).sum();
        Ok((count >= INBOXES * MAILS).then_some(sent))
    })
    .await?;
    assert_eq!(sent.len(), INBOXES);
    for (inbox, mut times) in sent {
        assert_eq!(times.len(), MAILS, "{inbox}: each once");
        times.sort();
        for window in times.windows(PER_MINUTE + 1) {
            let took = window[PER_MINUTE].duration_since(window[0]).unwrap_or_default();
            ensure!(took >= MINUTE, "{inbox}: {} mails in {took:?}", PER_MINUTE + 1);
        }
    }
    cluster.stop().await
}

/// When the mails of each inbox were written to where they went.
fn sent(captured: &Path) -> anyhow::Result<BTreeMap<String, Vec<SystemTime>>> {
    let mut sent: BTreeMap<String, Vec<SystemTime>> = BTreeMap::new();
    for (subject, at) in crate::quiet_inbox::captured_at(captured)? {
        let (inbox, _) = subject.split_once(' ').context("read a subject")?;
        sent.entry(inbox.to_owned()).or_default().push(at);
    }
    Ok(sent)
}

/// Without a limit in the way, and with one that an operator sets.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_limits_an_inbox_and_lets_it_go_again() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let shown = limit(&cluster, &inbox.id, &["--per-hour", "2"]).await?;
    assert!(shown.contains("per_hour: 2\n") && shown.contains("per_day: as its tier"), "{shown}");
    flood(&cluster, &agent, &inbox, "mail", 5).await?;
    let held = async || {
        let emails = agent.emails(&inbox).await?;
        anyhow::Ok(emails.iter().filter(|it| it["status"] == "held").count())
    };
    eventually(PATIENCE, "three mails to be held", async || Ok((held().await? == 3).then_some(())))
        .await?;
    limit(&cluster, &inbox.id, &["--reset"]).await?;
    eventually(PATIENCE, "every mail to be sent", async || {
        let emails = agent.emails(&inbox).await?;
        Ok(emails.iter().all(|it| it["status"] == "sent").then_some(()))
    })
    .await?;
    cluster.stop().await
}

async fn limit(cluster: &Cluster, inbox_id: &str, change: &[&str]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let mut arguments = vec!["inbox", "limits", inbox_id, "--database", &cluster.database];
    arguments.extend(change);
    e2e::operate(folder.path(), &arguments).await
}
