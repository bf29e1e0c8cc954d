//! `posthouse replay`: stored mail, judged anew by the present detectors.
//!
//! Reads the database in pages and judges as the scanner does, in this process; of the sender, what DNS
//! said when the mail came still holds. Changes nothing but with `--apply`, and then through storage: it
//! publishes `inbound.rejudged`. Interrupted, it can be run again: what is done already is no change.

mod report;

use std::{
    path::PathBuf,
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow, bail};
use bus::{Bus, Server};
use clap::Args;
use contract::{EmailSecurity, MailRejudged, Verdict};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use scanner::Judge;
use service::{Configuration as _, Process};
use store::{JudgedMail, ReplayFilter, Store};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;

use self::report::Report;
use crate::operator::{Database, NatsLogin};

/// Mails in a page; their contents are loaded a few at a time.
const PAGE: i64 = 200;

/// How long NATS may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// Only mail that came to this account.
    #[arg(long)]
    account: Option<String>,
    /// Only mail that came to this inbox, given by its id.
    #[arg(long)]
    inbox: Option<String>,
    /// Only mail stored at this time or later, such as 2026-11-24T05:41:12Z.
    #[arg(long, value_parser = moment)]
    since: Option<i64>,
    /// Only mail stored before this time.
    #[arg(long, value_parser = moment)]
    until: Option<i64>,
    /// Have storage replace the verdicts that differ, and announce `email.verdict.changed`.
    #[arg(long)]
    apply: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// The scanner's configuration file: its time budget, and whose second opinion is asked.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where NATS is; needed for `--apply` only.
    #[arg(long, env = "POSTHOUSE_NATS", default_value = "nats://127.0.0.1:4222")]
    #[arg(hide_env_values = true)]
    nats: String,
    #[command(flatten)]
    login: NatsLogin,
    #[command(flatten)]
    database: Database,
}

/// A mail that was looked at.
pub(crate) struct Replayed {
    mail: JudgedMail,
    outcome: Outcome,
}

enum Outcome {
    /// The new verdict, alone and in place of the stored one.
    Judged { verdict: Verdict, after: Box<EmailSecurity> },
    /// Somebody who was to be heard was not, in time. That is no verdict to replace another.
    Unsettled,
    /// Purged since its page was read.
    Gone,
}

struct Replay {
    store: Store,
    judge: Judge,
    filter: ReplayFilter,
    /// To apply what changes.
    bus: Option<Bus>,
    process: Process,
}

pub(crate) async fn run(options: Options, process: Process) -> anyhow::Result<()> {
    let config: scanner::Config = service::read("posthouse-scanner", options.config.as_deref())?;
    config.check().map_err(|why| anyhow!(why)).context("configuration of the scanner")?;
    let replay = Replay {
        store: Store::open(&options.database.database).await.context("open the database")?,
        judge: Judge::open(&config, &process).await?,
        filter: ReplayFilter {
            account_id: options.account.unwrap_or_default(),
            inbox_id: options.inbox.unwrap_or_default(),
            since: options.since,
            until: options.until,
        },
        bus: match options.apply {
            true => Some(connect(options.login.server(&options.nats)?, &process).await?),
            false => None,
        },
        process,
    };
    let mut report = Report::new(options.json, options.apply);
    let outcome = replay.run(&mut report).await;
    let told = report.tell_totals();
    replay.store.close().await;
    outcome.and(told)
}

async fn connect(server: Server, process: &Process) -> anyhow::Result<Bus> {
    let bus = timeout(PATIENCE, Bus::connect(server, "replay", process)).await;
    bus.context("reach NATS in time (--nats or POSTHOUSE_NATS)")?.context("connect to NATS")
}

impl Replay {
    async fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let mut after = String::new();
        loop {
            let page = self.store.reader.judged_mails(&self.filter, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.mail_id);
            let replayed = tokio::select! {
                replayed = self.replay(page) => replayed?,
                () = self.process.shutdown.cancelled() => {
                    bail!("interrupted; run it again, and what is applied already will be no change")
                }
            };
            self.publish(&replayed).await?;
            replayed.iter().try_for_each(|it| report.note(it))?;
            report.tell_progress();
        }
    }

    async fn replay(&self, page: Vec<JudgedMail>) -> anyhow::Result<Vec<Replayed>> {
        let at_once = available_parallelism().map_or(1, usize::from);
        stream::iter(page).map(|it| self.judge(it)).buffered(at_once).try_collect().await
    }

    async fn judge(&self, mail: JudgedMail) -> anyhow::Result<Replayed> {
        let content = self.store.reader.content(&mail.mail_id).await?;
        let Some(content) = content else { return Ok(Replayed { mail, outcome: Outcome::Gone }) };
        let judged = self.judge.mail(content).await?;
        let outcome = if judged.is_settled {
            let after = Box::new(store::rejudged(&mail.security, &judged.verdict));
            Outcome::Judged { verdict: judged.verdict, after }
        } else {
            Outcome::Unsettled
        };
        Ok(Replayed { mail, outcome })
    }

    /// Has storage replace what differs, be it by its version only.
    async fn publish(&self, replayed: &[Replayed]) -> anyhow::Result<()> {
        let Some(bus) = &self.bus else { return Ok(()) };
        let events: Vec<MailRejudged> = replayed.iter().filter_map(event).collect();
        bus.publish(events).await.context("publish new verdicts")
    }
}

fn event(replayed: &Replayed) -> Option<MailRejudged> {
    let Outcome::Judged { verdict, after } = &replayed.outcome else { return None };
    if store::is_same_judgement(&replayed.mail.security, after) {
        return None;
    }
    Some(MailRejudged {
        mail_id: replayed.mail.mail_id.clone(),
        verdict: Some(verdict.clone()),
        rejudged_at_micros: now(),
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Microseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("{text:?} is no time such as 2026-11-24T05:41:12Z (RFC 3339)"))?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(score: f64, version: &str) -> Replayed {
        let security = EmailSecurity {
            injection_risk_score: 0.5,
            version: "2".to_owned(),
            ..EmailSecurity::default()
        };
        let verdict = Verdict { score, version: version.to_owned(), ..Verdict::default() };
        let after = Box::new(store::rejudged(&security, &verdict));
        let mail = JudgedMail {
            mail_id: "m".to_owned(),
            email_id: "eml_1".to_owned(),
            stored_at: 0,
            security,
        };
        Replayed { mail, outcome: Outcome::Judged { verdict, after } }
    }

    #[test]
    fn only_what_differs_is_published() {
        assert!(event(&replayed(0.5, "2")).is_none());
        assert!(event(&replayed(0.5, "3")).is_some(), "the version is part of it");
        let event = event(&replayed(0.6, "2")).expect("publish");
        assert_eq!(event.mail_id, "m");
        assert_eq!(event.verdict.map(|it| it.score), Some(0.6));
        assert!(event.rejudged_at_micros > 0);
    }

    #[test]
    fn what_is_no_verdict_replaces_none() {
        for outcome in [Outcome::Unsettled, Outcome::Gone] {
            assert!(event(&Replayed { outcome, ..replayed(0.9, "3") }).is_none());
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000_000));
        assert_eq!(moment("1970-01-01T01:00:00.5+01:00"), Ok(500_000));
        for wrong in ["yesterday", "2026-11-24", ""] {
            moment(wrong).expect_err(wrong);
        }
    }
}
