//! Third-party mail that lies beside the checkout, or does not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

/// The corpora; `None`, with a word about it, where this checkout has none beside it.
pub fn corpora() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let found = path.is_dir().then_some(path);
    if found.is_none() {
        skip("no mail corpora beside the checkout");
    }
    found
}

/// The marker that `tests/run` counts.
pub fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Every mail below a folder, with its path.
pub fn emails_of(corpus: &Path) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut emails = Vec::new();
    let mut folders = vec![corpus.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "eml") {
                let octets = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                emails.push((path, octets));
            }
        }
    }
    ensure!(!emails.is_empty(), "{} has no mail", corpus.display());
    emails.sort();
    Ok(emails)
}
