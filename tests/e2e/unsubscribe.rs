//! Mail to a list, and how its recipient leaves it.

use std::time::Duration;

use anyhow::Context as _;
use e2e::{Cluster, Inbox, SOON, eventually};
use reqwest::{Client, redirect};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    nats_send::Agent,
    pipeline_out::{captured, mail, wait_for_status},
};

const BOB: &str = "bob@elsewhere.example";

fn to_list(inbox: &Inbox, subject: &str) -> Value {
    let mut mail = mail(inbox, BOB, subject);
    mail["list"] = json!({ "id": "news", "name": "The News" });
    mail["body"] = json!({ "text": "To leave: {{unsubscribe_url}}" });
    mail
}

/// Unfolded, and without the soft line breaks of quoted-printable.
fn plain(content: &str) -> String {
    content.replace("\r\n ", " ").replace("=\r\n", "").replace("=3D", "=")
}

async fn wait_for(cluster: &Cluster, subject: &str) -> anyhow::Result<String> {
    eventually(SOON, &format!("{subject} to be captured"), async || {
        Ok(captured(&cluster.captured(), subject).first().map(|it| plain(it)))
    })
    .await
}

/// The address in List-Unsubscribe, which is the one in the text too.
fn link(content: &str) -> anyhow::Result<String> {
    let (_, rest) = content.split_once("\r\nList-Unsubscribe:").context("the field is missing")?;
    let (_, rest) = rest.split_once('<').context("no address")?;
    let url = rest.split('>').next().context("no end")?.to_owned();
    assert!(content.contains(&format!("To leave: {url}")), "{content}");
    Ok(url)
}

/// As a mail program posts it: without login, cookie or redirect.
async fn one_click(url: &str) -> anyhow::Result<u16> {
    let client = Client::builder().redirect(redirect::Policy::none()).no_proxy();
    let client = client.timeout(SOON).build()?;
    let form = client.post(url).header("Content-Type", "application/x-www-form-urlencoded");
    let answer = form.body("List-Unsubscribe=One-Click").send().await.context("unsubscribe")?;
    Ok(answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_click_ends_a_list_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut nats = Agent::new(&cluster).await?;
    let (agent, inbox) = (nats.agent.clone(), nats.inbox.clone());
    agent.send(&to_list(&inbox, "First"), None).await?.success()?;
    let content = wait_for(&cluster, "First").await?;
    assert!(content.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
    assert!(content.contains("\r\nList-Id: \"The News\" <news."), "{content}");
    assert!(content.contains(&format!("\r\nFeedback-ID: news:{}:", inbox.id)), "{content}");
    let url = link(&content)?;

    // Looking is not leaving.
    let page = reqwest::get(&url).await?;
    assert!(page.status().is_success() && page.text().await?.contains(BOB));
    agent.send(&to_list(&inbox, "Second"), None).await?.success()?;
    wait_for(&cluster, "Second").await?;

    assert_eq!(one_click(&url).await?, 200);
    assert_eq!(one_click(&format!("{url}x")).await?, 404);
    let refused = agent.send(&to_list(&inbox, "Third"), None).await?;
    assert_eq!((refused.status, &refused.json()?["error"]), (422, &"unsubscribed".into()));
    nats.publish(Some("fourth"), &to_list(&inbox, "Fourth").to_string()).await?;
    let event = nats.event("email.rejected").await?;
    assert_eq!(event["data"]["error"]["code"], "unsubscribed", "{event}");

    agent.send(&mail(&inbox, BOB, "Personal"), None).await?.success()?;
    let personal = wait_for(&cluster, "Personal").await?;
    assert!(!personal.contains("List-Unsubscribe") && !personal.contains("Feedback-ID"));
    assert!(captured(&cluster.captured(), "Third").is_empty());
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_gets_nothing_that_was_waiting() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    agent.send(&to_list(&inbox, "Now"), None).await?.success()?;
    let url = link(&wait_for(&cluster, "Now").await?)?;
    let mut later = to_list(&inbox, "Later");
    let at = OffsetDateTime::now_utc() + Duration::from_secs(4);
    later["sendAt"] = at.format(&Rfc3339)?.into();
    let sent = agent.send(&later, None).await?.success()?;
    assert_eq!(sent["status"], "scheduled", "{sent}");
    assert_eq!(one_click(&url).await?, 200);
    let id = sent["id"].as_str().context("id")?;
    let email = wait_for_status(&agent, &inbox, id, "suppressed").await?;
    let diagnostic = email["recipients"][0]["diagnostic"].as_str().unwrap_or_default();
    assert!(diagnostic.starts_with("suppressed: unsubscribed"), "{email}");
    assert!(captured(&cluster.captured(), "Later").is_empty());
    cluster.stop().await
}
