//! What we ship makes no promise that a power loss breaks.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use e2e::in_checkout;

/// Every file that sets JetStream up says when it syncs: always, before it acknowledges.
#[test]
fn every_jetstream_that_is_shipped_syncs_always() -> anyhow::Result<()> {
    let folder = in_checkout("deploy").context("find deploy")?;
    let mut found = Vec::new();
    look(&folder, &mut found)?;
    ensure!(found.len() >= 2, "{found:?}: the configuration and the local one are there at least");
    for (path, syncs) in found {
        ensure!(syncs, "{path} sets JetStream up without sync_interval: always");
    }
    Ok(())
}

/// The files that say where JetStream keeps its streams, and whether they say that it syncs.
fn look(folder: &Path, found: &mut Vec<(String, bool)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            look(&path, found)?;
            continue;
        }
        // What is no text sets nothing up.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let lines = || text.lines().map(str::trim).filter(|it| !it.starts_with('#'));
        let sets_up =
            |it: &str| ["store_dir", "storeDir", "fileStore"].iter().any(|key| it.starts_with(key));
        if lines().any(sets_up) {
            let syncs = lines().any(|it| {
                it.strip_prefix("sync_interval:")
                    .is_some_and(|it| it.trim().trim_matches('"') == "always")
            });
            found.push((path.display().to_string(), syncs));
        }
    }
    Ok(())
}
