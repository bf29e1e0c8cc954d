//! `posthouse dead`: what no stage could handle comes back when its cause is mended.

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use e2e::{Cluster, SOON, eventually};
use serde_json::{Value, json};

use super::Operator;
use crate::{nats_send::Agent, pipeline_out::captured};

/// Parks a message as a stage would.
async fn park(
    cluster: &Cluster,
    stage: &str,
    of: (&str, &str),
    payload: &str,
) -> anyhow::Result<()> {
    let jetstream = jetstream::new(async_nats::connect(&cluster.nats.url).await?);
    let mut headers = HeaderMap::new();
    headers.insert("Mail-Subject", of.0);
    headers.insert("Mail-Identity", of.1);
    headers.insert("Mail-Failure", "the disk was full");
    let subject = format!("dead.{stage}");
    jetstream.publish_with_headers(subject, headers, payload.to_owned().into()).await?.await?;
    Ok(())
}

fn sequences(listed: &Value) -> Vec<u64> {
    let dead = listed["dead"].as_array().into_iter().flatten();
    dead.filter_map(|it| it["sequence"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_is_handled_after_all() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = Operator::of(&cluster)?;
    let mut agent = Agent::new(&cluster).await?;
    let subject = format!("mail.v1.send.{}.{}", agent.agent.account, agent.inbox.id);
    let request = json!({
        "to": ["bob@elsewhere.example"], "subject": "From the dead", "body": { "text": "Hello." },
    });
    let of = (subject.as_str(), "key-1");
    park(&cluster, "submission-scanner", of, &request.to_string()).await?;
    park(&cluster, "storage", ("inbound.scanned", "mail_1"), "not a mail").await?;
    park(&cluster, "webhook-waker", ("mail.v1.event.a.b.email.sent", "evt_1"), "{}").await?;

    let listed = operator.json(&["dead", "ls"]).await?;
    assert_eq!(sequences(&listed), [1, 2, 3], "{listed}");
    let listed = operator.json(&["dead", "ls", "--stage", "storage"]).await?;
    assert_eq!(sequences(&listed), [2], "{listed}");
    let shown = operator.json(&["dead", "show", "1"]).await?;
    assert_eq!(shown["identity"], "key-1", "{shown}");
    assert!(shown.get("payload").is_none(), "only if it is asked for: {shown}");

    // Nothing is done by halves, without a reason, or in a rehearsal.
    let refused = operator.refused(&["dead", "requeue", "1"]).await?;
    assert!(refused.contains("--reason"), "{refused}");
    let reason = ["--reason", "the disk has room again"];
    let requeue = |words: &[&'static str]| [&["dead", "requeue"], words, &reason].concat();
    let refused = operator.refused(&requeue(&["1", "3"])).await?;
    assert!(refused.contains("agents would read twice"), "{refused}");
    let refused = operator.refused(&requeue(&["7"])).await?;
    assert!(refused.contains("no message 7 is parked"), "{refused}");
    let would = operator.json(&requeue(&["1", "--dry-run"])).await?;
    assert_eq!(would, json!({ "requeued": [1], "dryRun": true }));
    assert_eq!(sequences(&operator.json(&["dead", "ls"]).await?).len(), 3);

    operator.json(&requeue(&["1"])).await?;
    let event = agent.event("email.sent").await?;
    assert_eq!(event["data"]["idempotencyKey"], "key-1", "under the agent's own key: {event}");
    assert_eq!(captured(&cluster.captured(), "From the dead").len(), 1);
    let drop = [&["dead", "drop", "--stage", "webhook-waker"][..], &reason].concat();
    operator.json(&drop).await?;

    // What cannot be read is parked again, and not lost.
    operator.json(&requeue(&["2"])).await?;
    let again = eventually(SOON, "the message to be parked again", async || {
        let listed = operator.json(&["dead", "ls"]).await?;
        Ok((sequences(&listed) == [4]).then_some(listed))
    })
    .await?;
    assert_eq!(again["dead"][0]["subject"], "inbound.scanned", "{again}");

    let acts = operator.json(&["audit"]).await?;
    let acts = acts["acts"].as_array().context("acts")?;
    let commands: Vec<&str> = acts.iter().filter_map(|it| it["command"].as_str()).collect();
    assert_eq!(commands, ["dead requeue", "dead drop", "dead requeue", "migrate"], "{acts:?}");
    ensure!(acts.iter().all(|it| it["outcome"] == "done"), "{acts:?}");
    ensure!(acts[..3].iter().all(|it| it["reason"] == "the disk has room again"), "{acts:?}");
    ensure!(acts[0]["who"].as_str().is_some_and(|it| it.contains('@')), "{acts:?}");
    cluster.stop().await
}
