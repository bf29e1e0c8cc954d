//! The unmodified LobsterMail SDK as the client, on every Node that is at hand.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Cluster, skip};
use tokio::{process::Command, time::timeout};

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_does_all_it_can_on_every_node() -> anyhow::Result<()> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.join("sdk");
    let nodes = nodes(tests);
    if nodes.is_empty() || !folder.join("node_modules").is_dir() {
        skip("Node or the SDK is not at hand: tests/run installs the SDK");
        return Ok(());
    }
    let cluster = Cluster::start().await?;
    for node in nodes {
        let journey = Command::new(&node)
            .arg("journey.mjs")
            .current_dir(&folder)
            .env("BASE_URL", cluster.api()?.base())
            .env("SMTP", cluster.smtp()[0].to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let journey = timeout(Duration::from_secs(180), journey).await;
        let output = journey.with_context(|| format!("wait for {}", node.display()))??;
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", node.display());
    }
    cluster.stop().await
}

/// The system's, and the one that `tests/tools` brings.
fn nodes(tests: &Path) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut nodes: Vec<PathBuf> = env::split_paths(&path)
        .map(|folder| folder.join("node"))
        .filter(|it| it.is_file())
        .take(1)
        .collect();
    nodes.extend(Some(tests.join("tools/node_modules/.bin/node")).filter(|it| it.is_file()));
    nodes
}
