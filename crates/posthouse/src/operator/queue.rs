//! `posthouse queue`: mail that waits to go out, in the outbox and for its next attempt.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use bus::{Desk, Later};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use store::{QueueFilter, QueuedMail, Store, rfc3339};
use uuid::Uuid;

use super::{
    Database, Nats,
    answer::{Answer, table},
    change::Change,
    suspend::canonical,
    when,
};

/// Mails that a summary counts of each kind; a longer queue says so.
const MOST: usize = 50_000;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show waiting mail: whose, where to, why it waits and until when.
    Ls {
        #[command(flatten)]
        filter: Filter,
        /// At most so many of the outbox, and of those that are to be tried again.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Count waiting mail.
    Summary {
        /// By what.
        #[arg(long, value_enum, default_value_t = By::Domain)]
        by: By,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        place: Place,
    },
    /// Have deliveries that wait for their next attempt tried now.
    Flush {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(super) nats: Nats,
    #[command(flatten)]
    pub(super) database: Database,
}

/// All that is named must fit; nothing named is everything.
#[derive(Args, Clone, Default)]
pub(crate) struct Filter {
    /// Of this account.
    #[arg(long)]
    account: Option<String>,
    /// Of this inbox, given by its id.
    #[arg(long)]
    inbox: Option<String>,
    /// To this domain.
    #[arg(long)]
    domain: Option<String>,
    /// This mail.
    #[arg(long)]
    mail: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum By {
    Account,
    Inbox,
    /// Of the recipients.
    Domain,
    /// Whether it waits in the outbox, for approval, or for its next attempt.
    Stage,
}

impl Filter {
    pub(super) fn is_empty(&self) -> bool {
        let Filter { account, inbox, domain, mail } = self;
        [account, inbox, domain, mail].iter().all(|it| it.is_none())
    }

    /// For the record.
    pub(super) fn words(&self) -> String {
        let Filter { account, inbox, domain, mail } = self;
        let named = [("account", account), ("inbox", inbox), ("domain", domain), ("mail", mail)];
        let named = named.iter().filter_map(|(name, it)| Some(format!("{name} {}", it.as_ref()?)));
        let words: Vec<String> = named.collect();
        if words.is_empty() { "all".to_owned() } else { words.join(" ") }
    }

    pub(super) fn of_outbox(&self) -> anyhow::Result<QueueFilter> {
        Ok(QueueFilter {
            account_id: self.account.clone(),
            inbox_id: self.inbox.clone(),
            email_id: self.mail.clone(),
            domain: self.domain.as_deref().map(canonical).transpose()?,
        })
    }

    /// Whether a delivery is meant; the domain is in A-labels.
    fn fits(&self, later: &Later, domain: Option<&str>) -> bool {
        let due = &later.due;
        let is =
            |wanted: &Option<String>, it: &str| wanted.as_ref().is_none_or(|wanted| wanted == it);
        is(&self.account, &due.account_id)
            && is(&self.inbox, &due.inbox_id)
            && is(&self.mail, &due.mail_id)
            && domain.is_none_or(|it| it == due.domain)
    }

    /// Those that are meant of the deliveries that wait; at most so many.
    pub(super) async fn later(&self, desk: &Desk, limit: usize) -> anyhow::Result<Vec<Later>> {
        let domain = self.domain.as_deref().map(canonical).transpose()?;
        let mut found = desk.later(MOST).await?;
        found.retain(|it| self.fits(it, domain.as_deref()));
        found.truncate(limit);
        Ok(found)
    }
}

pub(super) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Ls { filter, limit, place } => list(&filter, limit, &place).await,
        Command::Summary { by, filter, place } => summary(by, &filter, &place).await,
        Command::Flush { filter, change, place } => flush(&filter, &change, &place).await,
    }
}

/// A waiting mail, or one destination of it, whatever it waits in.
struct Item {
    id: String,
    account: String,
    inbox: String,
    domains: Vec<String>,
    stage: String,
    at: i64,
    why: String,
}

impl From<QueuedMail> for Item {
    fn from(mail: QueuedMail) -> Item {
        let domains = mail.domains();
        let why = match mail.state.as_str() {
            "waiting" => mail.held_reason.unwrap_or_else(|| "its inbox's turn".to_owned()),
            "approval" => "somebody has to approve it".to_owned(),
            _ => "under way to its first attempt".to_owned(),
        };
        Item {
            id: mail.email_id,
            account: mail.account_id,
            inbox: mail.inbox_id,
            domains,
            stage: if mail.state == "waiting" { "outbox".to_owned() } else { mail.state },
            at: mail.held_until.unwrap_or(mail.due_at),
            why,
        }
    }
}

