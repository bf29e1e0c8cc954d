//! Ids in bodies. Which fields could hold one is read from the schemas.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use e2e::Answer;
use serde_json::{Value, json};

use super::{
    Operation,
    owner::{Owner, Stranger},
    parameters::own_path,
    shape,
};

/// Schemas may refer to each other; no body has fields further down.
const DEEPEST: usize = 6;

/// Fields that are called like an id, and name only what their account calls so.
const OWN_WORDS: [&str; 1] = ["list.id"];

/// How a foreign id in a body is met.
enum Met {
    /// Refused, exactly as one that nobody has.
    Refused,
    /// Of many, that one is not found.
    Failed,
    /// Nothing goes under it, exactly as under one that nobody has: it is lost.
    Lost,
    /// A Message-ID or a cursor is everybody's to name: it leads to nothing of the other's.
    Blind,
}

/// A field of an operation's body, a body that is in order with an id there, and how a foreign one is met.
struct Case {
    operation: &'static str,
    field: &'static str,
    foreign: String,
    met: Met,
    body: String,
}

pub(super) async fn bodies(
    openapi: &Value,
    operations: &[Operation],
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let mut cases = sending(owner, stranger);
    cases.extend(setting(owner, stranger));
    let mut described = BTreeSet::new();
    for operation in operations {
        let content = &operation.description["requestBody"]["content"]["application/json"];
        let mut fields = BTreeSet::new();
        collect(openapi, &content["schema"], "", DEEPEST, &mut fields);
        fields.retain(|it| !OWN_WORDS.contains(&it.as_str()));
        described.extend(fields.into_iter().map(|it| format!("{} {it}", operation.id)));
    }
    let tried = cases.iter().map(|it| format!("{} {}", it.operation, it.field));
    let tried: BTreeSet<String> = tried.collect();
    ensure!(
        described == tried,
        "described and not tried, or the reverse: {:?}",
        described.symmetric_difference(&tried).collect::<Vec<_>>()
    );
    for case in &cases {
        let operation = operations.iter().find(|it| it.id == case.operation);
        let operation = operation.with_context(|| case.operation.to_owned())?;
        check(operation, case, stranger).await?;
    }
    Ok(())
}

/// The names of fields that could hold an id, with those of the objects they are in.
fn collect(openapi: &Value, schema: &Value, at: &str, left: usize, fields: &mut BTreeSet<String>) {
    if left == 0 {
        return;
    }
    if let Some(name) = schema["$ref"].as_str() {
        let found = openapi.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null);
        return collect(openapi, found, at, left, fields);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        for it in schema[several].as_array().into_iter().flatten() {
            collect(openapi, it, at, left - 1, fields);
        }
    }
    if schema["items"].is_object() {
        collect(openapi, &schema["items"], at, left - 1, fields);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let is_id = matches!(name.as_str(), "id" | "ids" | "inReplyTo" | "cursor" | "forwards")
            || name.ends_with("Id")
            || name.ends_with("Ids");
        if is_id {
            fields.insert(at.clone());
        }
        collect(openapi, inner, &at, left - 1, fields);
    }
}

/// Where the id goes.
const HERE: &str = "{id}";

fn case(
    operation: &'static str,
    field: &'static str,
    foreign: &str,
    met: Met,
    body: Value,
) -> Case {
    Case { operation, field, foreign: foreign.to_owned(), met, body: body.to_string() }
}

/// What sends mail.
fn sending(owner: &Owner, stranger: &Stranger) -> Vec<Case> {
    let id = |kind: &str| owner.ids[kind][0].as_str();
    let with = |mail: &Value, field: &str, value: Value| {
        let mut mail = mail.clone();
        mail["validateOnly"] = json!(true);
        mail[field] = value;
        mail
    };
    let mail = json!({
        "from": stranger.inbox.address, "to": ["x@example.com"], "subject": "x",
        "body": { "text": "x" },
    });
    let mut cases = vec![
        ("threadId", id("threadId"), Met::Refused),
        ("inReplyTo", owner.message_id.as_str(), Met::Blind),
        ("forwards", owner.email(), Met::Blind),
    ]
    .into_iter()
    .map(|(field, foreign, met)| {
        case("sendEmail", field, foreign, met, with(&mail, field, json!(HERE)))
    })
    .collect::<Vec<_>>();
    let reply = json!({ "body": { "text": "x" } });
    let forward = json!({ "to": ["x@example.com"] });
    for (operation, mail) in [
        ("sendEmail", &mail),
        ("replyToEmail", &reply),
        ("replyAllToEmail", &reply),
        ("forwardEmail", &forward),
    ] {
        let leased = with(mail, "leaseId", json!(HERE));
        cases.push(case(operation, "leaseId", id("leaseId"), Met::Lost, leased));
        let attached = with(mail, "attachments", json!([{ "uploadId": HERE }]));
        let upload = "attachments.uploadId";
        cases.push(case(operation, upload, id("uploadId"), Met::Refused, attached));
    }
    cases
}

