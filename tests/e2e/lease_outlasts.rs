//! A reply that was answered with 200 is not lost because storage is away for longer than its lease was given for
//! (docs/work-queues.md).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{Cluster, SOON, eventually};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::pipeline_out::mail;

/// As short as leases can be.
const LEASE_SECONDS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_reply_outlives_the_lease_it_was_made_under() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let (worker, customer) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let (inbox, theirs) = (worker.inbox().await?, customer.inbox().await?);
    customer.send(&mail(&theirs, &inbox.address, "Question"), Some("q")).await?.success()?;
    let question = worker.wait_for(&inbox, "Question").await?;
    let email_id = question["id"].as_str().context("id")?.to_owned();

    let claim = format!("/v1/inboxes/{}/claim", inbox.id);
    let claimed =
        worker.post(&claim, &json!({ "leaseSeconds": LEASE_SECONDS })).await?.success()?;
    let lease = claimed["data"][0].clone();
    let lease_id = lease["leaseId"].as_str().context("a lease")?.to_owned();
    cluster.terminate("storage-1").await?;
    let reply =
        json!({ "body": { "text": "Answer" }, "leaseId": lease_id, "allowAutoReply": true });
    worker.post(&format!("/v1/emails/{email_id}/reply"), &reply).await?.success()?;

    let end = OffsetDateTime::parse(lease["expiresAt"].as_str().context("expiresAt")?, &Rfc3339)?;
    eventually(SOON, "the lease's first end to pass", async || {
        Ok((OffsetDateTime::now_utc() > end + Duration::from_secs(1)).then_some(()))
    })
    .await?;
    let others = worker.post(&claim, &json!({ "worker": "another" })).await?.success()?;
    ensure!(others["data"] == json!([]), "the mail is still the first one's: {others}");

    cluster.restart("storage-1").await?;
    customer.wait_for(&theirs, "Re: Question").await?;
    let lease = worker.get(&format!("/v1/leases/{lease_id}")).await?.success()?;
    ensure!(lease["state"] == "acked", "{lease}");
    let sent = worker.emails(&inbox).await?;
    let answers = sent.iter().filter(|it| it["direction"] == "outbound");
    let statuses: Vec<&Value> = answers.map(|it| &it["status"]).collect();
    ensure!(statuses.len() == 1 && statuses[0] != "rejected", "{statuses:?}");
    cluster.stop().await
}
