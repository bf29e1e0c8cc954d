//! The operator's commands around bounces: what nobody may send to, and the key of return paths.

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use store::{Store, rfc3339};

use crate::operator::Database;

/// As many are shown, the newest first.
const MOST_SHOWN: i64 = 1_000;

#[derive(Subcommand)]
pub(crate) enum Suppressions {
    /// Show the addresses that nobody can send to, and why.
    List(Database),
    /// Let mail go to such an address again. What single accounts know against it stays.
    Lift {
        address: String,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Subcommand)]
pub(crate) enum ReturnPaths {
    /// Make return paths with a new key. Those made with the one before are believed until they
    /// expire.
    Rotate {
        /// Somebody knows the key: no return path made so far is believed any more, and reports on
        /// mail that is under way are dropped.
        #[arg(long)]
        leaked: bool,
        #[command(flatten)]
        database: Database,
    },
}

pub(crate) async fn suppressions(command: Suppressions) -> anyhow::Result<String> {
    match command {
        Suppressions::List(Database { database }) => {
            let store = Store::open(&database).await.context("open the database")?;
            let found = store.reader.global_suppressions(MOST_SHOWN).await?;
            let lines = found.iter().map(|it| {
                let until = it.expires_at.map(rfc3339).unwrap_or_default();
                format!("{} {}: {}, until {until}", it.address, it.reason, it.evidence)
            });
            let lines: Vec<String> = lines.collect();
            Ok(if lines.is_empty() { "none".to_owned() } else { lines.join("\n") })
        }
        Suppressions::Lift { address, database: Database { database } } => {
            let store = Store::open(&database).await.context("open the database")?;
            let lifted = store.writer.lift_global_suppression(&address).await?;
            ensure!(lifted, "{address} is not suppressed for everybody");
            Ok(format!("mail may go to {address} again"))
        }
    }
}

pub(crate) async fn return_paths(command: ReturnPaths) -> anyhow::Result<String> {
    let ReturnPaths::Rotate { leaked, database: Database { database } } = command;
    let writer = Store::open(&database).await.context("open the database")?.writer;
    if leaked {
        writer.revoke_secret(storage::RETURN_PATHS).await.context("replace the key")?;
        return Ok("a new key; nothing that was made before is believed".to_owned());
    }
    let age = mail::RETURN_PATH_VALIDITY;
    let rotated =
        writer.rotate_secret(storage::RETURN_PATHS, age).await.context("rotate the key")?;
    ensure!(
        rotated,
        "the key is younger than {} days: return paths made with the one before it are still under \
         way (--leaked drops them)",
        age.as_secs() / (24 * 60 * 60)
    );
    Ok("a new key; what was made with the one before is believed until it expires".to_owned())
}
