//! What happens to inboxes and domains is written down with it.

use store::{DomainStatus, NewInbox, Store};

use crate::{
    domains::{added, verify},
    fixture::{ACCOUNT, account, inbox, mail, new_inbox, now, on_both, store_one},
};

async fn announced(store: &Store) -> anyhow::Result<Vec<String>> {
    let found = store.reader.announcements(100).await?;
    for it in &found {
        store.writer.forget_announcement(it).await?;
    }
    Ok(found.into_iter().map(|it| format!("{} {}", it.event, it.inbox_id)).collect())
}

#[tokio::test]
async fn inboxes_come_and_go() {
    on_both(async |store| {
        let one = inbox(&store, "one").await?;
        let found = store.reader.announcements(100).await?;
        let record = found[0].record();
        assert_eq!(record.subject, "mail.v1.event.acct_1.ibx_one.inbox.created");
        assert_eq!(record.identity, found[0].event_id);
        let event: serde_json::Value = serde_json::from_slice(&record.payload)?;
        assert_eq!(
            (&event["event"], &event["accountId"]),
            (&"inbox.created".into(), &"acct_1".into())
        );
        assert_eq!(event["data"]["address"], one.address);
        assert_eq!(event["data"]["isActive"], true);
        assert_eq!(announced(&store).await?, ["inbox.created ibx_one"]);

        store.writer.delete_inbox("acct_2", &one.id).await?;
        store.writer.delete_inbox(ACCOUNT, &one.id).await?;
        store.writer.delete_inbox(ACCOUNT, &one.id).await?;
        assert_eq!(announced(&store).await?, ["inbox.deleted ibx_one"], "once");

        let two = NewInbox { expires_at: Some(now() - 1), ..new_inbox(ACCOUNT, "two") };
        store.writer.create_inbox(&two).await?;
        store.writer.expire_inboxes(now()).await?;
        store.writer.expire_inboxes(now()).await?;
        assert_eq!(announced(&store).await?, ["inbox.created ibx_two", "inbox.expired ibx_two"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_domain_is_announced_when_it_changes() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        added(&store, ACCOUNT, "dom_1").await?;
        assert_eq!(announced(&store).await?, [""; 0]);
        verify(&store, "dom_1").await?;
        verify(&store, "dom_1").await?;
        let found = store.reader.announcements(100).await?;
        assert_eq!(found[0].record().subject, "mail.v1.event.acct_1.-.domain.verified");
        assert_eq!(announced(&store).await?, ["domain.verified "], "once");
        let failed = store::Checked {
            status: DomainStatus::Failed,
            checks: Vec::new(),
            misses: 0,
            next_check_at: None,
        };
        store.writer.record_check("dom_1", &failed).await?;
        assert_eq!(announced(&store).await?, ["domain.failed "]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_says_whether_it_continues_a_thread() {
    on_both(async |store| {
        let inbox = inbox(&store, "one").await?;
        let first = mail(1, &[&inbox]);
        assert!(!store_one(&store, first.clone()).await?.continues_thread);
        let mut second = mail(2, &[&inbox]);
        if let Some(message) = &mut second.scanned.message {
            message.in_reply_to = vec!["1@example.com".to_owned()];
        }
        assert!(store_one(&store, second.clone()).await?.continues_thread);
        // Whoever asks again hears the same.
        let again = store_one(&store, first.clone()).await?;
        assert!(again.repeated && !again.continues_thread);
        assert!(!store.reader.copies(&first.scanned.mail_id).await?[0].continues_thread);
        assert!(store.reader.copies(&second.scanned.mail_id).await?[0].continues_thread);
        Ok(())
    })
    .await;
}
