//! Commands for those who run the services: each does one thing, says what it did, and ends.

mod inbox;
mod nats;
mod operators;
mod token;

use anyhow::{Context as _, bail, ensure};
use bus::Server;
use clap::{Args, Subcommand};
use store::Store;
use uuid::Uuid;

pub(crate) use self::nats::NatsLogin;
use crate::bounces::{self, ReturnPaths, Suppressions};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the streams, consumers and buckets that the services need.
    #[command(subcommand)]
    Streams(Streams),
    /// Make what NATS knows the services by.
    #[command(subcommand)]
    Nats(nats::Command),
    /// Bring the schema of the database up to date.
    Migrate(Database),
    /// Make accounts.
    #[command(subcommand)]
    Account(Account),
    /// Give accounts further tokens, and take them back.
    #[command(subcommand)]
    Token(token::Command),
    /// The addresses that nobody can send to.
    #[command(subcommand)]
    Suppressions(Suppressions),
    /// The key that return paths are made with.
    #[command(subcommand)]
    ReturnPaths(ReturnPaths),
    /// The tokens with which those who run the service sign in at the console.
    #[command(subcommand)]
    Operator(operators::Command),
    /// See how an inbox stands and what it may send, stop it, let it send again.
    #[command(subcommand)]
    Inbox(inbox::Command),
}

#[derive(Subcommand)]
pub(crate) enum Streams {
    /// Create and update them; what would lose messages is refused.
    Apply(Nats),
    /// Show what `apply` would do.
    Plan(Nats),
    /// Fail unless everything is as the services need it.
    Verify(Nats),
}

#[derive(Args)]
pub(crate) struct Nats {
    /// Where NATS is.
    #[arg(long, env = "POSTHOUSE_NATS", default_value = "nats://127.0.0.1:4222")]
    #[arg(hide_env_values = true)]
    nats: String,
    #[command(flatten)]
    login: NatsLogin,
    /// Of how many servers each keeps a copy: 1, 3 or 5.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
}

impl Nats {
    fn server(&self) -> anyhow::Result<Server> {
        self.login.server(&self.nats)
    }
}

#[derive(Args)]
pub(crate) struct Database {
    /// Where the database is: `sqlite:<file>` or `postgres://…`.
    #[arg(long, env = "POSTHOUSE_DATABASE", default_value = "sqlite:.posthouse/posthouse.db")]
    #[arg(hide_env_values = true)]
    pub(crate) database: String,
}

#[derive(Subcommand)]
pub(crate) enum Account {
    /// Make an account and its first token, which is shown this once.
    Create {
        /// Its id, such as acct_postmaster; a new one if left out.
        #[arg(long, value_parser = account_id)]
        id: Option<String>,
        /// What it may do, from 0 (receive only) to 4.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(0..=4))]
        tier: i64,
        #[command(flatten)]
        database: Database,
    },
}

/// Runs a command and returns what it has to say.
pub(crate) async fn run(command: Command) -> anyhow::Result<String> {
    match command {
        Command::Streams(Streams::Apply(nats)) => apply(&nats).await,
        Command::Streams(Streams::Plan(nats)) => plan(&nats).await,
        Command::Streams(Streams::Verify(nats)) => verify(&nats).await,
        Command::Nats(command) => nats::run(&command),
        Command::Migrate(Database { database }) => {
            store::migrate(&database).await.context("migrate")?;
            Ok("the schema is current".into())
        }
        Command::Account(Account::Create { id, tier, database }) => {
            create_account(id, tier, &database).await
        }
        Command::Token(command) => token::run(command).await,
        Command::Suppressions(command) => bounces::suppressions(command).await,
        Command::ReturnPaths(command) => bounces::return_paths(command).await,
        Command::Operator(command) => operators::run(command).await,
        Command::Inbox(command) => inbox::run(command).await,
    }
}

async fn apply(nats: &Nats) -> anyhow::Result<String> {
    let changes = bus::apply(nats.server()?, nats.replicas, false).await?;
    Ok(list(&changes).unwrap_or_else(|| "everything was as it should be".into()))
}

async fn plan(nats: &Nats) -> anyhow::Result<String> {
    let changes = bus::apply(nats.server()?, nats.replicas, true).await?;
    Ok(list(&changes).unwrap_or_else(|| "nothing to do".into()))
}

async fn verify(nats: &Nats) -> anyhow::Result<String> {
    let changes = bus::apply(nats.server()?, nats.replicas, true).await?;
    match list(&changes) {
        None => Ok("everything is as it should be".into()),
        Some(changes) => bail!("`posthouse streams apply` has yet to:\n{changes}"),
    }
}

fn list(changes: &[bus::Change]) -> Option<String> {
    let lines: Vec<&str> = changes.iter().map(|change| change.what.as_str()).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

async fn create_account(
    id: Option<String>,
    tier: i64,
    Database { database }: &Database,
) -> anyhow::Result<String> {
    let store = Store::open(database).await.context("open the database")?;
    let id = id.unwrap_or_else(|| format!("acct_{}", Uuid::now_v7().simple()));
    let is_taken = store.reader.account(&id).await.context("look the account up")?.is_some();
    ensure!(!is_taken, "account {id} exists already: `posthouse token add {id}` gives it a token");
    let token = gateway::token::generate().context("make a token")?;
    let hash = gateway::token::hash(&token);
    store.writer.create_account(&id, tier, &hash).await.context("create the account")?;
    Ok(format!("account {id}\ntoken {token}"))
}

/// What stands in a NATS subject as one token, and in a path unescaped.
fn account_id(id: &str) -> Result<String, String> {
    let name = id.strip_prefix("acct_").unwrap_or_default();
    let is_plain =
        name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    if name.is_empty() || name.len() > 64 || !is_plain {
        return Err("an account's id is acct_ and up to 64 of a-z, 0-9 and _".into());
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_is_one_token_of_a_subject() {
        assert_eq!(account_id("acct_postmaster").as_deref(), Ok("acct_postmaster"));
        for wrong in ["postmaster", "acct_", "acct_a.b", "acct_*", "acct_>", "acct_A", "acct_a/b"] {
            account_id(wrong).expect_err(wrong);
        }
    }
}
