//! What `tests/run` has installed, and programs that are run to their end.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{process::Command, time::timeout};

/// The user's cache, where everything is that does not belong into a checkout.
pub fn cache() -> anyhow::Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => env::home_dir().context("find the home directory")?.join(".cache"),
    };
    Ok(cache.join("posthouse"))
}

/// A file or folder of the checkout, if it is there.
pub fn in_checkout(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    Some(root.join(path)).filter(|it| it.exists())
}

/// What the program said; it must end well and in time.
pub async fn run(command: &mut Command, patience: Duration) -> anyhow::Result<String> {
    let what = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(patience, output).await.with_context(|| format!("wait for {what}"))?;
    let output = output.with_context(|| format!("run {what}"))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {said}");
    Ok(said.into_owned())
}
