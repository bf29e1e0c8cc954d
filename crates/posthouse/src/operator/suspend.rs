//! `posthouse suspend` and `resume`: a stage, or the mail of an account, of an inbox, or to a domain, stands
//! still for a while. Nothing is refused and nothing is lost, and it goes on by itself.
//!
//! A stage is paused by JetStream. Mail stands still in the outbox, and what is on its way is put off by the
//! senders.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use bus::Desk;
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};
use store::{Store, Suspension, SuspensionScope, rfc3339};

use super::{
    Database, Nats,
    answer::{Answer, table},
    change::{Change, who},
    when,
};

/// As long as JetStream is told that a stage is paused "until it is resumed".
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// One thing.
#[derive(Args, Clone)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// A stage, by the name that `posthouse status` shows.
    #[arg(long)]
    stage: Option<String>,
    /// Mail of this account's inboxes.
    #[arg(long)]
    account: Option<String>,
    /// Mail of this inbox, by its id or address.
    #[arg(long)]
    inbox: Option<String>,
    /// Mail to recipients of this domain.
    #[arg(long)]
    domain: Option<String>,
}

#[derive(Args)]
pub(crate) struct Place {
    #[command(flatten)]
    nats: Nats,
    #[command(flatten)]
    database: Database,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Suspend {
    #[command(subcommand)]
    list: Option<List>,
    #[command(flatten)]
    order: Order,
}

#[derive(Subcommand)]
enum List {
    /// Show what is suspended, until when, and why.
    Ls(Place),
}

#[derive(Args)]
struct Order {
    #[command(flatten)]
    target: Target,
    /// For how long, such as 90s, 5m, 2h or 3d.
    #[arg(long = "for", value_name = "DURATION", value_parser = when::duration)]
    #[arg(default_value = "5m", conflicts_with = "until_resumed")]
    duration: Duration,
    /// Until `posthouse resume`.
    #[arg(long)]
    until_resumed: bool,
    /// Why; it goes on record (`posthouse audit`).
    // Not `Change`: beside `suspend ls` there is no reason.
    #[arg(long, required = true, value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    place: Place,
}

/// What a target is, once it is looked up.
enum Meant {
    Stage(String),
    Mail(SuspensionScope, String),
}

impl Meant {
    fn words(&self) -> String {
        match self {
            Meant::Stage(stage) => format!("stage {stage}"),
            Meant::Mail(scope, target) => format!("{} {target}", scope.as_str()),
        }
    }
}

pub(super) async fn suspend(suspend: Suspend) -> anyhow::Result<Answer> {
    match suspend.list {
        Some(List::Ls(place)) => list(&place).await,
        None => suspend.order.run().await,
    }
}

impl Order {
    async fn run(self) -> anyhow::Result<Answer> {
        let Order { target, duration, until_resumed, reason, dry_run, place } = self;
        let change = Change::new(&reason.unwrap_or_default(), dry_run);
        let store = place.database.open().await?;
        let desk = place.nats.desk().await?;
        let meant = target.find(&store, &desk).await?;
        let until = (!until_resumed).then(|| when::now().saturating_add(when::micros(duration)));
        let end = until.map_or_else(|| "it is resumed".to_owned(), rfc3339);
        let words = meant.words();
        let answer = || {
            let json = json!({ "suspended": words, "until": until.map(rfc3339) });
            Answer::new(format!("suspend {words} until {end}"), json)
        };
        if change.dry_run {
            return Ok(answer().would());
        }
        let work = async {
            match &meant {
                Meant::Stage(stage) => {
                    let pause = if until_resumed { FOR_EVER } else { duration };
                    desk.pause(stage, SystemTime::now() + pause).await?;
                }
                Meant::Mail(scope, target) => {
                    let suspension = Suspension {
                        scope: *scope,
                        target: target.clone(),
                        since: 0,
                        until,
                        who: who(),
                        reason: change.reason().to_owned(),
                    };
                    store.writer.suspend(&suspension).await.context("suspend mail")?;
                }
            }
            Ok(answer())
        };
        change.audited(&store, "suspend", &words, work).await
    }
}

pub(super) async fn resume(resume: Resume) -> anyhow::Result<Answer> {
    let Resume { target, change, place } = resume;
    let store = place.database.open().await?;
    let desk = place.nats.desk().await?;
    let meant = target.find(&store, &desk).await?;
    let words = meant.words();
    let is_suspended = match &meant {
        Meant::Stage(stage) => {
            desk.stages().await?.iter().any(|it| it.durable == stage && it.paused_for.is_some())
        }
        Meant::Mail(scope, target) => {
            let suspensions = store.reader.suspensions().await.context("read suspensions")?;
            suspensions.iter().any(|it| it.scope == *scope && it.target == *target)
        }
    };
    ensure!(is_suspended, "{words} is not suspended: `posthouse suspend ls` shows what is");
    let answer = || Answer::new(format!("resume {words}"), json!({ "resumed": words }));
    if change.dry_run {
        return Ok(answer().would());
    }
    let work = async {
        match &meant {
            Meant::Stage(stage) => desk.resume(stage).await?,
            Meant::Mail(scope, target) => {
                store.writer.resume(*scope, target).await.context("resume mail").map(drop)?;
            }
        }
        Ok(answer())
    };
    change.audited(&store, "resume", &words, work).await
}

impl Target {
    async fn find(&self, store: &Store, desk: &Desk) -> anyhow::Result<Meant> {
        if let Some(stage) = &self.stage {
            let stages = desk.stages().await?;
            let names: Vec<&str> = stages.iter().map(|it| it.durable).collect();
            ensure!(
                names.contains(&stage.as_str()),
                "there is no stage {stage}: there are {}",
                names.join(", ")
            );
            return Ok(Meant::Stage(stage.clone()));
        }
        if let Some(account) = &self.account {
            let found = store.reader.account(account).await.context("look the account up")?;
            ensure!(found.is_some(), "there is no account {account}");
            return Ok(Meant::Mail(SuspensionScope::Account, account.clone()));
        }
        if let Some(inbox) = &self.inbox {
            let found = super::inbox::find(store, inbox).await?;
            return Ok(Meant::Mail(SuspensionScope::Inbox, found.id));
        }
        let domain = self.domain.as_deref().context("name what is meant")?;
        Ok(Meant::Mail(SuspensionScope::Domain, canonical(domain)?))
    }
}

/// In lower case and A-labels, as the senders know destinations.
pub(super) fn canonical(domain: &str) -> anyhow::Result<String> {
    let address = format!("postmaster@{domain}").parse::<mail::Address>();
    let address = address.map_err(|err| anyhow::anyhow!("{domain:?} is no domain: {err}"))?;
    Ok(address.domain().to_owned())
}

async fn list(place: &Place) -> anyhow::Result<Answer> {
    let store = place.database.open().await?;
    let desk = place.nats.desk().await?;
    let mut found: Vec<Value> = Vec::new();
    for stage in desk.stages().await? {
        let Some(left) = stage.paused_for else { continue };
        let until = (left < FOR_EVER / 2).then(|| rfc3339(when::now() + when::micros(left)));
        // By whom and why the record says.
        found.push(json!({ "scope": "stage", "target": stage.durable, "until": until }));
    }
    for it in store.reader.suspensions().await.context("read suspensions")? {
        found.push(json!({
            "scope": it.scope.as_str(), "target": it.target, "until": it.until.map(rfc3339),
            "since": rfc3339(it.since), "who": it.who, "reason": it.reason,
        }));
    }
    let row = |it: &Value| {
        let cell = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let until = it["until"].as_str().unwrap_or("it is resumed").to_owned();
        vec![cell("scope"), cell("target"), until, cell("who"), cell("reason")]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let text = table(&["what", "which", "until", "by", "reason"], &rows, "nothing is suspended");
    Ok(Answer::new(text, json!({ "suspended": found })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_as_senders_know_it() {
        assert_eq!(canonical("B\u{fc}cher.Example").expect("a domain"), "xn--bcher-kva.example");
        canonical("no domain").expect_err("refused");
    }
}
