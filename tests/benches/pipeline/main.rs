//! Posthouse and Postfix on the same machine in the same run, interleaved: mails per second from SMTP
//! to where they can be read, the processor's time for that, and the time from the end of DATA to a reader
//! who waits. Beside both, the bare chain: what two streams and a database cost by themselves.
//!
//! `tests/bench matrix` goes through sizes and numbers of sessions instead.
//!
//! Both sync a mail to disk before their 250: Posthouse by JetStream's `sync_interval: always`, Postfix
//! by its queue file. Absolute figures say more about the machine than about either; compare ratios.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

mod chain;
mod cpu;
mod figures;
mod matrix;
mod postfix;
mod posthouse;
#[path = "../shared/mod.rs"]
mod shared;

use std::time::Duration;

use crate::{
    chain::Chain,
    cpu::Cpu,
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

const LOAD: Load =
    Load { mails: MAILS, sessions: SESSIONS, size_bytes: SIZE_BYTES, one_mail_each: false };

fn main() -> anyhow::Result<()> {
    let package = Package::find()?;
    let runtime = tokio::runtime::Runtime::new()?;
    // Cargo passes flags of its own.
    match std::env::args().any(|it| it == "matrix") {
        true => runtime.block_on(matrix::run(&package)),
        false => runtime.block_on(run(&package)),
    }
}

async fn run(package: &Package) -> anyhow::Result<()> {
    let posthouse = Posthouse::start().await?;
    let postfix = Postfix::start(package).await?;
    let mut chain = Chain::start().await?;
    println!(
        "{MAILS} mails of {SIZE_BYTES} octets a round, {SESSIONS} sessions that are kept, {ROUNDS} rounds, \
         interleaved;\nall durable (JetStream sync_interval: always and SQLite synchronous=FULL; Postfix fsync)\n"
    );
    let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let before = Cpu::now()?;
        ours.push(posthouse.round(package, &LOAD).await?);
        let between = Cpu::now()?;
        theirs.push(postfix.round(package, &LOAD).await?);
        taken.push((between.since(&before), Cpu::now()?.since(&between)));
        bare.push(chain.round().await?);
    }
    println!("{}", table("mails/s", &ours, &theirs));
    println!("{}", figures::beside_the_chain(&ours, &bare));
    println!("{}", figures::processors(&taken, ROUNDS * MAILS));

    let ours = posthouse.latency().await?;
    let theirs = postfix.latency().await?;
    println!("end of DATA to …, {PROBES} probes, one at a time (ms)\n");
    println!("{}", figures::latencies(&ours, &theirs));
    chain.stop().await?;
    postfix.stop().await?;
    posthouse.stop().await
}

/// The rates of a round that took so long until the last 250 and until the last mail was there.
fn rates(load: &Load, accepted: Duration, there: Duration) -> Rates {
    let rate = |it: Duration| load.mails as f64 / it.as_secs_f64();
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
