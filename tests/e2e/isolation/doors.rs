//! The doors that OpenAPI does not describe: WebSocket, submission by SMTP, NATS, tools of models; and what each of them
//! tells of.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use e2e::{Cluster, SOON, Smtp, Tls, eventually};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message},
};

use super::owner::{Owner, SECRET, Stranger};
use crate::pipeline_out::{captured, mail};

/// Subscribing to a foreign inbox is an error, also among one's own, and at the upgrade it is 404.
pub(super) async fn web_socket(owner: &Owner, stranger: &Stranger) -> anyhow::Result<()> {
    let base = stranger.agent.api.base().replace("http", "ws");
    let url = format!("{base}/v1/ws?token={}", stranger.agent.token);
    let refused = connect_async(format!("{url}&inbox={}", owner.inbox.id)).await;
    match refused {
        Err(Error::Http(answer)) => ensure!(answer.status() == 404, "{answer:?}"),
        other => anyhow::bail!("a socket on a foreign inbox: {other:?}"),
    }
    let (mut socket, _) = connect_async(url).await?;
    let ids = [&stranger.inbox.id, &owner.inbox.id];
    let subscribe = json!({ "type": "subscribe", "id": "r", "inbox_ids": ids });
    socket.send(Message::text(subscribe.to_string())).await?;
    let mut frames = Vec::new();
    while frames.len() < 3 {
        let message = timeout(SOON, socket.next()).await?.context("hear more")??;
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        if frame["type"] != "ping" {
            frames.push(frame);
        }
        if frames.iter().any(|it| it["type"] == "error") {
            break;
        }
    }
    let error = frames.iter().find(|it| it["type"] == "error").context("an error")?;
    ensure!(error["code"] == "not_found", "{frames:?}");
    ensure!(!frames.iter().any(|it| it["type"] == "event"), "{frames:?}");
    socket.close(None).await?;
    Ok(())
}

/// Who is logged in for his own inbox cannot write from another's, and nobody logs in for a foreign one.
pub(super) async fn submission(
    cluster: &Cluster,
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let [start, _] = cluster.submission();
    let mut smtp = Smtp::submit(start, Tls::Start).await?;
    let reply = smtp.log_in(&owner.inbox.address, &stranger.agent.token).await?;
    ensure!(reply.code == 535, "{reply:?}");

    let content = |from: &str, subject: &str| {
        format!("From: {from}\r\nTo: x@example.com\r\nSubject: {subject}\r\n\r\nText\r\n")
    };
    let own = &stranger.inbox.address;
    for (envelope, header) in
        [(&owner.inbox.address, &owner.inbox.address), (own, &owner.inbox.address)]
    {
        let mut smtp = Smtp::submit(start, Tls::Start).await?;
        let reply = smtp.log_in(own, &stranger.agent.token).await?;
        ensure!(reply.code == 235, "{reply:?}");
        let forged = content(header, "Forged by SMTP");
        let reply = smtp.send(envelope, &["x@example.com"], forged.as_bytes()).await?;
        ensure!((500..600).contains(&reply.code), "{envelope} {header}: {reply:?}");
    }
    ensure!(captured(&cluster.captured(), "Forged by SMTP").is_empty());
    Ok(())
}

/// A request on one's own subject for a foreign inbox, or from its address, goes nowhere.
pub(super) async fn nats(
    cluster: &Cluster,
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
    let account = &stranger.agent.account;
    let mut events = client.subscribe(format!("mail.v1.event.{account}.>")).await?;
    client.flush().await?;
    let jetstream = jetstream::new(client.clone());
    let subject = "Forged by NATS";
    for (key, inbox, from) in [
        ("foreign-inbox", &owner.inbox.id, &owner.inbox),
        ("foreign-from", &stranger.inbox.id, &owner.inbox),
    ] {
        let request = mail(from, "x@example.com", subject).to_string();
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", key);
        let to = format!("mail.v1.send.{account}.{inbox}");
        jetstream.publish_with_headers(to, headers, request.into()).await?.await?;
        let rejected = timeout(SOON, async {
            while let Some(message) = events.next().await {
                let event: Value = serde_json::from_slice(&message.payload)?;
                if event["data"]["idempotencyKey"] == key {
                    return Ok(event);
                }
            }
            anyhow::bail!("the subscription ended")
        })
        .await
        .with_context(|| format!("wait for what becomes of {key}"))??;
        ensure!(rejected["event"] == "email.rejected", "{rejected}");
        ensure!(!rejected.to_string().contains(SECRET), "{rejected}");
    }
    // What a foreign account could have been told goes to the account that asked.
    ensure!(captured(&cluster.captured(), subject).is_empty());
    Ok(())
}

