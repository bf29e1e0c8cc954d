//! `posthouse suppress`: the addresses that get no mail, from anybody or from one account.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use store::{Evidence, Store, Suppression, Weight, rfc3339};

use super::{
    Database,
    answer::{Answer, table},
    change::Change,
};

/// The most addresses that are listed or exported.
const MOST: i64 = 1_000_000;

/// Addresses in a page of an account's.
const PAGE: i64 = 1_000;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show which addresses get no mail, why, and until when.
    Ls {
        #[command(flatten)]
        scope: Scope,
        /// At most so many, the newest.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(i64).range(1..=MOST))]
        limit: i64,
        #[command(flatten)]
        database: Database,
    },
    /// Keep mail from addresses, until they are removed.
    Add {
        #[arg(required = true)]
        addresses: Vec<String>,
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        database: Database,
    },
    /// Let mail go to addresses again. What was known against them stays on record.
    Rm {
        #[arg(required = true)]
        addresses: Vec<String>,
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        database: Database,
    },
    /// Add the addresses of a file: one a line, what stands behind a comma is ignored.
    Import {
        file: PathBuf,
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        database: Database,
    },
    /// Print all addresses as `import` reads them, with reason and expiry.
    Export {
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Args)]
pub(crate) struct Scope {
    /// Of this account, not of everybody.
    #[arg(long)]
    account: Option<String>,
}

impl Scope {
    fn words(&self) -> String {
        self.account.as_ref().map_or_else(|| "everybody".to_owned(), |it| format!("account {it}"))
    }

    async fn check(&self, store: &Store) -> anyhow::Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        let found = store.reader.account(account).await.context("look the account up")?;
        ensure!(found.is_some(), "there is no account {account}");
        Ok(())
    }

    async fn read(&self, store: &Store, limit: i64) -> anyhow::Result<Vec<Suppression>> {
        let Some(account) = &self.account else {
            let found = store.reader.global_suppressions(limit).await;
            return found.context("read suppressions");
        };
        let wanted = usize::try_from(limit).unwrap_or_default();
        let (mut found, mut cursor) = (Vec::new(), None);
        while found.len() < wanted {
            let page = store.reader.suppressions(account, PAGE, cursor.as_deref()).await;
            let page = page.context("read suppressions")?;
            found.extend(page.items);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        found.truncate(wanted);
        Ok(found)
    }
}

pub(super) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Ls { scope, limit, database } => list(&scope, limit, &database).await,
        Command::Add { addresses, scope, change, database } => {
            let addresses = addresses.iter().map(|it| address(it)).collect::<Result<_, _>>()?;
            add(addresses, "suppress add", &scope, &change, &database).await
        }
        Command::Rm { addresses, scope, change, database } => {
            remove(&addresses, &scope, &change, &database).await
        }
        Command::Import { file, scope, change, database } => {
            let text = fs::read_to_string(&file);
            let text = text.with_context(|| format!("read {}", file.display()))?;
            let addresses = lines(&text).with_context(|| format!("read {}", file.display()))?;
            add(addresses, "suppress import", &scope, &change, &database).await
        }
        Command::Export { scope, database } => export(&scope, &database).await,
    }
}

/// As suppressions name it.
fn address(text: &str) -> anyhow::Result<String> {
    let text = text.trim();
    let parsed = text.parse::<mail::Address>();
    parsed.map_err(|err| anyhow::anyhow!("{text:?} is no address: {err}"))?;
    Ok(text.to_lowercase())
}

/// All or none: an error names its line.
fn lines(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let is_said = |it: &(usize, &str)| !it.1.trim().is_empty() && !it.1.starts_with('#');
    text.lines()
        .enumerate()
        .filter(is_said)
        .map(|(n, line)| {
            let first = line.split(',').next().unwrap_or_default();
            address(first).with_context(|| format!("line {}", n + 1))
        })
        .collect()
}

async fn list(scope: &Scope, limit: i64, database: &Database) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    scope.check(&store).await?;
    let found = scope.read(&store, limit).await?;
    let until =
        |it: &Suppression| it.expires_at.map_or_else(|| "it is removed".to_owned(), rfc3339);
    let row = |it: &Suppression| {
        let (address, reason) = (it.address.clone(), it.reason.clone());
        vec![address, reason, rfc3339(it.created_at), until(it), it.evidence.clone()]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let text = table(&["address", "reason", "since", "until", "evidence"], &rows, "none");
    Ok(Answer::new(text, json!({ "suppressed": found.iter().map(described).collect::<Vec<_>>() })))
}

