//! Lists that people leave, mail that no machine may answer, uploads.

use store::{ALL_LISTS, Outcome, Store, Subscription};

use crate::fixture::{ACCOUNT, account, answer, inbox, mail, now, on_both, store_one, submission};

const BOB: &str = "Bob@Example.net";

fn subscription(list_id: &str, address: &str) -> Subscription {
    Subscription {
        account_id: ACCOUNT.to_owned(),
        list_id: list_id.to_owned(),
        address: address.to_owned(),
        mail_id: "eml_1".to_owned(),
    }
}

async fn has_left(store: &Store, account_id: &str, list_id: &str) -> anyhow::Result<bool> {
    let addresses = ["bob@example.net".to_owned(), "tom@example.net".to_owned()];
    let found = store.reader.unsubscribed(account_id, list_id, &addresses).await?;
    assert!(found.len() < 2, "{found:?}");
    assert!(found.iter().all(|it| it.address == addresses[0] && it.reason == "unsubscribed"));
    Ok(!found.is_empty())
}

#[tokio::test]
async fn a_list_is_left_by_itself_or_with_all_others() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        account(&store, "acct_2").await?;
        let news = subscription("news", BOB);
        assert!(store.writer.unsubscribe(&news, "news").await?);
        assert!(!store.writer.unsubscribe(&news, "news").await?, "once more");
        assert!(has_left(&store, ACCOUNT, "news").await?);
        assert!(!has_left(&store, ACCOUNT, "offers").await?);
        assert!(!has_left(&store, "acct_2", "news").await?);
        assert_eq!(store.reader.suppressed(ACCOUNT, &[BOB.to_owned()]).await?, []);

        assert!(!store.writer.resubscribe("acct_2", "news", BOB).await?);
        assert!(store.writer.resubscribe(ACCOUNT, "news", BOB).await?);
        assert!(!has_left(&store, ACCOUNT, "news").await?);
        assert!(store.writer.unsubscribe(&news, "news").await?, "again, after he was put back");
        assert!(has_left(&store, ACCOUNT, "news").await?);

        assert!(store.writer.unsubscribe(&news, ALL_LISTS).await?);
        assert!(has_left(&store, ACCOUNT, "offers").await?);
        assert!(has_left(&store, ACCOUNT, "news").await?, "named once, though he left twice");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn who_left_is_listed_in_pages() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        for n in 0..5 {
            let it = subscription("news", &format!("a{n}@example.net"));
            store.writer.unsubscribe(&it, "news").await?;
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.reader.unsubscriptions(ACCOUNT, 2, cursor.as_deref()).await?;
            seen.extend(page.items.into_iter().map(|it| it.address));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, [4, 3, 2, 1, 0].map(|n| format!("a{n}@example.net")));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_sender_is_told_the_list() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut to_list = submission("k", &inbox, &["bob@example.net"]);
        if let Outcome::Composed(composed) = &mut to_list.outcome {
            composed.list_id = Some("news".to_owned());
        }
        let other = submission("l", &inbox, &["bob@example.net"]);
        store.writer.enter(&[to_list.clone(), other.clone()]).await?;
        let list = async |mail_id: &str| -> anyhow::Result<Option<String>> {
            Ok(store.reader.outgoing(mail_id).await?.and_then(|it| it.list_id))
        };
        assert_eq!(list(&to_list.mail_id).await?.as_deref(), Some("news"));
        assert_eq!(list(&other.mail_id).await?, None);
        assert!(store.reader.is_sent_here(&other.mail_id, "l@posthouse.localhost").await?);
        assert!(!store.reader.is_sent_here(&other.mail_id, "k@posthouse.localhost").await?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_says_whether_a_machine_may_answer_it() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut refused = mail(1, &[&inbox]);
        let email_id = format!("eml_0001_{}", inbox.id);
        refused.no_auto_reply.insert(email_id, "it is a report".to_owned());
        let stored = store_one(&store, refused).await?;
        let auto_reply = stored.email.auto_reply.expect("of a received mail");
        assert_eq!((auto_reply.allowed, &*auto_reply.reason), (false, "it is a report"));
        let stored = store_one(&store, answer(2, 1, &inbox)).await?;
        assert!(stored.email.auto_reply.expect("of a received mail").allowed);
        let sent = store.writer.enter(&[submission("k", &inbox, &["b@x.example"])]).await?;
        assert_eq!(sent[0].email.auto_reply, None);

        let refusal = async |id: &str| store.reader.auto_reply_refusal(&inbox.id, id).await;
        assert_eq!(refusal("1@example.com").await?.as_deref(), Some("it is a report"));
        assert_eq!(refusal("2@example.com").await?, None);
        assert_eq!(refusal("nobody@example.com").await?, None);
        assert_eq!(store.reader.auto_reply_refusal("ibx_other", "1@example.com").await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn uploads_count_until_they_expire() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        account(&store, "acct_2").await?;
        let later = now() + 60_000_000;
        let note = async |account: &str, id: &str, size: i64, until: i64| {
            store.writer.note_upload(account, id, size, until, 100).await
        };
        assert!(note(ACCOUNT, "upl_1", 60, now() + 100).await?);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        assert!(note(ACCOUNT, "upl_2", 60, later).await?, "the first has expired");
        assert!(!note(ACCOUNT, "upl_3", 41, later).await?);
        assert!(note(ACCOUNT, "upl_3", 40, later).await?);
        assert!(note("acct_2", "upl_4", 100, later).await?);
        Ok(())
    })
    .await;
}
