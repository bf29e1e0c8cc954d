//! Sizes and numbers of sessions, each beside Postfix.

use crate::{
    figures::table,
    postfix::Postfix,
    posthouse::Posthouse,
    shared::postfix::{Load, Package},
};

const ROUNDS: usize = 3;

pub(crate) async fn run(package: &Package) -> anyhow::Result<()> {
    let posthouse = Posthouse::start().await?;
    let postfix = Postfix::start(package).await?;
    println!(
        "{ROUNDS} interleaved rounds each; all durable (JetStream sync_interval: always and SQLite \
         synchronous=FULL; Postfix fsync)\n"
    );
    for load in loads() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(posthouse.round(package, &load).await?);
            theirs.push(postfix.round(package, &load).await?);
        }
        println!("{}", table(&name(&load), &ours, &theirs));
    }
    postfix.stop().await?;
    posthouse.stop().await
}

fn loads() -> Vec<Load> {
    let mut loads = Vec::new();
    for (size_bytes, most) in [(4_096, 2_000), (102_400, 500)] {
        for sessions in [1, 10, 50, 200] {
            for one_mail_each in [false, true] {
                // One session alone is slow, and its figures are steady.
                let mails = if sessions == 1 { most / 4 } else { most };
                loads.push(Load { mails, sessions, size_bytes, one_mail_each });
            }
        }
    }
    loads
}

fn name(load: &Load) -> String {
    let Load { mails, sessions, size_bytes, one_mail_each } = load;
    let kept = if *one_mail_each { "a mail each" } else { "kept" };
    format!("mails/s: {mails} of {} KiB, {sessions} sessions, {kept}", size_bytes / 1_024)
}
