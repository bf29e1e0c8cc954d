use contract::Grant;
use store::{Change, Changed, EmailFilter, MAX_LABELS, MAX_LABELS_OF_EMAIL};

use crate::fixture::{ACCOUNT, account, inbox, mail, on_both, store_one};

fn add(labels: &[&str]) -> Change {
    Change { add: labels.iter().map(|it| (*it).to_owned()).collect(), ..Change::default() }
}

fn done(labels: &[&str]) -> Changed {
    Changed::Done(labels.iter().map(|it| (*it).to_owned()).collect())
}

#[tokio::test]
async fn labels_and_the_read_state_are_kept_and_listed() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let one = store_one(&store, mail(1, &[&inbox])).await?.email.id;
        store_one(&store, mail(2, &[&inbox])).await?;
        let writer = &store.writer;
        assert_eq!(writer.change(ACCOUNT, &one, &add(&["b", "a"])).await?, done(&["a", "b"]));
        let change = Change {
            read: Some(true),
            add: vec!["c".to_owned(), "a".to_owned()],
            remove: vec!["b".to_owned(), "a".to_owned(), "x".to_owned()],
        };
        assert_eq!(writer.change(ACCOUNT, &one, &change).await?, done(&["a", "c"]));
        let email = store.reader.email(ACCOUNT, &inbox.id, &one).await?.expect("an email");
        assert!(email.is_read && email.labels == ["a", "c"]);
        assert_eq!(store.reader.labels(ACCOUNT).await?, ["a", "c"]);

        let list = async |label: Option<&str>, is_read: Option<bool>| {
            let label = label.map(str::to_owned);
            let filter = EmailFilter { limit: 9, label, is_read, ..EmailFilter::default() };
            let page = store.reader.emails(ACCOUNT, &inbox.id, &filter).await?;
            let ids = page.items.iter().map(|it| if it.id == one { 1 } else { 2 });
            anyhow::Ok(ids.collect::<Vec<_>>())
        };
        assert_eq!(list(Some("a"), None).await?, [1]);
        assert_eq!(list(Some("b"), None).await?, [0; 0]);
        assert_eq!(list(None, Some(false)).await?, [2]);
        assert_eq!(list(None, Some(true)).await?, [1]);
        assert_eq!(list(None, None).await?, [2, 1]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_email_is_unknown() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let one = store_one(&store, mail(1, &[&inbox])).await?.email.id;
        account(&store, "acct_other").await?;
        assert_eq!(store.writer.change("acct_other", &one, &add(&["a"])).await?, Changed::Unknown);
        assert_eq!(store.writer.change(ACCOUNT, "eml_0", &add(&["a"])).await?, Changed::Unknown);
        assert_eq!(store.reader.labels("acct_other").await?, [""; 0]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn labels_are_bounded_and_a_refused_change_changes_nothing() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let writer = &store.writer;
        let mut emails = Vec::new();
        for n in 0..=MAX_LABELS / MAX_LABELS_OF_EMAIL {
            let email = store_one(&store, mail(n as u32 + 1, &[&inbox])).await?;
            emails.push(email.email.id);
        }
        for (n, email) in emails[1..].iter().enumerate() {
            let labels: Vec<String> =
                (0..MAX_LABELS_OF_EMAIL).map(|it| format!("l{n}-{it}")).collect();
            let change = Change { add: labels, ..Change::default() };
            assert!(matches!(writer.change(ACCOUNT, email, &change).await?, Changed::Done(_)));
        }
        let more = Change { read: Some(true), ..add(&["more"]) };
        assert_eq!(writer.change(ACCOUNT, &emails[0], &more).await?, Changed::TooMany);
        assert_eq!(writer.change(ACCOUNT, &emails[1], &more).await?, Changed::TooManyOfEmail);
        for email in &emails[..2] {
            let email = store.reader.email(ACCOUNT, &inbox.id, email).await?.expect("an email");
            assert!(!email.is_read && !email.labels.contains(&"more".to_owned()));
        }
        // One that is on nothing any more makes room.
        let remove = vec!["l0-0".to_owned()];
        writer.change(ACCOUNT, &emails[1], &Change { remove, ..Change::default() }).await?;
        assert_eq!(writer.change(ACCOUNT, &emails[0], &more).await?, done(&["more"]));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_narrowed_token_sees_the_labels_of_what_it_sees() {
    on_both(async |store| {
        let (ada, bob) = (inbox(&store, "ada").await?, inbox(&store, "bob").await?);
        let mut threads = Vec::new();
        for (n, inbox, label) in [(1, &ada, "a"), (2, &ada, "both"), (3, &bob, "b")] {
            let email = store_one(&store, mail(n, &[inbox])).await?.email;
            store.writer.change(ACCOUNT, &email.id, &add(&[label, "all"])).await?;
            threads.push(email.thread_id.expect("a thread"));
        }
        let seen = async |inboxes: Option<&[&str]>, threads: Option<&[&String]>| {
            let grant = Grant {
                inbox_ids: inboxes.map(|it| it.iter().map(|it| (*it).to_owned()).collect()),
                thread_ids: threads.map(|it| it.iter().map(|it| (*it).clone()).collect()),
                ..Grant::default()
            };
            store.reader.labels_seen(ACCOUNT, &grant).await
        };
        assert_eq!(seen(Some(&["ibx_ada"]), None).await?, ["a", "all", "both"]);
        assert_eq!(seen(Some(&["ibx_bob"]), None).await?, ["all", "b"]);
        assert_eq!(seen(None, Some(&[&threads[1]])).await?, ["all", "both"]);
        assert_eq!(seen(Some(&["ibx_bob"]), Some(&[&threads[1]])).await?, [""; 0]);
        assert_eq!(seen(Some(&[]), None).await?, [""; 0]);
        Ok(())
    })
    .await;
}
