//! How inboxes stand, stopping one, and letting it send again.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use contract::Figures;
use store::{Breakers, Inbox, Standing, Store, Switched, Whose, rfc3339};

use super::{
    Answer, Database,
    change::{Change, Setup},
};
use crate::limits;

/// Of its state's changes, so many are shown.
const CHANGES_SHOWN: i64 = 10;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show how an inbox stands, what became of its mail, and how that changed.
    Show {
        /// Its id or its address.
        inbox: String,
        #[command(flatten)]
        database: Database,
    },
    /// Show or set how much an inbox may send, in place of the limits of its tier.
    Limits {
        /// Its id or its address.
        inbox: String,
        #[command(flatten)]
        limits: limits::Change,
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
    /// Stop an inbox: it sends nothing more until it is resumed, and still receives.
    Stop {
        /// Its id or its address.
        inbox: String,
        /// What its owner is told.
        #[arg(long)]
        reason: String,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        database: Database,
    },
    /// Let a stopped inbox send again; what was counted against it counts no more.
    Resume {
        /// Its id or its address.
        inbox: String,
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
}

pub(super) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Show { inbox, database } => {
            let (store, inbox) = open(&inbox, &database).await?;
            show(&store, &inbox).await.map(Answer::from)
        }
        Command::Limits { inbox, limits, setup, database } => {
            let (store, inbox) = open(&inbox, &database).await?;
            limits::run(&store, &inbox.id, &limits, &setup.into()).await
        }
        Command::Stop { inbox, reason, dry_run, database } => {
            ensure!(!reason.trim().is_empty(), "--reason is empty: its owner is told");
            let (store, inbox) = open(&inbox, &database).await?;
            stop(&store, &inbox, &Change::new(reason.trim(), dry_run)).await
        }
        Command::Resume { inbox, setup, database } => {
            let (store, inbox) = open(&inbox, &database).await?;
            resume(&store, &inbox, &setup.into()).await
        }
    }
}

async fn stop(store: &Store, inbox: &Inbox, change: &Change) -> anyhow::Result<Answer> {
    let Inbox { id, address, .. } = inbox;
    if change.dry_run {
        return Ok(Answer::from(format!("stop inbox {id} ({address})")).would());
    }
    let work = async {
        match store.writer.stop_inbox(inbox, change.reason()).await.context("stop the inbox")? {
            Switched::Done(_) => Ok(Answer::from(format!(
                "inbox {id} ({address}) is stopped; `posthouse inbox resume {id}` lets it send again"
            ))),
            Switched::Unchanged(standing) => {
                bail!("inbox {id} ({address}) is {} already", state(&standing))
            }
        }
    };
    change.audited(store, "inbox stop", id, work).await
}

async fn resume(store: &Store, inbox: &Inbox, change: &Change) -> anyhow::Result<Answer> {
    let Inbox { id, address, .. } = inbox;
    if change.dry_run {
        return Ok(Answer::from(format!("resume inbox {id} ({address})")).would());
    }
    let work = async {
        match store.writer.resume_inbox(inbox).await.context("resume the inbox")? {
            Switched::Done(standing) => Ok(Answer::from(format!(
                "inbox {id} ({address}) sends again, counted from {}",
                rfc3339(standing.counted_from)
            ))),
            Switched::Unchanged(standing) => {
                bail!("inbox {id} ({address}) is not stopped: it is {}", state(&standing))
            }
        }
    };
    change.audited(store, "inbox resume", id, work).await
}

async fn open(name: &str, Database { database }: &Database) -> anyhow::Result<(Store, Inbox)> {
    let store = Store::open(database).await.context("open the database")?;
    let inbox = find(&store, name).await?;
    Ok((store, inbox))
}

/// The inbox with this identifier or address, which may be deleted if it is named by identifier.
pub(super) async fn find(store: &Store, name: &str) -> anyhow::Result<Inbox> {
    let found = match name.parse::<mail::Address>() {
        Ok(address) => store.reader.inbox_by_address(&address.canonical()).await,
        Err(_) => store.reader.inbox_by_id(name).await,
    };
    let found = found.context("look the inbox up")?;
    found.with_context(|| format!("there is no inbox {name}"))
}

/// `stopped since 2026-11-24T05:41:12.123Z`
fn state(standing: &Standing) -> String {
    format!("{} since {}", standing.state.as_str(), rfc3339(standing.since))
}

async fn show(store: &Store, inbox: &Inbox) -> anyhow::Result<String> {
    let reader = &store.reader;
    let breakers = reader.breakers().await.context("read the breakers")?;
    let standing = reader.standing(inbox).await.context("read the standing")?;
    let mut text = format!(
        "inbox {} ({})\naccount {}\n{}\n",
        inbox.id,
        inbox.address,
        inbox.account_id,
        state(&standing)
    );
    if let Some(reason) = standing.reason {
        writeln!(text, "because of {}: {}", reason.as_str(), standing.explanation)?;
    }
    if standing.counted_from > 0 {
        writeln!(text, "counted from {}", rfc3339(standing.counted_from))?;
    }
    writeln!(text, "\nwithin {} days{}", breakers.window_days, heading())?;
    for (name, whose) in [
        ("inbox", Whose::Inbox(&inbox.id)),
        ("account", Whose::Account(&inbox.account_id)),
        ("domain", Whose::Domain(&inbox.domain)),
    ] {
        let tally = reader.tally(whose, &breakers).await.context("read the figures")?;
        writeln!(text, "{}", line(name, &breakers.figures(&tally)))?;
    }
    write!(text, "\n{}", lines(&breakers))?;
    let changes = reader.standing_changes(&inbox.id, CHANGES_SHOWN).await;
    for change in changes.context("read the changes")? {
        let why = change.standing.explanation.unwrap_or_default();
        write!(text, "\n{} {} {why}", rfc3339(change.changed_at), change.event)?;
    }
    Ok(text)
}

const COLUMNS: [&str; 10] = [
    "attempted",
    "delivered",
    "deferred",
    "bounced",
    "refused",
    "complained",
    "suppressed",
    "bounces",
    "complaints",
    "score",
];

fn heading() -> String {
    COLUMNS.map(|it| format!(" {it:>10}")).concat()
}

fn line(name: &str, figures: &Figures) -> String {
    let counts = [
        figures.attempted,
        figures.delivered,
        figures.deferred,
        figures.bounced,
        figures.refused,
        figures.complained,
        figures.suppressed,
    ];
    let counts = counts.map(|it| format!(" {it:>10}")).concat();
    let rates = [figures.bounce_rate, figures.complaint_rate];
    let rates = rates.map(|it| format!(" {:>8.2} %", it * 100.0)).concat();
    format!("{name:<13}{counts}{rates} {:>10}", figures.score)
}

fn lines(breakers: &Breakers) -> String {
    format!(
        "warned over {} % bounces or {} % complaints, stopped over {} % or {} %",
        breakers.bounce_warn * 100.0,
        breakers.complaint_warn * 100.0,
        breakers.bounce_stop * 100.0,
        breakers.complaint_stop * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_their_names() {
        let figures = Figures { bounced: 12, bounce_rate: 0.12, score: 7, ..Figures::default() };
        let (heading, line) = (format!("{:<13}{}", "", heading()), line("inbox", &figures));
        let ends = |it: &str, word: &str| it.find(word).map(|at| at + word.len());
        assert_eq!(ends(&heading, "bounced"), ends(&line, "12"));
        assert_eq!(ends(&heading, "bounces"), ends(&line, "12.00 %"));
        assert_eq!((heading.len(), &line[line.len() - 2..]), (line.len(), " 7"));
    }
}
