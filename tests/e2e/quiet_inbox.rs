//! Who sends little is not kept waiting by those who send much.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use e2e::{Cluster, eventually};

use crate::flood::flood;

const PATIENCE: Duration = Duration::from_secs(180);

const LOUD: usize = 4;
const MAILS: usize = 300;

/// More than what may be on its way to the sender when the quiet one comes, and less than half of all.
const SOON: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn passes_what_its_neighbours_have_queued() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    // So that nothing goes before everything is there.
    cluster.terminate("sender-1").await?;
    let mut inboxes = Vec::new();
    for n in 0..LOUD {
        let inbox = agent.inbox().await?;
        flood(&cluster, &agent, &inbox, &format!("loud{n}"), MAILS).await?;
        inboxes.push(inbox);
    }
    for inbox in &inboxes {
        eventually(PATIENCE, "every mail to be in the ledger", async || {
            Ok((agent.emails(inbox).await?.len() == MAILS).then_some(()))
        })
        .await?;
    }
    let quiet = agent.inbox().await?;
    flood(&cluster, &agent, &quiet, "quiet", 1).await?;
    eventually(PATIENCE, "the quiet one's mail to be in the ledger", async || {
        Ok((agent.emails(&quiet).await?.len() == 1).then_some(()))
    })
    .await?;

    cluster.restart("sender-1").await?;
    let mut sent = eventually(PATIENCE, "every mail to be sent", async || {
        let sent = captured_at(&cluster.captured())?;
        Ok((sent.len() > LOUD * MAILS).then_some(sent))
    })
    .await?;
    assert_eq!(sent.len(), LOUD * MAILS + 1, "each once");
    sent.sort_by_key(|(_, at)| *at);
    let place = sent.iter().position(|(subject, _)| subject == "quiet 0").context("find it")?;
    assert!(place < SOON, "it was the {place}th of {}", sent.len());
    cluster.stop().await
}

/// Subject and moment of everything that was captured.
pub(crate) fn captured_at(folder: &Path) -> anyhow::Result<Vec<(String, SystemTime)>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // One that is being written is hidden, and has another name by now.
            if path.file_name().is_some_and(|it| it.to_string_lossy().starts_with('.')) {
                continue;
            }
            let Ok(content) = fs::read(&path) else { continue };
            let Ok(written) = fs::metadata(&path).and_then(|it| it.modified()) else { continue };
            let content = String::from_utf8_lossy(&content).into_owned();
            let subject = content.lines().find_map(|it| it.strip_prefix("Subject: "));
            found.extend(subject.map(|it| (it.to_owned(), written)));
        }
    }
    Ok(found)
}
