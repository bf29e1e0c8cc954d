use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bus::{Bus, Failure, INLINE_LIMIT, Stage};
use contract::Submission;

use crate::{Bench, eventually};

struct Collector {
    bus: Bus,
    seen: Arc<Mutex<Vec<(Submission, usize)>>>,
}

impl Stage for Collector {
    const DURABLE: &'static str = "submission-scanner";
    type In = Submission;
    type Out = ();

    async fn handle(&self, submission: Submission) -> Result<(), Failure> {
        let octets = self.bus.claims().get(&submission.request).await?.unwrap_or_default();
        self.seen.lock().expect("lock").push((submission, octets.len()));
        Ok(())
    }
}

#[tokio::test]
async fn requests_arrive_whatever_their_size_and_whoever_chose_the_same_key() {
    let bench = Bench::new().await;
    let large = INLINE_LIMIT * 8;
    bench.bus.submit("acct_1", "ibx_1", None, "key", "{}".into()).await.expect("submit");
    bench
        .bus
        .submit("acct_2", "ibx_2", Some("0123456789ab"), "key", "{}".into())
        .await
        .expect("submit");
    let octets = vec![b' '; large].into();
    bench.bus.submit("acct_1", "ibx_1", None, "big", octets).await.expect("submit");

    let seen = Arc::new(Mutex::new(Vec::new()));
    let stage = tokio::spawn({
        let collector = Collector { bus: bench.bus.clone(), seen: seen.clone() };
        let bus = bench.bus.clone();
        async move { bus.run(collector).await }
    });
    eventually(Duration::from_secs(10), || async { seen.lock().expect("lock").len() == 3 }).await;
    let mut seen: Vec<_> = seen
        .lock()
        .expect("lock")
        .iter()
        .map(|(it, size)| {
            assert_eq!(it.token.is_some(), it.inbox_id == "ibx_2");
            (it.inbox_id.clone(), it.idempotency_key.clone(), *size)
        })
        .collect();
    seen.sort();
    let expected = [("ibx_1", "big", large), ("ibx_1", "key", 2), ("ibx_2", "key", 2)];
    assert_eq!(seen, expected.map(|(inbox, key, size)| (inbox.to_owned(), key.to_owned(), size)));
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}
