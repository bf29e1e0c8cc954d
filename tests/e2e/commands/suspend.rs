//! `posthouse suspend`, `resume`, `queue` and `bounce`: mail stands still, is seen, goes on, or is given up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use e2e::{Cluster, Plan, SOON, eventually};
use serde_json::{Value, json};
use test_dns::Dns;
use test_peer::{Peer, Setup, say};

use super::Operator;
use crate::pipeline_out::{captured, mail, wait_for_status};

const WHY: [&str; 2] = ["--reason", "a test"];

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &WHY].concat()
}

async fn is_captured(cluster: &Cluster, subject: &str) -> anyhow::Result<()> {
    eventually(SOON, &format!("{subject} to be captured"), async || {
        Ok((!captured(&cluster.captured(), subject).is_empty()).then_some(()))
    })
    .await
}

fn stage<'a>(status: &'a Value, name: &str) -> &'a Value {
    let stages = status["stages"].as_array().into_iter().flatten();
    stages.into_iter().find(|it| it["stage"] == name).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_stands_still_and_its_mail_waits() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let refused = operator.refused(&with(&["suspend", "--stage", "nobody"])).await?;
    assert!(refused.contains("there is no stage nobody: there are scanner"), "{refused}");
    let would = operator.json(&with(&["suspend", "--stage", "scanner", "--dry-run"])).await?;
    assert_eq!((&would["dryRun"], &would["suspended"]), (&json!(true), &json!("stage scanner")));
    assert_eq!(operator.json(&["suspend", "ls"]).await?["suspended"], json!([]));

    operator.json(&with(&["suspend", "--stage", "scanner", "--until-resumed"])).await?;
    let listed = operator.json(&["suspend", "ls"]).await?;
    let expected = json!([{ "scope": "stage", "target": "scanner", "until": null }]);
    assert_eq!(listed["suspended"], expected, "{listed}");
    let content =
        format!("From: a@b.example\r\nTo: {}\r\nSubject: Still\r\n\r\nHi.\r\n", inbox.address);
    let mut smtp = cluster.connect().await?;
    let reply = smtp.send("a@b.example", &[&inbox.address], content.as_bytes()).await?;
    ensure!(reply.code == 250, "it is taken all the same: {reply:?}");
    let status = operator.json(&["status"]).await?;
    assert_eq!(stage(&status, "scanner")["waiting"], 1, "{status}");
    assert!(stage(&status, "scanner")["suspendedSeconds"].as_u64().is_some(), "{status}");
    let top = operator.json(&["top", "--once", "--every", "1s"]).await?;
    assert_eq!(stage(&top, "scanner")["perSecond"], 0.0, "{top}");

    operator.json(&with(&["resume", "--stage", "scanner"])).await?;
    agent.wait_for(&inbox, "Still").await?;
    let refused = operator.refused(&with(&["resume", "--stage", "scanner"])).await?;
    assert!(refused.contains("stage scanner is not suspended"), "{refused}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_stands_still_and_goes_on_by_itself() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let (loud, quiet) = (agent.inbox().await?, agent.inbox().await?);
    operator.json(&with(&["suspend", "--inbox", &loud.address, "--until-resumed"])).await?;
    for (inbox, subject) in [(&loud, "Loud"), (&quiet, "Quiet")] {
        let sent = agent.send(&mail(inbox, "bob@elsewhere.example", subject), None).await?;
        assert_eq!(sent.success()?["status"], "queued", "nothing is refused");
    }
    is_captured(&cluster, "Quiet").await?;
    assert!(captured(&cluster.captured(), "Loud").is_empty());
    let queued = operator.json(&["queue", "ls", "--inbox", &loud.id]).await?;
    assert_eq!(queued["waiting"][0]["stage"], "outbox", "{queued}");
    assert_eq!(queued["waiting"][0]["domains"], json!(["elsewhere.example"]), "{queued}");
    let summary = operator.json(&["queue", "summary", "--by", "inbox"]).await?;
    assert_eq!(summary["counts"][0]["key"], loud.id.as_str(), "{summary}");

    // Another word replaces the one before; and then nobody does anything.
    operator.json(&with(&["suspend", "--inbox", &loud.id, "--for", "1s"])).await?;
    is_captured(&cluster, "Loud").await?;

    // What waits can be given up, too, and its sender hears of it.
    operator.json(&with(&["suspend", "--account", &agent.account, "--for", "1h"])).await?;
    let sent = agent.send(&mail(&loud, "bob@elsewhere.example", "Never"), None).await?.success()?;
    let refused = operator.refused(&with(&["bounce"])).await?;
    assert!(refused.contains("say --everything"), "{refused}");
    let bounce = ["bounce", "--account", &agent.account, "--reason", "sent by mistake"];
    let would = operator.json(&[&bounce[..], &["--dry-run"]].concat()).await?;
    assert_eq!((&would["outbox"], &would["dryRun"]), (&json!(1), &json!(true)), "{would}");
    assert_eq!(operator.json(&bounce).await?["outbox"], 1);
    let id = sent["id"].as_str().context("id")?;
    let email = wait_for_status(&agent, &loud, id, "expired").await?;
    let diagnostic = email["recipients"][0]["diagnostic"].as_str().context("diagnostic")?;
    assert_eq!(diagnostic, "given up by the operator: sent by mistake");
    let refused = operator.refused(&bounce).await?;
    assert!(refused.contains("nothing waits that could be given up"), "{refused}");
    cluster.stop().await
}

