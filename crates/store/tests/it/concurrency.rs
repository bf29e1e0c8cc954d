use std::collections::HashSet;

use store::{Created, EmailFilter, NewInbox, Store};

use crate::fixture::{ACCOUNT, account, inbox, mail, new_inbox, on_both_urls, submission};

/// Two processes, as far as the database can tell.
async fn two(url: &str) -> anyhow::Result<[Store; 2]> {
    store::migrate(url).await?;
    Ok([Store::open(url).await?, Store::open(url).await?])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_store_the_same_mail_once() {
    on_both_urls(async |url| {
        let stores = two(url).await?;
        let first = inbox(&stores[0], "first").await?;
        let second = inbox(&stores[0], "second").await?;
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                // In different orders, so that locks could be taken in a circle.
                let inboxes = if n < 4 { [&first, &second] } else { [&second, &first] };
                let batch: Vec<_> = (1..=20).map(|number| mail(number, &inboxes)).collect();
                tokio::spawn(async move { store.writer.store(&batch).await })
            })
            .collect();
        let mut fresh = 0;
        for task in tasks {
            fresh += task.await??.concat().iter().filter(|it| !it.repeated).count();
        }
        assert_eq!(fresh, 40);
        for inbox in [&first, &second] {
            let filter = EmailFilter { limit: 100, ..EmailFilter::default() };
            let page = stores[1].reader.emails(ACCOUNT, &inbox.id, &filter).await?;
            assert_eq!(page.items.len(), 20);
            let inbox = stores[1].reader.inbox(ACCOUNT, &inbox.id).await?;
            assert_eq!(inbox.map(|it| it.email_count), Some(20));
        }
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_is_entered_once_whoever_asks() {
    on_both_urls(async |url| {
        let stores = two(url).await?;
        let inbox = inbox(&stores[0], "agent").await?;
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                let mut submitted = submission("k", &inbox, &["bob@example.net"]);
                submitted.requested_at = n as i64;
                tokio::spawn(async move { store.writer.enter(&[submitted]).await })
            })
            .collect();
        let mut to_send = 0;
        for task in tasks {
            to_send += task.await??.iter().filter(|it| it.to_send).count();
        }
        assert_eq!(to_send, 1);
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_place_goes_to_one() {
    on_both_urls(async |url| {
        let stores = two(url).await?;
        account(&stores[0], ACCOUNT).await?;
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                let wanted =
                    NewInbox { max_inboxes: Some(1), ..new_inbox(ACCOUNT, &format!("a{n}")) };
                tokio::spawn(async move { store.writer.create_inbox(&wanted).await })
            })
            .collect();
        let mut created = 0;
        for task in tasks {
            created += usize::from(matches!(task.await??, Created::Inbox(_)));
        }
        assert_eq!(created, 1);
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}

/// What an agent that pages by `since` sees while others write: all of it, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn since_misses_nothing_while_others_write() {
    on_both_urls(async |url| {
        let stores = two(url).await?;
        let inbox = inbox(&stores[0], "agent").await?;
        let tasks: Vec<_> = (0..2_u32)
            .map(|writer| {
                let (store, inbox) = (stores[writer as usize].clone(), inbox.clone());
                tokio::spawn(async move {
                    for n in 0..40 {
                        store.writer.store(&[mail(writer * 100 + n, &[&inbox])]).await?;
                    }
                    Ok::<_, store::Error>(())
                })
            })
            .collect();
        let mut seen = HashSet::new();
        let mut since = None;
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while seen.len() < 80 && tokio::time::Instant::now() < deadline {
            let filter = EmailFilter { limit: 1_000, since, ..EmailFilter::default() };
            let found = stores[0].reader.emails(ACCOUNT, &inbox.id, &filter).await?.items;
            if let Some(newest) = found.first() {
                since = Some(crate::fixture::micros(&newest.created_at));
            }
            for email in found {
                assert!(seen.insert(email.id), "none twice");
            }
        }
        for task in tasks {
            task.await??;
        }
        assert_eq!(seen.len(), 80);
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}
