use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bus::{Failure, Stage};
use contract::{DeliveryDue, Record};

use crate::{Bench, eventually};

#[derive(Clone, Default)]
struct Clock(Arc<Mutex<Vec<(u32, Instant)>>>);

impl Stage for Clock {
    const DURABLE: &'static str = "deliverer";
    type In = DeliveryDue;
    type Out = Option<Record>;

    /// Every first attempt is put off by two seconds.
    async fn handle(&self, due: DeliveryDue) -> Result<Option<Record>, Failure> {
        self.0.lock().expect("lock").push((due.attempt, Instant::now()));
        Ok((due.attempt == 1).then(|| {
            DeliveryDue { attempt: 2, ..due }.at(Some(SystemTime::now() + Duration::from_secs(2)))
        }))
    }
}

/// A long delay holds no place in the consumer: the original is acked, the schedule is a message.
#[tokio::test]
async fn a_later_attempt_comes_when_it_is_due_even_after_a_crash_of_nats() {
    let mut bench = Bench::new().await;
    let clock = Clock::default();
    let stage = tokio::spawn({
        let (bus, clock) = (bench.bus.clone(), clock.clone());
        async move { bus.run(clock).await }
    });
    let due = DeliveryDue { mail_id: "m".into(), attempt: 1, ..Default::default() };
    bench.bus.publish(due).await.expect("publish");
    eventually(Duration::from_secs(10), || async { !clock.0.lock().expect("lock").is_empty() })
        .await;
    // The schedule is stored and the original is acked.
    eventually(Duration::from_secs(10), || async { bench.count("DUE").await == 1 }).await;
    bench.nats.kill().await.expect("kill");
    bench.nats.restart().await.expect("restart");
    eventually(Duration::from_secs(60), || async { clock.0.lock().expect("lock").len() >= 2 })
        .await;
    eventually(Duration::from_secs(30), || async { bench.count("DUE").await == 0 }).await;
    {
        let seen = clock.0.lock().expect("lock");
        let waited = seen[1].1 - seen[0].1;
        assert_eq!(seen[1].0, 2);
        assert!(waited >= Duration::from_millis(1900), "{waited:?}");
    }
    bench.process.shutdown.cancel();
    stage.await.expect("join").expect("run");
}
