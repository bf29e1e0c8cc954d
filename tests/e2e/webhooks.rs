//! Webhooks from making one to deleting it, with a receiver that verifies them by other means than ours.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use e2e::{Agent, Cluster, Inbox, Plan, SOON, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, process::Command};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    calls: Arc<Mutex<Vec<Call>>>,
    /// The next answers; 200 when there are none.
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<(Receiver, SocketAddr)> {
        let receiver = Receiver::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((receiver, address))
    }

    fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.answers.lock().expect("lock").extend(statuses);
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("lock").clone()
    }

    pub(crate) async fn wait_for(&self, count: usize) -> anyhow::Result<Vec<Call>> {
        eventually(SOON, &format!("{count} requests"), async || {
            let calls = self.calls();
            Ok((calls.len() >= count).then_some(calls))
        })
        .await
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let headers = headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let body = String::from_utf8_lossy(&body).into_owned();
    let call = Call { headers: headers.collect(), body };
    receiver.calls.lock().expect("lock").push(call);
    let status = receiver.answers.lock().expect("lock").pop_front().unwrap_or(200);
    StatusCode::from_u16(status).unwrap_or_default()
}

/// Whether Python finds the signatures right.
async fn verify(call: &Call, secret: &str, contract: bool) -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/verify-webhook.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run python3")?;
    let request = json!({
        "secret": secret, "body": call.body, "headers": call.headers, "contract": contract
    });
    let mut stdin = python.stdin.take().context("write to python3")?;
    stdin.write_all(request.to_string().as_bytes()).await?;
    drop(stdin);
    let output = python.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn mail(agent: &Agent, from: &Inbox, to: &Inbox, subject: &str) -> anyhow::Result<()> {
    let mail = json!({
        "from": from.address, "to": [to.address], "subject": subject, "body": { "text": "Hello." }
    });
    agent.send(&mail, Some(&subject.replace(' ', "-"))).await?.success()?;
    Ok(())
}

