use std::time::Duration;

use bus::{Failure, Stage};
use contract::{MailReceived, MailScanned};

use crate::{Bench, eventually, mail};

const SOON: Duration = Duration::from_secs(30);

struct Scanner;

impl Stage for Scanner {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mail: MailReceived) -> Result<MailScanned, Failure> {
        Ok(MailScanned { mail_id: mail.mail_id, ..Default::default() })
    }
}

struct Storage;

impl Stage for Storage {
    const DURABLE: &'static str = "storage";
    type In = MailScanned;
    type Out = ();

    async fn handle(&self, _: MailScanned) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn takes_what_is_done_and_nothing_else() {
    let bench = Bench::new().await;
    for n in 0..20 {
        bench.bus.publish(mail(&n.to_string())).await.expect("publish");
    }
    let mut tasks = tokio::task::JoinSet::new();
    let bus = bench.bus.clone();
    tasks.spawn(async move { bus.run(Scanner).await });
    eventually(SOON, || async { bench.waiting("INBOUND", "scanner").await == 0 }).await;
    let scanned = bench.count("SCANNED").await;
    bench.bus.sweep_once().await.expect("sweep");
    assert_eq!(bench.count("INBOUND").await, 0);
    // Storage has seen nothing, so nothing that it needs may go.
    assert!(scanned > 0);
    assert_eq!(bench.count("SCANNED").await, scanned);

    let bus = bench.bus.clone();
    tasks.spawn(async move { bus.run(Storage).await });
    eventually(SOON, || async { bench.waiting("SCANNED", "storage").await == 0 }).await;
    bench.bus.sweep_once().await.expect("sweep");
    assert_eq!(bench.count("SCANNED").await, 0);
    bench.process.shutdown.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("join").expect("run");
    }
}
