//! The tools for language models, with the official clients of the protocol.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{Cluster, binary, in_checkout, run, skip};
use serde_json::{Deserializer, Value};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_work_over_http_and_standard_streams() -> anyhow::Result<()> {
    let node = in_checkout("tests/tools/node_modules/.bin/node");
    let clients = in_checkout("tests/mcp/node_modules/@modelcontextprotocol");
    let (Some(node), Some(_), Some(folder)) = (node, clients, in_checkout("tests/mcp")) else {
        skip("Node or the MCP clients are not at hand: tests/run installs them");
        return Ok(());
    };
    let cluster = Cluster::start().await?;
    let mut journey = Command::new(node);
    journey
        .arg("journey.mjs")
        .current_dir(folder)
        .env("BASE_URL", cluster.api()?.base())
        .env("SMTP", cluster.smtp()[0].to_string())
        .env("POSTHOUSE", binary("posthouse")?);
    let said = run(&mut journey, PATIENCE).await?;
    for line in said.lines().filter_map(|it| it.strip_prefix("SKIPPED: ")) {
        skip(line);
    }
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_inspector_lists_and_calls_the_tools() -> anyhow::Result<()> {
    let node = in_checkout("tests/tools/node_modules/.bin/node");
    let inspector = in_checkout("tests/mcp/node_modules/.bin/mcp-inspector-cli");
    let (Some(node), Some(inspector)) = (node, inspector) else {
        skip("Node or the MCP inspector is not at hand: tests/run installs them");
        return Ok(());
    };
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let url = format!("{}/mcp", agent.api.base());
    let inspect = async |token: &str, arguments: &[&str]| {
        let header = format!("Authorization: Bearer {token}");
        let mut inspect = Command::new(&node);
        inspect.arg(&inspector).args(["--cli", &url, "--transport", "http", "--header", &header]);
        let said = run(inspect.args(arguments), PATIENCE).await?;
        let json = said.find('{').with_context(|| format!("an answer in {said}"))?;
        let mut answers = Deserializer::from_str(&said[json..]).into_iter::<Value>();
        answers.next().context("an answer")?.with_context(|| format!("read {said}"))
    };
    let listed = inspect(&agent.token, &["--method", "tools/list"]).await?;
    let tools = listed["tools"].as_array().context("tools")?;
    let described = |it: &Value| it["inputSchema"].is_object() && it["outputSchema"].is_object();
    ensure!(tools.len() > 20 && tools.iter().all(described), "{listed}");

    let call =
        ["--method", "tools/call", "--tool-name", "create_inbox", "--tool-arg", "localPart=ada"];
    let made = inspect(&agent.token, &call).await?;
    let address = made["structuredContent"]["address"].as_str().context("an address")?;
    ensure!(address.starts_with("ada@"), "{made}");
    let call = ["--method", "tools/call", "--tool-name", "list_inboxes"];
    let listed = inspect(&agent.token, &call).await?;
    ensure!(listed["structuredContent"]["inboxes"][0]["address"] == address, "{listed}");

    let refused = inspect("lm_sk_live_wrong", &["--method", "tools/list"]).await;
    ensure!(refused.is_err(), "{refused:?}");
    cluster.stop().await
}
