//! `kill -9` while agents send: nothing is lost, and a repeated request goes out once.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use e2e::{Agent, Api, Cluster, Inbox, Plan, eventually};
use tokio::{task::JoinSet, time::sleep};

use crate::pipeline_out::{captured, mail};

const MAILS: usize = 60;
const PATIENCE: Duration = Duration::from_secs(120);

async fn two_of_each() -> anyhow::Result<Cluster> {
    let plan = Plan { replicas: 2, ..Default::default() };
    Cluster::plan(plan).await?.context("SQLite is always there")
}

/// A sender that is killed after the remote server's 250, and before it could say so, sends again:
/// SMTP knows no other way not to lose mail (RFC 1047). So a mail may be there twice, but only one
/// that was in a dying sender's hands.
#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_sender() -> anyhow::Result<()> {
    let mut cluster = two_of_each().await?;
    let agent = cluster.api()?.sign_up().await?;
    let (from, to) = (agent.inbox().await?, agent.inbox().await?);
    for n in 0..MAILS {
        agent.send(&mail(&from, &to.address, &format!("Mail {n}")), None).await?.success()?;
    }
    for (round, name) in ["sender-1", "sender-2"].into_iter().enumerate() {
        let enough = MAILS * (round + 1) / 3;
        eventually(PATIENCE, "mail to arrive", async || {
            Ok((agent.emails(&to).await?.len() >= enough).then_some(()))
        })
        .await?;
        cluster.kill(name).await?;
        cluster.restart(name).await?;
    }
    let counts = eventually(PATIENCE, "every mail to arrive", async || {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for email in agent.emails(&to).await? {
            *counts.entry(email["subject"].as_str().unwrap_or_default().to_owned()).or_default() +=
                1;
        }
        Ok((counts.len() == MAILS).then_some(counts))
    })
    .await?;
    let repeated = counts.values().filter(|count| **count > 1).count();
    assert!(repeated <= MAILS / 3, "{counts:?}");
    eventually(PATIENCE, "every mail to be known as sent", async || {
        let emails = agent.emails(&from).await?;
        Ok(emails.iter().all(|it| it["status"] == "sent").then_some(()))
    })
    .await?;
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_repeated_over_a_killed_gateway_goes_out_once() -> anyhow::Result<()> {
    let mut cluster = two_of_each().await?;
    let gateways = [cluster.api_of("gateway-1")?, cluster.api_of("gateway-2")?];
    let agent = gateways[0].sign_up().await?;
    let inbox = agent.inbox().await?;

    let mut clients = JoinSet::new();
    for n in 0..MAILS {
        clients.spawn(insist(agent.clone(), gateways.clone(), inbox.clone(), n));
    }
    for name in ["gateway-1", "gateway-2"] {
        cluster.kill(name).await?;
        cluster.restart(name).await?;
    }
    while let Some(client) = clients.join_next().await {
        client.context("run client")??;
    }
    eventually(PATIENCE, "every mail to be sent", async || {
        let emails = agent.emails(&inbox).await?;
        Ok((emails.iter().filter(|it| it["status"] == "sent").count() >= MAILS).then_some(()))
    })
    .await?;
    for n in 0..MAILS {
        let count = captured(&cluster.captured(), &format!("Mail {n}")).len();
        ensure!(count == 1, "Mail {n} went out {count} times");
    }
    assert_eq!(agent.emails(&inbox).await?.len(), MAILS);
    cluster.stop().await
}

/// Sends under one key until some gateway says yes.
async fn insist(agent: Agent, gateways: [Api; 2], inbox: Inbox, n: usize) -> anyhow::Result<()> {
    let request = mail(&inbox, "bob@elsewhere.example", &format!("Mail {n}"));
    for attempt in 0..300 {
        let agent = Agent { api: gateways[(n + attempt) % 2].clone(), ..agent.clone() };
        match agent.send(&request, Some(&format!("key-{n}"))).await {
            Ok(answer) if answer.status < 300 => return Ok(()),
            Ok(answer) => ensure!(answer.status >= 500, "{answer:?}"),
            Err(_) => (),
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("no gateway took mail {n}")
}
