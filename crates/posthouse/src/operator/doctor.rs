//! `posthouse doctor`: whether all is as it has to be, outside and inside. It looks, and changes nothing.

mod names;
mod service;
mod tls;

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;

use super::{
    Database, Nats,
    answer::{Answer, table},
};

#[derive(Args)]
pub(crate) struct Options {
    /// A domain that mail is received for and sent from; again for more.
    #[arg(long = "domain")]
    domains: Vec<String>,
    /// The name that the senders say in EHLO (their `hostname`).
    #[arg(long)]
    hostname: Option<String>,
    /// A DKIM selector of the domains; again for more.
    #[arg(long = "selector")]
    selectors: Vec<String>,
    /// Where an intake takes mail, such as mx.example.org:25; its TLS is looked at.
    #[arg(long)]
    smtp: Option<String>,
    /// The name server to ask, such as 192.0.2.53:53; that of the system if left out.
    #[arg(long)]
    dns: Option<SocketAddr>,
    /// The monitoring address of a NATS server, such as http://127.0.0.1:8222; it alone tells how often
    /// it syncs.
    #[arg(long, env = "POSTHOUSE_NATS_MONITOR")]
    nats_monitor: Option<String>,
    /// Of how many servers each stream is to keep a copy.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    #[command(flatten)]
    nats: Nats,
    #[command(flatten)]
    database: Database,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Good,
    /// It works, and is not as it should be.
    Warning,
    Failed,
    /// It was not looked at, or cannot be known.
    Skipped,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Verdict::Good => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
            Verdict::Skipped => "skipped",
        }
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    seen: String,
    /// Empty where there is nothing to do.
    way_out: String,
}

impl Check {
    fn ok(name: &'static str, seen: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Good, seen: seen.into(), way_out: String::new() }
    }

    fn bad(
        name: &'static str,
        verdict: Verdict,
        seen: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Check {
        Check { name, verdict, seen: seen.into(), way_out: way_out.into() }
    }
}

pub(super) async fn run(options: Options) -> anyhow::Result<Answer> {
    let mut checks = service::database(&options.database).await;
    checks.extend(service::nats(&options).await);
    checks.push(service::sync_interval(options.nats_monitor.as_deref()).await);
    checks.extend(names::look(&options).await?);
    checks.push(tls::look(options.smtp.as_deref()).await);
    let count = |verdict: Verdict| checks.iter().filter(|it| it.verdict == verdict).count();
    let row = |it: &Check| {
        let verdict = it.verdict.as_str().to_owned();
        vec![verdict, it.name.to_owned(), it.seen.clone(), it.way_out.clone()]
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    let text = format!(
        "{}\n\n{} ok, {} warnings, {} failed, {} skipped",
        table(&["", "check", "seen", "way out"], &rows, "nothing was looked at"),
        count(Verdict::Good),
        count(Verdict::Warning),
        count(Verdict::Failed),
        count(Verdict::Skipped),
    );
    let is_good = count(Verdict::Failed) == 0;
    let checks: Vec<_> = checks
        .iter()
        .map(|it| {
            json!({
                "check": it.name, "status": it.verdict.as_str(), "seen": it.seen, "wayOut": it.way_out,
            })
        })
        .collect();
    let answer = Answer::new(text, json!({ "healthy": is_good, "checks": checks }));
    Ok(if is_good { answer } else { answer.bad() })
}
