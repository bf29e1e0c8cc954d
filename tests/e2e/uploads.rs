//! Attachments that are uploaded once and named as often as it takes.

use anyhow::{Context as _, ensure};
use e2e::{Cluster, Inbox, SOON};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{nats_send::Agent, pipeline_out::mail};

const SIZE: usize = 1_000_000;

fn octets() -> Vec<u8> {
    (0..SIZE).map(|it| u8::try_from(it % 251).unwrap_or_default()).collect()
}

async fn upload(agent: &e2e::Agent) -> anyhow::Result<Value> {
    let url = format!("{}/v1/uploads?filename=data.bin", agent.api.base());
    let client = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
    let request = client.post(url).bearer_auth(&agent.token);
    let request = request.header("Content-Type", "application/octet-stream").body(octets());
    let answer = request.send().await.context("upload")?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}

/// The one attachment that came with a mail of this subject.
async fn attached(agent: &e2e::Agent, inbox: &Inbox, subject: &str) -> anyhow::Result<Vec<u8>> {
    let email = agent.wait_for(inbox, subject).await?;
    assert_eq!(email["attachments"][0]["filename"], "data.bin", "{email}");
    let url = email["attachments"][0]["downloadUrl"].as_str().context("downloadUrl")?;
    Ok(agent.api.call(Method::GET, url, None, &[], None).await?.octets)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_out_over_both_doors() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let nats = Agent::new(&cluster).await?;
    let (agent, inbox) = (nats.agent.clone(), nats.inbox.clone());
    let uploaded = upload(&agent).await?;
    assert_eq!(uploaded["sizeBytes"], SIZE, "{uploaded}");

    let mut request = mail(&inbox, &inbox.address, "By REST");
    request["attachments"] = json!([{ "uploadId": uploaded["uploadId"] }]);
    let sent = agent.send(&request, Some("k")).await?.success()?;
    assert!(attached(&agent, &inbox, "By REST").await? == octets());
    let again = agent.send(&request, Some("k")).await?.success()?;
    assert_eq!((&again["id"], &again["bodyDiffers"]), (&sent["id"], &Value::Null));
    let other = upload(&agent).await?;
    request["attachments"] = json!([{ "uploadId": other["uploadId"] }]);
    let differs = agent.send(&request, Some("k")).await?.success()?;
    assert_eq!(differs["bodyDiffers"], true, "another upload is another mail: {differs}");

    request["subject"] = "By NATS".into();
    nats.publish(Some("l"), &request.to_string()).await?;
    assert!(attached(&agent, &inbox, "By NATS").await? == octets());
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_upload_does_not_exist() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut nats = Agent::new(&cluster).await?;
    let owner = cluster.api()?.sign_up().await?;
    let uploaded = upload(&owner).await?;
    let mut request = mail(&nats.inbox, &nats.inbox.address, "Stolen");
    request["attachments"] = json!([{ "uploadId": uploaded["uploadId"] }]);
    let refused = nats.agent.send(&request, None).await?;
    assert_eq!((refused.status, &refused.json()?["error"]), (422, &"upload_not_found".into()));
    nats.publish(Some("k"), &request.to_string()).await?;
    let event = nats.event("email.rejected").await?;
    assert_eq!(event["data"]["error"]["code"], "upload_not_found", "{event}");
    cluster.stop().await
}
