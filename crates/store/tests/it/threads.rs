use contract::Email;
use store::{Ancestry, Outcome, Store};

use crate::fixture::{ACCOUNT, answer, edit, inbox, mail, mailbox, on_both, store_one, submission};

fn thread(email: &Email) -> &str {
    email.thread_id.as_deref().expect("a thread")
}

async fn summary(store: &Store, inbox_id: &str) -> anyhow::Result<Vec<(String, i64)>> {
    let threads = store.reader.threads(ACCOUNT, inbox_id, 50, None).await?.items;
    Ok(threads.into_iter().map(|it| (it.subject, it.email_count)).collect())
}

#[tokio::test]
async fn answers_join_and_come_oldest_first() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        store_one(&store, mail(2, &[&inbox])).await?;
        let third = store_one(&store, answer(3, 1, &inbox)).await?;
        assert_eq!(thread(&first.email), thread(&third.email));
        assert_eq!(
            summary(&store, &inbox.id).await?,
            [("Subject 1".to_owned(), 2), ("Subject 2".to_owned(), 1)]
        );
        let detail = store.reader.thread(ACCOUNT, &inbox.id, thread(&first.email)).await?;
        let detail = detail.expect("a thread");
        let subjects: Vec<_> = detail.emails.iter().map(|it| it.subject.as_str()).collect();
        assert_eq!(subjects, ["Subject 1", "Subject 3"]);
        assert_eq!(store::rfc3339(detail.thread.last_email_at), third.email.created_at);
        assert_eq!(store::rfc3339(detail.thread.created_at), first.email.created_at);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_late_link_merges_and_redirects() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        let second = store_one(&store, mail(2, &[&inbox])).await?;
        let third = store_one(&store, answer(3, 2, &inbox)).await?;
        let link = edit(mail(4, &[&inbox]), |it| {
            it.references = vec!["1@example.com".to_owned(), "2@example.com".to_owned()];
        });
        let link = store_one(&store, link).await?;
        assert_eq!(thread(&link.email), thread(&first.email), "the oldest wins");
        let merged = store.reader.thread(ACCOUNT, &inbox.id, thread(&second.email)).await?;
        let merged = merged.expect("found by its former identifier");
        assert_eq!(merged.thread.id, thread(&first.email));
        assert_eq!(merged.thread.email_count, 4);
        assert_eq!(merged.emails.len(), 4);
        assert_eq!(summary(&store, &inbox.id).await?, [("Subject 1".to_owned(), 4)]);
        let third = store.reader.email(ACCOUNT, &inbox.id, &third.email.id).await?;
        assert_eq!(third.as_ref().map(thread), Some(thread(&first.email)));
        let late = store_one(&store, answer(5, 3, &inbox)).await?;
        assert_eq!(thread(&late.email), thread(&first.email));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn redirects_lead_to_the_end_of_a_chain() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut threads = Vec::new();
        for number in 1..=3 {
            threads.push(store_one(&store, mail(number, &[&inbox])).await?);
        }
        for (number, links) in
            [(4, ["2@example.com", "3@example.com"]), (5, ["1@example.com", "3@example.com"])]
        {
            let link = edit(mail(number, &[&inbox]), |it| {
                it.references = links.map(str::to_owned).to_vec();
            });
            store_one(&store, link).await?;
        }
        for former in &threads {
            let found = store.reader.thread(ACCOUNT, &inbox.id, thread(&former.email)).await?;
            let found = found.expect("a thread");
            assert_eq!(found.thread.id, thread(&threads[0].email));
            assert_eq!(found.emails.len(), 5);
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_whole_conversation_in_one_batch() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        // The answers first; then what ties them together.
        let tie = edit(mail(3, &[&inbox]), |it| {
            it.references = vec!["1@example.com".to_owned(), "2@example.com".to_owned()];
        });
        let batch = [mail(1, &[&inbox]), mail(2, &[&inbox]), tie, answer(4, 2, &inbox)];
        let stored = store.writer.store(&batch).await?.concat();
        assert!(stored.iter().all(|it| it.email.thread_id == stored[0].email.thread_id));
        assert_eq!(summary(&store, &inbox.id).await?, [("Subject 1".to_owned(), 4)]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn inboxes_thread_for_themselves() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        let original = store_one(&store, mail(1, &[&first])).await?;
        let elsewhere = store_one(&store, answer(2, 1, &second)).await?;
        assert_ne!(thread(&original.email), thread(&elsewhere.email));
        let found = store.reader.thread(ACCOUNT, &second.id, thread(&original.email)).await?;
        assert_eq!(found, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn one_message_id_with_two_contents_is_two_emails() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        let twin = edit(mail(2, &[&inbox]), |it| it.message_id = "1@example.com".to_owned());
        let twin = store_one(&store, twin).await?;
        assert_ne!(first.email.id, twin.email.id);
        assert_eq!(first.email.thread_id, twin.email.thread_id);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_subject_joins_only_a_participants_answer_without_references() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        let reply = |number, from: &str, subject: &str| {
            edit(mail(number, &[&inbox]), |it| {
                it.from = vec![mailbox(from)];
                it.subject = subject.to_owned();
            })
        };
        let joined = store_one(&store, reply(2, "Alice@example.com", "RE: [x] subject 1")).await?;
        assert_eq!(thread(&joined.email), thread(&first.email));
        for (number, from, subject) in [
            (3, "mallory@example.com", "Re: Subject 1"),
            (4, "alice@example.com", "Subject 1"),
            (5, "alice@example.com", "Re: Subject 2"),
        ] {
            let other = store_one(&store, reply(number, from, subject)).await?;
            assert_ne!(thread(&other.email), thread(&first.email), "{from} {subject}");
        }
        let referring = edit(reply(6, "alice@example.com", "Re: Subject 1"), |it| {
            it.in_reply_to = vec!["elsewhere@example.com".to_owned()];
        });
        let referring = store_one(&store, referring).await?;
        assert_ne!(thread(&referring.email), thread(&first.email));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn sent_mail_joins_and_is_answered() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        let mut sent = submission("k", &inbox, &["alice@example.com"]);
        if let Outcome::Composed(composed) = &mut sent.outcome {
            composed.message.in_reply_to = vec!["1@example.com".to_owned()];
        }
        let sent = store.writer.enter(&[sent]).await?;
        assert_eq!(thread(&sent[0].email), thread(&first.email));
        let answer = edit(mail(2, &[&inbox]), |it| {
            it.in_reply_to = vec!["k@posthouse.localhost".to_owned()];
        });
        let answer = store_one(&store, answer).await?;
        assert_eq!(thread(&answer.email), thread(&first.email));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn sent_mail_joins_the_thread_it_names() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let nameless = edit(mail(1, &[&inbox]), |it| it.message_id.clear());
        let first = store_one(&store, nameless).await?;
        let named = thread(&first.email).to_owned();
        assert_eq!(store.reader.ancestry(&inbox.id, &named).await?, Some(Ancestry::default()));
        let mut sent = submission("k", &inbox, &["alice@example.com"]);
        if let Outcome::Composed(composed) = &mut sent.outcome {
            composed.thread_id = Some(named.clone());
        }
        let sent = store.writer.enter(&[sent]).await?;
        assert_eq!(thread(&sent[0].email), named);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn knows_the_ancestry_of_an_answer() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?;
        let second = edit(mail(2, &[&inbox]), |it| {
            it.references = vec!["0@example.com".to_owned(), "1@example.com".to_owned()];
        });
        store_one(&store, second).await?;
        let ancestry = |in_reply_to: &str, references: &[&str]| Ancestry {
            in_reply_to: Some(in_reply_to.to_owned()),
            references: references.iter().map(|it| (*it).to_owned()).collect(),
        };
        let newest =
            ancestry("2@example.com", &["0@example.com", "1@example.com", "2@example.com"]);
        let reader = &store.reader;
        assert_eq!(reader.ancestry(&inbox.id, thread(&first.email)).await?, Some(newest));
        assert_eq!(reader.ancestry(&inbox.id, "thd_unknown").await?, None);
        assert_eq!(reader.ancestry("ibx_other", thread(&first.email)).await?, None);
        let older = ancestry("1@example.com", &["1@example.com"]);
        let found = reader.ancestry_of_message(&inbox.id, "1@example.com").await?;
        assert_eq!(found, Some(older));
        assert_eq!(reader.ancestry_of_message(&inbox.id, "0@example.com").await?, None);
        assert_eq!(reader.ancestry_of_message("ibx_other", "1@example.com").await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn threads_come_in_pages_by_their_last_email() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for number in 1..=4 {
            store_one(&store, mail(number, &[&inbox])).await?;
        }
        store_one(&store, answer(5, 2, &inbox)).await?;
        let first = store.reader.threads(ACCOUNT, &inbox.id, 3, None).await?;
        let second = store.reader.threads(ACCOUNT, &inbox.id, 3, first.cursor.as_deref()).await?;
        let all = first.items.iter().chain(&second.items);
        let subjects: Vec<_> = all.map(|it| it.subject.as_str()).collect();
        assert_eq!(subjects, ["Subject 2", "Subject 4", "Subject 3", "Subject 1"]);
        assert_eq!(second.cursor, None);
        Ok(())
    })
    .await;
}
