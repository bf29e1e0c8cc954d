//! The tools for language models, with the official clients of the protocol.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{Cluster, binary, skip};
use tokio::{process::Command, time::timeout};

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_work_with_mail_over_http_and_standard_streams() -> anyhow::Result<()>
{
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.join("mcp");
    let own = tests.join("tools/node_modules/.bin/node");
    let node = if own.is_file() { own } else { "node".into() };
    let version = Command::new(&node).arg("--version").stdout(Stdio::null()).status().await;
    if version.is_err() || !folder.join("node_modules").is_dir() {
        skip("Node or the MCP clients are not at hand: tests/run installs the clients");
        return Ok(());
    }
    let cluster = Cluster::start().await?;
    let journey = Command::new(&node)
        .arg("journey.mjs")
        .current_dir(&folder)
        .env("BASE_URL", cluster.api()?.base())
        .env("SMTP", cluster.smtp()[0].to_string())
        .env("POSTHOUSE", binary("posthouse")?)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let journey = timeout(Duration::from_secs(240), journey).await;
    let output = journey.with_context(|| format!("wait for {}", node.display()))??;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    for line in said.lines().filter_map(|it| it.strip_prefix("SKIPPED: ")) {
        skip(line);
    }
    cluster.stop().await
}
