//! The API's description is one that other people's tools accept.

use std::{path::Path, process::Stdio};

use anyhow::Context as _;
use e2e::{Cluster, skip};
use reqwest::Method;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn redocly_accepts_the_openapi_description() -> anyhow::Result<()> {
    let redocly = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/node_modules/.bin/redocly");
    if !redocly.is_file() {
        skip("redocly is not at hand: tests/run installs it");
        return Ok(());
    }
    let cluster = Cluster::start().await?;
    let openapi = cluster.api()?.call(Method::GET, "/openapi.json", None, &[], None).await?;
    assert!(openapi.success()?["openapi"].as_str().is_some_and(|it| it.starts_with("3.1")));

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &openapi.octets)?;
    let output = Command::new(redocly)
        .env("REDOCLY_TELEMETRY", "off")
        .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
        .current_dir(folder.path())
        .args(["lint", "--extends=recommended", "--max-problems=50"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .await
        .context("run redocly")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    cluster.stop().await
}
