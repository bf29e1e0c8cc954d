//! Tokens of accounts: making ones that may everything or less, seeing them, taking them back.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use contract::{Grant, Right, SendLimits};
use serde_json::{Value, json};
use store::{NewToken, Token, rfc3339};

use super::{
    Answer, Database,
    change::{Change, Setup},
};

/// So much of a token's hash is its id.
const ID_DIGITS: usize = 12;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a further token for an account; it is shown this once. Without options it may everything.
    #[command(visible_alias = "create")]
    Add {
        account: String,
        #[command(flatten)]
        wishes: Box<Wishes>,
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
    /// Show an account's tokens: their ids, when they were made and used, and what they may do.
    List {
        account: String,
        #[command(flatten)]
        database: Database,
    },
    /// Take a token back. The API refuses it at once, everything else within two seconds.
    Revoke {
        account: String,
        /// As `list` shows it.
        id: String,
        /// And all that were made with it, and with those.
        #[arg(long)]
        made: bool,
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
}

/// What the token may do. What is left out is not narrowed.
#[derive(Args)]
pub(crate) struct Wishes {
    /// What it is for.
    #[arg(long)]
    label: Option<String>,
    /// Some of read, send, reply, admin.
    #[arg(long, value_delimiter = ',')]
    rights: Option<Vec<String>>,
    /// It sees only this inbox; again for more.
    #[arg(long = "inbox")]
    inboxes: Option<Vec<String>>,
    /// It sees only this thread; again for more.
    #[arg(long = "thread")]
    threads: Option<Vec<String>>,
    /// It is worth nothing after so many seconds.
    #[arg(long)]
    expires_in: Option<u32>,
    /// It may send so many mails, in all or in any `--per-seconds`.
    #[arg(long)]
    mails: Option<u32>,
    #[arg(long, requires = "mails")]
    per_seconds: Option<u32>,
    /// It may send to this address or domain only; again for more.
    #[arg(long = "recipient")]
    recipients: Option<Vec<String>>,
}

impl Wishes {
    /// As `POST /v1/tokens` takes them.
    fn request(&self) -> Value {
        let Wishes { mails, per_seconds, recipients, .. } = self;
        json!({
            "label": self.label, "rights": self.rights, "inboxIds": self.inboxes,
            "threadIds": self.threads, "expiresInSeconds": self.expires_in,
            "limits": { "mails": mails, "perSeconds": per_seconds, "recipients": recipients },
        })
    }
}

pub(super) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Add { account, wishes, setup, database } => {
            add(&account, &wishes, &setup.into(), &database).await
        }
        Command::List { account, database } => list(&account, &database).await,
        Command::Revoke { account, id, made, setup, database } => {
            revoke((&account, &id), made, &setup.into(), &database).await
        }
    }
}

async fn add(
    account: &str,
    wishes: &Wishes,
    change: &Change,
    database: &Database,
) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    let found = store.reader.account(account).await.context("look the account up")?;
    ensure!(found.is_some(), "there is no account {account}");
    let (label, grant) = gateway::operators_grant(&store.reader, account, wishes.request()).await?;
    if change.dry_run {
        let may = narrowed(&grant);
        let text = format!("make a token for {account} {label:?}{may}");
        return Ok(Answer::new(text, json!({ "account": account, "grant": grant })).would());
    }
    let token = gateway::token::generate().context("make a token")?;
    let hash = gateway::token::hash(&token);
    let work = async {
        let new = NewToken { label, grant, ..NewToken::whole(&hash, account) };
        store.writer.add_token(&new).await.context("add the token")?;
        // The record has its id; the token itself is nobody else's.
        Ok(Answer::from(format!("token {}", &hash[..ID_DIGITS])))
    };
    change.audited(&store, "token add", account, work).await?;
    Ok(Answer::new(format!("token {token}"), json!({ "token": token })))
}

