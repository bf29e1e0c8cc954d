//! Mail out by REST: back in where the domain is ours, captured where it is not.

use std::{fs, path::Path};

use anyhow::Context as _;
use e2e::{Agent, Cluster, Inbox, SOON, eventually};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn mail_between_inboxes_goes_all_the_way_round() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (ada, bob) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let (from, to) = (ada.inbox().await?, bob.inbox().await?);

    let sent = ada.send(&mail(&from, &to.address, "Round trip"), None).await?.success()?;
    assert_eq!(sent["status"], "queued");

    let email = bob.wait_for(&to, "Round trip").await?;
    assert_eq!(email["from"], from.address.as_str());
    assert!(email["body"].as_str().is_some_and(|it| it.contains("Text of Round trip")), "{email}");
    // It came by SMTP like any other: a trace field (RFC 5321 section 4.4) says from whom.
    let raw = String::from_utf8_lossy(&bob.raw(&to, &email).await?).into_owned();
    assert!(raw.contains(&format!("Received: from mx.{}", e2e::DOMAIN)), "{raw}");

    let id = sent["id"].as_str().context("id")?;
    let mine = wait_for_status(&ada, &from, id, "sent").await?;
    assert_eq!(mine["direction"], "outbound");
    assert_eq!(mine["recipients"][0]["action"], "delivered", "{mine}");

    let answer = json!({
        "from": to.address, "to": [from.address], "subject": "Re: Round trip",
        "body": { "text": "Thanks." }, "threadId": email["threadId"],
    });
    bob.send(&answer, None).await?.success()?;
    let answer = ada.wait_for(&from, "Re: Round trip").await?;
    assert_eq!(answer["threadId"], mine["threadId"], "the answer is in the thread of the question");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_to_foreign_domains_is_captured() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;

    agent.send(&mail(&inbox, "bob@elsewhere.example", "Captured"), None).await?.success()?;
    let captured = eventually(SOON, "the mail to be captured", async || {
        Ok(captured(&cluster.captured(), "Captured").first().cloned())
    })
    .await?;
    assert!(captured.contains("bob@elsewhere.example"), "{captured}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_to_the_sender() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;

    let nobody = format!("nobody.at.all@{}", e2e::DOMAIN);
    let sent = agent.send(&mail(&inbox, &nobody, "Refused"), None).await?.success()?;
    let id = sent["id"].as_str().context("id")?;
    let email = wait_for_status(&agent, &inbox, id, "bounced").await?;
    assert_eq!(email["recipients"][0]["action"], "failed", "{email}");
    assert_eq!(email["recipients"][0]["status"], "5.1.1", "{email}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_arrive_whole() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let (from, to) = (agent.inbox().await?, agent.inbox().await?);

    let mut mail = mail(&from, &to.address, "Attached");
    // "Man" in base64, 100,000 times: more than travels in an event.
    mail["attachments"] = json!([{
        "filename": "ma\u{f1}ana.bin", "contentType": "application/octet-stream",
        "content": "TWFu".repeat(100_000),
    }]);
    agent.send(&mail, None).await?.success()?;

    let email = agent.wait_for(&to, "Attached").await?;
    assert_eq!(email["attachments"][0]["filename"], "ma\u{f1}ana.bin", "{email}");
    assert_eq!(email["attachments"][0]["sizeBytes"], 300_000, "{email}");
    let path = format!("/v1/inboxes/{}/emails/{}/attachments/0", to.id, text(&email, "id"));
    let url = agent.get(&path).await?.success()?;
    // Whoever has the link needs no token.
    let url = url["downloadUrl"].as_str().context("downloadUrl")?;
    let answer = agent.api.call(reqwest::Method::GET, url, None, &[], None).await?;
    assert_eq!(answer.status, 200);
    assert!(answer.octets == b"Man".repeat(100_000), "{} octets", answer.octets.len());
    cluster.stop().await
}

pub(crate) fn mail(from: &Inbox, to: &str, subject: &str) -> Value {
    json!({
        "from": from.address, "to": [to], "subject": subject,
        "body": { "text": format!("Text of {subject}") },
    })
}

pub(crate) async fn wait_for_status(
    agent: &Agent,
    inbox: &Inbox,
    id: &str,
    status: &str,
) -> anyhow::Result<Value> {
    let path = format!("/v1/inboxes/{}/emails/{id}", inbox.id);
    let mut last = Value::Null;
    let found = eventually(SOON, &format!("{id} to be {status}"), async || {
        let answer = agent.get(&path).await?;
        last = if answer.status == 404 { Value::Null } else { answer.success()? };
        Ok((last["status"] == status).then(|| last.clone()))
    })
    .await;
    found.with_context(|| format!("it is {last}"))
}

/// What was captured with this subject.
pub(crate) fn captured(folder: &Path, subject: &str) -> Vec<String> {
    let line = format!("Subject: {subject}\r\n");
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let content =
                    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
                found.extend(content.contains(&line).then_some(content));
            }
        }
    }
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
