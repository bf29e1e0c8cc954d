//! Commands for those who run the services: each does one thing, says what it did, and ends.

mod answer;
mod audit;
mod bounce;
pub(crate) mod change;
mod dead;
mod doctor;
mod inbox;
mod nats;
mod operators;
mod queue;
mod status;
mod suppress;
mod suspend;
mod token;
mod trace;
mod when;

use anyhow::{Context as _, ensure};
use bus::{Desk, Server};
use clap::{Args, Subcommand};
use serde_json::json;
use store::Store;
use uuid::Uuid;

use self::change::{Change, Setup};
pub(crate) use self::{answer::Answer, nats::NatsLogin};
use crate::bounces::{self, ReturnPaths};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the streams, consumers and buckets that the services need.
    #[command(subcommand)]
    Streams(Streams),
    /// Make what NATS knows the services by.
    #[command(subcommand)]
    Nats(nats::Command),
    /// Bring the schema of the database up to date.
    Migrate {
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
    /// Make accounts.
    #[command(subcommand)]
    Account(Account),
    /// Give accounts further tokens, and take them back.
    #[command(subcommand)]
    Token(token::Command),
    /// The key that return paths are made with.
    #[command(subcommand)]
    ReturnPaths(ReturnPaths),
    /// The tokens with which those who run the service sign in at the console.
    #[command(subcommand)]
    Operator(operators::Command),
    /// See how an inbox stands and what it may send, stop it, let it send again.
    #[command(subcommand)]
    Inbox(inbox::Command),
    /// One mail's life over all stages.
    Trace(trace::Options),
    /// Messages that a stage could not handle: see them, hand them on again, drop them.
    #[command(subcommand)]
    Dead(dead::Command),
    /// Whether everything is as it has to be: DNS, TLS, NATS, the database, clocks.
    Doctor(Box<doctor::Options>),
    /// How much waits where, per stage and per provider.
    Status(status::Options),
    /// As `status`, refreshed, with what each stage does a second.
    Top(status::Top),
    /// Mail that waits to go out: see it, count it, have it tried now.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Have a stage, or some mail, stand still for a while.
    Suspend(suspend::Suspend),
    /// End that before its time.
    Resume(suspend::Resume),
    /// Addresses that get no mail: see, add, remove, import and export them.
    #[command(subcommand)]
    Suppress(suppress::Command),
    /// Give up queued mail now; its senders hear of it.
    Bounce(bounce::Options),
    /// What operators did, and why.
    Audit(audit::Options),
}

#[derive(Subcommand)]
pub(crate) enum Streams {
    /// Create and update them; what would lose messages is refused.
    Apply(Topology),
    /// Show what `apply` would do.
    Plan(Topology),
    /// Fail unless everything is as the services need it.
    Verify(Topology),
}

#[derive(Args)]
pub(crate) struct Nats {
    /// Where NATS is.
    #[arg(long, env = "POSTHOUSE_NATS", default_value = "nats://127.0.0.1:4222")]
    #[arg(hide_env_values = true)]
    nats: String,
    #[command(flatten)]
    login: NatsLogin,
}

impl Nats {
    fn server(&self) -> anyhow::Result<Server> {
        self.login.server(&self.nats)
    }

    async fn desk(&self) -> anyhow::Result<Desk> {
        Desk::connect(self.server()?).await
    }
}

/// The streams as they are to be.
#[derive(Args)]
pub(crate) struct Topology {
    #[command(flatten)]
    nats: Nats,
    /// How many servers have a copy of each stream: 1, 3 or 5. If left out, new streams have one, and the
    /// others stay as they are.
    #[arg(long, env = "POSTHOUSE_REPLICAS", value_parser = replicas)]
    replicas: Option<usize>,
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
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
}