/// Every tool for language models that takes an id, with a foreign one.
pub(super) async fn tools(owner: &Owner, stranger: &Stranger) -> anyhow::Result<()> {
    let listed = call(stranger, "tools/list", json!({})).await?;
    let tools = listed["result"]["tools"].as_array().context("tools")?;
    let mut tried = 0;
    for tool in tools {
        let name = tool["name"].as_str().context("name")?;
        let schema = &tool["inputSchema"];
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut arguments = json!({});
        let mut is_about_somebody = false;
        for (property, described) in &properties {
            let known = owner.ids.get(property.as_str()).map(|it| json!(it[0]));
            let is_id = property.ends_with("Id") && property != "uploadId";
            ensure!(known.is_some() || !is_id, "{name}: nothing here to fill {property} with");
            is_about_somebody |= known.is_some();
            if let Some(id) = known {
                arguments[property] = id;
            } else if required.contains(&json!(property)) {
                arguments[property] = filler(listed_type(schema, described));
            }
        }
        if !is_about_somebody {
            continue;
        }
        let parameters = json!({ "name": name, "arguments": arguments });
        let answer = call(stranger, "tools/call", parameters).await?;
        let is_error = answer["error"].is_object() || answer["result"]["isError"] == true;
        ensure!(is_error, "{name} {arguments}: {answer}");
        ensure!(!answer.to_string().contains(SECRET), "{name}: {answer}");
        tried += 1;
    }
    ensure!(tried >= 8, "only {tried} tools");
    Ok(())
}

/// The schema that a property has, or refers to.
fn listed_type<'a>(schema: &'a Value, described: &'a Value) -> &'a Value {
    let name = described["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    name.and_then(|it| schema.pointer(it)).unwrap_or(described)
}

fn filler(described: &Value) -> Value {
    let choice = &described["enum"][0];
    match described["type"].as_str() {
        _ if !choice.is_null() => choice.clone(),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!(["x@example.com"]),
        Some("object") => json!({}),
        _ => json!("x"),
    }
}

async fn call(stranger: &Stranger, method: &str, params: Value) -> anyhow::Result<Value> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let headers = [("Accept", "application/json, text/event-stream")];
    let (api, token) = (&stranger.agent.api, Some(stranger.agent.token.as_str()));
    let answer = api.call(Method::POST, "/mcp", token, &headers, Some(&request)).await?;
    let text = String::from_utf8_lossy(&answer.octets).into_owned();
    ensure!(answer.status == 200, "{method}: {answer:?}");
    let data = text.lines().find_map(|it| it.strip_prefix("data:")).unwrap_or(&text);
    serde_json::from_str(data.trim()).with_context(|| text.clone())
}

/// Whatever way a stranger asks for events, they are his own.
pub(super) async fn own_events_only(owner: &Owner, stranger: &Stranger) -> anyhow::Result<()> {
    let agent = &stranger.agent;
    let foreign = agent.get(&format!("/v1/events?inbox={}&timeout=0", owner.inbox.id)).await?;
    ensure!(foreign.status == 404, "{foreign:?}");
    // A cursor is a place in the stream, whoever's event was there.
    for after in ["oldest", &owner.cursor] {
        let page = agent.get(&format!("/v1/events?after={after}&timeout=0&limit=1000")).await?;
        let page = page.success()?;
        let events = page["data"].as_array().context("events")?;
        ensure!(events.iter().all(|it| it["accountId"] == agent.account.as_str()), "{page}");
    }
    eventually(Duration::from_secs(5), "an event of one's own", async || {
        let page = agent.get("/v1/events?after=oldest&timeout=0&limit=1000").await?.success()?;
        Ok(page["data"].as_array().filter(|it| !it.is_empty()).map(drop))
    })
    .await
}
