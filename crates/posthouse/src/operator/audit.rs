//! `posthouse audit`: what operators did.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use store::{OperatorAct, Store, rfc3339};

use super::{
    Database,
    answer::{Answer, table},
    when,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Only since then: 2h for as long ago, or a time.
    #[arg(long, value_parser = when::moment)]
    since: Option<i64>,
    /// So many, the newest.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    #[command(flatten)]
    database: Database,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Answer> {
    let store = options.database.open().await?;
    let since = options.since.unwrap_or(i64::MIN);
    let acts = store.reader.operator_audit(since, options.limit).await;
    let acts = acts.context("read the record")?;
    let rows: Vec<Vec<String>> = acts.iter().map(row).collect();
    let text =
        table(&["at", "who", "command", "target", "outcome", "reason"], &rows, "nothing yet");
    let acts: Vec<_> = acts
        .iter()
        .map(|it| {
            json!({
                "id": it.id, "at": rfc3339(it.at), "who": it.who, "command": it.command,
                "target": it.target, "reason": it.reason, "outcome": it.outcome,
                "detail": it.detail,
            })
        })
        .collect();
    Ok(Answer::new(text, json!({ "acts": acts })))
}

fn row(act: &OperatorAct) -> Vec<String> {
    let OperatorAct { who, command, target, outcome, reason, .. } = act;
    let cells = [who, command, target, outcome, reason].map(String::clone);
    std::iter::once(rfc3339(act.at)).chain(cells).collect()
}

impl Database {
    pub(crate) async fn open(&self) -> anyhow::Result<Store> {
        Store::open(&self.database).await.context("open the database (--database)")
    }
}