async fn list(account: &str, database: &Database) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    let tokens = store.reader.tokens(account).await.context("read the tokens")?;
    let lines = tokens.iter().map(|it| {
        let used = it.last_used_at.map_or_else(String::new, |at| format!(" used {}", rfc3339(at)));
        let label = if it.label.is_empty() { String::new() } else { format!(" {:?}", it.label) };
        format!("{} made {}{used}{}{label}", it.id(), rfc3339(it.created_at), narrowed(&it.grant))
    });
    let lines: Vec<String> = lines.collect();
    ensure!(!lines.is_empty(), "{account} has no tokens");
    let described = |it: &Token| {
        json!({
            "id": it.id(), "label": it.label, "createdAt": rfc3339(it.created_at),
            "lastUsedAt": it.last_used_at.map(rfc3339), "grant": it.grant,
        })
    };
    let tokens: Vec<Value> = tokens.iter().map(described).collect();
    Ok(Answer::new(lines.join("\n"), json!({ "tokens": tokens })))
}

/// What a token may less than its account; empty if it is nothing.
fn narrowed(grant: &Grant) -> String {
    let Grant { rights, inbox_ids, thread_ids, expires_at, limits, .. } = grant;
    let SendLimits { mails, per_seconds, recipients } = limits;
    let rights: Vec<&str> = rights.iter().map(Right::name).collect();
    let mut text = String::new();
    if rights.len() < Right::ALL.len() {
        _ = write!(text, " rights {}", rights.join(","));
    }
    for (name, list) in [("inboxes", inbox_ids), ("threads", thread_ids), ("to", recipients)] {
        if let Some(list) = list {
            _ = write!(text, " {name} {}", list.join(","));
        }
    }
    if let Some(mails) = mails {
        let within = per_seconds.map_or_else(String::new, |it| format!(" in {it} s"));
        _ = write!(text, " mails {mails}{within}");
    }
    if let Some(expires_at) = expires_at {
        _ = write!(text, " expires {}", rfc3339(*expires_at));
    }
    text
}

async fn revoke(
    (account, id): (&str, &str),
    with_made: bool,
    change: &Change,
    database: &Database,
) -> anyhow::Result<Answer> {
    ensure!(id.len() >= ID_DIGITS, "{id} is no token's id: `posthouse token list` shows them");
    let store = database.open().await?;
    let tokens = store.reader.tokens(account).await.context("read the tokens")?;
    let mut found = tokens.iter().filter(|it| it.hash.starts_with(id));
    let (Some(token), None) = (found.next(), found.next()) else {
        bail!("{account} has no token {id}: `posthouse token list {account}` shows those it has");
    };
    if change.dry_run {
        let made = if with_made { ", and all that were made with it" } else { "" };
        return Ok(Answer::from(format!("revoke token {id} of {account}{made}")).would());
    }
    let work = async {
        let hash = &token.hash;
        let revoked = store.writer.revoke_tokens(account, hash, with_made, store::OPERATOR).await;
        Ok(Answer::from(match revoked.context("revoke the token")?.len() {
            0 | 1 => format!("token {id} is revoked"),
            count => format!("token {id} is revoked, and {} made with it", count - 1),
        }))
    };
    change.audited(&store, "token revoke", &format!("{account} {id}"), work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_a_token_may_less() {
        assert_eq!(narrowed(&Grant::default()), "");
        let grant = Grant {
            rights: [Right::Send].into_iter().collect(),
            inbox_ids: Some(vec!["ibx_1".into(), "ibx_2".into()]),
            expires_at: Some(0),
            limits: SendLimits {
                mails: Some(2),
                per_seconds: Some(60),
                recipients: Some(vec!["b.test".into()]),
            },
            ..Grant::default()
        };
        let expected = " rights send inboxes ibx_1,ibx_2 to b.test mails 2 in 60 s \
                        expires 1970-01-01T00:00:00.000Z";
        assert_eq!(narrowed(&grant), expected);
    }
}
