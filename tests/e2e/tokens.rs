//! Tokens that may less than their account, through every door, and how they end (docs/tokens.md).

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{Agent, Cluster, Inbox, SOON, Smtp, Tls, eventually, operate};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::pipeline_out::mail;

/// Polls would be held for 25 s, and sockets are asked whether they are there every 30 s.
const BY_ITSELF: Duration = Duration::from_secs(15);

/// Somebody with a token that was made for this.
async fn made(agent: &Agent, wishes: Value) -> anyhow::Result<Agent> {
    let made = agent.post("/v1/tokens", &wishes).await?.success()?;
    let token = made["token"].as_str().context("a token")?.to_owned();
    Ok(Agent { token, ..agent.clone() })
}

async fn login(cluster: &Cluster, agent: &Agent, inbox: &Inbox) -> anyhow::Result<(Smtp, u16)> {
    let [start, _] = cluster.submission();
    let mut smtp = Smtp::submit(start, Tls::Start).await?;
    let code = smtp.log_in(&inbox.address, &agent.token).await?.code;
    Ok((smtp, code))
}

async fn error_of(agent: &Agent, email_id: &str) -> anyhow::Result<String> {
    eventually(SOON, "the request to be rejected", async || {
        let email = agent.get(&format!("/v1/emails/{email_id}")).await?;
        let email = if email.status == 200 { email.json()? } else { Value::Null };
        Ok(email["error"]["code"].as_str().map(str::to_owned))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_mails_this_recipient_this_hour() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let whole = cluster.api()?.sign_up().await?;
    let inbox = whole.inbox().await?;
    let limits = json!({ "mails": 2, "perSeconds": 3600, "recipients": ["bob@example.net"] });
    let wishes = json!({ "rights": ["send"], "inboxIds": [inbox.id], "limits": limits });
    let agent = made(&whole, wishes).await?;
    let stranger = agent.send(&mail(&inbox, "eve@example.net", "s"), Some("stranger")).await?;
    ensure!(
        stranger.status == 403 && stranger.json()?["error"] == "token_recipient",
        "{stranger:?}"
    );

    let attempts = (0..6).map(|n| {
        let (agent, inbox) = (agent.clone(), inbox.clone());
        tokio::spawn(async move {
            let subject = format!("s{n}");
            agent.send(&mail(&inbox, "bob@example.net", &subject), Some(&subject)).await
        })
    });
    let mut codes = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await??;
        if answer.status != 200 {
            ensure!(answer.json()?["error"] == "token_limit", "{answer:?}");
        }
        codes.push(answer.status);
    }
    codes.sort_unstable();
    assert_eq!(codes, [200, 200, 429, 429, 429, 429]);

    // By SMTP it is the same token: who is not allowed is refused at once, the third mail by the ledger.
    let (mut smtp, code) = login(&cluster, &agent, &inbox).await?;
    assert_eq!(code, 235);
    smtp.command(&format!("MAIL FROM:<{}>", inbox.address)).await?;
    assert_eq!(smtp.command("RCPT TO:<eve@example.net>").await?.code, 550);
    smtp.command("RSET").await?;
    let content = format!("From: {}\r\nSubject: s\r\n\r\nText\r\n", inbox.address);
    let reply = smtp.send(&inbox.address, &["bob@example.net"], content.as_bytes()).await?;
    assert_eq!(reply.code, 250, "{reply:?}");
    let id = reply.text.split_whitespace().last().unwrap_or_default();
    assert_eq!(error_of(&whole, id).await?, "token_limit");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_only_answer_answers_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (whole, customer) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let (inbox, theirs) = (whole.inbox().await?, customer.inbox().await?);
    let agent = made(&whole, json!({ "rights": ["read", "reply"] })).await?;
    customer.send(&mail(&theirs, &inbox.address, "Question"), Some("q")).await?.success()?;
    let question = agent.wait_for(&inbox, "Question").await?;
    let id = question["id"].as_str().context("id")?;
    let reply = format!("/v1/emails/{id}/reply");
    agent.post(&reply, &json!({ "body": { "text": "Answer" } })).await?.success()?;
    customer.wait_for(&theirs, "Re: Question").await?;

    let copied = json!({ "body": { "text": "Look" }, "cc": ["eve@example.net"] });
    let refused = agent.post(&reply, &copied).await?;
    ensure!(refused.status == 403 && refused.json()?["error"] == "token_recipient", "{refused:?}");
    let new = agent.send(&mail(&inbox, &theirs.address, "New"), None).await?;
    ensure!(new.status == 403 && new.json()?["error"] == "insufficient_scope", "{new:?}");
    assert_eq!(login(&cluster, &agent, &inbox).await?.1, 535, "SMTP is for those who may send");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_approve_its_own_mail() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let whole = cluster.api()?.sign_up().await?;
    let inbox = whole.inbox().await?;
    let agent = made(&whole, json!({ "rights": ["read", "send"] })).await?;
    let policy = json!({ "approval": "always" });
    let token = Some(whole.token.as_str());
    let put = reqwest::Method::PUT;
    whole.api.call(put, "/v1/outbound-policy", token, &[], Some(&policy)).await?.success()?;
    let held = agent.send(&mail(&inbox, "bob@example.net", "s"), None).await?.success()?;
    assert_eq!(held["status"], "held");
    let approve = format!("/v1/emails/{}/approve", held["id"].as_str().context("id")?);
    let refused = agent.post(&approve, &json!({})).await?;
    ensure!(
        refused.status == 403 && refused.json()?["error"] == "insufficient_scope",
        "{refused:?}"
    );
    whole.post(&approve, &json!({})).await?.success()?;
    cluster.stop().await
}

/// The operator revokes in the database, of which nobody is told: every door notices by itself.
#[tokio::test(flavor = "multi_thread")]
async fn revoking_ends_what_is_open_at_every_door() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let whole = cluster.api()?.sign_up().await?;
    let inbox = whole.inbox().await?;
    let agent = made(&whole, json!({ "rights": ["read", "send"] })).await?;
    let current = agent.get("/v1/tokens/current").await?.success()?;
    let id = current["id"].as_str().context("id")?.to_owned();

    let base = agent.api.base().to_owned();
    let url = format!("{}/v1/ws?token={}", base.replace("http", "ws"), agent.token);
    let (mut socket, _) = connect_async(url).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let events = client.get(format!("{base}/v1/events")).bearer_auth(&agent.token);
    let mut events = events.header("Accept", "text/event-stream").send().await?;
    ensure!(events.status() == 200, "{events:?}");
    let poll = format!("/v1/inboxes/{}/emails/poll?timeout=25", inbox.id);
    let poll = tokio::spawn({
        let agent = agent.clone();
        async move { agent.get(&poll).await }
    });
    let smtp = eventually(SOON, "the token to be known to intake", async || {
        let (smtp, code) = login(&cluster, &agent, &inbox).await?;
        Ok((code == 235).then_some(smtp))
    });
    let mut smtp = smtp.await?;

    let folder = TempDir::new()?;
    let revoke = ["token", "revoke", &whole.account, &id, "--database", &cluster.database];
    operate(folder.path(), &revoke).await?;
    let began = Instant::now();
    ensure!(agent.get("/v1/account").await?.status == 401, "the database is asked each time");
    let closed = async {
        while let Some(message) = socket.next().await {
            if let Message::Close(frame) = message? {
                return Ok(frame.map(|it| u16::from(it.code)));
            }
        }
        anyhow::Ok(None)
    };
    assert_eq!(timeout(BY_ITSELF, closed).await??, Some(4001));
    timeout(BY_ITSELF, async { while let Ok(Some(_)) = events.chunk().await {} }).await?;
    assert_eq!(timeout(BY_ITSELF, poll).await???.status, 401);
    let refused = eventually(BY_ITSELF, "SMTP to refuse mail", async || {
        Ok((login(&cluster, &agent, &inbox).await?.1 == 535).then_some(()))
    });
    refused.await?;
    let reply = smtp.command(&format!("MAIL FROM:<{}>", inbox.address)).await?;
    assert_eq!(reply.code, 530, "who came in before is out, too: {reply:?}");
    ensure!(began.elapsed() < BY_ITSELF, "{:?}", began.elapsed());
    cluster.stop().await
}
