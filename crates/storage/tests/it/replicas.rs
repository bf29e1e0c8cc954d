use store::EmailFilter;

use crate::{ACCOUNT, Bench, eventually, mail, submission};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_the_work_and_a_third_takes_over() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = [bench.start().await, bench.start().await];
    for number in 0..150 {
        bench.deliver(&mail(number, &inbox.id), &number.to_string()).await;
        if number % 5 == 0 {
            let key = format!("key {number}");
            bench.deliver(&submission(&inbox, &key, 1_000_000), &key).await;
        }
    }
    for it in running {
        it.stop().await;
    }
    for number in 150..200 {
        bench.deliver(&mail(number, &inbox.id), &number.to_string()).await;
    }
    let third = bench.start().await;
    eventually(async || bench.all_stored().await).await;
    eventually(async || bench.outbound("outbound.scanned").await.is_empty()).await;
    assert_eq!(bench.count("DEAD").await, 0);
    let accepted = "outbound.accepted".to_owned();
    assert_eq!(bench.outbound(&accepted).await, [(accepted.clone(), 30)]);
    let filter = EmailFilter { limit: 1_000, ..EmailFilter::default() };
    let page = bench.store.reader.emails(ACCOUNT, &inbox.id, &filter).await.expect("read");
    assert_eq!(page.items.len(), 230);
    let mut events: Vec<_> = bench.events().await.into_iter().map(|it| it.event_id).collect();
    events.sort();
    events.dedup();
    assert_eq!(events.len(), 230, "each announced");
    third.stop().await;
}
