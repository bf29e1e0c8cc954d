//! Requests as fast as NATS takes them.

use anyhow::Context as _;
use async_nats::{HeaderMap, jetstream};
use e2e::{Agent, Cluster, Inbox};
use serde_json::json;

/// Asks for so many mails to one address; their subjects are the name and a number, and so are their
/// keys. Returns when all requests are durable.
pub(crate) async fn flood(
    cluster: &Cluster,
    agent: &Agent,
    inbox: &Inbox,
    name: &str,
    mails: usize,
) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
    let jetstream = jetstream::new(client);
    let subject = format!("mail.v1.send.{}.{}", agent.account, inbox.id);
    let mut acks = Vec::new();
    for n in 0..mails {
        let key = format!("{name} {n}");
        let request = json!({
            "to": ["bob@elsewhere.example"], "subject": key, "body": { "text": "Flood" },
        });
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", key);
        let payload = request.to_string().into();
        acks.push(jetstream.publish_with_headers(subject.clone(), headers, payload).await?);
    }
    for ack in acks {
        ack.await.context("wait for the ack")?;
    }
    Ok(())
}