async fn patch(agent: &Agent, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = agent.api.call(Method::PATCH, path, Some(&agent.token), &[], Some(body)).await?;
    answer.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_from_its_making_to_its_end() -> anyhow::Result<()> {
    let plan = Plan { replicas: 2, webhooks: "retry_seconds = [1, 1]", ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let agent = cluster.api()?.sign_up().await?;
    let (inbox, sender) = (agent.inbox().await?, agent.inbox().await?);
    let (receiver, address) = Receiver::start().await?;
    let url = format!("http://{address}/hook");
    let made = agent.post("/v1/webhooks", &json!({ "url": url })).await?.success()?;
    let secret = made["secret"].as_str().context("read secret")?.to_owned();
    let path = format!("/v1/webhooks/{}", made["id"].as_str().context("read id")?);

    // It does not work at first, and then it does.
    receiver.answer([500]);
    mail(&agent, &sender, &inbox, "first").await?;
    let calls = receiver.wait_for(2).await?;
    verify(&calls[0], &secret, true).await?;
    verify(&calls[1], &secret, true).await?;
    ensure!(calls[0].headers["webhook-id"] == calls[1].headers["webhook-id"], "the same event");
    let body: Value = serde_json::from_str(&calls[1].body)?;
    ensure!(body["event"] == "email.received" && body["data"]["subject"] == "first", "{body}");
    ensure!(body["data"]["inboxId"] == inbox.id.as_str() && body["data"]["emailId"].is_string());
    let forged = Call { body: calls[1].body.replace("first", "forged"), ..calls[1].clone() };
    ensure!(verify(&forged, &secret, true).await.is_err(), "a forged one passes");

    // The secret changes, and receivers that know either can verify.
    let rotated = agent.post(&format!("{path}/rotate"), &json!({})).await?.success()?;
    let new = rotated["secret"].as_str().context("read secret")?;
    let ping = agent.post(&format!("{path}/ping"), &json!({})).await?.success()?;
    let calls = receiver.wait_for(3).await?;
    ensure!(calls[2].headers["webhook-id"] == ping["eventId"].as_str().unwrap_or_default());
    verify(&calls[2], new, true).await?;
    verify(&calls[2], &secret, false).await?;

    // What was delivered is delivered again when asked for.
    let event_id = body["eventId"].clone();
    let again = json!({ "eventId": event_id });
    agent.post(&format!("{path}/redeliver"), &again).await?.success()?;
    let calls = receiver.wait_for(4).await?;
    ensure!(calls[3].body == calls[1].body, "the same event");
    let stranger = cluster.api()?.sign_up().await?;
    ensure!(stranger.get(&path).await?.status == 404);
    ensure!(stranger.post(&format!("{path}/redeliver"), &again).await?.status == 404);

    // Gone is gone, until it is enabled again; then it gets what it has missed.
    receiver.answer([410]);
    mail(&agent, &sender, &inbox, "second").await?;
    eventually(SOON, "the webhook to be disabled", async || {
        let webhook = agent.get(&path).await?.success()?;
        Ok((webhook["disabledReason"] == "gone").then_some(()))
    })
    .await?;
    let events = "/v1/events?after=oldest&types=webhook.disabled";
    let told = agent.get(events).await?.success()?;
    ensure!(told["data"][0]["data"]["disabledReason"] == "gone", "{told}");
    patch(&agent, &path, &json!({ "enabled": true })).await?;
    let calls = receiver.wait_for(6).await?;
    let body: Value = serde_json::from_str(&calls[5].body)?;
    ensure!(body["data"]["subject"] == "second", "{body}");

    eventually(SOON, "the log to be complete", async || {
        let log = agent.get(&format!("{path}/attempts?limit=100")).await?.success()?;
        let data = log["data"].as_array().context("read log")?;
        let statuses: Vec<i64> = data.iter().rev().filter_map(|it| it["status"].as_i64()).collect();
        Ok((statuses == [500, 200, 200, 200, 410, 200]).then_some(()))
    })
    .await?;
    agent.delete(&path).await?.success()?;
    ensure!(agent.get(&path).await?.status == 404);
    cluster.stop().await
}

/// Both replicas die in turn while there is something to deliver.
#[tokio::test(flavor = "multi_thread")]
async fn survives_kill_webhooks() -> anyhow::Result<()> {
    const MAILS: usize = 30;
    let plan = Plan { replicas: 2, ..Plan::default() };
    let mut cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let agent = cluster.api()?.sign_up().await?;
    let (inbox, sender) = (agent.inbox().await?, agent.inbox().await?);
    let (receiver, address) = Receiver::start().await?;
    let url = format!("http://{address}/hook");
    agent.post("/v1/webhooks", &json!({ "url": url, "inboxId": inbox.id })).await?.success()?;
    for n in 0..MAILS {
        mail(&agent, &sender, &inbox, &format!("mail {n}")).await?;
        if n == MAILS / 3 || n == MAILS * 2 / 3 {
            let name = format!("webhooks-{}", 1 + n * 2 / MAILS);
            cluster.kill(&name).await?;
            cluster.restart(&name).await?;
        }
    }
    let patience = std::time::Duration::from_secs(120);
    let ids = eventually(patience, "every mail to be told of", async || {
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for call in receiver.calls() {
            let body: Value = serde_json::from_str(&call.body)?;
            let subject = body["data"]["subject"].as_str().unwrap_or_default().to_owned();
            let id = call.headers["webhook-id"].clone();
            let before = ids.insert(subject, id.clone());
            ensure!(before.is_none_or(|it| it == id), "one event with two identifiers");
        }
        Ok((ids.len() == MAILS).then_some(ids))
    })
    .await?;
    ensure!(ids.keys().all(|it| it.starts_with("mail ")), "{ids:?}");
    cluster.stop().await
}
