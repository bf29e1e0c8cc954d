use store::{Created, NewInbox};

use crate::fixture::{ACCOUNT, account, inbox, inbox_of, new_inbox, now, on_both};

#[tokio::test]
async fn an_address_is_taken_once() {
    on_both(async |store| {
        inbox(&store, "agent").await?;
        account(&store, "acct_2").await?;
        let wanted = NewInbox { id: "ibx_2".to_owned(), ..new_inbox("acct_2", "agent") };
        assert_eq!(store.writer.create_inbox(&wanted).await?, Created::AddressCollision);
        store.writer.delete_inbox(ACCOUNT, "ibx_agent").await?;
        let again = store.writer.create_inbox(&wanted).await?;
        assert_eq!(again, Created::AddressCollision, "in its grace period");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_limit_counts_active_inboxes() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let limited = |local| NewInbox { max_inboxes: Some(2), ..new_inbox(ACCOUNT, local) };
        for local in ["a", "b"] {
            let created = store.writer.create_inbox(&limited(local)).await?;
            anyhow::ensure!(matches!(created, Created::Inbox(_)), "{created:?}");
        }
        assert_eq!(store.writer.create_inbox(&limited("c")).await?, Created::LimitReached);
        store.writer.delete_inbox(ACCOUNT, "ibx_a").await?;
        let created = store.writer.create_inbox(&limited("c")).await?;
        anyhow::ensure!(matches!(created, Created::Inbox(_)), "{created:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn deletes_softly() {
    on_both(async |store| {
        let created = inbox(&store, "agent").await?;
        assert_eq!(store.reader.inbox_by_address(&created.address).await?, Some(created.clone()));
        let deleted = store.writer.delete_inbox(ACCOUNT, "ibx_agent").await?;
        let deleted = deleted.expect("an inbox");
        anyhow::ensure!(!deleted.is_active && deleted.deleted_at.is_some());
        let again = store.writer.delete_inbox(ACCOUNT, "ibx_agent").await?;
        assert_eq!(again, Some(deleted.clone()), "deleting again changes nothing");
        assert_eq!(store.reader.inbox(ACCOUNT, "ibx_agent").await?, Some(deleted));
        assert_eq!(store.reader.inboxes(ACCOUNT).await?, []);
        assert_eq!(store.reader.inbox_by_address(&created.address).await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_inbox_does_not_exist() {
    on_both(async |store| {
        inbox(&store, "agent").await?;
        account(&store, "acct_2").await?;
        assert_eq!(store.reader.inbox("acct_2", "ibx_agent").await?, None);
        assert_eq!(store.writer.delete_inbox("acct_2", "ibx_agent").await?, None);
        assert_eq!(store.reader.inboxes("acct_2").await?, []);
        assert_eq!(store.reader.inboxes(ACCOUNT).await?.len(), 1, "still there");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn identifiers_with_nul_are_unknown() {
    on_both(async |store| {
        inbox(&store, "agent").await?;
        assert_eq!(store.reader.inbox(ACCOUNT, "ibx_\0x").await?, None);
        assert_eq!(store.reader.email(ACCOUNT, "ibx_agent", "\0").await?, None);
        assert_eq!(store.writer.delete_inbox(ACCOUNT, "\0").await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn expires_inboxes() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let expiring = |local, at| NewInbox { expires_at: Some(at), ..new_inbox(ACCOUNT, local) };
        store.writer.create_inbox(&expiring("old", now() - 1)).await?;
        store.writer.create_inbox(&expiring("new", now() + 60_000_000)).await?;
        inbox_of(&store, ACCOUNT, "eternal").await?;
        assert_eq!(store.writer.expire_inboxes(now()).await?, 1);
        assert_eq!(store.writer.expire_inboxes(now()).await?, 0);
        let left = store.reader.inboxes(ACCOUNT).await?;
        assert_eq!(
            left.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(),
            ["ibx_eternal", "ibx_new"]
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_directory_comes_in_pages() {
    on_both(async |store| {
        for local in ["c", "a", "b", "d"] {
            inbox(&store, local).await?;
        }
        store.writer.delete_inbox(ACCOUNT, "ibx_b").await?;
        let first = store.reader.directory(None, 2).await?;
        let after = first.last().map(|it| it.canonical.clone());
        let second = store.reader.directory(after.as_deref(), 2).await?;
        let ids: Vec<_> = first.iter().chain(&second).map(|it| it.inbox_id.as_str()).collect();
        assert_eq!(ids, ["ibx_a", "ibx_c", "ibx_d"]);
        let deleted = store.reader.deleted_directory(None, 10).await?;
        assert_eq!(deleted.iter().map(|it| it.inbox_id.as_str()).collect::<Vec<_>>(), ["ibx_b"]);
        Ok(())
    })
    .await;
}
