use bus::Resolution;

use crate::{ACCOUNT, Bench, DOMAIN};

async fn resolve(bench: &Bench, local: &str) -> Resolution {
    let canonical = format!("{local}@{DOMAIN}");
    bench.bus.directory().resolve(&canonical, DOMAIN).await.expect("resolve")
}

#[tokio::test]
async fn the_directory_becomes_what_the_database_says() {
    let bench = Bench::new().await;
    let directory = bench.bus.directory();
    let lost = bench.inbox("lost").await;
    let deleted = bench.inbox("deleted").await;
    bench.store.writer.delete_inbox(ACCOUNT, &deleted.id).await.expect("delete");
    let stale = format!("deleted@{DOMAIN}");
    directory.add_inbox(&stale, ACCOUNT, &deleted.id).await.expect("add");
    let wrong = bench.inbox("wrong").await;
    directory.add_inbox(&wrong.address, ACCOUNT, "ibx_other").await.expect("add");
    let running = bench.start().await;
    for inbox in [&lost, &wrong] {
        let local = inbox.id.trim_start_matches("ibx_");
        let expected =
            Resolution::Inbox { account_id: ACCOUNT.to_owned(), inbox_id: inbox.id.clone() };
        crate::eventually(async || resolve(&bench, local).await == expected).await;
    }
    assert_eq!(resolve(&bench, "deleted").await, Resolution::UnknownRecipient);
    running.stop().await;
}

#[tokio::test]
async fn every_domain_has_its_postmaster() {
    let bench = Bench::new().await;
    let (first, second) = tokio::join!(bench.start(), bench.start());
    let postmaster = resolve(&bench, "postmaster").await;
    let Resolution::Inbox { account_id, inbox_id } = &postmaster else {
        panic!("{postmaster:?}");
    };
    assert_eq!(account_id, "acct_postmaster");
    assert_eq!(resolve(&bench, "abuse").await, postmaster);
    let inbox = bench.store.reader.inbox(account_id, inbox_id).await.expect("read");
    assert_eq!(inbox.map(|it| it.address).as_deref(), Some("postmaster@posthouse.localhost"));
    assert_eq!(bench.store.reader.inboxes(account_id).await.expect("read").len(), 1);
    first.stop().await;
    second.stop().await;
}
