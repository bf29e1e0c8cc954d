//! An agent that has a token, a NATS client and nothing else.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::{Client, ConnectOptions, HeaderMap, Subscriber, connection::State};
use e2e::{Cluster, Plan, SOON, eventually, operate};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

struct Agent {
    client: Client,
    account: String,
    token_id: String,
    events: Subscriber,
}

impl Agent {
    async fn log_in(cluster: &Cluster, account: &str, token: &str) -> anyhow::Result<Agent> {
        let token_id = bus::token_hash(token)[..12].to_owned();
        let client = ConnectOptions::with_user_and_password("agent".to_owned(), token.to_owned())
            .custom_inbox_prefix(format!("_INBOX_{account}.{token_id}"))
            .connect(&cluster.nats.url)
            .await
            .context("log in")?;
        let events = client.subscribe(format!("mail.v1.event.{account}.>")).await?;
        client.flush().await?;
        Ok(Agent { client, account: account.to_owned(), token_id, events })
    }

    async fn ask(&self, operation: &str, parameters: Value) -> anyhow::Result<Value> {
        let subject = format!("mail.v1.api.{}.{}.{operation}", self.account, self.token_id);
        let answer = self.client.request(subject, parameters.to_string().into()).await;
        let answer = answer.with_context(|| format!("ask {operation}"))?;
        let body = serde_json::from_slice(&answer.payload)?;
        let error = answer.headers.as_ref().and_then(|it| it.get("Nats-Service-Error"));
        ensure!(error.is_none(), "{operation}: {error:?}: {body}");
        Ok(body)
    }

    async fn event(&mut self, kind: &str) -> anyhow::Result<Value> {
        timeout(SOON, async {
            while let Some(message) = self.events.next().await {
                let event: Value = serde_json::from_slice(&message.payload)?;
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

async fn cluster() -> anyhow::Result<Cluster> {
    let plan = Plan { logins: true, ..Plan::default() };
    Cluster::plan(plan).await?.context("SQLite is always there")
}

/// As an operator makes one.
async fn account(cluster: &Cluster) -> anyhow::Result<(String, String)> {
    let arguments = ["account", "create", "--tier", "4", "--database", &cluster.database];
    let said = operate(cluster.folder(), &arguments).await?;
    let word = |name: &str| {
        let line = said.lines().rev().find_map(|it| it.strip_prefix(name));
        line.map(|it| it.trim().to_owned()).with_context(|| format!("find {name}in {said}"))
    };
    Ok((word("account ")?, word("token ")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_alone_is_enough() -> anyhow::Result<()> {
    let cluster = cluster().await?;
    let (account, token) = account(&cluster).await?;
    let mut agent = Agent::log_in(&cluster, &account, &token).await?;

    let alice = agent.ask("inboxes.create", json!({ "localPart": "alice" })).await?;
    let bob = agent.ask("inboxes.create", json!({ "localPart": "bob" })).await?;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();

    // It sends as every agent on NATS does …
    let mail = json!({ "to": [bob["address"]], "subject": "By NATS", "body": { "text": "Hello" } });
    let subject = format!("mail.v1.send.{account}.{}", text(&alice, "id"));
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "hello-1");
    let ack = agent.client.request_with_headers(subject, headers, mail.to_string().into()).await?;
    let ack: Value = serde_json::from_slice(&ack.payload)?;
    assert_eq!(ack["stream"], "SUBMISSIONS", "{ack}");
    assert_eq!(agent.event("email.sent").await?["data"]["idempotencyKey"], "hello-1");

    // … hears of what comes …
    let received = agent.event("email.received").await?;
    assert_eq!(received["inboxId"], bob["id"]);
    let email_id = text(&received["data"], "id");
    let listed = agent.ask("emails.list", json!({ "inboxId": bob["id"] })).await?;
    assert_eq!(listed["data"][0]["id"], email_id.as_str(), "{listed}");
    let asked = json!({ "inboxId": bob["id"], "emailId": email_id });
    let read = agent.ask("emails.get", asked).await?;
    assert_eq!(read["subject"], "By NATS");
    assert!(read.to_string().contains("Hello"), "{read}");

    // … and answers through the API.
    let reply = json!({ "emailId": email_id, "body": { "text": "Good to hear" },
                        "allowAutoReply": true });
    let reply = agent.ask("emails.reply", reply).await?;
    let waited = json!({ "inboxId": alice["id"], "timeout": 25, "since": "1970-01-01T00:00:00Z" });
    let answer = agent.ask("emails.wait", waited).await?;
    assert_eq!(answer["data"][0]["subject"], "Re: By NATS", "{answer} to {reply}");
    let found = agent.ask("emails.search", json!({ "q": "hear" })).await?;
    assert!(!found["data"].as_array().context("data")?.is_empty(), "{found}");
    let threads = agent.ask("threads.list", json!({ "inboxId": bob["id"] })).await?;
    assert_eq!(threads["data"].as_array().map(Vec::len), Some(1), "{threads}");

    // What it heard can be heard again.
    let asked = json!({ "after": "oldest", "types": ["inbox.created"], "timeout": 25 });
    let events = agent.ask("events.list", asked).await?;
    assert!(!events["data"].as_array().context("data")?.is_empty(), "{events}");
    cluster.stop().await
}

/// As soon as somebody is there to answer.
async fn is_answered(agent: &Agent) -> anyhow::Result<()> {
    eventually(SOON, "an answer", async || {
        let asked = timeout(Duration::from_secs(2), agent.ask("account.get", json!({}))).await;
        Ok(matches!(asked, Ok(Ok(_))).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_outlives_the_gateway_and_nats_but_not_its_token() -> anyhow::Result<()> {
    let mut cluster = cluster().await?;
    let (account, token) = account(&cluster).await?;
    let agent = Agent::log_in(&cluster, &account, &token).await?;
    agent.ask("account.get", json!({})).await?;

    cluster.kill("gateway-1").await?;
    assert_eq!(agent.client.connection_state(), State::Connected);
    // Nobody answers, and NATS says so at once.
    agent.ask("account.get", json!({})).await.expect_err("no gateway");
    cluster.restart("gateway-1").await?;
    is_answered(&agent).await?;

    cluster.nats.kill().await?;
    cluster.nats.restart().await?;
    is_answered(&agent).await?;

    let database = &cluster.database;
    let list = ["token", "list", &account, "--database", database];
    let listed = operate(cluster.folder(), &list).await?;
    assert!(listed.contains(&agent.token_id), "{listed}");
    let revoke = ["token", "revoke", &account, &agent.token_id, "--database", database];
    operate(cluster.folder(), &revoke).await?;
    eventually(SOON, "the agent to be disconnected", async || {
        Ok((agent.client.connection_state() != State::Connected).then_some(()))
    })
    .await?;
    let refused = Agent::log_in(&cluster, &account, &token).await;
    assert!(refused.is_err());
    cluster.stop().await
}
