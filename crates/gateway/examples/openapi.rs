//! Writes the API's description to the file that is named: `just sdk` makes the SDKs of it.

use std::fs;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("name the file to write")?;
    let description = serde_json::to_string_pretty(&gateway::description())?;
    fs::write(&path, description + "\n").with_context(|| format!("write {path}"))
}
