//! `posthouse dead`: the messages that a stage could not handle, and what is to become of them.

use anyhow::{Context as _, ensure};
use bus::{Dead, DeadFilter, Desk};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use store::rfc3339;

use super::{
    Database, Nats,
    answer::{Answer, table},
    change::Change,
    when,
};

/// What ids of ours begin with.
const PREFIXES: [&str; 4] = ["eml_", "acct_", "ibx_", "mail_"];

/// So many ids of a message are shown.
const MOST_IDS: usize = 20;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show which messages are parked, why, and since when.
    Ls {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        nats: Nats,
    },
    /// Show all that is known of one, and the ids in it.
    Show {
        /// Its number, as `ls` shows it.
        sequence: u64,
        /// The whole message as well, in base64. It is somebody's mail.
        #[arg(long)]
        payload: bool,
        #[command(flatten)]
        nats: Nats,
    },
    /// Hand messages to their stage again: after the cause is mended.
    Requeue(Several),
    /// Remove messages for good.
    Drop(Several),
}

#[derive(Args)]
pub(crate) struct Filter {
    /// Of this stage.
    #[arg(long)]
    stage: Option<String>,
    /// Parked since then: 2h for as long ago, or a time.
    #[arg(long, value_parser = when::moment)]
    since: Option<i64>,
    /// With these words in the failure.
    #[arg(long)]
    failure: Option<String>,
    /// At most so many, the oldest.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

impl Filter {
    fn wanted(&self) -> DeadFilter {
        let Filter { stage, since, failure, .. } = self;
        DeadFilter { stage: stage.clone(), since: *since, failure: failure.clone() }
    }
}

/// Those that are named, or those that fit.
#[derive(Args)]
pub(crate) struct Several {
    /// Their numbers, as `ls` shows them.
    #[arg(required_unless_present_any = ["stage", "since", "failure"])]
    #[arg(conflicts_with_all = ["stage", "since", "failure"])]
    sequences: Vec<u64>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    nats: Nats,
    #[command(flatten)]
    database: Database,
}

pub(super) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Ls { filter, nats } => list(&filter, &nats).await,
        Command::Show { sequence, payload, nats } => show(sequence, payload, &nats).await,
        Command::Requeue(several) => change(several, Fate::Requeue).await,
        Command::Drop(several) => change(several, Fate::Drop).await,
    }
}

async fn list(filter: &Filter, nats: &Nats) -> anyhow::Result<Answer> {
    let desk = nats.desk().await?;
    let dead = desk.dead(&filter.wanted(), filter.limit).await?;
    let row = |it: &Dead| {
        let size = it.payload.len().to_string();
        vec![
            it.sequence.to_string(),
            rfc3339(it.parked_at),
            it.stage.clone(),
            size,
            it.failure.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = dead.iter().map(row).collect();
    let text = table(&["number", "parked at", "stage", "octets", "failure"], &rows, "none");
    let dead: Vec<Value> = dead.iter().map(described).collect();
    Ok(Answer::new(text, json!({ "dead": dead })))
}

fn described(dead: &Dead) -> Value {
    json!({
        "sequence": dead.sequence, "stage": dead.stage, "subject": dead.subject,
        "failure": dead.failure, "parkedAt": rfc3339(dead.parked_at), "identity": dead.identity,
        "sizeBytes": dead.payload.len(), "ids": ids(&dead.payload),
    })
}

async fn one(desk: &Desk, sequence: u64) -> anyhow::Result<Dead> {
    desk.dead_at(sequence).await?.with_context(|| {
        format!("no message {sequence} is parked: `posthouse dead ls` shows those that are")
    })
}

async fn show(sequence: u64, payload: bool, nats: &Nats) -> anyhow::Result<Answer> {
    let dead = one(&nats.desk().await?, sequence).await?;
    let mut json = described(&dead);
    let mut text = format!(
        "message {sequence} of stage {}\nfrom {}\nparked at {}\nbecause {}\nidentity {}\n{} octets\nids {}",
        dead.stage,
        dead.subject,
        rfc3339(dead.parked_at),
        dead.failure,
        dead.identity.as_deref().unwrap_or("not noted"),
        dead.payload.len(),
        ids(&dead.payload).join(" "),
    );
    if payload {
        let encoded = data_encoding::BASE64.encode(&dead.payload);
        text += &format!("\npayload {encoded}");
        json["payload"] = json!(encoded);
    }
    Ok(Answer::new(text, json))
}

/// Identifiers of ours in a message, each once, in their order: they lead to `posthouse trace`.
pub(super) fn ids(payload: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(payload);
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != '-');
    let mut found: Vec<String> = Vec::new();
    for word in words {
        // In protobuf the length of what follows stands before it, and may look like a letter.
        let starts = PREFIXES.iter().filter_map(|it| word.find(it)).min();
        if let Some(id) = starts.map(|at| &word[at..])
            && id.len() > 8
            && found.len() < MOST_IDS
            && !found.iter().any(|it| it == id)
        {
            found.push(id.to_owned());
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Fate {
    Requeue,
    Drop,
}

impl Fate {
    fn command(self) -> &'static str {
        match self {
            Fate::Requeue => "dead requeue",
            Fate::Drop => "dead drop",
        }
    }
}

async fn change(several: Several, fate: Fate) -> anyhow::Result<Answer> {
    let Several { sequences, filter, change, nats, database } = several;
    let desk = nats.desk().await?;
    let mut meant = Vec::new();
    for sequence in &sequences {
        meant.push(one(&desk, *sequence).await?);
    }
    if sequences.is_empty() {
        meant = desk.dead(&filter.wanted(), filter.limit).await?;
    }
    ensure!(!meant.is_empty(), "nothing is parked that fits: `posthouse dead ls` shows what is");
    if let Fate::Requeue = fate {
        // All or none: whoever means many wants to hear at once of the one that cannot go.
        meant.iter().try_for_each(|it| desk.check_requeue(it))?;
    }
    let numbers: Vec<String> = meant.iter().map(|it| it.sequence.to_string()).collect();
    let numbers = numbers.join(" ");
    let answer = |meant: &[Dead]| {
        let (word, key) = match fate {
            Fate::Requeue => ("requeue", "requeued"),
            Fate::Drop => ("drop", "dropped"),
        };
        let sequences: Vec<u64> = meant.iter().map(|it| it.sequence).collect();
        Answer::new(format!("{word} {} of them: {numbers}", meant.len()), json!({ key: sequences }))
    };
    if change.dry_run {
        return Ok(answer(&meant).would());
    }
    let store = database.open().await?;
    let work = async {
        for (done, dead) in meant.iter().enumerate() {
            let settled = match fate {
                Fate::Requeue => desk.requeue(dead).await,
                Fate::Drop => desk.drop_dead(dead.sequence).await,
            };
            settled.with_context(|| {
                format!("message {}; {done} of {} are done", dead.sequence, meant.len())
            })?;
        }
        Ok(answer(&meant))
    };
    change.audited(&store, fate.command(), &numbers, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_among_octets() {
        let payload =
            b"\x0a\x24eml_0123456789abcdef\x12\x05x@y.z ibx_0123456789 eml_0123456789abcdef";
        assert_eq!(ids(payload), ["eml_0123456789abcdef", "ibx_0123456789"]);
        assert!(ids(b"eml_ nothing").is_empty());
    }
}
