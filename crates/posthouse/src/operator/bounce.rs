//! `posthouse bounce`: queued mail is given up before its time is over. Its senders hear of it as of mail
//! that expired: by the event, and by a notification where they asked for one.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use bus::Later;
use clap::Args;
use contract::{Action, DeliveryReported, RecipientReport};
use serde_json::json;
use store::{GIVEN_UP, QueuedMail};

use super::{
    answer::Answer,
    change::Change,
    queue::{Filter, Place},
};

/// At most so many mails by one command.
const MOST: usize = 10_000;

/// Mails in one transaction.
const PORTION: usize = 100;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    filter: Filter,
    /// Everything that waits, of everybody.
    #[arg(long)]
    everything: bool,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Answer> {
    let Options { filter, everything, change, place } = options;
    ensure!(
        everything == filter.is_empty(),
        "name the mail by --account, --inbox, --domain or --mail, or say --everything"
    );
    let store = place.database.open().await?;
    let desk = place.nats.desk().await?;
    let wanted = filter.of_outbox()?;
    let queued = store.reader.queued(&wanted, MOST).await.context("read the outbox")?;
    let domain = wanted.domain.as_deref();
    // One that goes to other domains as well is left to them.
    let (queued, mixed): (Vec<QueuedMail>, Vec<QueuedMail>) =
        queued.into_iter().partition(|it| domain.is_none_or(|only| it.domains() == [only]));
    let waits = |it: &&QueuedMail| matches!(it.state.as_str(), "waiting" | "approval");
    let waiting: Vec<(String, String)> =
        queued.iter().filter(waits).map(|it| (it.email_id.clone(), it.inbox_id.clone())).collect();
    let later = filter.later(&desk, MOST).await?;
    let words = filter.words();
    ensure!(
        !waiting.is_empty() || !later.is_empty(),
        "nothing waits that could be given up ({words})"
    );
    let answer = |outbox: usize, retries: usize| {
        let mut text = format!(
            "give up {outbox} mails in the outbox and {retries} deliveries that wait for \
                                another attempt ({words})"
        );
        if !mixed.is_empty() {
            _ = write!(text, "; {} are left that go to other domains, too", mixed.len());
        }
        let json = json!({ "outbox": outbox, "retries": retries, "left": mixed.len() });
        Answer::new(text, json)
    };
    if change.dry_run {
        return Ok(answer(waiting.len(), later.len()).would());
    }
    let diagnostic = format!("given up by the operator: {}", change.reason());
    let work = async {
        let mut outbox = 0;
        for portion in waiting.chunks(PORTION) {
            let given_up = store.writer.give_up(portion, &diagnostic).await;
            outbox += given_up.context("give mail up")?.len();
        }
        for it in &later {
            // Reported first: killed in between, the attempt finds nobody left to deliver to.
            desk.publish(report(it, &diagnostic)).await.context("report a delivery as failed")?;
            desk.forget_later(it).await?;
        }
        Ok(answer(outbox, later.len()))
    };
    change.audited(&store, "bounce", &words, work).await
}

/// What the sender reports when the time of a delivery is over.
fn report(later: &Later, diagnostic: &str) -> DeliveryReported {
    let due = &later.due;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let recipient = |path: &String| RecipientReport {
        forward_path: path.clone(),
        action: Action::Failed.into(),
        status: GIVEN_UP.to_owned(),
        diagnostic: diagnostic.to_owned(),
        ..RecipientReport::default()
    };
    DeliveryReported {
        mail_id: due.mail_id.clone(),
        account_id: due.account_id.clone(),
        inbox_id: due.inbox_id.clone(),
        domain: due.domain.clone(),
        attempt: due.attempt,
        attempted_at_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        recipients: due.forward_paths.iter().map(recipient).collect(),
        next_attempt_at_micros: 0,
    }
}
