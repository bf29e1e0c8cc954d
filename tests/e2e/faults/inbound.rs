//! Mail by SMTP with contents that are known by their hashes, from clients that carry on whatever happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use e2e::{Agent, Inbox, Smtp};
use serde_json::Value;
use tokio::{task::JoinSet, time::sleep};

/// Above what goes in events; every so many mails.
const LARGE: usize = 300 * 1024;
const LARGE_EVERY: usize = 12;

/// Where every content begins; ours stands above it.
const BEGINNING: &[u8] = b"From: load@example.com\r\n";

pub(crate) type Hash = String;

/// The hashes of what was sent. A client whose connection breaks sends another mail rather than the same again,
/// because the first may have been taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Answered with 250.
    pub(crate) accepted: BTreeMap<Hash, Accepted>,
    pub(crate) attempted: BTreeSet<Hash>,
}

#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// The address it was for.
    pub(crate) inbox: String,
    pub(crate) subject: String,
}

pub(crate) struct Inbound {
    sent: Arc<Mutex<Sent>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<anyhow::Result<()>>,
}

impl Inbound {
    /// Each client pauses for so long between two mails.
    pub(crate) fn start(
        servers: &[SocketAddr],
        inboxes: &[Inbox],
        clients: usize,
        pause: Duration,
    ) -> Inbound {
        let (sent, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let clients = (0..clients)
            .map(|client| {
                let client = Client {
                    client,
                    servers: servers.to_vec(),
                    inboxes: inboxes.iter().map(|it| it.address.clone()).collect(),
                    pause,
                    sent: Arc::clone(&sent),
                    stop: Arc::clone(&stop),
                };
                client.run()
            })
            .collect();
        Inbound { sent, stop, clients }
    }

    pub(crate) fn sent(&self) -> Sent {
        self.sent.lock().expect("not poisoned").clone()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.sent.lock().expect("not poisoned").accepted.len()
    }

    pub(crate) async fn finish(mut self) -> anyhow::Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.context("run an SMTP client")??;
        }
        Ok(self.sent())
    }
}

struct Client {
    client: usize,
    servers: Vec<SocketAddr>,
    inboxes: Vec<String>,
    pause: Duration,
    sent: Arc<Mutex<Sent>>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn run(self) -> anyhow::Result<()> {
        let mut connection = None;
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if connection.is_none() {
                let server = self.servers[(self.client + n) % self.servers.len()];
                connection = Smtp::connect(server).await.ok();
            }
            if let Some(smtp) = &mut connection
                && !self.send(smtp, n).await?
            {
                connection = None;
            }
            sleep(self.pause).await;
        }
        Ok(())
    }

    /// Whether the connection is still good.
    async fn send(&self, smtp: &mut Smtp, n: usize) -> anyhow::Result<bool> {
        let inbox = &self.inboxes[n % self.inboxes.len()];
        let subject = format!("in {} {n}", self.client);
        let content = content(&subject, inbox, if n % LARGE_EVERY == 5 { LARGE } else { 3_000 });
        let hash = hash_of(&content);
        self.sent.lock().expect("not poisoned").attempted.insert(hash.clone());
        let Ok(reply) = smtp.send("load@example.com", &[inbox], &content).await else {
            return Ok(false);
        };
        // A server that lacks what it needs says 4yz, for a while.
        ensure!(reply.code < 500, "{subject} was answered with {reply:?}");
        if reply.code == 250 {
            let mut sent = self.sent.lock().expect("not poisoned");
            sent.accepted.insert(hash, Accepted { inbox: inbox.clone(), subject });
        }
        Ok(reply.code != 421)
    }
}

fn content(subject: &str, inbox: &str, size: usize) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    let mut content = BEGINNING.to_vec();
    let fields =
        format!("To: {inbox}\r\nSubject: {subject}\r\nMessage-ID: <{id}@example.com>\r\n\r\n");
    content.extend(fields.as_bytes());
    for line in 0.. {
        if content.len() >= size {
            break;
        }
        content.extend(
            format!("Line {line} of the mail {subject}, which says no more.\r\n").as_bytes(),
        );
    }
    content
}

fn hash_of(content: &[u8]) -> Hash {
    HEXLOWER.encode(digest(&SHA256, content).as_ref())
}

/// The hash of what was sent, under what we put above it; `None` if it is none of these mails.
pub(crate) fn hash_of_stored(raw: &[u8]) -> Option<Hash> {
    let begins = raw.windows(BEGINNING.len()).position(|it| it == BEGINNING)?;
    Some(hash_of(&raw[begins..]))
}

/// An email as the API lists it, and the hash of its content.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) email: Value,
    pub(crate) hash: Option<Hash>,
}

/// Everything an inbox has, quarantine included, with the octets of each read and hashed.
pub(crate) async fn stored(agent: &Agent, inbox: &Inbox) -> anyhow::Result<Vec<Stored>> {
    let emails = listed(agent, inbox).await?;
    let mut reading = JoinSet::new();
    let mut stored = Vec::new();
    let mut waiting = emails.into_iter();
    loop {
        while reading.len() < 8
            && let Some(email) = waiting.next()
        {
            reading.spawn(read(agent.clone(), inbox.clone(), email));
        }
        match reading.join_next().await {
            Some(read) => stored.push(read.context("read an email")??),
            None => return Ok(stored),
        }
    }
}

async fn read(agent: Agent, inbox: Inbox, email: Value) -> anyhow::Result<Stored> {
    let id = email["id"].as_str().context("read id")?;
    let path = format!("/v1/inboxes/{}/emails/{id}/raw?quarantined=true", inbox.id);
    let answer = agent.get(&path).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(Stored { hash: hash_of_stored(&answer.octets), email })
}

/// Received emails, page by page, those in quarantine too.
pub(crate) async fn listed(agent: &Agent, inbox: &Inbox) -> anyhow::Result<Vec<Value>> {
    let mut emails = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!(
            "/v1/inboxes/{}/emails?limit=100&include=quarantined&direction=inbound{cursor}",
            inbox.id
        );
        let page = agent.get(&path).await?.success()?;
        let data = page["data"].as_array().context("read page")?;
        ensure!(!data.is_empty() || page["cursor"].is_null(), "an empty page goes on");
        emails.extend(data.iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(emails),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_known_by_its_hash_under_what_is_put_above_it() {
        let content = content("in 1 2", "a@x.test", 500);
        let raw = [b"Received: from x\r\n".as_slice(), &content].concat();
        assert_eq!(hash_of_stored(&raw), Some(hash_of(&content)));
        assert_ne!(hash_of_stored(&raw[..raw.len() - 1]), Some(hash_of(&content)));
        assert_eq!(hash_of_stored(b"Subject: other\r\n"), None);
    }
}
