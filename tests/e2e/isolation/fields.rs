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
    /// A Message-ID or a cursor is everybody's to name: it leads to nothing of the other's.
    Blind,
}

/// A field of an operation's body, a body that has an id there, and how that is met.
struct Case {
    operation: &'static str,
    field: &'static str,
    foreign: String,
    met: Met,
    body: Box<dyn Fn(&str) -> Value>,
}

pub(super) async fn bodies(
    openapi: &Value,
    operations: &[Operation],
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let cases = cases(owner, stranger);
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

fn cases(owner: &Owner, stranger: &Stranger) -> Vec<Case> {
    let id = |kind: &str| owner.ids[kind][0].clone();
    let from = stranger.inbox.address.clone();
    let send = move |more: Value| {
        let mut mail = json!({
            "from": from, "to": ["x@example.com"], "subject": "x", "body": { "text": "x" },
            "validateOnly": true,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            mail[name] = value.clone();
        }
        mail
    };
    let with = |name: &'static str| {
        let send = send.clone();
        Box::new(move |id: &str| send(json!({ name: id }))) as Box<dyn Fn(&str) -> Value>
    };
    let attached = |mail: Value| {
        Box::new(move |id: &str| {
            let mut mail = mail.clone();
            mail["attachments"] = json!([{ "uploadId": id }]);
            mail
        }) as Box<dyn Fn(&str) -> Value>
    };
    let reply = json!({ "body": { "text": "x" }, "validateOnly": true });
    let forward = json!({ "to": ["x@example.com"], "validateOnly": true });
    let case = |operation, field, foreign, met, body| Case { operation, field, foreign, met, body };
    let upload = "attachments.uploadId";
    vec![
        case("sendEmail", "threadId", id("threadId"), Met::Refused, with("threadId")),
        case("sendEmail", "inReplyTo", owner.message_id.clone(), Met::Blind, with("inReplyTo")),
        case("sendEmail", "forwards", owner.email().to_owned(), Met::Blind, with("forwards")),
        case("sendEmail", upload, id("uploadId"), Met::Refused, attached(send(json!({})))),
        case("replyToEmail", upload, id("uploadId"), Met::Refused, attached(reply.clone())),
        case("replyAllToEmail", upload, id("uploadId"), Met::Refused, attached(reply)),
        case("forwardEmail", upload, id("uploadId"), Met::Refused, attached(forward)),
        case(
            "updateEmails",
            "ids",
            owner.email().to_owned(),
            Met::Failed,
            Box::new(|id| json!({ "ids": [id], "read": true })),
        ),
        case(
            "updateEmails",
            "filter.inboxId",
            id("inboxId"),
            Met::Refused,
            Box::new(|id| json!({ "filter": { "inboxId": id }, "read": true })),
        ),
        case(
            "updateEmails",
            "filter.cursor",
            // "9999999999999999 <the owner's email>", as pages of emails end.
            data_encoding::BASE64URL_NOPAD
                .encode(format!("9999999999999999 {}", owner.email()).as_bytes()),
            Met::Blind,
            {
                let inbox_id = stranger.inbox.id.clone();
                Box::new(
                    move |cursor| json!({ "filter": { "inboxId": inbox_id, "cursor": cursor }, "read": true }),
                )
            },
        ),
        case(
            "addOutboundAllow",
            "inboxId",
            id("inboxId"),
            Met::Refused,
            Box::new(|id| json!({ "recipient": "x@example.com", "inboxId": id })),
        ),
        case(
            "createWebhook",
            "inboxId",
            id("inboxId"),
            Met::Refused,
            Box::new(|id| json!({ "url": "http://127.0.0.1:9/", "inboxId": id })),
        ),
        case(
            "redeliverEvent",
            "eventId",
            owner.event_id.clone(),
            Met::Refused,
            Box::new(|id| json!({ "eventId": id })),
        ),
        case(
            "redeliverEvent",
            "cursor",
            owner.cursor.clone(),
            Met::Refused,
            Box::new(|cursor| json!({ "cursor": cursor })),
        ),
        case(
            "expect",
            "inReplyTo",
            owner.email().to_owned(),
            Met::Refused,
            Box::new(|id| json!({ "kind": "reply", "inReplyTo": id })),
        ),
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
        let body = (case.body)(id);
        stranger.agent.api.call(method, &path, token, &[], Some(&body)).await
    };
    let (answer, other) = (ask(&case.foreign).await?, ask(&unknown).await?);
    ensure!(shape(&answer)? == shape(&other)?, "{what}: {answer:?}, {other:?}");
    match case.met {
        Met::Refused => ensure!(matches!(answer.status, 404 | 422), "{what}: {answer:?}"),
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
