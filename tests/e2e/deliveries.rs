//! Mail to exchangers that misbehave, found in the DNS of the test, through the real programs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, ensure};
use e2e::{Agent, Cluster, Inbox, Plan, SOON, eventually};
use serde_json::{Value, json};
use test_dns::Dns;
use test_peer::{Answer, Peer, Setup};

use crate::pipeline_out::{mail, wait_for_status};

/// Pauses of a second, so that a test sees what a day would bring.
const IMPATIENT: &str = "[retries]\ndelays_seconds = [1]\nlongest_seconds = 1\n\
    greylisted_seconds = 1\n[timeouts]\nreply_seconds = 60\n";

/// More than a second to each, and fewer than a sender has in hand at once.
const MAILS: usize = 200;

/// Exchangers for domains `<name>.test`, each at its own loopback address and all on one port.
struct World {
    cluster: Cluster,
    peers: Vec<Peer>,
    _dns: Dns,
}

impl World {
    async fn start(setups: Vec<(&str, Setup)>, records: &str) -> anyhow::Result<World> {
        let mut records = records.to_owned();
        let mut peers: Vec<Peer> = Vec::new();
        for (n, (name, setup)) in setups.into_iter().enumerate() {
            let ip = Ipv4Addr::new(127, 0, 0, u8::try_from(n + 2).context("count peers")?);
            let port = peers.first().map_or(0, |it| it.address.port());
            peers.push(Peer::at(SocketAddr::new(IpAddr::V4(ip), port), setup).await);
            records += &format!("{name} IN MX 10 mx.{name}\nmx.{name} IN A {ip}\n");
        }
        let dns = Dns::start(&records).await;
        let plan = Plan {
            dns: Some(dns.address),
            mx_port: peers.first().map(|it| it.address.port()),
            sender: IMPATIENT.to_owned(),
            ..Plan::default()
        };
        let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
        Ok(World { cluster, peers, _dns: dns })
    }

    async fn agent(&self) -> anyhow::Result<(Agent, Inbox)> {
        let agent = self.cluster.api()?.sign_up().await?;
        let inbox = agent.inbox().await?;
        Ok((agent, inbox))
    }
}

async fn send(agent: &Agent, from: &Inbox, to: &str) -> anyhow::Result<String> {
    let sent = agent.send(&mail(from, to, &format!("To {to}")), None).await?.success()?;
    Ok(sent["id"].as_str().context("id")?.to_owned())
}

fn on(line: &'static str, answer: Answer) -> Setup {
    Setup::script(move |it| it.starts_with(line).then(|| answer.clone()))
}

/// Answers the first `times` such lines so.
fn at_first(line: &'static str, times: usize, answer: Answer) -> Setup {
    let count = Arc::new(AtomicUsize::new(0));
    Setup::script(move |it| {
        let is_due = it.starts_with(line) && count.fetch_add(1, Ordering::Relaxed) < times;
        is_due.then(|| answer.clone())
    })
}

fn saying(reply: &str) -> Answer {
    Answer::Say(reply.to_owned())
}