/// Runs a command and returns what it has to say.
pub(crate) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Streams(Streams::Apply(wanted)) => apply(&wanted).await,
        Command::Streams(Streams::Plan(wanted)) => plan(&wanted).await,
        Command::Streams(Streams::Verify(wanted)) => verify(&wanted).await,
        Command::Nats(command) => nats::run(&command).map(Answer::from),
        Command::Migrate { setup, database } => migrate(&setup.into(), &database).await,
        Command::Account(Account::Create { id, tier, setup, database }) => {
            create_account(id, tier, &setup.into(), &database).await
        }
        Command::Token(command) => token::run(command).await,
        Command::ReturnPaths(command) => bounces::return_paths(command).await,
        Command::Operator(command) => operators::run(command).await,
        Command::Inbox(command) => inbox::run(command).await,
        Command::Trace(options) => trace::run(options).await,
        Command::Doctor(options) => doctor::run(*options).await,
        Command::Dead(command) => dead::run(command).await,
        Command::Status(options) => status::status(options).await,
        Command::Top(top) => status::top(top).await,
        Command::Queue(command) => queue::run(command).await,
        Command::Suspend(suspend) => suspend::suspend(suspend).await,
        Command::Resume(resume) => suspend::resume(resume).await,
        Command::Suppress(command) => suppress::run(command).await,
        Command::Bounce(options) => bounce::run(options).await,
        Command::Audit(options) => audit::run(options).await,
    }
}

async fn apply(wanted: &Topology) -> anyhow::Result<Answer> {
    let changes = bus::apply(wanted.nats.server()?, wanted.replicas, false).await?;
    Ok(listed(&changes, "everything was as it should be"))
}

async fn plan(wanted: &Topology) -> anyhow::Result<Answer> {
    let changes = bus::apply(wanted.nats.server()?, wanted.replicas, true).await?;
    Ok(listed(&changes, "nothing to do"))
}

async fn verify(wanted: &Topology) -> anyhow::Result<Answer> {
    let changes = bus::apply(wanted.nats.server()?, wanted.replicas, true).await?;
    let answer = listed(&changes, "everything is as it should be");
    Ok(if changes.is_empty() { answer } else { answer.bad() })
}

fn listed(changes: &[bus::Change], none: &str) -> Answer {
    let lines: Vec<&str> = changes.iter().map(|change| change.what.as_str()).collect();
    let text = if lines.is_empty() { none.to_owned() } else { lines.join("\n") };
    Answer::new(text, json!({ "changes": lines }))
}

async fn migrate(change: &Change, database: &Database) -> anyhow::Result<Answer> {
    if change.dry_run {
        return match Store::open(&database.database).await {
            Ok(_) => Ok(Answer::from("do nothing: the schema is current".to_owned()).would()),
            Err(store::Error::SchemaNotCurrent) => {
                Ok(Answer::from("bring the schema up to date".to_owned()).would())
            }
            Err(err) => Err(err).context("open the database (--database)"),
        };
    }
    store::migrate(&database.database).await.context("migrate")?;
    // Before there was no table to have it on record in.
    let store = database.open().await?;
    let done = async { Ok(Answer::from("the schema is current".to_owned())) };
    change.audited(&store, "migrate", "the schema", done).await
}

async fn create_account(
    id: Option<String>,
    tier: i64,
    change: &Change,
    database: &Database,
) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    let id = id.unwrap_or_else(|| format!("acct_{}", Uuid::now_v7().simple()));
    let is_taken = store.reader.account(&id).await.context("look the account up")?.is_some();
    ensure!(!is_taken, "account {id} exists already: `posthouse token add {id}` gives it a token");
    if change.dry_run {
        let text = format!("create account {id} of tier {tier}");
        return Ok(Answer::new(text, json!({ "account": id })).would());
    }
    let token = gateway::token::generate().context("make a token")?;
    let hash = gateway::token::hash(&token);
    let work = async {
        store.writer.create_account(&id, tier, &hash).await.context("create the account")?;
        Ok(Answer::from(format!("account {id} of tier {tier}")))
    };
    change.audited(&store, "account create", &id, work).await?;
    let json = json!({ "account": id, "token": token });
    Ok(Answer::new(format!("account {id}\ntoken {token}"), json))
}

/// An even number survives no more servers than the odd one below it.
fn replicas(count: &str) -> Result<usize, String> {
    match count {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("streams have 1, 3 or 5 replicas".into()),
    }
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
    fn replicas_are_as_many_as_can_be_outvoted() {
        assert_eq!(["1", "3", "5"].map(|it| replicas(it).ok()), [1, 3, 5].map(Some));
        for wrong in ["0", "2", "4", "7", "", "one"] {
            replicas(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn an_account_id_is_one_token_of_a_subject() {
        assert_eq!(account_id("acct_postmaster").as_deref(), Ok("acct_postmaster"));
        for wrong in ["postmaster", "acct_", "acct_a.b", "acct_*", "acct_>", "acct_A", "acct_a/b"] {
            account_id(wrong).expect_err(wrong);
        }
    }
}
