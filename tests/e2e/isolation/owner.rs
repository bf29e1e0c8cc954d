//! An account that has one of everything, and a stranger who knows all its ids.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use e2e::{Agent, Cluster, Inbox, SOON, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::Operation;
use crate::pipeline_out::mail;

/// What a mail of the owner's has in it, wherever it is.
pub(super) const SECRET: &str = "Secretissimo";

/// Names in paths that name nothing of anybody's; and an address or a sender, which everybody can name: what
/// is held of it is looked at apart (`natural_keys`).
const PLAIN: [&str; 7] = ["address", "index", "link", "list", "provider", "sender", "token"];

const MAIL: &str = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
    Text\r\n--b\r\nContent-Type: text/plain\r\n\
    Content-Disposition: attachment; filename=secret.txt\r\n\r\nAttached\r\n--b--\r\n";

pub(super) struct Owner {
    pub(super) agent: Agent,
    pub(super) inbox: Inbox,
    /// By what stands for them in paths, and in queries and bodies.
    pub(super) ids: BTreeMap<&'static str, Vec<String>>,
    pub(super) message_id: String,
    pub(super) event_id: String,
    pub(super) cursor: String,
}

pub(super) struct Stranger {
    pub(super) agent: Agent,
    pub(super) inbox: Inbox,
    /// In that inbox.
    pub(super) email_id: String,
    pub(super) webhook_id: String,
}

pub(super) fn is_plain(placeholder: &str) -> bool {
    PLAIN.contains(&placeholder)
}

/// The name under which the ids are that stand in this place of a path.
fn kind<'a>(operation: &'a Operation, placeholder: &'a str) -> &'a str {
    match placeholder {
        "id" if operation.path.starts_with("/v1/webhooks/") => "webhookId",
        other => other,
    }
}

/// The paths of an operation with each foreign id; and what is in an inbox also through an inbox of one's own.
pub(super) fn foreign_paths(
    operation: &Operation,
    owner: &Owner,
    stranger: &Stranger,
) -> anyhow::Result<Vec<String>> {
    let mut fillings: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
    let names = operation.placeholders();
    for name in &names {
        let values: Vec<String> = if is_plain(name) {
            vec![plain(name).to_owned()]
        } else {
            let found = owner.ids.get(kind(operation, name));
            let found = found.with_context(|| {
                format!("{}: nothing here to fill {{{name}}} with; give `Owner` one", operation.id)
            })?;
            ensure!(!found.is_empty(), "{{{name}}}: the owner has none");
            found.clone()
        };
        let with = |filling: &BTreeMap<String, String>| {
            let filling = filling.clone();
            let name = name.clone();
            values.clone().into_iter().map(move |value| {
                let mut filling = filling.clone();
                filling.insert(name.clone(), value);
                filling
            })
        };
        fillings = fillings.iter().flat_map(with).collect();
    }
    let is_in_inbox = names.iter().any(|it| it != "inboxId" && !is_plain(it));
    if names.iter().any(|it| it == "inboxId") && is_in_inbox {
        let mut own = fillings.clone();
        for it in &mut own {
            it.insert("inboxId".to_owned(), stranger.inbox.id.clone());
        }
        fillings.extend(own);
    }
    Ok(fillings.iter().map(|it| operation.filled(|name| it[name].clone())).collect())
}

fn plain(name: &str) -> &'static str {
    match name {
        "list" => "allow",
        "sender" | "address" => "x@example.com",
        _ => "0",
    }
}

impl Owner {
    pub(super) async fn new(cluster: &Cluster) -> anyhow::Result<Owner> {
        let agent = cluster.api()?.sign_up().await?;
        let inbox = agent.inbox().await?;
        let mut owner = Owner {
            agent,
            inbox,
            ids: BTreeMap::new(),
            message_id: String::new(),
            event_id: String::new(),
            cursor: String::new(),
        };
        owner.receives(cluster).await?;
        owner.sends().await?;
        owner.settles().await?;
        owner.waits().await?;
        Ok(owner)
    }

    fn has(&mut self, kind: &'static str, id: &Value) -> anyhow::Result<()> {
        let id = id.as_str().with_context(|| format!("read the id of a {kind}"))?;
        self.ids.entry(kind).or_default().push(id.to_owned());
        Ok(())
    }

