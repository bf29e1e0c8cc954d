use contract::Action;
use store::{Created, SearchQuery};

use crate::fixture::{
    ACCOUNT, inbox, mail, new_inbox, now, on_both, report, store_one, submission,
};

#[tokio::test]
async fn purges_what_only_a_deleted_inbox_has() {
    on_both(async |store| {
        let kept = inbox(&store, "kept").await?;
        let gone = inbox(&store, "gone").await?;
        let shared = store.writer.store(&[mail(1, &[&kept, &gone])]).await?.concat();
        for number in 2..=4 {
            store_one(&store, mail(number, &[&gone])).await?;
        }
        let submitted = submission("k", &gone, &["bob@example.net"]);
        store.writer.enter(std::slice::from_ref(&submitted)).await?;
        let reported = report(&submitted.mail_id, 1, &[("bob@example.net", Action::Delivered)]);
        store.writer.report(&[reported]).await?;
        store.writer.delete_inbox(ACCOUNT, &gone.id).await?;

        assert_eq!(store.writer.purge_inboxes(now() - 60_000_000).await?, 0, "too early");
        assert_eq!(store.writer.purge_inboxes(now() + 1).await?, 1);
        assert_eq!(store.writer.purge_inboxes(now() + 1).await?, 0);

        assert_eq!(store.reader.inbox(ACCOUNT, &gone.id).await?, None);
        assert_eq!(store.reader.outgoing(&submitted.mail_id).await?, None);
        assert_eq!(store.reader.ledger_entry(&gone.id, "k").await?, None);
        let copy = shared.iter().find(|it| it.email.inbox_id == kept.id).expect("a copy");
        let original = store.reader.original(ACCOUNT, &kept.id, &copy.email.id).await?;
        assert!(original.is_some(), "the other inbox keeps its copy");
        let words = SearchQuery { words: "text".to_owned(), limit: 9, ..SearchQuery::default() };
        assert_eq!(store.reader.search(ACCOUNT, &words).await?.items.len(), 1);
        let usage = store.reader.usage(ACCOUNT).await?;
        assert_eq!(usage.emails_received, 5, "what was received stays counted");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_last_copy_takes_the_contents_along() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        store.writer.store(&[mail(1, &[&first, &second])]).await?;
        store.writer.delete_inbox(ACCOUNT, &first.id).await?;
        store.writer.delete_inbox(ACCOUNT, &second.id).await?;
        let (one, two) = tokio::join!(
            store.writer.purge_inboxes(now() + 1),
            store.writer.purge_inboxes(now() + 1)
        );
        assert_eq!(one? + two?, 2, "each inbox once");
        // Were the mail still there, it would come back as it was.
        let again = inbox(&store, "first").await?;
        let stored = store_one(&store, mail(1, &[&again])).await?;
        assert!(!stored.repeated);
        let original = store.reader.original(ACCOUNT, &again.id, &stored.email.id).await?;
        assert!(original.is_some());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_address_is_free_again() {
    on_both(async |store| {
        inbox(&store, "agent").await?;
        store.writer.delete_inbox(ACCOUNT, "ibx_agent").await?;
        store.writer.purge_inboxes(now() + 1).await?;
        let created = store.writer.create_inbox(&new_inbox(ACCOUNT, "agent")).await?;
        anyhow::ensure!(matches!(created, Created::Inbox(_)), "{created:?}");
        Ok(())
    })
    .await;
}
