//! The operator's commands against a running service, as he calls them.

mod dead;
mod doctor;
mod suppress;
mod suspend;
mod trace;

use anyhow::{Context as _, ensure};
use e2e::{Cluster, Program, binary};
use serde_json::Value;
use tempfile::TempDir;

/// Whoever runs the service, with its database and NATS.
pub(crate) struct Operator {
    folder: TempDir,
    database: String,
    nats: String,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) is_good: bool,
    pub(crate) output: String,
    pub(crate) log: String,
}

impl Operator {
    pub(crate) fn of(cluster: &Cluster) -> anyhow::Result<Operator> {
        let folder = TempDir::new().context("create folder")?;
        let (database, nats) = (cluster.database.clone(), cluster.nats.url.clone());
        Ok(Operator { folder, database, nats })
    }

    /// With `--database` and `--nats`, where a command knows them.
    pub(crate) async fn run(&self, words: &[&str]) -> anyhow::Result<Said> {
        let folder = TempDir::new_in(self.folder.path()).context("create folder")?;
        let mut arguments: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        for (name, value) in [("--database", &self.database), ("--nats", &self.nats)] {
            arguments.extend(takes(words, name).then(|| format!("{name}={value}")));
        }
        let mut program =
            Program::start("command", binary("posthouse")?, arguments, folder.path())?;
        let status = program.wait().await?;
        Ok(Said { is_good: status.success(), output: program.output(), log: program.log() })
    }

    /// What it says in JSON; it must succeed.
    pub(crate) async fn json(&self, words: &[&str]) -> anyhow::Result<Value> {
        let said = self.run(&[words, &["--json"]].concat()).await?;
        ensure!(said.is_good, "{words:?}: {said:?}");
        serde_json::from_str(&said.output).with_context(|| format!("read {said:?}"))
    }

    /// What it says when it refuses.
    pub(crate) async fn refused(&self, words: &[&str]) -> anyhow::Result<String> {
        let said = self.run(words).await?;
        ensure!(!said.is_good, "{words:?} should be refused: {said:?}");
        Ok(said.log)
    }
}

/// Some look into the database only, and some into NATS only.
fn takes(words: &[&str], name: &str) -> bool {
    match words {
        ["dead", "ls" | "show", ..] => name == "--nats",
        ["audit" | "suppress" | "account" | "token" | "inbox", ..] => name == "--database",
        _ => true,
    }
}
