//! `kill -9` while agents send: nothing is lost, and a repeated request goes out once.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use async_nats::{HeaderMap, jetstream};
use e2e::{Agent, Api, Cluster, Inbox, Plan, eventually};
use serde_json::{Value, json};
use test_dns::Dns;
use test_peer::{Peer, Setup};
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

/// What a sender has in hand at once: first attempts and others, 64 each.
const IN_HAND: usize = 128;

const SENDERS: [&str; 2] = ["sender-1", "sender-2"];

/// How many mails the senders and the nats-server are killed among.
fn mail_count() -> anyhow::Result<usize> {
    match std::env::var("POSTHOUSE_TEST_OUTBOUND_MAILS") {
        Ok(count) => count.parse().context("read POSTHOUSE_TEST_OUTBOUND_MAILS"),
        Err(_) => Ok(1_000),
    }
}

/// Every other mail is one that must not be sent twice unasked.
fn on_unknown(n: usize) -> &'static str {
    if n.is_multiple_of(2) { "retry" } else { "hold" }
}

/// Publishes requests under keys of their own, and returns when JetStream has them all.
async fn submit(
    cluster: &Cluster,
    agent: &Agent,
    from: &Inbox,
    mails: usize,
) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
    let jetstream = jetstream::new(client);
    let subject = format!("mail.v1.send.{}.{}", agent.account, from.id);
    for n in 0..mails {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("key-{n}"));
        let request = json!({
            "to": [format!("r{n}@world.test")], "subject": format!("Mail {n} {}", on_unknown(n)),
            "onUnknown": on_unknown(n),
            "body": { "text": "All work and no play makes Jack a dull boy.\r\n".repeat(20) },
        });
        let ack =
            jetstream.publish_with_headers(subject.clone(), headers, request.to_string().into());
        ack.await.context("publish")?.await.context("wait for the ack")?;
    }
    Ok(())
}

/// The octets of each mail that arrived, by its Message-ID.
fn by_message_id(contents: Vec<Vec<u8>>) -> anyhow::Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let mut mails: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for content in contents {
        let text = String::from_utf8_lossy(&content);
        let field = text.lines().find_map(|it| it.strip_prefix("Message-ID: "));
        let id = field.context("find a Message-ID")?.to_owned();
        mails.entry(id).or_default().push(content);
    }
    Ok(mails)
}

/// Two senders and the nats-server are killed in the middle of the deliveries, in turn. Every mail arrives,
/// and only those again that a killed sender, or both when it was the nats-server, had in hand; those are
/// the same mails, Message-ID included. Mail that is to be held never arrives twice: it is unknown instead.
#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_sender_and_nats_in_the_middle_of_deliveries() -> anyhow::Result<()> {
    let mails = mail_count()?;
    let peer = Peer::start(Setup::default()).await;
    let dns = Dns::start("world IN MX 10 mx.world\nmx.world IN A 127.0.0.1").await;
    let plan = Plan {
        replicas: 2,
        dns: Some(dns.address),
        mx_port: Some(peer.address.port()),
        ..Plan::default()
    };
    let mut cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let agent = cluster.api()?.sign_up().await?;
    let from = agent.inbox().await?;
    submit(&cluster, &agent, &from, mails).await?;

    let patience = PATIENCE + Duration::from_millis(mails as u64 * 50);
    let in_hand = kill_in_turn(&mut cluster, &peer, mails, patience).await?;
    let emails = eventually(patience, "every mail to be sent or known to be unknown", async || {
        let emails = agent.emails(&from).await?;
        let settled = emails.iter().filter(|it| is_settled(it)).count();
        Ok((settled == mails).then_some(emails))
    })
    .await?;
    let arrived = by_message_id(peer.seen().contents)?;
    let (mut again, mut unknown) = (0, 0);
    for email in &emails {
        let id = email["messageId"].as_str().context("read a Message-ID")?;
        let copies = arrived.get(id).map(Vec::as_slice).unwrap_or_default();
        ensure!(copies.windows(2).all(|it| it[0] == it[1]), "{id} changed");
        if is_unknown(email) {
            ensure!(copies.len() <= 1, "{id} is held and arrived {} times", copies.len());
            unknown += 1;
        } else if is_held(email) {
            ensure!(copies.len() == 1, "{id} is held and arrived {} times", copies.len());
        } else {
            ensure!(!copies.is_empty(), "{id} is sent and did not arrive");
            again += copies.len() - 1;
        }
    }
    eprintln!("{mails} mails: {again} came twice, {unknown} are unknown, {in_hand} were in hand");
    ensure!(again + unknown <= in_hand, "more than were in hand");

    // Whoever knows better decides; then they arrive too.
    for email in emails.iter().filter(|it| is_unknown(it)) {
        let id = email["id"].as_str().context("read an id")?;
        let decision = json!({ "as": "retry" });
        agent.post(&format!("/v1/emails/{id}/resolve"), &decision).await?.success()?;
    }
    eventually(patience, "every mail to be sent", async || {
        let emails = agent.emails(&from).await?;
        Ok(emails.iter().all(|it| it["status"] == "sent").then_some(()))
    })
    .await?;
    let arrived = by_message_id(peer.seen().contents)?;
    ensure!(arrived.len() == mails, "{} of {mails} mails arrived", arrived.len());
    cluster.stop().await
}

/// Says how many mails can have been in the hands of who died.
async fn kill_in_turn(
    cluster: &mut Cluster,
    peer: &Peer,
    mails: usize,
    patience: Duration,
) -> anyhow::Result<usize> {
    let mut in_hand = 0;
    for (round, victim) in ["sender-1", "nats", "sender-2", "nats"].into_iter().enumerate() {
        let enough = mails * (round + 1) / 6;
        eventually(patience, "deliveries to proceed", async || {
            Ok((peer.content_count() >= enough).then_some(()))
        })
        .await?;
        ensure!(peer.content_count() < mails, "killed too late to be in the middle");
        if victim == "nats" {
            cluster.nats.kill().await?;
            cluster.nats.restart().await?;
            in_hand += IN_HAND * SENDERS.len();
        } else {
            cluster.kill(victim).await?;
            cluster.restart(victim).await?;
            in_hand += IN_HAND;
        }
    }
    for name in SENDERS {
        cluster.ready(name).await?;
    }
    eventually(patience, "the rest to be delivered", async || {
        Ok((peer.content_count() >= mails - in_hand).then_some(()))
    })
    .await?;
    Ok(in_hand)
}

fn is_held(email: &Value) -> bool {
    email["subject"].as_str().is_some_and(|it| it.ends_with("hold"))
}

fn is_unknown(email: &Value) -> bool {
    email["status"] == "unknown"
}

fn is_settled(email: &Value) -> bool {
    email["status"] == "sent" || is_held(email) && is_unknown(email)
}