impl From<Later> for Item {
    fn from(later: Later) -> Item {
        let due = later.due;
        let why = match due.deferrals {
            0 => format!("attempt {} is due then", due.attempt),
            times => format!("attempt {} was put off {times} times", due.attempt),
        };
        Item {
            id: due.mail_id,
            account: due.account_id,
            inbox: due.inbox_id,
            domains: vec![due.domain],
            stage: "retry".to_owned(),
            at: later.at,
            why,
        }
    }
}

async fn items(filter: &Filter, limit: usize, place: &Place) -> anyhow::Result<Vec<Item>> {
    let store: Store = place.database.open().await?;
    let queued = store.reader.queued(&filter.of_outbox()?, limit).await;
    let mut items: Vec<Item> =
        queued.context("read the outbox")?.into_iter().map(Item::from).collect();
    let later = filter.later(&place.nats.desk().await?, limit).await?;
    items.extend(later.into_iter().map(Item::from));
    Ok(items)
}

async fn list(filter: &Filter, limit: usize, place: &Place) -> anyhow::Result<Answer> {
    let items = items(filter, limit, place).await?;
    let row = |it: &Item| {
        let (id, stage, why) = (it.id.clone(), it.stage.clone(), it.why.clone());
        vec![id, it.inbox.clone(), it.domains.join(" "), stage, rfc3339(it.at), why]
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let text = table(&["mail", "inbox", "to", "stage", "at", "why"], &rows, "nothing waits");
    let items: Vec<Value> = items
        .iter()
        .map(|it| {
            json!({
                "mailId": it.id, "accountId": it.account, "inboxId": it.inbox,
                "domains": it.domains, "stage": it.stage, "at": rfc3339(it.at), "why": it.why,
            })
        })
        .collect();
    Ok(Answer::new(text, json!({ "waiting": items })))
}

async fn summary(by: By, filter: &Filter, place: &Place) -> anyhow::Result<Answer> {
    let items = items(filter, MOST, place).await?;
    let is_cut = items.len() >= MOST;
    // How many, and when the first is due.
    let mut counts: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for item in &items {
        let keys = match by {
            By::Account => vec![item.account.clone()],
            By::Inbox => vec![item.inbox.clone()],
            By::Domain => item.domains.clone(),
            By::Stage => vec![item.stage.clone()],
        };
        for key in keys {
            let count = counts.entry(key).or_insert((0, i64::MAX));
            *count = (count.0 + 1, count.1.min(item.at));
        }
    }
    let mut counts: Vec<(String, (u64, i64))> = counts.into_iter().collect();
    counts.sort_by(|a, b| (b.1.0, &a.0).cmp(&(a.1.0, &b.0)));
    let now = when::now();
    let row = |(key, (count, first)): &(String, (u64, i64))| {
        let due = if *first <= now {
            "due".to_owned()
        } else {
            format!("in {}", when::span(first - now))
        };
        vec![key.clone(), count.to_string(), due]
    };
    let rows: Vec<Vec<String>> = counts.iter().map(row).collect();
    let mut text = table(&["which", "mails", "first"], &rows, "nothing waits");
    if is_cut {
        text += &format!("\nmore than {MOST} wait: not all were counted");
    }
    let counts: Vec<Value> = counts
        .iter()
        .map(|(key, (count, first))| json!({ "key": key, "mails": count, "firstAt": rfc3339(*first) }))
        .collect();
    Ok(Answer::new(text, json!({ "counts": counts, "complete": !is_cut })))
}

async fn flush(filter: &Filter, change: &Change, place: &Place) -> anyhow::Result<Answer> {
    let desk = place.nats.desk().await?;
    let later = filter.later(&desk, MOST).await?;
    let words = filter.words();
    ensure!(!later.is_empty(), "no delivery waits for its next attempt ({words})");
    let answer = |count: usize| {
        Answer::new(format!("flush {count} deliveries ({words})"), json!({ "flushed": count }))
    };
    if change.dry_run {
        return Ok(answer(later.len()).would());
    }
    let store = place.database.open().await?;
    let key = format!("flush/{}", Uuid::now_v7().simple());
    let work = async {
        let mut count = 0;
        for it in &later {
            count += usize::from(desk.flush(it, &key).await?);
        }
        Ok(answer(count))
    };
    change.audited(&store, "queue flush", &words, work).await
}
