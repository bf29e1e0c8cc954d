//! Every mail is judged before an agent can see it: `inbound.received` → read, authenticate, score →
//! `inbound.scanned`. What agents send is judged too: `mail.v1.send.>` → `outbound.scanned`.
//!
//! Reads content and DNS, and documents in processes of its own; writes nothing but its events. Follows no link and fetches nothing that a
//! mail names.

mod attachments;
mod authenticate;
mod author;
mod config;
mod judge;
mod leaks;
mod mail_scanner;
mod metrics;
mod opinion;
mod resolver;
mod results;
mod signatures;
mod submission_scanner;

use std::{sync::Arc, time::Duration};

use bus::{Bus, Server};
use injection::secrets::Secrets;
use service::Process;

pub use crate::{
    attachments::{EXTRACT, extract},
    authenticate::{Authenticated, Authenticator},
    config::Config,
    judge::{Judge, Judged, judge},
    opinion::OpinionConfig,
};
use crate::{leaks::Leaks, mail_scanner::MailScanner, submission_scanner::SubmissionScanner};

/// Scans until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let authenticator = Arc::new(Authenticator::new(&config)?);
    let judge = Judge::open(&config, &process).await?;
    let bus =
        Bus::connect(Server::new(&config.nats, &config.nats_login), "scanner", &process).await?;
    let mails = MailScanner { claims: bus.claims(), authenticator, judge: judge.clone() };
    let budget = Duration::from_secs(config.scan_seconds);
    let leaks = Leaks { secrets: Arc::new(Secrets::new()), budget };
    let submissions =
        SubmissionScanner { claims: bus.claims(), uploads: bus.uploads(), judge, leaks };
    tokio::try_join!(bus.run(mails), bus.run(submissions))?;
    Ok(())
}
