//! What a system account may ask of the servers: who is connected, and to end a connection.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::Client;
use futures_util::StreamExt as _;
use nats_login::AGENTS;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// How many servers there are nobody says: whoever has not answered for so long is not there.
const SILENCE: Duration = Duration::from_millis(300);

/// For a first answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connections of one server in one answer.
const PAGE: usize = 1024;

/// A connection of an agent.
pub(super) struct Connection {
    pub(super) server: String,
    pub(super) id: u64,
    /// As the gateway called it when it let it in.
    pub(super) user: String,
}

#[derive(Serialize)]
struct Question<'a> {
    auth: bool,
    acc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    limit: usize,
    offset: usize,
}

#[derive(Deserialize)]
struct Answer {
    data: Connections,
}

#[derive(Deserialize)]
struct Connections {
    server_id: String,
    #[serde(default)]
    connections: Vec<Connected>,
}

#[derive(Deserialize)]
struct Connected {
    cid: u64,
    #[serde(default)]
    authorized_user: String,
}

/// The connections of all agents, or of one user, at all servers.
pub(super) async fn connections(
    client: &Client,
    user: Option<&str>,
) -> anyhow::Result<Vec<Connection>> {
    let mut found = Vec::new();
    for page in 0.. {
        let question = Question { auth: true, acc: AGENTS, user, limit: PAGE, offset: page * PAGE };
        let answers = ask(client, &question).await?;
        let is_last = answers.iter().all(|it| it.connections.len() < PAGE);
        for Connections { server_id, connections } in answers {
            found.extend(connections.into_iter().map(|it| Connection {
                server: server_id.clone(),
                id: it.cid,
                user: it.authorized_user,
            }));
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn ask(client: &Client, question: &Question<'_>) -> anyhow::Result<Vec<Connections>> {
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await.context("await servers' answers")?;
    let question = serde_json::to_vec(question).context("write a question to servers")?;
    let asked = client.publish_with_reply("$SYS.REQ.SERVER.PING.CONNZ", inbox, question.into());
    asked.await.context("ask the servers who is connected")?;
    let mut answers = Vec::new();
    let mut patience = PATIENCE;
    while let Ok(Some(reply)) = timeout(patience, replies.next()).await {
        let Answer { data } =
            serde_json::from_slice(&reply.payload).context("read a server's connections")?;
        answers.push(data);
        patience = SILENCE;
    }
    ensure!(!answers.is_empty(), "no server says who is connected");
    Ok(answers)
}

/// Ends it. The client may connect anew, if it is let in.
pub(super) async fn kick(client: &Client, connection: &Connection) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Kick {
        cid: u64,
    }

    let subject = format!("$SYS.REQ.SERVER.{}.KICK", connection.server);
    let kick = serde_json::to_vec(&Kick { cid: connection.id }).context("write a kick")?;
    let kicked = timeout(PATIENCE, client.request(subject, kick.into())).await;
    // A server that does not know the connection says so; then it is gone already.
    kicked.context("wait for the server")?.context("end a connection")?;
    Ok(())
}
