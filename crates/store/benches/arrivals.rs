//! Mails per second into an SQLite database, in transactions of the size that storage makes when mail
//! waits. `just bench-store`; PostgreSQL if `POSTHOUSE_BENCH_DATABASE` names an empty database.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, bail};
use contract::{Authentication, Envelope, ForwardPath, MailScanned, Mailbox, Message, Verdict};
use store::{Arrival, Created, Inbox, NewInbox, Store};
use tokio::task::JoinSet;

const ROUNDS: usize = 5;
const BATCHES: usize = 40;
const BATCH: usize = 48;
const INBOXES: usize = 100;
const WORDS: usize = 600;
/// As many as storage has in hand.
const AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("create a folder")?;
    let url = std::env::var("POSTHOUSE_BENCH_DATABASE")
        .unwrap_or_else(|_| format!("sqlite:{}", folder.path().join("bench.db").display()));
    store::migrate(&url).await?;
    let store = Store::open(&url).await?;
    store.writer.ensure_account("acct_bench", 1).await?;
    let mut inboxes = Vec::new();
    for n in 0..INBOXES {
        inboxes.push(inbox(&store, n).await?);
    }
    println!("{BATCH} mails of 4 KB a transaction, into {INBOXES} inboxes");
    let mut number = 0;
    for round in 1..=ROUNDS {
        let batches: Vec<Vec<Arrival>> = (0..BATCHES)
            .map(|_| {
                let mails = (0..BATCH).map(|_| {
                    number += 1;
                    mail(number, &inboxes[number * 7 % INBOXES])
                });
                mails.collect()
            })
            .collect();
        let start = Instant::now();
        let mut waiting = batches.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(batch) = waiting.next()
            {
                let writer = store.writer.clone();
                running.spawn(async move { writer.store(&batch).await.map(drop) });
            }
            let Some(done) = running.join_next().await else { break };
            done.context("run a transaction")??;
        }
        let rate = (BATCHES * BATCH) as f64 / start.elapsed().as_secs_f64();
        println!("round {round}: {rate:.0} mails/s with {number} stored");
    }
    store.close().await;
    Ok(())
}

async fn inbox(store: &Store, n: usize) -> anyhow::Result<Inbox> {
    let address = format!("agent{n}@bench.localhost");
    let new = NewInbox {
        id: format!("ibx_{n}"),
        account_id: "acct_bench".to_owned(),
        canonical: address.clone(),
        address,
        domain: "bench.localhost".to_owned(),
        display_name: None,
        expires_at: None,
        max_inboxes: None,
    };
    match store.writer.create_inbox(&new).await? {
        Created::Inbox(inbox) => Ok(inbox),
        other => bail!("no inbox but {other:?}"),
    }
}

/// Mails differ in their words as letters do, and one in four continues a thread.
fn mail(number: usize, inbox: &Inbox) -> Arrival {
    let text = text(number);
    let path = ForwardPath {
        address: inbox.address.clone(),
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        email_id: format!("eml_{number:012}"),
        ..ForwardPath::default()
    };
    let sender = format!("sender{}@client.example", number % 50);
    let message = Message {
        message_id: format!("{number}@client.example"),
        in_reply_to: number
            .is_multiple_of(4)
            .then(|| format!("{}@client.example", number.saturating_sub(INBOXES)))
            .into_iter()
            .collect(),
        subject: format!("Report {number}"),
        from: vec![Mailbox { address: sender.clone(), ..Mailbox::default() }],
        to: vec![Mailbox { address: inbox.address.clone(), ..Mailbox::default() }],
        preview: text.chars().take(160).collect(),
        text: text.clone(),
        ..Message::default()
    };
    let scanned = MailScanned {
        mail_id: format!("mail_{number:012}"),
        envelope: Some(Envelope {
            reverse_path: sender,
            forward_paths: vec![path],
            smtputf8: false,
        }),
        received_at_micros: 1_795_498_872_000_000,
        message: Some(message),
        authentication: Some(Authentication::default()),
        verdict: Some(Verdict::default()),
        ..MailScanned::default()
    };
    let octets = format!("Subject: Report {number}\r\n\r\n{text}").into_bytes();
    Arrival {
        scanned,
        octets,
        whole_text: None,
        carried: String::new(),
        no_auto_reply: BTreeMap::new(),
        offer: None,
    }
}

fn text(number: usize) -> String {
    let mut state = number as u64;
    let mut text = String::new();
    for _ in 0..WORDS {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Small numbers come more often, as common words do.
        let word = ((state >> 40) % 5_000) * ((state >> 20) % 5_000) / 5_000;
        text += &format!("w{word:x} ");
    }
    text
}