/// What the first recipient has come to, as `<action> <status>`.
fn outcome(email: &Value) -> String {
    let recipient = &email["recipients"][0];
    let word = |key: &str| recipient[key].as_str().unwrap_or_default();
    format!("{} {}", word("action"), word("status"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_misbehaviour_has_its_outcome() -> anyhow::Result<()> {
    let no_tls = Answer::Raw(b"220 go ahead\r\nthis is not TLS\r\n".to_vec());
    let broken_tls = Setup { extensions: vec!["STARTTLS"], ..on("STARTTLS", no_tls) };
    let endless = Answer::Raw(vec![b'x'; 2 * 1024 * 1024]);
    let setups = vec![
        ("good", Setup::default()),
        ("greylists", at_first("RCPT", 1, saying("451 4.7.1 greylisted"))),
        ("throttles", at_first("connect", 1, saying("421 4.7.0 too many connections"))),
        ("drops", at_first("DATA", 1, Answer::Close)),
        ("regrets", on(".", saying("550 5.1.1 no such user after all"))),
        ("lies", on("RCPT", saying("550 4.2.2 over quota"))),
        ("mumbles", at_first("RCPT", 1, endless)),
        ("clear", broken_tls),
        ("old", Setup::offering(&[])),
    ];
    let world = World::start(setups, "none IN MX 0 .\n").await?;
    let (agent, inbox) = world.agent().await?;
    for (domain, status, expected) in [
        ("good.test", "sent", "delivered 2.0.0"),
        ("greylists.test", "sent", "delivered 2.0.0"),
        // The host is left alone for half a minute.
        ("throttles.test", "deferred", "delayed 4.7.0"),
        ("drops.test", "sent", "delivered 2.0.0"),
        ("regrets.test", "bounced", "failed 5.1.1"),
        ("lies.test", "bounced", "failed 5.2.2"),
        ("mumbles.test", "sent", "delivered 2.0.0"),
        ("clear.test", "sent", "delivered 2.0.0"),
        ("old.test", "sent", "delivered 2.0.0"),
        ("none.test", "bounced", "failed 5.1.10"),
        ("nowhere.test", "bounced", "failed 5.1.2"),
    ] {
        let id = send(&agent, &inbox, &format!("bob@{domain}")).await?;
        let email = wait_for_status(&agent, &inbox, &id, status).await?;
        ensure!(outcome(&email) == expected, "{domain}: {email}");
    }
    world.cluster.stop().await
}

/// Text that is not ASCII goes as quoted-printable, so a host of seven bits takes it; an address that is
/// not needs a host that knows SMTPUTF8.
#[tokio::test(flavor = "multi_thread")]
async fn old_hosts_get_what_they_can_take() -> anyhow::Result<()> {
    let world = World::start(vec![("old", Setup::offering(&[]))], "").await?;
    let (agent, inbox) = world.agent().await?;
    let mut request = mail(&inbox, "bob@old.test", "Gr\u{fc}\u{df}e");
    request["body"]["text"] = json!("Gr\u{fc}\u{df}e aus K\u{f6}ln");
    request["attachments"] = json!([{
        "filename": "gr\u{fc}n.bin", "contentType": "application/octet-stream", "content": "gICA",
    }]);
    let sent = agent.send(&request, None).await?.success()?;
    let id = sent["id"].as_str().context("id")?;
    wait_for_status(&agent, &inbox, id, "sent").await?;
    let contents = world.peers[0].seen().contents;
    ensure!(contents.len() == 1 && contents[0].is_ascii(), "{contents:?}");

    let id = send(&agent, &inbox, "b\u{fc}cher@old.test").await?;
    let email = wait_for_status(&agent, &inbox, &id, "bounced").await?;
    ensure!(outcome(&email) == "failed 5.6.7", "{email}");
    world.cluster.stop().await
}

/// While mail hangs at one host and waits for another, that to a third goes at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_slow_domain_holds_nobody_up() -> anyhow::Result<()> {
    let setups = vec![
        ("quick", Setup::default()),
        ("slow", on("connect", Answer::Hang)),
        ("grey", on("RCPT", saying("451 4.7.1 greylisted, for ever"))),
    ];
    let world = World::start(setups, "").await?;
    let (agent, inbox) = world.agent().await?;
    for n in 0..MAILS {
        for domain in ["slow", "grey"] {
            send(&agent, &inbox, &format!("r{n}@{domain}.test")).await?;
        }
    }
    let [quick, slow, grey] = world.peers.as_slice() else { anyhow::bail!("three peers") };
    eventually(SOON, "the slow hosts to be busy", async || {
        let is_busy = slow.seen().connections > 0 && grey.seen().connections > 0;
        Ok(is_busy.then_some(()))
    })
    .await?;
    for n in 0..5 {
        let id = send(&agent, &inbox, &format!("r{n}@quick.test")).await?;
        wait_for_status(&agent, &inbox, &id, "sent").await?;
    }
    ensure!(quick.content_count() == 5 && slow.content_count() == 0);
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_unknown_until_it_is_known() -> anyhow::Result<()> {
    let forgets = at_first(".", 2, Answer::Close);
    let world = World::start(vec![("forgets", forgets)], "").await?;
    let (agent, inbox) = world.agent().await?;
    let mut held = mail(&inbox, "bob@forgets.test", "Held");
    held["onUnknown"] = json!("hold");
    let sent = agent.send(&held, None).await?.success()?;
    let id = sent["id"].as_str().context("id")?;
    let email = wait_for_status(&agent, &inbox, id, "unknown").await?;
    ensure!(outcome(&email) == "unknown 4.4.2", "{email}");

    // One that is not held is sent again by itself.
    let again = send(&agent, &inbox, "carol@forgets.test").await?;
    wait_for_status(&agent, &inbox, &again, "sent").await?;
    ensure!(world.peers[0].content_count() == 3);

    let path = format!("/v1/emails/{id}");
    let answer = agent.post(&format!("{path}/resolve"), &json!({ "as": "retry" })).await?;
    answer.success()?;
    wait_for_status(&agent, &inbox, id, "sent").await?;
    let log = agent.get(&format!("{path}/deliveries")).await?.success()?;
    let actions: Vec<_> = log["data"].as_array().context("read the log")?.iter().collect();
    let actions: Vec<_> = actions.iter().filter_map(|it| it["action"].as_str()).collect();
    ensure!(actions == ["unknown", "delivered"], "{log}");
    let contents = world.peers[0].seen().contents;
    ensure!(
        contents.len() == 4 && contents[0] == contents[3],
        "the same mail, Message-ID included"
    );
    ensure!(contents[1] == contents[2]);
    let late = agent.post(&format!("{path}/resolve"), &json!({ "as": "sent" })).await?;
    ensure!(late.status == 409, "{late:?}");
    world.cluster.stop().await
}
