//! `posthouse trace`: a mail that was held, released, greylisted and bounced, and one that came in.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, ensure};
use e2e::{Cluster, Plan, SOON, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use test_dns::Dns;
use test_peer::{Peer, Setup, say};

use super::Operator;
use crate::pipeline_out::{mail, wait_for_status};

/// Pauses of a second, so that a test sees what a day would bring.
const IMPATIENT: &str = "[retries]\ndelays_seconds = [1]\nlongest_seconds = 1\n\
    greylisted_seconds = 1\n";

/// An exchanger that takes nobody's first word, and then has no such user.
fn greylists_and_refuses() -> Setup {
    let asked = Arc::new(AtomicUsize::new(0));
    Setup::script(move |line| match line.starts_with("RCPT") {
        true if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
            say("451 4.7.1 Greylisted, please try again later")
        }
        true => say("550 5.1.1 No such user here"),
        false => None,
    })
}

async fn cluster(peer: &Peer, dns: &Dns) -> anyhow::Result<Cluster> {
    let plan = Plan {
        dns: Some(dns.address),
        mx_port: Some(peer.address.port()),
        sender: IMPATIENT.to_owned(),
        ..Plan::default()
    };
    Cluster::plan(plan).await?.context("SQLite is always there")
}

/// The steps that are called so, in their order.
fn steps<'a>(traced: &'a Value, what: &str) -> Vec<&'a Value> {
    let steps = traced["mail"]["steps"].as_array().into_iter().flatten();
    steps.filter(|it| it["what"] == what).collect()
}

/// What the steps say, each by itself.
fn check(traced: &Value) -> anyhow::Result<()> {
    let first = |what: &str| steps(traced, what)[0].clone();
    assert_eq!(first("accepted")["details"]["idempotencyKey"], "order-77");
    assert_eq!(first("held")["details"]["kinds"], json!(["approval"]));
    assert_eq!(first("released")["details"]["note"], "Known to us.");
    let greylisted = first("greylisted");
    assert_eq!(greylisted["details"]["attempt"], 1, "{greylisted}");
    assert_eq!(greylisted["details"]["remoteHost"], "mx.there.test", "{greylisted}");
    let reply = greylisted["details"]["reply"].as_str().context("reply")?;
    assert!(reply.contains("Greylisted, please try again later"), "{reply}");
    let refused = first("bounced");
    assert_eq!(refused["details"]["status"], "5.1.1", "{refused}");
    assert!(refused["text"].as_str().is_some_and(|it| it.contains("No such user here")));
    for event in ["email.held", "email.approved", "email.deferred", "email.bounced"] {
        assert!(!steps(traced, event).is_empty(), "{event} in {traced:#}");
    }
    let call = first("failed");
    assert_eq!(call["stage"], "webhooks", "{call}");
    assert_eq!(traced["mail"]["recipients"][0]["action"], "failed");
    assert!(!traced.to_string().contains("Traced"), "never what it says: {traced:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_held_released_greylisted_and_bounced() -> anyhow::Result<()> {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let peer = Peer::at(SocketAddr::new(ip, 0), greylists_and_refuses()).await;
    let dns = Dns::start(&format!("there IN MX 10 mx.there\nmx.there IN A {ip}\n")).await;
    let cluster = cluster(&peer, &dns).await?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let path = format!("/v1/inboxes/{}/outbound-policy", inbox.id);
    let rules = json!({ "approval": "always" });
    agent.api.call(Method::PUT, &path, Some(&agent.token), &[], Some(&rules)).await?.success()?;
    // Nobody answers there: a call that failed is a part of the mail's life as well.
    let url = format!("http://{}/hook", e2e::free_port()?);
    let hook = json!({ "url": url, "events": ["email.held"] });
    agent.post("/v1/webhooks", &hook).await?.success()?;

    let sent = agent.send(&mail(&inbox, "bob@there.test", "Traced"), Some("order-77")).await?;
    let sent = sent.success()?;
    ensure!(sent["status"] == "held", "{sent}");
    let id = sent["id"].as_str().context("id")?.to_owned();
    let decision = json!({ "sha256": sent["hold"]["sha256"], "reason": "Known to us." });
    agent.post(&format!("/v1/emails/{id}/approve"), &decision).await?.success()?;
    let bounced = wait_for_status(&agent, &inbox, &id, "bounced").await?;
    let message_id = bounced["messageId"].as_str().context("messageId")?.to_owned();

    let traced = eventually(SOON, "the events of the mail", async || {
        let traced = operator.json(&["trace", &id]).await?;
        let is_told =
            !steps(&traced, "email.bounced").is_empty() && !steps(&traced, "failed").is_empty();
        Ok(is_told.then_some(traced))
    })
    .await?;
    let order = ["accepted", "scanned", "entered", "held", "released", "greylisted", "bounced"];
    let places = order.map(|what| {
        let all = traced["mail"]["steps"].as_array().into_iter().flatten();
        all.into_iter().position(|it| it["what"] == what)
    });
    ensure!(places.iter().all(Option::is_some), "{places:?} in {traced:#}");
    ensure!(places.is_sorted(), "in the order of its life: {places:?} in {traced:#}");
    ensure!(traced["mail"]["gaps"] == json!([]), "{traced:#}");

    check(&traced)?;

    // Whatever somebody knows of it, it is the same mail.
    let bare = message_id.trim_matches(['<', '>']);
    for sought in ["order-77", &message_id, bare, "bob@there.test", "BOB@There.test"] {
        let found = operator.json(&["trace", sought]).await?;
        assert_eq!(found["mail"]["id"], id.as_str(), "{sought}");
    }
    let text = operator.run(&["trace", &id]).await?.output;
    for words in ["greylisted", "451 4.7.1", "550 5.1.1", "Known to us.", "score 0"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let refused = operator.refused(&["trace", "nobody@nowhere.test"]).await?;
    assert!(refused.contains("no mail is known by \"nobody@nowhere.test\""), "{refused}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_that_came_in_and_what_is_seen_without_nats() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let mut smtp = cluster.connect().await?;
    let mut email = Value::Null;
    for n in 1..=2 {
        let content = format!(
            "From: ann@outside.example\r\nTo: {}\r\nMessage-ID: <{n}@outside.example>\r\n\
             Subject: Mail {n}\r\n\r\nHello.\r\n",
            inbox.address
        );
        let reply = smtp.send("ann@outside.example", &[&inbox.address], content.as_bytes()).await?;
        ensure!(reply.code == 250, "{reply:?}");
        email = agent.wait_for(&inbox, &format!("Mail {n}")).await?;
    }

    let listed = operator.json(&["trace", &inbox.address]).await?;
    let listed = listed["mails"].as_array().context("mails")?;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0]["id"], email["id"], "the newest first");
    let traced = operator.json(&["trace", "2@outside.example"]).await?;
    for what in ["accepted", "scanned", "stored", "email.received"] {
        assert!(!steps(&traced, what).is_empty(), "{what} in {traced:#}");
    }

    for name in cluster.names() {
        cluster.kill(&name).await?;
    }
    cluster.nats.stop().await?;
    let traced = operator.json(&["trace", "2@outside.example"]).await?;
    assert!(!steps(&traced, "stored").is_empty(), "{traced:#}");
    let gap = traced["mail"]["gaps"][0].as_str().context("a gap")?;
    assert!(gap.contains("connect to NATS"), "{gap}");
    Ok(())
}
