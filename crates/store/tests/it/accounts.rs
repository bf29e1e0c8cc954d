use std::time::Duration;

use store::{Error, NewToken, Store, Usage};

use crate::fixture::{
    account, inbox, inbox_of, mail, now, on_both, rejection, store_one, submission,
};

async fn add(store: &Store, hash: &str) -> Result<(), Error> {
    store.writer.add_token(&NewToken::whole(hash, "acct_1")).await
}

#[tokio::test]
async fn finds_an_account_by_any_of_its_tokens() {
    on_both(async |store| {
        let created = store.writer.create_account("acct_1", 2, "hash 1").await?;
        add(&store, "hash 2").await?;
        for hash in ["hash 1", "hash 2"] {
            let found = store.reader.bearer(hash).await?.map(|it| it.account);
            assert_eq!(found.as_ref(), Some(&created));
        }
        assert_eq!(store.reader.bearer("hash 3").await?, None);
        assert_eq!(store.reader.account("acct_2").await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_worth_nothing() {
    on_both(async |store| {
        account(&store, "acct_1").await?;
        let began = now();
        add(&store, "hash 1").await?;
        add(&store, "hash 2").await?;
        let revoke = async |account: &str| store.writer.revoke_token(account, "hash 1").await;
        assert!(!revoke("acct_2").await?, "another's");
        assert!(revoke("acct_1").await?);
        assert!(!revoke("acct_1").await?, "already");
        assert_eq!(store.reader.revoked_since(began).await?, ["hash 1"]);
        assert_eq!(store.reader.bearer("hash 1").await?, None);
        assert!(store.reader.bearer("hash 2").await?.is_some());
        let left = store.reader.tokens("acct_1").await?;
        let left: Vec<&str> = left.iter().map(|it| it.hash.as_str()).collect();
        assert_eq!(left, ["hash of acct_1", "hash 2"]);

        let mut changes = store.reader.token_changes(began, None, 1).await?;
        assert_eq!(changes.len(), 1);
        let after = changes[0].hash.clone();
        changes.extend(store.reader.token_changes(began, Some(&after), 10).await?);
        let changes = changes.iter().map(|it| (it.hash.as_str(), it.revoked_at.is_some()));
        let changes: Vec<_> = changes.filter(|(hash, _)| *hash != "hash of acct_1").collect();
        assert_eq!(changes, [("hash 1", true), ("hash 2", false)]);
        assert!(store.reader.token_changes(now() + 1_000_000, None, 10).await?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn changes_the_tier() {
    on_both(async |store| {
        account(&store, "acct_1").await?;
        store.writer.set_tier("acct_1", 3).await?;
        assert_eq!(store.reader.account("acct_1").await?.map(|it| it.tier), Some(3));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn notes_activity_once_a_minute() {
    on_both(async |store| {
        account(&store, "acct_1").await?;
        let used = async || store.reader.tokens("acct_1").await.map(|it| it[0].last_used_at);
        assert_eq!(used().await?, None);
        store.writer.touch("acct_1", "hash of acct_1").await?;
        let (before, used_before) = (store.reader.account("acct_1").await?, used().await?);
        assert!(used_before.is_some());
        store.writer.touch("acct_1", "hash of acct_1").await?;
        assert_eq!(store.reader.account("acct_1").await?, before, "a minute has not passed");
        assert_eq!(used().await?, used_before);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_ensured_account_is_made_once() {
    on_both(async |store| {
        store.writer.ensure_account("acct_postmaster", 4).await?;
        let first = store.reader.account("acct_postmaster").await?;
        store.writer.ensure_account("acct_postmaster", 1).await?;
        assert_eq!(store.reader.account("acct_postmaster").await?, first);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn counts_usage() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        store_one(&store, mail(1, &[&first])).await?;
        store.writer.store(&[mail(2, &[&first, &second])]).await?;
        store.writer.enter(&[submission("k", &first, &["bob@example.net"])]).await?;
        store.writer.enter(&[rejection("r", &first)]).await?;
        store.writer.delete_inbox("acct_1", &second.id).await?;
        let expected = Usage { inboxes: 1, emails_received: 3, emails_sent_today: 1 };
        assert_eq!(store.reader.usage("acct_1").await?, expected);

        account(&store, "acct_2").await?;
        inbox_of(&store, "acct_2", "other").await?;
        let expected = Usage { inboxes: 1, ..Usage::default() };
        assert_eq!(store.reader.usage("acct_2").await?, expected);
        assert_eq!(store.reader.usage("acct_3").await?, Usage::default());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_made_once() {
    on_both(async |store| {
        let (first, same) =
            tokio::join!(store.writer.secret("links"), store.writer.secret("links"));
        let (first, same) = (first?, same?);
        assert_eq!(first, same);
        assert_eq!(first.len(), 32);
        assert_ne!(store.writer.secret("other").await?, first);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_secret_counts_until_the_one_after_the_next() {
    on_both(async |store| {
        let first = store.writer.secrets("return-paths").await?;
        assert_eq!((first.current.len(), first.previous), (32, None));
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        assert!(!store.writer.rotate_secret("return-paths", week).await?, "it is too young");
        assert!(store.writer.rotate_secret("return-paths", Duration::ZERO).await?);
        let second = store.writer.secrets("return-paths").await?;
        assert_eq!(second.previous.as_deref(), Some(&first.current[..]));
        assert_ne!(second.current, first.current);
        store.writer.revoke_secret("return-paths").await?;
        let third = store.writer.secrets("return-paths").await?;
        assert_eq!(third.previous, None);
        assert_ne!(third.current, second.current);
        Ok(())
    })
    .await;
}