/// The sender puts off what goes there, keeps it, and tries it when it may.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_stands_still_at_every_sender() -> anyhow::Result<()> {
    let plan = Plan { senders: Some(2), ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let domain = "elsewhere.example";
    operator.json(&with(&["suspend", "--domain", "Elsewhere.Example", "--for", "1h"])).await?;
    // A sender may hear of it a second later: then a mail still goes, and the next one does not.
    let mut number = 0;
    let subject = eventually(SOON, "a mail to be put off", async || {
        number += 1;
        let subject = format!("Number {number}");
        agent.send(&mail(&inbox, &format!("bob@{domain}"), &subject), None).await?.success()?;
        eventually(SOON, "it to be somewhere", async || {
            let queued = operator.json(&["queue", "ls", "--domain", domain]).await?;
            let waits = queued["waiting"].as_array().into_iter().flatten();
            let waits = waits.into_iter().any(|it| it["stage"] == "retry");
            let is_gone = !captured(&cluster.captured(), &subject).is_empty();
            Ok((waits || is_gone).then(|| waits.then(|| subject.clone())))
        })
        .await
    })
    .await?;
    assert!(captured(&cluster.captured(), &subject).is_empty());
    operator.json(&with(&["resume", "--domain", domain])).await?;
    // It would go within a minute; whoever cannot wait says so.
    eventually(SOON, "the mail to go", async || {
        operator.run(&with(&["queue", "flush", "--domain", domain])).await?;
        Ok((!captured(&cluster.captured(), &subject).is_empty()).then_some(()))
    })
    .await?;
    assert_eq!(captured(&cluster.captured(), &subject).len(), 1, "once");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_tried_at_once_or_given_up() -> anyhow::Result<()> {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let full = Setup::script(|it| it.starts_with("RCPT").then(|| say("452 4.2.2 Full"))?);
    let peer = Peer::at(SocketAddr::new(ip, 0), full).await;
    let dns = Dns::start(&format!("there IN MX 10 mx.there\nmx.there IN A {ip}\n")).await;
    let plan =
        Plan { dns: Some(dns.address), mx_port: Some(peer.address.port()), ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let sent = agent.send(&mail(&inbox, "bob@there.test", "Full"), None).await?.success()?;
    let id = sent["id"].as_str().context("id")?;
    wait_for_status(&agent, &inbox, id, "deferred").await?;
    let attempts = async || -> anyhow::Result<i64> {
        let path = format!("/v1/inboxes/{}/emails/{id}/deliveries", inbox.id);
        let found = agent.get(&path).await?.success()?;
        let attempts = found["data"].as_array().into_iter().flatten();
        Ok(attempts.filter_map(|it| it["attempt"].as_i64()).max().unwrap_or(0))
    };
    assert_eq!(attempts().await?, 1);
    let flushed = operator.json(&with(&["queue", "flush", "--mail", id])).await?;
    assert_eq!(flushed["flushed"], 1, "{flushed}");
    eventually(SOON, "the second attempt", async || Ok((attempts().await? == 2).then_some(())))
        .await?;
    let bounced = operator.json(&with(&["bounce", "--domain", "there.test"])).await?;
    assert_eq!((&bounced["outbox"], &bounced["retries"]), (&json!(0), &json!(1)), "{bounced}");
    let email = wait_for_status(&agent, &inbox, id, "expired").await?;
    assert_eq!(email["recipients"][0]["diagnostic"], "given up by the operator: a test", "{email}");
    let queued = operator.json(&["queue", "ls"]).await?;
    assert_eq!(queued["waiting"], json!([]), "{queued}");
    cluster.stop().await
}
