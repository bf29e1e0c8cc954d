//! `docs/asyncapi.yaml` is what AsyncAPI's own parser accepts, and says what the service's types do.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use contract::{Event, InboxEvent, SendRequest};
use e2e::{SOON, in_checkout, run, skip};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::process::Command;

#[tokio::test]
async fn the_asyncapi_document_says_what_the_types_do() -> anyhow::Result<()> {
    let (Some(tools), Some(_)) =
        (in_checkout("tests/tools"), in_checkout("tests/tools/node_modules/@asyncapi/parser"))
    else {
        skip("the AsyncAPI parser is not at hand: tests/run installs it");
        return Ok(());
    };
    let mut parser = Command::new("node");
    parser.args(["asyncapi.mjs", "../../docs/asyncapi.yaml"]).current_dir(tools);
    let said: Value = serde_json::from_str(&run(&mut parser, SOON * 2).await?)?;

    let types: BTreeSet<&str> =
        said["types"].as_array().context("read types")?.iter().filter_map(Value::as_str).collect();
    for name in contract::EVENT_TYPES {
        ensure!(types.contains(name), "docs/asyncapi.yaml does not have the event {name}");
    }
    let mut messages = BTreeSet::new();
    for example in said["examples"].as_array().context("read examples")? {
        let (message, payload) = (text(&example["message"])?, &example["payload"]);
        check(message, payload).with_context(|| format!("the example of {message}: {payload}"))?;
        messages.insert(message);
    }
    ensure!(messages.len() == 14, "every message has an example: {messages:?}");
    Ok(())
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("read text")
}

fn check(message: &str, payload: &Value) -> anyhow::Result<()> {
    let data = &payload["data"];
    match message {
        "emailEvent" => survives::<Event>(payload),
        "standingEvent" => survives::<InboxEvent>(payload),
        "inboxEvent" => survives::<contract::InboxSummary>(data),
        "domainEvent" => survives::<contract::DomainSummary>(data),
        "webhookEvent" => survives::<contract::WebhookSummary>(data),
        "expectationEvent" => survives::<contract::Expectation>(data),
        "sendRequest" => survives::<SendRequest>(payload),
        // Frames and questions have no types of their own; the parser has compared them with their schemas.
        _ => Ok(()),
    }
}

/// Nothing of it is lost on the way through the type.
fn survives<T: DeserializeOwned + Serialize>(example: &Value) -> anyhow::Result<()> {
    let read: T = serde_json::from_value(example.clone()).context("read")?;
    let written = serde_json::to_value(read).context("write")?;
    ensure!(holds(&written, example), "the type makes of it {written}");
    Ok(())
}

/// Whether `all` has what `some` has. Null is as good as nothing.
fn holds(all: &Value, some: &Value) -> bool {
    match (all, some) {
        (Value::Object(all), Value::Object(some)) => some
            .iter()
            .all(|(name, some)| some.is_null() || all.get(name).is_some_and(|it| holds(it, some))),
        (Value::Array(all), Value::Array(some)) => {
            all.len() == some.len() && all.iter().zip(some).all(|(all, some)| holds(all, some))
        }
        _ => all == some,
    }
}

#[test]
fn what_the_type_does_not_know_is_noticed() {
    let unknown = serde_json::json!({ "eventId": "evt_1", "colour": "red" });
    assert!(survives::<Event>(&unknown).is_err());
    assert!(survives::<Event>(&serde_json::json!({ "eventId": "evt_1", "data": null })).is_ok());
}
