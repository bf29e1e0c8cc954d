//! What goes with a path: bodies that are in order, parameters of queries, and what is named by a word that
//! everybody can say.

use anyhow::{Context as _, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Operation,
    owner::{Owner, SECRET, Stranger, is_plain},
};

/// Parameters of queries that name nothing of anybody's.
const PLAIN: [&str; 26] = [
    "action",
    "after",
    "cursor",
    "datamark",
    "direction",
    "filename",
    "format",
    "from",
    "hasAttachments",
    "hidden",
    "include",
    "label",
    "limit",
    "list",
    "made",
    "q",
    "quarantined",
    "scope",
    "since",
    "state",
    "status",
    "subject",
    "timeout",
    "types",
    "unread",
    "until",
];

/// And those that do, with what they name.
const NAMING: [(&str, &str); 4] =
    [("emailId", "emailId"), ("eventId", "eventId"), ("inbox", "inboxId"), ("inboxId", "inboxId")];

/// A body with which the operation works on what is one's own; `None` where it has none.
pub(super) fn body(operation: &Operation) -> anyhow::Result<Option<Value>> {
    let text = json!({ "text": "x" });
    let body = match operation.id.as_str() {
        "ackLease" | "claimEmails" | "extendLease" | "nakLease" | "requeueEmail" | "setQueue" => {
            json!({})
        }
        "addInboxSender" => json!({ "sender": "x@example.com" }),
        "approveEmail" | "declineEmail" | "rotateWebhookSecret" => json!({}),
        "expect" => json!({ "kind": "any" }),
        "forwardEmail" => json!({ "to": ["x@example.com"], "body": text }),
        "redeliverEvent" => json!({ "eventId": "evt_0" }),
        "refuseEmail" | "releaseEmail" => json!({ "reason": "x" }),
        "replyAllToEmail" | "replyToEmail" => json!({ "body": text }),
        "resolveEmail" => json!({ "as": "sent" }),
        "setInboxOutboundPolicy" => json!({ "approval": "never" }),
        "setInboxPolicy" => json!({ "quarantineAt": 0.9 }),
        "updateEmail" => json!({ "read": true }),
        "updateWebhook" => json!({ "enabled": false }),
        other => match operation.description.get("requestBody") {
            Some(_) => bail!("{other}: nothing here to put into its body; give it one"),
            None => return Ok(None),
        },
    };
    Ok(Some(body))
}

/// A foreign id in a query is 404, or finds as little as one that nobody has.
pub(super) async fn queries(
    operations: &[Operation],
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let mut asked = 0;
    for operation in operations {
        let parameters = operation.description["parameters"].as_array().cloned();
        for parameter in parameters.unwrap_or_default().iter().filter(|it| it["in"] == "query") {
            let name = parameter["name"].as_str().context("name")?;
            if PLAIN.contains(&name) {
                continue;
            }
            let named = NAMING.iter().find(|it| it.0 == name);
            let named = named.with_context(|| {
                format!("{}: say what ?{name}= names, or that it names nothing", operation.id)
            })?;
            asked += 1;
            query(operation, name, named.1, owner, stranger).await?;
        }
    }
    ensure!(asked >= 5, "only {asked} parameters");
    Ok(())
}

async fn query(
    operation: &Operation,
    name: &str,
    kind: &str,
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let path = own_path(operation, stranger);
    let separator = if path.contains('?') { '&' } else { '?' };
    let foreign = match kind {
        "eventId" => owner.event_id.clone(),
        kind => owner.ids[kind][0].clone(),
    };
    let prefix = foreign.split('_').next().unwrap_or_default();
    let unknown = format!("{prefix}_{}", "0".repeat(32));
    let ask = async |value: &str| {
        let rest = "timeout=0&after=oldest&q=";
        let path = format!("{path}{separator}{name}={value}&{rest}");
        let token = Some(stranger.agent.token.as_str());
        stranger.agent.api.call(operation.method.clone(), &path, token, &[], None).await
    };
    let (answer, other) = (ask(&foreign).await?, ask(&unknown).await?);
    let what = format!("{} ?{name}=", operation.id);
    ensure!(answer.status == other.status, "{what}: {answer:?}, {other:?}");
    if answer.status == 404 {
        return Ok(());
    }
    let found = answer.success().context(what.clone())?;
    let is_empty = found["data"].as_array().is_some_and(Vec::is_empty);
    ensure!(is_empty, "{what}: {found}");
    Ok(())
}

/// The path of an operation on what is the stranger's own.
pub(super) fn own_path(operation: &Operation, stranger: &Stranger) -> String {
    operation.filled(|name| match name {
        "inboxId" => stranger.inbox.id.clone(),
        "emailId" => stranger.email_id.clone(),
        "id" => stranger.webhook_id.clone(),
        "list" => "allow".to_owned(),
        _ => "0".to_owned(),
    })
}

/// An address or a sender can be named by everybody: what one account holds of it the other does not see,
/// and does not change.
pub(super) async fn natural_keys(owner: &Owner, stranger: &Stranger) -> anyhow::Result<()> {
    let agent = &stranger.agent;
    let record = agent.get("/v1/suppressions/gone@example.com").await?.success()?;
    ensure!(record["suppression"].is_null() && record["history"] == json!([]), "{record}");
    for path in [
        "/v1/suppressions/gone@example.com".to_owned(),
        "/v1/senders/allow/good@example.com".to_owned(),
        format!("/v1/inboxes/{}/senders/block/bad@example.com", stranger.inbox.id),
        format!("/v1/inboxes/{}/senders/block/bad@example.com", owner.inbox.id),
    ] {
        let answer = agent.delete(&path).await?;
        ensure!(answer.status == 404, "{path}: {answer:?}");
    }
    Ok(())
}

/// What takes no id shows nothing of the other's.
pub(super) async fn lists(
    operations: &[Operation],
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<()> {
    let mut read = 0;
    for operation in operations.iter().filter(|it| it.method == Method::GET && !it.is_public()) {
        if !operation.placeholders().iter().all(|it| is_plain(it)) {
            continue;
        }
        let path = own_path(operation, stranger).replace("/{index}", "/0");
        let path = format!("{path}?q={SECRET}&timeout=0&after=oldest&limit=100");
        let answer = stranger.agent.get(&path).await?;
        let text = String::from_utf8_lossy(&answer.octets).into_owned();
        ensure!(answer.status < 500, "{path}: {answer:?}");
        let foreign = owner.ids.values().flatten().find(|it| text.contains(it.as_str()));
        ensure!(foreign.is_none(), "{path} shows {foreign:?}");
        ensure!(operation.id == "searchEmails" || !text.contains(SECRET), "{path}: {text}");
        read += 1;
    }
    ensure!(read >= 10, "only {read} lists");
    Ok(())
}