fn described(it: &Suppression) -> Value {
    json!({
        "address": it.address, "scope": it.scope.as_str(), "reason": it.reason,
        "evidence": it.evidence, "createdAt": rfc3339(it.created_at),
        "expiresAt": it.expires_at.map(rfc3339),
    })
}

async fn export(scope: &Scope, database: &Database) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    scope.check(&store).await?;
    let found = scope.read(&store, MOST).await?;
    let line = |it: &Suppression| {
        let until = it.expires_at.map(rfc3339).unwrap_or_default();
        format!("{},{},{until}", it.address, it.reason)
    };
    let text: Vec<String> = found.iter().map(line).collect();
    let json = json!({ "suppressed": found.iter().map(described).collect::<Vec<_>>() });
    Ok(Answer::new(text.join("\n"), json))
}

async fn add(
    addresses: BTreeSet<String>,
    command: &str,
    scope: &Scope,
    change: &Change,
    database: &Database,
) -> anyhow::Result<Answer> {
    ensure!(!addresses.is_empty(), "no address is named");
    let store = database.open().await?;
    scope.check(&store).await?;
    let words = scope.words();
    let answer = || {
        let text = format!("keep mail of {words} from {} addresses", addresses.len());
        Answer::new(text, json!({ "added": addresses.len() }))
    };
    if change.dry_run {
        return Ok(answer().would());
    }
    let said = format!("by the operator: {}", change.reason());
    let work = async {
        match &scope.account {
            None => store.writer.suppress_for_all(&addresses, "manual", &said).await,
            Some(account) => {
                let evidence = |address: &String| Evidence {
                    account_id: account.clone(),
                    address: address.clone(),
                    // A wish of its own: one that was lifted before does not stand in its way.
                    source: format!("operator {}", uuid::Uuid::now_v7().simple()),
                    reason: "manual".to_owned(),
                    evidence: said.clone(),
                    weight: Weight::Wish,
                };
                let evidence: Vec<Evidence> = addresses.iter().map(evidence).collect();
                store.writer.note_evidence(&evidence).await
            }
        }
        .context("suppress addresses")?;
        Ok(answer())
    };
    change.audited(&store, command, &target(&words, &addresses), work).await
}

async fn remove(
    addresses: &[String],
    scope: &Scope,
    change: &Change,
    database: &Database,
) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    scope.check(&store).await?;
    let words = scope.words();
    let known: BTreeSet<String> =
        scope.read(&store, MOST).await?.into_iter().map(|it| it.address).collect();
    let addresses: BTreeSet<String> = addresses.iter().map(|it| it.trim().to_lowercase()).collect();
    if let Some(unknown) = addresses.iter().find(|it| !known.contains(*it)) {
        anyhow::bail!(
            "{unknown} is not suppressed for {words}: `posthouse suppress ls` shows who is"
        );
    }
    let answer = || {
        let text = format!("let mail of {words} go to {} addresses again", addresses.len());
        Answer::new(text, json!({ "removed": addresses }))
    };
    if change.dry_run {
        return Ok(answer().would());
    }
    let work = async {
        for address in &addresses {
            let lifted = match &scope.account {
                None => store.writer.lift_global_suppression(address).await,
                Some(account) => store.writer.lift_suppression(account, address).await,
            };
            lifted.with_context(|| format!("lift the suppression of {address}"))?;
        }
        Ok(answer())
    };
    change.audited(&store, "suppress rm", &target(&words, &addresses), work).await
}

/// For the record: who, and whom, if they are few.
fn target(words: &str, addresses: &BTreeSet<String>) -> String {
    match addresses.len() {
        1..=5 => {
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            format!("{words}: {}", addresses.join(" "))
        }
        many => format!("{words}: {many} addresses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let found = lines("# old list\nBob@B.test,complaint,\n\nann@a.test\nann@a.test\n");
        let found: Vec<String> = found.expect("addresses").into_iter().collect();
        assert_eq!(found, ["ann@a.test", "bob@b.test"]);
        let err = lines("ann@a.test\nnobody\n").expect_err("no address");
        assert!(format!("{err:#}").starts_with("line 2: \"nobody\" is no address"), "{err:#}");
    }
}
