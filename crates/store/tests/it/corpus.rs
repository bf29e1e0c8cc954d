//! Threads of real conversations, against what two independent programs agree on.

use std::{collections::HashMap, io::Write as _, path::Path};

use contract::Message;
use serde::Deserialize;
use store::{Inbox, Store};

use crate::fixture::{inbox, mail, on_both};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/threading");

#[derive(Deserialize)]
struct Case {
    file: Option<String>,
    corpus: Option<String>,
    thread: Option<String>,
}

struct Mail {
    corpus: String,
    thread: String,
    message: Message,
}

fn mails() -> Option<Vec<Mail>> {
    let Ok(expected) = std::fs::read_to_string(Path::new(CORPUS).join("expected.jsonl")) else {
        // Past the harness, which hides what passing tests print.
        writeln!(std::io::stderr(), "SKIPPED: no corpus at {CORPUS}").expect("write to stderr");
        return None;
    };
    let cases = expected.lines().map(|it| serde_json::from_str::<Case>(it).expect("a case"));
    let mails = cases.filter_map(|case| {
        let content = std::fs::read(Path::new(CORPUS).join(case.file?)).expect("a file");
        let message = mail::parse(&content, 1_000);
        Some(Mail { corpus: case.corpus?, thread: case.thread?, message })
    });
    Some(mails.collect())
}

/// Stores the mails of one list in batches; gives the thread of each.
async fn threads(
    store: &Store,
    inbox: &Inbox,
    mails: &[&Mail],
    batch: usize,
) -> anyhow::Result<Vec<String>> {
    let arrivals: Vec<_> = (0..)
        .zip(mails)
        .map(|(number, it)| {
            let mut arrival = mail(number, &[inbox]);
            arrival.scanned.mail_id = format!("{}-{number}", inbox.id);
            arrival.scanned.message = Some(it.message.clone());
            arrival
        })
        .collect();
    let mut ids = Vec::new();
    for batch in arrivals.chunks(batch) {
        ids.extend(store.writer.store(batch).await?.concat().into_iter().map(|it| it.email.id));
    }
    let mut threads = Vec::new();
    for id in ids {
        let email = store.reader.email(&inbox.account_id, &inbox.id, &id).await?;
        threads.push(email.and_then(|it| it.thread_id).expect("a thread"));
    }
    Ok(threads)
}

/// Pairs that are together in both, in the corpus, and here.
fn pairs(expected: &[&str], found: &[String]) -> (usize, usize, usize) {
    let (mut both, mut wanted, mut made) = (0, 0, 0);
    for a in 0..expected.len() {
        for b in 0..a {
            let (want, make) = (expected[a] == expected[b], found[a] == found[b]);
            both += usize::from(want && make);
            wanted += usize::from(want);
            made += usize::from(make);
        }
    }
    (both, wanted, made)
}

#[tokio::test]
async fn threads_mailing_lists() {
    let Some(mails) = mails() else { return };
    on_both(async |store| {
        let mut lists: HashMap<&str, Vec<&Mail>> = HashMap::new();
        for it in &mails {
            lists.entry(&it.corpus).or_default().push(it);
        }
        let (mut both, mut wanted, mut made) = (0, 0, 0);
        for (list, mails) in &lists {
            let reversed: Vec<&Mail> = mails.iter().rev().copied().collect();
            for (order, mails, batch) in
                [("", mails.clone(), 100), ("-single", mails.clone(), 1), ("-back", reversed, 7)]
            {
                let inbox = inbox(&store, &format!("{list}{order}")).await?;
                let found = threads(&store, &inbox, &mails, batch).await?;
                let expected: Vec<&str> = mails.iter().map(|it| it.thread.as_str()).collect();
                let (b, w, m) = pairs(&expected, &found);
                (both, wanted, made) = (both + b, wanted + w, made + m);
            }
        }
        let (precision, recall) = (both as f64 / made as f64, both as f64 / wanted as f64);
        eprintln!("threading: {} mails, precision {precision:.4}, recall {recall:.4}", mails.len());
        anyhow::ensure!(both == made, "precision {precision}: {} pairs too many", made - both);
        anyhow::ensure!(recall >= 0.995, "recall {recall}: {} pairs missed", wanted - both);
        Ok(())
    })
    .await;
}
