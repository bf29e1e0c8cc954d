//! The operator's commands for the key of return paths.

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use store::Store;

use crate::operator::{
    Answer, Database,
    change::{Change, Setup},
};

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
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
}

pub(crate) async fn return_paths(command: ReturnPaths) -> anyhow::Result<Answer> {
    let ReturnPaths::Rotate { leaked, setup, database } = command;
    let store = database.open().await?;
    let change: Change = setup.into();
    if change.dry_run {
        let believed = if leaked { ", nothing that was made before is believed" } else { "" };
        return Ok(Answer::from(format!("make a new key{believed}")).would());
    }
    let target = if leaked { "the leaked key" } else { "the key" };
    change.audited(&store, "return-paths rotate", target, rotate(&store, leaked)).await
}

async fn rotate(store: &Store, leaked: bool) -> anyhow::Result<Answer> {
    if leaked {
        store.writer.revoke_secret(storage::RETURN_PATHS).await.context("replace the key")?;
        return Ok(Answer::from("a new key; nothing that was made before is believed".to_owned()));
    }
    let age = mail::RETURN_PATH_VALIDITY;
    let rotated = store.writer.rotate_secret(storage::RETURN_PATHS, age).await;
    ensure!(
        rotated.context("rotate the key")?,
        "the key is younger than {} days: return paths made with the one before it are still under \
         way (--leaked drops them)",
        age.as_secs() / (24 * 60 * 60)
    );
    let text = "a new key; what was made with the one before is believed until it expires";
    Ok(Answer::from(text.to_owned()))
}