    /// A mail with an attachment, and one that is in quarantine.
    async fn receives(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        self.ids.insert("inboxId", vec![self.inbox.id.clone()]);
        let block = format!("/v1/inboxes/{}/senders/block", self.inbox.id);
        self.agent.post(&block, &json!({ "sender": "bad@example.com" })).await?.success()?;
        let mut smtp = cluster.connect().await?;
        for from in ["good@example.com", "bad@example.com"] {
            let content = format!(
                "From: {from}\r\nTo: {}\r\nMessage-ID: <{from}>\r\nSubject: {SECRET}\r\n{MAIL}",
                self.inbox.address
            );
            let reply = smtp.send(from, &[&self.inbox.address], content.as_bytes()).await?;
            ensure!(reply.code == 250, "{reply:?}");
        }
        let email = self.agent.wait_for(&self.inbox, SECRET).await?;
        self.has("emailId", &email["id"])?;
        self.has("threadId", &email["threadId"])?;
        self.message_id = email["messageId"].as_str().context("messageId")?.to_owned();
        let kept = eventually(SOON, "a mail in quarantine", async || {
            let page = self.agent.get("/v1/quarantine").await?.success()?;
            Ok(page["data"].as_array().and_then(|it| it.first()).cloned())
        })
        .await?;
        self.has("emailId", &kept["id"])
    }

    /// A mail that is out, and one that somebody has to approve.
    async fn sends(&mut self) -> anyhow::Result<()> {
        let request = mail(&self.inbox, "bob@example.net", SECRET);
        let sent = self.agent.send(&request, Some("sent")).await?.success()?;
        self.has("emailId", &sent["id"])?;
        let policy = format!("/v1/inboxes/{}/outbound-policy", self.inbox.id);
        self.put(&policy, &json!({ "approval": "always" })).await?;
        let held = self.agent.send(&request, Some("held")).await?.success()?;
        ensure!(held["status"] == "held", "{held}");
        self.has("emailId", &held["id"])?;
        let sent = sent["id"].as_str().context("id")?;
        eventually(SOON, "the mail to be out", async || {
            let email = self.agent.get(&format!("/v1/emails/{sent}")).await?.success()?;
            Ok((email["status"] == "sent").then_some(()))
        })
        .await
    }

    /// What is set up once.
    async fn settles(&mut self) -> anyhow::Result<()> {
        for (kind, path, body, id) in [
            ("domainId", "/v1/domains", json!({ "domain": "owner.example" }), "id"),
            ("canaryId", "/v1/canaries", json!({ "label": "key" }), "id"),
            ("ruleId", "/v1/outbound-allow", json!({ "recipient": "bob@example.net" }), "id"),
            ("webhookId", "/v1/webhooks", json!({ "url": "http://127.0.0.1:9/" }), "id"),
            ("tokenId", "/v1/tokens", json!({ "label": SECRET, "rights": ["read"] }), "id"),
        ] {
            let made = self.agent.post(path, &body).await?.success();
            let made = made.with_context(|| format!("make a {kind}"))?;
            self.has(kind, &made[id])?;
        }
        for (path, body) in [
            ("/v1/suppressions", json!({ "address": "gone@example.com", "note": SECRET })),
            ("/v1/senders/allow", json!({ "sender": "good@example.com", "note": SECRET })),
        ] {
            self.agent.post(path, &body).await?.success().context(path)?;
        }
        let url = format!("{}/v1/uploads?filename={SECRET}.txt", self.agent.api.base());
        let client = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
        let upload = client.post(url).bearer_auth(&self.agent.token);
        let upload = upload.header("Content-Type", "application/octet-stream").body("x").send();
        let upload: Value = serde_json::from_slice(&upload.await?.bytes().await?)?;
        self.has("uploadId", &upload["uploadId"])
    }