/// What changes or sets up something.
fn setting(owner: &Owner, stranger: &Stranger) -> Vec<Case> {
    let id = |kind: &str| owner.ids[kind][0].as_str();
    // "9999999999999999 <the owner's email>", as pages of emails end.
    let place = format!("9999999999999999 {}", owner.email());
    let place = data_encoding::BASE64URL_NOPAD.encode(place.as_bytes());
    let filter = json!({ "inboxId": stranger.inbox.id, "cursor": HERE });
    let (inbox, thread) = (id("inboxId"), id("threadId"));
    let rule = json!({ "recipient": "x@example.com", "inboxId": HERE });
    let webhook = json!({ "url": "http://127.0.0.1:9/", "inboxId": HERE });
    let reply = json!({ "kind": "reply", "inReplyTo": HERE });
    let batch = |filter: Value| json!({ "filter": filter, "read": true });
    let of_inbox = batch(json!({ "inboxId": HERE }));
    // Who sees some threads only is no administrator.
    let narrowed = |field: &str| json!({ "rights": ["read"], field: [HERE] });
    let (of_inboxes, of_threads) = (narrowed("inboxIds"), narrowed("threadIds"));
    let one = json!({ "ids": [HERE], "read": true });
    vec![
        case("updateEmails", "ids", owner.email(), Met::Failed, one),
        case("updateEmails", "filter.inboxId", inbox, Met::Refused, of_inbox),
        case("updateEmails", "filter.cursor", &place, Met::Blind, batch(filter)),
        case("addOutboundAllow", "inboxId", inbox, Met::Refused, rule),
        case("createToken", "inboxIds", inbox, Met::Refused, of_inboxes),
        case("createToken", "threadIds", thread, Met::Refused, of_threads),
        case("createWebhook", "inboxId", inbox, Met::Refused, webhook),
        case(
            "redeliverEvent",
            "eventId",
            &owner.event_id,
            Met::Refused,
            json!({ "eventId": HERE }),
        ),
        case("redeliverEvent", "cursor", &owner.cursor, Met::Refused, json!({ "cursor": HERE })),
        case("expect", "inReplyTo", owner.email(), Met::Refused, reply),
    ]
}

async fn check(operation: &Operation, case: &Case, stranger: &Stranger) -> anyhow::Result<()> {
    let what = format!("{} {}", case.operation, case.field);
    let unknown = match case.foreign.split_once('_') {
        // There is none that nobody has: every place in a list or a stream is somebody's.
        _ if case.field.ends_with("ursor") => case.foreign.clone(),
        Some((prefix, _)) => format!("{prefix}_{}", "0".repeat(32)),
        None => "<0@nobody.example>".to_owned(),
    };
    let path = own_path(operation, stranger);
    let ask = async |id: &str| -> anyhow::Result<Answer> {
        let (method, token) = (operation.method.clone(), Some(stranger.agent.token.as_str()));
        let body: Value = serde_json::from_str(&case.body.replace(HERE, id))?;
        stranger.agent.api.call(method, &path, token, &[], Some(&body)).await
    };
    let (answer, other) = (ask(&case.foreign).await?, ask(&unknown).await?);
    ensure!(shape(&answer)? == shape(&other)?, "{what}: {answer:?}, {other:?}");
    match case.met {
        Met::Refused => ensure!(matches!(answer.status, 404 | 422), "{what}: {answer:?}"),
        Met::Lost => {
            let is_lost = shape(&answer)? == (409, json!("lease_lost")) || answer.status == 404;
            ensure!(is_lost, "{what}: {answer:?}");
        }
        Met::Failed => {
            let done = answer.success()?;
            ensure!(done["updated"] == json!([]), "{what}: {done}");
            ensure!(done["failed"][0]["error"] == "not_found", "{what}: {done}");
        }
        Met::Blind => {
            let done = answer.success().context(what.clone())?.to_string();
            ensure!(!done.contains(&case.foreign), "{what}: {done}");
        }
    }
    Ok(())
}
