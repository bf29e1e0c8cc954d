//! Tokens of those who run the service: for the console, and for nothing of any account.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use serde_json::{Value, json};
use store::{OperatorToken, rfc3339};

use super::{
    Answer, Database,
    change::{Change, Setup},
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token; it is shown this once.
    Token {
        /// Whose it is, or what it is for.
        #[arg(long, default_value = "")]
        label: String,
        /// It is worth nothing after so many seconds.
        #[arg(long)]
        expires_in: Option<u32>,
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
    /// Show all that were made: their ids, and whether they are good.
    List {
        #[command(flatten)]
        database: Database,
    },
    /// Take a token back. Who is signed in with it is signed out.
    Revoke {
        /// As `list` shows it.
        id: String,
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        database: Database,
    },
}

pub(super) async fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Token { label, expires_in, setup, database } => {
            make(&label, expires_in, &setup.into(), &database).await
        }
        Command::List { database } => list(&database).await,
        Command::Revoke { id, setup, database } => revoke(&id, &setup.into(), &database).await,
    }
}

async fn make(
    label: &str,
    expires_in: Option<u32>,
    change: &Change,
    database: &Database,
) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    let expires_at = expires_in.map(|it| micros_from_now(it.into())).transpose()?;
    if change.dry_run {
        return Ok(Answer::from(format!("make a token for operators {label:?}")).would());
    }
    let token = gateway::token::generate_for_operator().context("make a token")?;
    let hash = gateway::token::hash(&token);
    let work = async {
        store.writer.add_operator_token(&hash, label, expires_at).await.context("add the token")?;
        Ok(Answer::from("a token is made".to_owned()))
    };
    change.audited(&store, "operator token", label, work).await?;
    Ok(Answer::new(format!("token {token}"), json!({ "token": token })))
}

fn micros_from_now(seconds: u64) -> anyhow::Result<i64> {
    let then = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(seconds);
    Ok(i64::try_from(then.as_micros())?)
}

async fn list(database: &Database) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    let tokens = store.reader.operator_tokens().await.context("read the tokens")?;
    ensure!(!tokens.is_empty(), "there is none: `posthouse operator token` makes one");
    let lines: Vec<String> = tokens.iter().map(shown).collect();
    let described = |it: &OperatorToken| {
        json!({
            "id": it.id(), "label": it.label, "createdAt": rfc3339(it.created_at),
            "expiresAt": it.expires_at.map(rfc3339), "revokedAt": it.revoked_at.map(rfc3339),
        })
    };
    let tokens: Vec<Value> = tokens.iter().map(described).collect();
    Ok(Answer::new(lines.join("\n"), json!({ "tokens": tokens })))
}

fn shown(token: &OperatorToken) -> String {
    let label = if token.label.is_empty() { String::new() } else { format!(" {:?}", token.label) };
    let moment = |word: &str, at: Option<i64>| {
        at.map_or_else(String::new, |at| format!(" {word} {}", rfc3339(at)))
    };
    let (expires, revoked) =
        (moment("expires", token.expires_at), moment("revoked", token.revoked_at));
    format!("{} made {}{expires}{revoked}{label}", token.id(), rfc3339(token.created_at))
}

async fn revoke(id: &str, change: &Change, database: &Database) -> anyhow::Result<Answer> {
    let store = database.open().await?;
    let tokens = store.reader.operator_tokens().await.context("read the tokens")?;
    let Some(token) = tokens.iter().find(|it| it.id() == id) else {
        bail!("there is no token {id}: `posthouse operator list` shows those there are");
    };
    if change.dry_run {
        return Ok(Answer::from(format!("revoke token {id}")).would());
    }
    let work = async {
        let revoked = store.writer.revoke_operator_token(&token.hash).await;
        Ok(Answer::from(match revoked.context("revoke the token")? {
            true => format!("token {id} is revoked"),
            false => format!("token {id} was revoked before"),
        }))
    };
    change.audited(&store, "operator revoke", id, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_token_is_worth() {
        let token = OperatorToken {
            hash: "0123456789abcdef".to_owned(),
            label: "Night shift".to_owned(),
            created_at: 0,
            expires_at: None,
            revoked_at: Some(1_000_000),
        };
        let expected = "0123456789ab made 1970-01-01T00:00:00.000Z \
                        revoked 1970-01-01T00:00:01.000Z \"Night shift\"";
        assert_eq!(shown(&token), expected);
    }
}
