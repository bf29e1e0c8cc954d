//! What has to hold afterwards: everything is somewhere, and only once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use contract::topology::{CONSUMERS, STREAMS};
use e2e::{Agent, Inbox, eventually};
use serde_json::Value;
use test_peer::Peer;

use crate::faults::{
    inbound::{Sent, hash_of_stored, listed, stored},
    outbound::{Kind, arrived},
};

/// Redeliveries and retries after the last fault take their time; the longest wait of an attempt that failed
/// a few times is a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until no stage has anything left to do.
pub(crate) async fn quiet(nats: &str) -> anyhow::Result<()> {
    let jetstream = jetstream::new(connect(nats).await?);
    eventually(PATIENCE, "every stage to be done", async || {
        for consumer in CONSUMERS {
            let stream = jetstream.get_stream_no_info(consumer.stream).await?;
            let Ok(info) = stream.consumer_info(consumer.durable).await else { return Ok(None) };
            if info.num_pending > 0 || info.num_ack_pending > 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Waits until every stream is on so many servers, and all of them have all of it.
pub(crate) async fn copies(nats: &str, servers: usize) -> anyhow::Result<()> {
    let jetstream = jetstream::new(connect(nats).await?);
    eventually(PATIENCE, "every stream to be on all servers", async || {
        for stream in STREAMS {
            let Ok(found) = jetstream.get_stream(stream.name).await else { return Ok(None) };
            let info = found.cached_info();
            let copies = info.config.num_replicas;
            ensure!(copies == servers, "{} has {copies} replicas", stream.name);
            let others = info.cluster.iter().flat_map(|it| &it.replicas);
            if others.filter(|it| it.current).count() + 1 < servers {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

async fn connect(nats: &str) -> anyhow::Result<async_nats::Client> {
    let addresses: Vec<&str> = nats.split(',').collect();
    async_nats::connect(addresses).await.context("connect to NATS")
}

/// Where accepted mail is.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) accepted: usize,
    pub(crate) delivered: usize,
    pub(crate) quarantined: usize,
    pub(crate) parked: usize,
    /// Mail that is not of the load: poison that could be stored.
    pub(crate) others: usize,
    /// Whose 250 was lost on the way; the client took it for refused.
    pub(crate) unanswered: usize,
}

/// Every mail that got its 250 is in its inbox, in quarantine or in DEAD, once, to the octet.
pub(crate) async fn inbound(
    agent: &Agent,
    inboxes: &[Inbox],
    sent: &Sent,
    dead: &[Dead],
) -> anyhow::Result<Places> {
    let in_dead: Vec<String> = dead.iter().filter_map(|it| hash_of_stored(&it.payload)).collect();
    let expected = sent.accepted.iter().filter(|(hash, _)| !in_dead.contains(hash));
    let expected: BTreeSet<&str> = expected.map(|(_, it)| it.subject.as_str()).collect();
    // Who was last to die may not answer yet; what is missing in the end is said below.
    let stored_all = eventually(PATIENCE, "every accepted mail to be stored", async || {
        let mut subjects = BTreeSet::new();
        for inbox in inboxes {
            let emails = listed(agent, inbox).await?;
            subjects
                .extend(emails.iter().filter_map(|it| it["subject"].as_str().map(str::to_owned)));
        }
        Ok(expected.iter().all(|it| subjects.contains(*it)).then_some(()))
    })
    .await;
    let mut places = Places { accepted: sent.accepted.len(), ..Places::default() };
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for hash in in_dead {
        places.parked += 1;
        *times.entry(hash).or_default() += 1;
    }
    for inbox in inboxes {
        for it in stored(agent, inbox).await? {
            let Some(hash) = it.hash else {
                places.others += 1;
                continue;
            };
            ensure!(sent.attempted.contains(&hash), "nobody sent this: {}", it.email);
            if let Some(accepted) = sent.accepted.get(&hash) {
                ensure!(accepted.inbox == inbox.address, "in another inbox: {}", it.email);
            }
            match it.email["security"]["action"] == "quarantined" {
                true => places.quarantined += 1,
                false => places.delivered += 1,
            }
            *times.entry(hash).or_default() += 1;
        }
    }
    let lost = sent.accepted.iter().filter(|(hash, _)| !times.contains_key(*hash));
    let lost: Vec<&str> = lost.map(|(_, it)| it.subject.as_str()).collect();
    ensure!(lost.is_empty(), "of {} accepted mails are lost: {lost:?}", sent.accepted.len());
    stored_all?;
    let twice = times.values().filter(|it| **it > 1).count();
    ensure!(twice == 0, "{twice} mails are there more than once");
    places.unanswered = times.keys().filter(|it| !sent.accepted.contains_key(*it)).count();
    Ok(places)
}

/// How sends ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) accepted: usize,
    /// Further copies of what had arrived.
    pub(crate) again: usize,
    /// To be held, and nobody knows whether they arrived.
    pub(crate) unknown: usize,
}

/// Every request that was accepted is one email, and arrived: once if it was to be held.
pub(crate) async fn outbound(
    agent: &Agent,
    from: &Inbox,
    accepted: &BTreeMap<String, Kind>,
    peer: &Peer,
) -> anyhow::Result<Ends> {
    let emails = eventually(PATIENCE, "every accepted request to be settled", async || {
        let emails = agent.emails(from).await?;
        let settled = emails.iter().filter(|it| it["status"] == "sent" || is_unknown(it)).count();
        Ok((settled >= accepted.len()).then_some(emails))
    })
    .await?;
    let arrived = arrived(peer)?;
    let mut ends = Ends { accepted: accepted.len(), ..Ends::default() };
    let mut seen = BTreeSet::new();
    for email in &emails {
        let subject = email["subject"].as_str().context("read a subject")?;
        ensure!(seen.insert(subject.to_owned()), "{subject} was entered twice");
        let copies = arrived.get(subject).map(Vec::as_slice).unwrap_or_default();
        ensure!(copies.windows(2).all(|it| it[0] == it[1]), "copies of {subject} differ");
        match accepted.get(subject) {
            Some(Kind::Hold) if is_unknown(email) => {
                ends.unknown += 1;
                ensure!(copies.len() <= 1, "{subject} is held and arrived {} times", copies.len());
            }
            Some(Kind::Hold) => {
                ensure!(copies.len() == 1, "{subject} is held and arrived {} times", copies.len());
            }
            Some(Kind::Retry) => {
                ensure!(!copies.is_empty(), "{subject} is {} and never arrived", email["status"]);
                ends.again += copies.len() - 1;
            }
            None => anyhow::bail!("nobody sent {subject}"),
        }
    }
    let lost: Vec<&String> = accepted.keys().filter(|it| !seen.contains(*it)).collect();
    ensure!(lost.is_empty(), "accepted and never entered: {lost:?}");
    Ok(ends)
}

fn is_unknown(email: &Value) -> bool {
    email["status"] == "unknown"
}

/// What the follower saw is everything there is, in order and each once; and each stored mail is in it.
pub(crate) fn events(seen: &[String], all: &[Value], stored: usize) -> anyhow::Result<()> {
    let ids: Vec<&str> = all.iter().filter_map(|it| it["eventId"].as_str()).collect();
    let once: BTreeSet<&str> = ids.iter().copied().collect();
    ensure!(once.len() == ids.len(), "{} events, {} different ones", ids.len(), once.len());
    ensure!(seen.iter().eq(&ids), "the follower saw {} of {} events", seen.len(), ids.len());
    let of = |kind: &str| all.iter().filter(|it| it["event"] == kind).count();
    let told = of("email.received") + of("email.quarantined");
    ensure!(told == stored, "{stored} mails are stored, {told} were told of");
    Ok(())
}

/// Each event that the webhook wants was posted; says how often one was posted again.
pub(crate) async fn webhooks(
    calls: impl Fn() -> BTreeMap<String, usize>,
    all: &[Value],
) -> anyhow::Result<usize> {
    let wanted: BTreeSet<&str> = all
        .iter()
        .filter(|it| it["event"] == "email.received")
        .filter_map(|it| it["eventId"].as_str())
        .collect();
    let calls = eventually(PATIENCE, "every event to be posted", async || {
        let calls = calls();
        Ok(wanted.iter().all(|it| calls.contains_key(*it)).then_some(calls))
    })
    .await?;
    ensure!(calls.len() == wanted.len(), "{} posted, {} wanted", calls.len(), wanted.len());
    Ok(calls.values().map(|it| it - 1).sum())
}

/// A parked message.
pub(crate) struct Dead {
    subject: String,
    reason: String,
    payload: Vec<u8>,
}

impl fmt::Debug for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

pub(crate) async fn dead(nats: &str) -> anyhow::Result<Vec<Dead>> {
    let mut stream =
        jetstream::new(connect(nats).await?).get_stream("DEAD").await.context("find DEAD")?;
    let last = stream.info().await.context("ask for its end")?.state.last_sequence;
    let mut dead = Vec::new();
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.context("read a dead letter")?;
        let reason = message.headers.get("Mail-Failure").map(|it| it.to_string());
        dead.push(Dead {
            subject: message.subject.to_string(),
            reason: reason.unwrap_or_default(),
            payload: message.payload.to_vec(),
        });
    }
    Ok(dead)
}
