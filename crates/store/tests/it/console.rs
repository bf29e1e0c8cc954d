//! Sessions of the console, operators' tokens, and what operators see of accounts.

use store::{ConsoleSession, Error};

use crate::fixture::{ACCOUNT, account, inbox, now, on_both};

fn session(hash: &str, expires_at: i64) -> ConsoleSession {
    let token_hash = "hash of a token".to_owned();
    ConsoleSession { hash: hash.to_owned(), token_hash, is_operator: true, expires_at }
}

#[tokio::test]
async fn a_session_lasts_until_its_time_or_until_it_is_closed() {
    on_both(async |store| {
        let (old, new) = (session("old", now() - 1), session("new", now() + 60_000_000));
        store.writer.open_console_session(&old).await?;
        store.writer.open_console_session(&new).await?;
        assert_eq!(store.reader.console_session("old").await?, None);
        assert_eq!(store.reader.console_session("new").await?, Some(new.clone()));
        // The one that was over is forgotten: its hash is free.
        store.writer.open_console_session(&ConsoleSession { expires_at: now(), ..old }).await?;
        store.writer.close_console_session("new").await?;
        assert_eq!(store.reader.console_session("new").await?, None);
        store.writer.open_console_session(&new).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_operators_token_ends_at_its_time_or_when_it_is_revoked() {
    on_both(async |store| {
        store.writer.add_operator_token("hash 1", "Night shift", None).await?;
        store.writer.add_operator_token("hash 2", "", Some(now() - 1)).await?;
        let found = store.reader.operator_token("hash 1").await?.expect("a token");
        assert_eq!((&*found.label, found.revoked_at), ("Night shift", None));
        assert_eq!(store.reader.operator_token("hash 2").await?, None, "expired");
        assert!(store.writer.revoke_operator_token("hash 1").await?);
        assert!(!store.writer.revoke_operator_token("hash 1").await?, "it is already");
        assert!(!store.writer.revoke_operator_token("hash 3").await?, "there is none");
        assert_eq!(store.reader.operator_token("hash 1").await?, None, "revoked");
        let all = store.reader.operator_tokens().await?;
        let hashes: Vec<&str> = all.iter().map(|it| it.hash.as_str()).collect();
        assert_eq!(hashes, ["hash 1", "hash 2"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn accounts_come_in_pages_with_what_they_have() {
    on_both(async |store| {
        let stopped = inbox(&store, "a").await?;
        store.writer.stop_inbox(&stopped, "a test").await?;
        inbox(&store, "b").await?;
        store.writer.delete_inbox(ACCOUNT, "ibx_b").await?;
        account(&store, "acct_2").await?;
        let first = store.reader.accounts(1, None).await?;
        assert_eq!(first.items[0].id, "acct_2", "the newest");
        let second = store.reader.accounts(1, first.cursor.as_deref()).await?;
        let found = &second.items[0];
        assert_eq!((&*found.id, found.inboxes, found.stopped), (ACCOUNT, 1, 1));
        assert_eq!(second.cursor, None);
        let refused = store.reader.accounts(1, Some("x")).await;
        assert!(matches!(refused, Err(Error::Cursor(_))));
        Ok(())
    })
    .await;
}
