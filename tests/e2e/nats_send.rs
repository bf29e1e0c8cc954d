//! Sending as an agent does that has a NATS client and no SDK, next to one that uses REST.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::{Client, HeaderMap, Subscriber, jetstream};
use e2e::{Cluster, Inbox, SOON};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::pipeline_out::{captured, mail};

const KEY: &str = "Nats-Msg-Id";

pub(crate) struct Agent {
    pub(crate) agent: e2e::Agent,
    pub(crate) inbox: Inbox,
    client: Client,
    events: Subscriber,
}

impl Agent {
    pub(crate) async fn new(cluster: &Cluster) -> anyhow::Result<Agent> {
        let agent = cluster.api()?.sign_up().await?;
        let inbox = agent.inbox().await?;
        let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
        let subject = format!("mail.v1.event.{}.{}.>", agent.account, inbox.id);
        let events = client.subscribe(subject).await.context("subscribe")?;
        client.flush().await.context("subscribe")?;
        Ok(Agent { agent, inbox, client, events })
    }

    /// Publishes a request, and returns once JetStream has it.
    pub(crate) async fn publish(&self, key: Option<&str>, request: &str) -> anyhow::Result<()> {
        let subject = format!("mail.v1.send.{}.{}", self.agent.account, self.inbox.id);
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(KEY, key);
        }
        let jetstream = jetstream::new(self.client.clone());
        let ack = jetstream.publish_with_headers(subject, headers, request.to_owned().into());
        ack.await.context("publish")?.await.context("wait for the ack")?;
        Ok(())
    }

    /// The next event of this kind.
    pub(crate) async fn event(&mut self, kind: &str) -> anyhow::Result<Value> {
        timeout(SOON, async {
            while let Some(message) = self.events.next().await {
                let event: Value = serde_json::from_slice(&message.payload)?;
                assert!(message.subject.ends_with(event["event"].as_str().unwrap_or("?")));
                if event["event"] == kind {
                    return Ok(event);
                }
            }
            anyhow::bail!("the subscription ended")
        })
        .await
        .with_context(|| format!("wait for {kind}"))?
    }
}

fn request(to: &str, subject: &str) -> String {
    json!({ "to": [to], "subject": subject, "body": { "text": "By NATS" } }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_nats_is_sent_and_reported() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut agent = Agent::new(&cluster).await?;
    agent.publish(Some("first"), &request("bob@elsewhere.example", "By NATS")).await?;

    let event = agent.event("email.sent").await?;
    assert_eq!(event["inboxId"], agent.inbox.id.as_str());
    assert_eq!(event["data"]["idempotencyKey"], "first", "{event}");
    assert_eq!(event["data"]["recipients"][0]["address"], "bob@elsewhere.example", "{event}");
    assert_eq!(captured(&cluster.captured(), "By NATS").len(), 1);

    // What the event announces can be read.
    let id = event["data"]["id"].as_str().context("id")?;
    let path = format!("/v1/inboxes/{}/emails/{id}", agent.inbox.id);
    assert_eq!(agent.agent.get(&path).await?.success()?["status"], "sent");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_nobody_can_honour_is_answered_with_the_reason() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut agent = Agent::new(&cluster).await?;

    for (key, request, why) in [
        ("no-json", "{ this is no JSON", "JSON"),
        ("typo", r#"{"to":["a@b.example"],"subjekt":"x","body":{"text":"y"}}"#, "subjekt"),
        ("no-one", r#"{"to":[],"subject":"x","body":{"text":"y"}}"#, "to"),
        ("no-address", r#"{"to":["nobody"],"subject":"x","body":{"text":"y"}}"#, "nobody"),
        (
            "not-mine",
            r#"{"from":"ceo@posthouse.test","to":["a@b.example"],"subject":"x","body":{"text":"y"}}"#,
            "from",
        ),
    ] {
        agent.publish(Some(key), request).await?;
        let event = agent.event("email.rejected").await?;
        assert_eq!(event["data"]["idempotencyKey"], key, "{event}");
        let error = &event["data"]["error"];
        assert!(error["code"].as_str().is_some_and(|it| !it.is_empty()), "{event}");
        assert!(error["message"].as_str().is_some_and(|it| it.contains(why)), "{key}: {event}");
    }
    assert!(captured(&cluster.captured(), "x").is_empty());
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_goes_out_once() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut agent = Agent::new(&cluster).await?;
    let request = request("bob@elsewhere.example", "Once");

    // At once, while the first is under way …
    agent.publish(Some("k"), &request).await?;
    agent.publish(Some("k"), &request).await?;
    let first = agent.event("email.sent").await?;
    // … and when it is done: no window of JetStream's would help, there is none.
    agent.publish(Some("k"), &request).await?;
    let repeated = timeout(SOON, async {
        loop {
            let event = agent.event("email.sent").await?;
            if event["data"]["repeated"] == true {
                return anyhow::Ok(event);
            }
        }
    });
    let repeated = repeated.await.context("wait for the answer to the repetition")??;
    assert_eq!(repeated["data"]["id"], first["data"]["id"]);
    assert_eq!(captured(&cluster.captured(), "Once").len(), 1);
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_and_nats_share_the_key() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut agent = Agent::new(&cluster).await?;
    let request = mail(&agent.inbox, "bob@elsewhere.example", "Either door");

    let first = agent.agent.send(&request, Some("door")).await?.success()?;
    let again = agent.agent.send(&request, Some("door")).await?.success()?;
    assert_eq!(first["id"], again["id"]);
    let sent = agent.event("email.sent").await?;
    assert_eq!(sent["data"]["id"], first["id"]);

    agent.publish(Some("door"), &request.to_string()).await?;
    // A later request overtakes nobody: when it is out, the repetition has been dealt with.
    agent.publish(Some("other"), &mail_to_marker(&agent.inbox)).await?;
    loop {
        let event = agent.event("email.sent").await?;
        assert!(
            event["data"]["subject"] == "Marker" || event["data"]["id"] == first["id"],
            "{event}"
        );
        if event["data"]["subject"] == "Marker" {
            break;
        }
    }
    assert_eq!(captured(&cluster.captured(), "Either door").len(), 1);
    cluster.stop().await
}

fn mail_to_marker(inbox: &Inbox) -> String {
    mail(inbox, "marker@elsewhere.example", "Marker").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_inboxes_may_choose_the_same_key() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut one = Agent::new(&cluster).await?;
    let mut other = Agent::new(&cluster).await?;
    one.publish(Some("welcome-1"), &request("bob@elsewhere.example", "Of one")).await?;
    other.publish(Some("welcome-1"), &request("bob@elsewhere.example", "Of the other")).await?;
    let (first, second) = (one.event("email.sent").await?, other.event("email.sent").await?);
    assert_ne!(first["data"]["id"], second["data"]["id"]);
    assert_eq!(captured(&cluster.captured(), "Of one").len(), 1);
    assert_eq!(captured(&cluster.captured(), "Of the other").len(), 1);
    cluster.stop().await
}

/// A request waits in its stream for a stage that is down.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_sender() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut agent = Agent::new(&cluster).await?;
    cluster.terminate("sender-1").await?;
    agent.publish(None, &request("bob@elsewhere.example", "Patience")).await?;
    agent.event("email.queued").await?;
    let nothing = timeout(Duration::from_millis(300), agent.event("email.sent")).await;
    assert!(nothing.is_err(), "sent by nobody");
    cluster.restart("sender-1").await?;
    agent.event("email.sent").await?;
    cluster.stop().await
}