    /// An expectation, and a mail that a worker has; and an event.
    async fn waits(&mut self) -> anyhow::Result<()> {
        let path = format!("/v1/inboxes/{}/expect", self.inbox.id);
        let made = self.agent.post(&path, &json!({ "kind": "reply" })).await?.success()?;
        self.has("expectationId", &made["id"])?;
        let claim = json!({ "worker": "w", "leaseSeconds": 3600 });
        let claimed =
            self.agent.post(&path.replace("/expect", "/claim"), &claim).await?.success()?;
        self.has("leaseId", &claimed["data"][0]["leaseId"])?;
        let events = self.agent.get("/v1/events?after=oldest&timeout=0&limit=100").await?;
        let events = events.success()?;
        let event = events["data"].as_array().and_then(|it| it.first()).context("an event")?;
        self.event_id = event["eventId"].as_str().context("eventId")?.to_owned();
        self.cursor = event["cursor"].as_str().context("cursor")?.to_owned();
        Ok(())
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let token = Some(self.agent.token.as_str());
        self.agent.api.call(Method::PUT, path, token, &[], Some(body)).await?.success()
    }

    pub(super) fn email(&self) -> &str {
        &self.ids["emailId"][0]
    }

    /// The same path with ids that nobody has.
    pub(super) fn unknown(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| {
            let is_own = self.ids.values().flatten().any(|it| it == part);
            match part.split_once('_') {
                Some((prefix, _)) if is_own => format!("{prefix}_{}", "0".repeat(32)),
                None if is_own => "0".repeat(part.len()),
                _ => part.to_owned(),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// What the owner can see of what is his.
    pub(super) async fn everything(&self) -> anyhow::Result<Vec<(String, Value)>> {
        let inbox = format!("/v1/inboxes/{}", self.inbox.id);
        let mut paths: Vec<String> = [
            "",
            "/emails?include=quarantined",
            "/threads",
            "/policy",
            "/outbound-policy",
            "/senders/block",
            "/senders/allow",
            "/expectations",
            "/queue",
            "/set-aside",
        ]
        .map(|it| format!("{inbox}{it}"))
        .to_vec();
        let lists = [
            "inboxes",
            "domains",
            "canaries",
            "outbound-allow",
            "webhooks",
            "suppressions",
            "tokens",
            "holds",
            "quarantine",
            "labels",
            "senders/allow",
            "policy",
            "outbound-policy",
            "audit",
        ];
        paths.extend(lists.map(|it| format!("/v1/{it}")));
        let mut everything = Vec::new();
        for path in paths {
            let found = self.agent.get(&path).await?.success();
            let mut found = found.with_context(|| path.clone())?;
            steady(&mut found);
            everything.push((path, found));
        }
        Ok(everything)
    }

    pub(super) async fn changed_nothing(&self, before: &[(String, Value)]) -> anyhow::Result<()> {
        for ((path, before), (_, after)) in before.iter().zip(self.everything().await?) {
            ensure!(*before == after, "{path}: {before} became {after}");
        }
        Ok(())
    }
}

/// Without what changes by itself: domains are looked at again and again, tokens are used.
fn steady(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !matches!(name.as_str(), "checkedAt" | "dnsRecords" | "lastUsedAt")
            });
            fields.values_mut().for_each(steady);
        }
        Value::Array(items) => items.iter_mut().for_each(steady),
        _ => (),
    }
}

impl Stranger {
    pub(super) async fn new(cluster: &Cluster) -> anyhow::Result<Stranger> {
        let agent = cluster.api()?.sign_up().await?;
        let inbox = agent.inbox().await?;
        let mut smtp = cluster.connect().await?;
        let content = format!(
            "From: x@example.com\r\nTo: {}\r\nMessage-ID: <own@x>\r\nSubject: Own\r\n\r\nText\r\n",
            inbox.address
        );
        smtp.send("x@example.com", &[&inbox.address], content.as_bytes()).await?;
        let email = agent.wait_for(&inbox, "Own").await?;
        let email_id = email["id"].as_str().context("id")?.to_owned();
        let webhook = json!({ "url": "http://127.0.0.1:9/" });
        let webhook = agent.post("/v1/webhooks", &webhook).await?.success()?;
        let webhook_id = webhook["id"].as_str().context("id")?.to_owned();
        Ok(Stranger { agent, inbox, email_id, webhook_id })
    }
}
