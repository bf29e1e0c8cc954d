//! Mail that is to go later: whatever is restarted meanwhile, unless it is called back or its time is
//! over.

use std::time::SystemTime;

use anyhow::Context as _;
use e2e::{Agent, Cluster};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::pipeline_out::{captured, mail, wait_for_status};

/// A whole second, so many from now; as RFC 3339 too.
fn later(seconds: i64) -> anyhow::Result<(String, SystemTime)> {
    let at = OffsetDateTime::now_utc().unix_timestamp() + seconds;
    let at = OffsetDateTime::from_unix_timestamp(at)?;
    Ok((at.format(&Rfc3339)?, at.into()))
}

async fn cancel(agent: &Agent, id: &str) -> anyhow::Result<e2e::Answer> {
    agent.post(&format!("/v1/emails/{id}/cancel"), &json!({})).await
}

fn id(answer: &Value) -> anyhow::Result<&str> {
    answer["id"].as_str().context("id")
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_at_its_time_whatever_was_restarted() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let (send_at, moment) = later(6)?;
    let mut request = mail(&inbox, "bob@elsewhere.example", "Later");
    request["sendAt"] = json!(send_at);
    let sent = agent.send(&request, Some("k")).await?.success()?;
    assert_eq!(sent["status"], "scheduled");
    let email = agent.get(&format!("/v1/emails/{}", id(&sent)?)).await?.success()?;
    let shown = send_at.replace('Z', ".000Z");
    assert_eq!((&email["status"], &email["sendAt"]), (&json!("scheduled"), &json!(shown)));
    for name in ["storage-1", "sender-1"] {
        cluster.kill(name).await?;
    }
    cluster.nats.kill().await?;
    cluster.nats.restart().await?;
    for name in ["storage-1", "sender-1"] {
        cluster.restart(name).await?;
    }
    let early = captured(&cluster.captured(), "Later");
    assert!(early.is_empty() || SystemTime::now() >= moment, "{early:?}");
    wait_for_status(&agent, &inbox, id(&sent)?, "sent").await?;
    assert!(SystemTime::now() >= moment);
    assert_eq!(captured(&cluster.captured(), "Later").len(), 1);
    let late = cancel(&agent, id(&sent)?).await?;
    assert_eq!((late.status, late.json()?["error"].as_str()), (409, Some("not_cancellable")));
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_back_never_goes() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let (send_at, moment) = later(3)?;
    let mut request = mail(&inbox, "bob@elsewhere.example", "Called back");
    request["sendAt"] = json!(send_at);
    let sent = agent.send(&request, Some("k")).await?.success()?;

    let other = cluster.api()?.sign_up().await?;
    assert_eq!(cancel(&other, id(&sent)?).await?.status, 404, "it is another account's");
    let answer = cancel(&agent, id(&sent)?).await?.success()?;
    assert_eq!(answer, json!({ "id": sent["id"], "status": "cancelled" }));
    cancel(&agent, id(&sent)?).await?.success()?;
    let again = agent.send(&request, Some("k")).await?.success()?;
    assert_eq!(again["id"], sent["id"], "its key is used");

    request["subject"] = json!("Marker");
    let marker = agent.send(&request, Some("marker")).await?.success()?;
    wait_for_status(&agent, &inbox, id(&marker)?, "sent").await?;
    assert!(SystemTime::now() >= moment, "its time is over");
    assert!(captured(&cluster.captured(), "Called back").is_empty());
    let email = agent.get(&format!("/v1/emails/{}", id(&sent)?)).await?.success()?;
    assert_eq!(email["status"], "cancelled");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_longer_than_it_lives_expires() -> anyhow::Result<()> {
    let plan = e2e::Plan { storage: "limits.scale.per_hour = 1", ..e2e::Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    agent.send(&mail(&inbox, "bob@elsewhere.example", "First"), None).await?.success()?;
    let mut request = mail(&inbox, "bob@elsewhere.example", "Too late");
    request["ttlSeconds"] = json!(2);
    let sent = agent.send(&request, None).await?.success()?;
    assert_eq!(sent["status"], "queued");
    let held = agent.get(&format!("/v1/emails/{}", id(&sent)?)).await?.success()?;
    assert!(held["status"] == "held" || held["status"] == "expired", "{held}");
    let email = wait_for_status(&agent, &inbox, id(&sent)?, "expired").await?;
    assert_eq!(email["recipients"][0]["status"], "4.4.7", "{email}");
    let late = cancel(&agent, id(&sent)?).await?;
    assert_eq!(late.status, 409, "{late:?}");
    assert!(captured(&cluster.captured(), "Too late").is_empty());
    cluster.stop().await
}
