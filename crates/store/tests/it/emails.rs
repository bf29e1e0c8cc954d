use contract::{EmailAttachment, EmailSecurity, SecurityReason};
use store::{ArrivalFilter, Direction, EmailFilter};

use crate::fixture::{
    ACCOUNT, account, attachment, edit, inbox, mail, mailbox, micros, on_both, store_one,
    submission,
};

fn ids(emails: &[contract::Email]) -> Vec<&str> {
    emails.iter().map(|it| it.id.as_str()).collect()
}

fn page(limit: i64) -> EmailFilter {
    EmailFilter { limit, ..EmailFilter::default() }
}

#[tokio::test]
async fn a_stored_mail_can_be_read() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let arrival = edit(mail(1, &[&inbox]), |it| {
            it.cc = vec![mailbox("carol@example.org")];
            it.attachments = vec![attachment("a.txt"), attachment("b.txt")];
            it.attachments[0].text = "Chairs\0".to_owned();
            it.attachments[0].text_truncated = true;
        });
        let stored = store_one(&store, arrival).await?;
        assert_eq!((stored.account_id.as_str(), stored.repeated), (ACCOUNT, false));
        let email = store.reader.email(ACCOUNT, &inbox.id, &stored.email.id).await?;
        let email = email.expect("an email");
        assert_eq!((&*email.direction, &*email.from), ("inbound", "alice@example.com"));
        assert_eq!(email.to, [inbox.address.as_str()]);
        assert_eq!(email.cc, ["carol@example.org"]);
        assert_eq!(email.subject, "Subject 1");
        assert_eq!(email.preview.as_deref(), Some("Text 1"));
        assert_eq!(email.body.as_deref(), Some("Text 1"));
        assert_eq!(email.status.as_deref(), Some("received"));
        assert_eq!(email.message_id.as_deref(), Some("<1@example.com>"));
        assert_eq!(email.received_at.as_deref(), Some("2026-11-24T05:41:12.123Z"));
        assert_eq!(email.recipients, []);
        assert!(email.thread_id.is_some() && email.has_attachments && !email.is_read);
        let second = EmailAttachment {
            filename: "b.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            s3_key: format!("{}/1", email.id),
            size_bytes: 3,
            download_url: None,
            text: None,
            text_truncated: false,
        };
        assert_eq!(email.attachments[1], second);
        assert_eq!(email.attachments[0].text.as_deref(), Some("Chairs"));
        assert!(email.attachments[0].text_truncated);
        let expected = EmailSecurity {
            injection_risk_score: 0.7,
            flags: vec!["prompt_injection".to_owned()],
            spf: Some("pass".to_owned()),
            dkim: Some("fail".to_owned()),
            dmarc: None,
            reasons: vec![SecurityReason {
                detector: "rules".to_owned(),
                end: 4,
                ..SecurityReason::default()
            }],
            version: "1".to_owned(),
            action: Some("warned".to_owned()),
            rules: vec!["warnAt".to_owned()],
            first_contact: Some(true),
        };
        assert_eq!(email.security, Some(expected));
        let mut listed = email.clone();
        listed.body = None;
        listed.attachments[0].text = None;
        listed.attachments[0].text_truncated = false;
        assert_eq!(stored.email, listed, "what storing returns is what lists show");
        assert_eq!(store.reader.emails(ACCOUNT, &inbox.id, &page(9)).await?.items, [listed]);
        let original = store.reader.original(ACCOUNT, &inbox.id, &email.id).await?;
        let original = original.expect("an original");
        assert_eq!(original.octets, b"Octets 1\0");
        assert_eq!(original.mail_id, "mail_0001");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_whole_text_wins_over_the_cut_one() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut arrival = mail(1, &[&inbox]);
        arrival.whole_text = Some("Text 1 and more".to_owned());
        let stored = store_one(&store, arrival).await?;
        let email = store.reader.email(ACCOUNT, &inbox.id, &stored.email.id).await?;
        assert_eq!(email.and_then(|it| it.body).as_deref(), Some("Text 1 and more"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn odd_mail_is_stored() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut arrivals = vec![edit(mail(1, &[&inbox]), |it| {
            it.from = Vec::new();
            it.subject = "NUL \0 and \u{1f4a9}".to_owned();
            it.text = "\0".to_owned();
            it.message_id = "a\0b@x".to_owned();
            it.to = vec![mailbox("nul\0@example.com")];
            it.references = (0..3_000).map(|n| format!("{n}{}@x", "y".repeat(900))).collect();
        })];
        let mut empty = mail(2, &[&inbox]);
        empty.scanned.message = None;
        empty.scanned.verdict = None;
        empty.scanned.authentication = None;
        empty.octets = Vec::new();
        arrivals.push(empty);
        let mut judged = mail(3, &[&inbox]);
        judged.scanned.verdict.as_mut().expect("a verdict").score = f64::NAN;
        arrivals.push(judged);
        let stored = store.writer.store(&arrivals).await?.concat();
        assert_eq!(stored.len(), 3);
        assert_eq!(stored[0].email.subject, "NUL  and \u{1f4a9}");
        assert_eq!(stored[1].email.subject, "");
        assert_eq!(stored[1].email.message_id, None);
        let security = stored[2].email.security.as_ref().expect("a verdict");
        assert!((security.injection_risk_score - 1.0).abs() < f64::EPSILON, "no all-clear");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lists_newest_first_in_pages() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for number in 1..=5 {
            store_one(&store, mail(number, &[&inbox])).await?;
        }
        let first = store.reader.emails(ACCOUNT, &inbox.id, &page(2)).await?;
        assert_eq!(ids(&first.items), ["eml_0005_ibx_agent", "eml_0004_ibx_agent"]);
        let next = EmailFilter { cursor: first.cursor, ..page(3) };
        let second = store.reader.emails(ACCOUNT, &inbox.id, &next).await?;
        assert_eq!(second.items.len(), 3);
        assert_eq!(second.items[0].id, "eml_0003_ibx_agent");
        assert_eq!(second.cursor, None, "the end, exactly at the limit");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn refuses_a_cursor_it_did_not_give() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let filter = EmailFilter { cursor: Some("nonsense".to_owned()), ..page(2) };
        let refused = store.reader.emails(ACCOUNT, &inbox.id, &filter).await;
        anyhow::ensure!(matches!(refused, Err(store::Error::Cursor(_))), "{refused:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn since_is_exclusive_and_misses_nothing() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        // In one millisecond, most likely.
        for number in 1..=20 {
            store_one(&store, mail(number, &[&inbox])).await?;
        }
        // In one transaction.
        let batch: Vec<_> = (21..=30).map(|number| mail(number, &[&inbox])).collect();
        store.writer.store(&batch).await?;
        let all = store.reader.emails(ACCOUNT, &inbox.id, &page(50)).await?.items;
        for (n, email) in all.iter().enumerate() {
            let since = Some(micros(&email.created_at));
            let filter = EmailFilter { since, ..page(50) };
            let newer = store.reader.emails(ACCOUNT, &inbox.id, &filter).await?.items;
            assert_eq!(ids(&newer), ids(&all[..n]), "after {}", email.created_at);
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lists_one_direction() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        store.writer.enter(&[submission("k", &inbox, &["bob@example.net"])]).await?;
        for (direction, expected) in [
            (Some(Direction::Inbound), vec!["inbound"]),
            (Some(Direction::Outbound), vec!["outbound"]),
            (None, vec!["outbound", "inbound"]),
        ] {
            let filter = EmailFilter { direction, ..page(9) };
            let found = store.reader.emails(ACCOUNT, &inbox.id, &filter).await?.items;
            let found: Vec<_> = found.iter().map(|it| it.direction.as_str()).collect();
            assert_eq!(found, expected);
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn arrivals_match_octet_by_octet() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let second = edit(mail(2, &[&inbox]), |it| {
            it.from = vec![mailbox("Alice@example.com")];
            it.subject = "Your 100% code_1".to_owned();
        });
        store_one(&store, second).await?;
        store.writer.enter(&[submission("k", &inbox, &["bob@example.net"])]).await?;
        let found = async |from: Option<&str>, subject: Option<&str>, since: i64| {
            let filter = ArrivalFilter {
                since,
                from: from.map(str::to_owned),
                subject: subject.map(str::to_owned),
                ..ArrivalFilter::default()
            };
            let found = store.reader.arrivals(ACCOUNT, &inbox.id, &filter).await?;
            anyhow::Ok(found.iter().map(|it| it.subject.clone()).collect::<Vec<_>>())
        };
        assert_eq!(found(None, None, 0).await?, ["Your 100% code_1", "Subject 1"]);
        assert_eq!(found(Some("alice@example.com"), None, 0).await?, ["Subject 1"]);
        assert_eq!(found(Some(""), None, 0).await?, [""; 0]);
        assert_eq!(found(None, Some("0% code_"), 0).await?, ["Your 100% code_1"]);
        assert_eq!(found(None, Some("subject"), 0).await?, [""; 0], "case counts");
        assert_eq!(found(None, Some("e__1"), 0).await?, [""; 0], "no wildcards");
        assert_eq!(found(None, None, i64::MAX).await?, [""; 0]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn storing_again_changes_nothing() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        let changed = edit(mail(1, &[&inbox]), |it| it.subject = "Changed".to_owned());
        let again = store.writer.store(&[mail(2, &[&inbox]), changed]).await?;
        assert!(!again[0][0].repeated);
        assert!(again[1][0].repeated);
        assert_eq!(again[1][0].email, first.email);
        assert_eq!(store.reader.copies("mail_0001").await?, again[1]);
        assert_eq!(store.reader.copies("mail_0009").await?, []);
        let count = store.reader.inbox(ACCOUNT, &inbox.id).await?.map(|it| it.email_count);
        assert_eq!(count, Some(2));
        let threads = store.reader.threads(ACCOUNT, &inbox.id, 9, None).await?.items;
        assert_eq!(threads.iter().map(|it| it.email_count).collect::<Vec<_>>(), [1, 1]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_twice_in_a_batch_is_stored_once() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let stored = store.writer.store(&[mail(1, &[&inbox]), mail(1, &[&inbox])]).await?;
        assert_eq!(stored[0][0].email, stored[1][0].email);
        assert_eq!(store.reader.emails(ACCOUNT, &inbox.id, &page(9)).await?.items.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn every_inbox_gets_its_copy() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        let copies = store.writer.store(&[mail(1, &[&first, &second])]).await?.concat();
        assert_eq!(copies.len(), 2);
        assert_ne!(copies[0].email.id, copies[1].email.id);
        assert_ne!(copies[0].email.thread_id, copies[1].email.thread_id);
        for (inbox, copy) in [(&first, &copies[0]), (&second, &copies[1])] {
            let original = store.reader.original(ACCOUNT, &inbox.id, &copy.email.id).await?;
            assert_eq!(original.map(|it| it.octets).as_deref(), Some(&b"Octets 1\0"[..]));
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_for_an_unknown_inbox_is_left_out() {
    on_both(async |store| {
        let known = inbox(&store, "known").await?;
        let mut unknown = known.clone();
        unknown.id = "ibx_unknown".to_owned();
        let stored =
            store.writer.store(&[mail(1, &[&unknown]), mail(2, &[&unknown, &known])]).await?;
        assert_eq!(stored.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(stored[1][0].email.inbox_id, known.id);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn accounts_do_not_see_each_other() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        account(&store, "acct_2").await?;
        let stored = store_one(&store, mail(1, &[&inbox])).await?;
        let (id, thread) = (&stored.email.id, stored.email.thread_id.as_deref());
        let thread = thread.expect("a thread");
        let reader = &store.reader;
        assert_eq!(reader.email("acct_2", &inbox.id, id).await?, None);
        assert_eq!(reader.original("acct_2", &inbox.id, id).await?, None);
        assert_eq!(reader.emails("acct_2", &inbox.id, &page(9)).await?.items, []);
        assert_eq!(reader.arrivals("acct_2", &inbox.id, &ArrivalFilter::default()).await?, []);
        assert_eq!(reader.threads("acct_2", &inbox.id, 9, None).await?.items, []);
        assert_eq!(reader.thread("acct_2", &inbox.id, thread).await?, None);
        let query = store::SearchQuery { limit: 9, ..store::SearchQuery::default() };
        assert_eq!(reader.search("acct_2", &query).await?.items, []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_email_is_found_in_its_inbox_only() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        let stored = store_one(&store, mail(1, &[&first])).await?;
        assert_eq!(store.reader.email(ACCOUNT, &second.id, &stored.email.id).await?, None);
        assert_eq!(store.reader.original(ACCOUNT, &second.id, &stored.email.id).await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn stores_a_large_batch_and_a_large_mail() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut arrivals: Vec<_> = (1..=300).map(|number| mail(number, &[&inbox])).collect();
        arrivals[0].octets = vec![b'x'; 25 * 1024 * 1024];
        let stored = store.writer.store(&arrivals).await?;
        assert_eq!(stored.concat().len(), 300);
        let original = store.reader.original(ACCOUNT, &inbox.id, &stored[0][0].email.id).await?;
        assert_eq!(original.map(|it| it.octets.len()), Some(25 * 1024 * 1024));
        Ok(())
    })
    .await;
}
