//! Posthouse and Postfix on the same machine in the same run, interleaved: mails per second from SMTP
//! to where they can be read, and the time from the end of DATA to a reader who waits.
//!
//! Both sync a mail to disk before their 250: Posthouse by JetStream's `sync_interval: always`, Postfix
//! by its queue file. Absolute figures say more about the machine than about either; compare ratios.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

mod figures;
mod postfix;
mod posthouse;
#[path = "../shared/mod.rs"]
mod shared;

use std::time::Duration;

use crate::{
    figures::{Rates, table},
    postfix::Postfix,
    posthouse::Posthouse,
    shared::postfix::{Load, Package},
};

const ROUNDS: usize = 5;
const MAILS: usize = 2_000;
const SESSIONS: usize = 10;
const SIZE_BYTES: usize = 4_096;
const PROBES: usize = 200;

const LOAD: Load = Load { mails: MAILS, sessions: SESSIONS, size_bytes: SIZE_BYTES };

fn main() -> anyhow::Result<()> {
    let package = Package::find()?;
    tokio::runtime::Runtime::new()?.block_on(run(&package))
}

async fn run(package: &Package) -> anyhow::Result<()> {
    let posthouse = Posthouse::start().await?;
    let postfix = Postfix::start(package).await?;
    println!(
        "{MAILS} mails of {SIZE_BYTES} octets a round, {SESSIONS} sessions that are kept, {ROUNDS} rounds, \
         interleaved;\nboth durable before the 250 (JetStream sync_interval: always; Postfix fsync)\n"
    );
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(posthouse.round(package).await?);
        theirs.push(postfix.round(package).await?);
    }
    println!("{}", table("mails/s", &ours, &theirs));

    let ours = posthouse.latency().await?;
    let theirs = postfix.latency().await?;
    println!("end of DATA to …, {PROBES} probes, one at a time (ms)\n");
    println!("{}", figures::latencies(&ours, &theirs));
    postfix.stop().await?;
    posthouse.stop().await
}

/// The rates of a round that took so long until the last 250 and until the last mail was there.
fn rates(accepted: Duration, there: Duration) -> Rates {
    let rate = |it: Duration| MAILS as f64 / it.as_secs_f64();
    Rates { accepted: rate(accepted), there: rate(there) }
}

/// A mail of the size that is measured.
fn mail(subject: &str) -> Vec<u8> {
    let head = format!(
        "From: bench@client.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@client.example>\r\n\r\n"
    );
    let line = "All work and no play makes Jack a dull boy.\r\n";
    let body = line.repeat(SIZE_BYTES.saturating_sub(head.len()) / line.len());
    (head + &body).into_bytes()
}
