//! Many SMTP clients at once, that carry on when the server goes away.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{task::JoinSet, time::sleep};

use crate::Smtp;

/// What was sent, by subject, which is another for every attempt: a client whose connection breaks
/// sends a new mail rather than the old one again, because the old one may have been taken.
#[derive(Debug, Default)]
pub struct Sent {
    /// Answered with 250.
    pub accepted: BTreeSet<String>,
    /// Everything that left, `accepted` included.
    pub attempted: BTreeSet<String>,
}

/// A load under way.
pub struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    sent: Arc<Mutex<Sent>>,
}

impl Load {
    /// Has each of the clients send until `mails` are accepted from it, at servers by turns.
    pub fn start(servers: &[SocketAddr], inbox: &str, clients: usize, mails: usize) -> Load {
        let sent = Arc::new(Mutex::new(Sent::default()));
        let clients = (0..clients)
            .map(|client| {
                let mut servers = servers.to_vec();
                let place = client % servers.len();
                servers.rotate_left(place);
                run_client(client, servers, inbox.to_owned(), mails, sent.clone())
            })
            .collect();
        Load { clients, sent }
    }

    /// How many were accepted so far.
    pub fn accepted(&self) -> usize {
        lock(&self.sent).accepted.len()
    }

    pub async fn finish(mut self) -> anyhow::Result<Sent> {
        while let Some(client) = self.clients.join_next().await {
            client.context("run SMTP client")??;
        }
        Ok(std::mem::take(&mut *lock(&self.sent)))
    }
}

fn lock(sent: &Mutex<Sent>) -> std::sync::MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run_client(
    client: usize,
    servers: Vec<SocketAddr>,
    inbox: String,
    mails: usize,
    sent: Arc<Mutex<Sent>>,
) -> anyhow::Result<()> {
    let mut connection = None;
    let mut accepted = 0;
    // Some minutes of refusals.
    for attempt in 0..mails + 1_200 {
        if accepted == mails {
            return Ok(());
        }
        if connection.is_none() {
            connection = Smtp::connect(servers[attempt % servers.len()]).await.ok();
        }
        let Some(smtp) = &mut connection else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let subject = format!("load {client} {attempt}");
        lock(&sent).attempted.insert(subject.clone());
        match smtp.send("load@example.com", &[&inbox], &mail(&subject, &inbox)).await {
            Ok(reply) if reply.code == 250 => {
                accepted += 1;
                lock(&sent).accepted.insert(subject);
            }
            // A server that lacks what it needs says 4yz, for a while.
            Ok(reply) => {
                ensure!(reply.code < 500, "{subject} answered with {reply:?}");
                sleep(Duration::from_millis(100)).await;
            }
            Err(_) => connection = None,
        }
    }
    anyhow::bail!("client {client} had only {accepted} of {mails} mails accepted")
}

fn mail(subject: &str, inbox: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "From: load@example.com\r\nTo: {inbox}\r\nSubject: {subject}\r\n\
         Message-ID: <{id}@example.com>\r\n\r\n{}",
        "All work and no play makes Jack a dull boy.\r\n".repeat(40)
    )
    .into_bytes()
}
