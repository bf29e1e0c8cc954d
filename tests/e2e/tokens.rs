//! Tokens that may less than their account, through every door, and how they end (docs/tokens.md).

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use async_nats::{Client, ConnectOptions, connection::State};
use e2e::{Agent, Answer, Cluster, Inbox, Plan, SOON, Smtp, Tls, eventually, operate};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, connect_async, tungstenite::Message};

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

    // One that was never used anywhere else.
    let mailer = made(&whole, json!({ "label": "Mailer", "rights": ["send"] })).await?;
    let (mut smtp, _) = eventually(SOON, "the token to be known to intake", async || {
        let (smtp, code) = login(&cluster, &mailer, &inbox).await?;
        Ok((code == 235).then_some((smtp, code)))
    })
    .await?;
    smtp.send(&inbox.address, &["bob@example.net"], content.as_bytes()).await?;
    eventually(SOON, "its use to be noted", async || {
        let all = whole.get("/v1/tokens").await?.success()?;
        let all = all["data"].as_array().context("tokens")?;
        let mailer = all.iter().find(|it| it["label"] == "Mailer").context("the token")?;
        Ok(mailer["lastUsedAt"].is_string().then_some(()))
    })
    .await?;
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

/// Whom a revoked token still lets in, for how long after it was revoked.
type Ended = (&'static str, Duration);

/// The operator revokes in the database, of which nobody is told: every door notices by itself. Prints how
/// long that took (docs/tokens.md); here it is only to end.
#[tokio::test(flavor = "multi_thread")]
async fn revoking_ends_what_is_open_at_every_door() -> anyhow::Result<()> {
    let plan = Plan { logins: true, ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let whole = cluster.api()?.sign_up().await?;
    let inbox = whole.inbox().await?;
    let agent = made(&whole, json!({ "rights": ["read", "send"] })).await?;
    let current = agent.get("/v1/tokens/current").await?.success()?;
    let id = current["id"].as_str().context("id")?.to_owned();

    let base = agent.api.base().to_owned();
    let url = format!("{}/v1/ws?token={}", base.replace("http", "ws"), agent.token);
    let (socket, _) = connect_async(url).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let events = client.get(format!("{base}/v1/events")).bearer_auth(&agent.token);
    let events = events.header("Accept", "text/event-stream").send().await?;
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
    let smtp = smtp.await?;
    let nats = ConnectOptions::with_user_and_password("agent".to_owned(), agent.token.clone())
        .custom_inbox_prefix(format!("_INBOX_{}.{id}", whole.account))
        .connect(&cluster.nats.url)
        .await?;
    nats.flush().await?;

    let folder = TempDir::new()?;
    let revoke = ["token", "revoke", &whole.account, &id, "--database", &cluster.database];
    operate(folder.path(), &revoke).await?;
    let began = Instant::now();
    let ended = tokio::try_join!(
        at_rest(&agent, began),
        at_a_socket(socket, began),
        at_a_stream(events, began),
        in_a_poll(poll, began),
        at_smtp(smtp, &inbox, began),
        at_nats(nats, began),
    )?;
    let ended: [Ended; 6] = [ended.0, ended.1, ended.2, ended.3, ended.4, ended.5];
    for (door, time) in ended {
        ensure!(time < BY_ITSELF, "{door}: {time:?}");
        // Past the harness, which hides what passing tests print.
        writeln!(std::io::stderr(), "revoked at {door} after {} ms", time.as_millis())?;
    }
    let refused = eventually(BY_ITSELF, "SMTP to refuse the login", async || {
        Ok((login(&cluster, &agent, &inbox).await?.1 == 535).then_some(()))
    });
    refused.await?;
    cluster.stop().await
}

async fn at_rest(agent: &Agent, began: Instant) -> anyhow::Result<Ended> {
    ensure!(agent.get("/v1/account").await?.status == 401, "the database is asked each time");
    Ok(("REST", began.elapsed()))
}

async fn at_a_socket<S>(mut socket: WebSocketStream<S>, began: Instant) -> anyhow::Result<Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closed = async {
        while let Some(message) = socket.next().await {
            if let Message::Close(frame) = message? {
                return Ok(frame.map(|it| u16::from(it.code)));
            }
        }
        anyhow::Ok(None)
    };
    let code = timeout(BY_ITSELF, closed).await??;
    ensure!(code == Some(4001), "{code:?}");
    Ok(("a WebSocket", began.elapsed()))
}

async fn at_a_stream(mut events: reqwest::Response, began: Instant) -> anyhow::Result<Ended> {
    timeout(BY_ITSELF, async { while let Ok(Some(_)) = events.chunk().await {} }).await?;
    Ok(("server-sent events", began.elapsed()))
}

async fn in_a_poll(
    poll: JoinHandle<anyhow::Result<Answer>>,
    began: Instant,
) -> anyhow::Result<Ended> {
    let answer = timeout(BY_ITSELF, poll).await???;
    ensure!(answer.status == 401, "{answer:?}");
    Ok(("a poll", began.elapsed()))
}

/// On a connection that has logged in.
async fn at_smtp(mut smtp: Smtp, inbox: &Inbox, began: Instant) -> anyhow::Result<Ended> {
    let mail = format!("MAIL FROM:<{}>", inbox.address);
    eventually(BY_ITSELF, "SMTP to refuse mail", async || {
        let code = smtp.command(&mail).await?.code;
        if code == 250 {
            smtp.command("RSET").await?;
            return Ok(None);
        }
        ensure!(code == 530, "{code}");
        Ok(Some(()))
    })
    .await?;
    Ok(("SMTP", began.elapsed()))
}

async fn at_nats(client: Client, began: Instant) -> anyhow::Result<Ended> {
    eventually(BY_ITSELF, "NATS to end the connection", async || {
        Ok((client.connection_state() != State::Connected).then_some(()))
    })
    .await?;
    Ok(("NATS", began.elapsed()))
}
