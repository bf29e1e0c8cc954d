//! The tools for language models, with the official clients of the protocol.

use std::time::Duration;

use e2e::{Cluster, binary, in_checkout, run, skip};
use tokio::process::Command;

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
    let said = run(&mut journey, Duration::from_secs(240)).await?;
    for line in said.lines().filter_map(|it| it.strip_prefix("SKIPPED: ")) {
        skip(line);
    }
    cluster.stop().await
}
