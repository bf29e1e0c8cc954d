//! The sender and Postfix relay the same mails to the same server, in turns: mails per second from
//! "accepted, and on disk" to the last 250 of the remote server.
//!
//! Each is stopped (SIGSTOP) while a round's mails are put into its queue, and the clock runs from when
//! it goes on. Posthouse: the mails are in the ledger (SQLite) and in `outbound.accepted` (JetStream,
//! `sync_interval: always`). Postfix: they are in `incoming`. Both have 20 connections to smtp-sink.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

mod postfix;
mod posthouse;
#[path = "../shared/mod.rs"]
mod shared;
mod sink;

use crate::{
    postfix::Postfix,
    posthouse::Posthouse,
    shared::{
        postfix::{Load, Package},
        statistics::{quantile, sorted, spread},
    },
    sink::Sink,
};

const ROUNDS: usize = 5;
const MAILS: usize = 2_000;
const SIZE_BYTES: usize = 4_096;
const CONNECTIONS: usize = 20;

const LOAD: Load =
    Load { mails: MAILS, sessions: CONNECTIONS, size_bytes: SIZE_BYTES, one_mail_each: false };

fn main() -> anyhow::Result<()> {
    let package = Package::find()?;
    tokio::runtime::Runtime::new()?.block_on(run(&package))
}

async fn run(package: &Package) -> anyhow::Result<()> {
    let sink = Sink::start(package).await?;
    let mut posthouse = Posthouse::start(&sink).await?;
    let postfix = Postfix::start(package, &sink).await?;
    println!(
        "{MAILS} mails of {SIZE_BYTES} octets a round, {CONNECTIONS} connections, {ROUNDS} rounds, \
         interleaved\n"
    );
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 0..ROUNDS {
        let our = MAILS as f64 / posthouse.round(round, &sink).await?.as_secs_f64();
        let their = MAILS as f64 / postfix.round(package, &sink).await?.as_secs_f64();
        println!("round {}: {our:.0} and {their:.0} mails/s", round + 1);
        ours.push(our);
        theirs.push(their);
    }
    let ratios = sorted(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
    let (ours, theirs) = (sorted(ours.into_iter()), sorted(theirs.into_iter()));
    println!("\n| mails/s | Posthouse | Postfix | ratio |\n|---|---|---|---|");
    println!(
        "| accepted to remote 250 | {} | {} | {:.2} ({:.2}–{:.2}) |",
        spread(&ours),
        spread(&theirs),
        quantile(&ours, 0.5) / quantile(&theirs, 0.5),
        quantile(&ratios, 0.0),
        quantile(&ratios, 1.0)
    );
    postfix.stop().await?;
    posthouse.stop().await
}
