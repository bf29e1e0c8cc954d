//! What reports after the session make of recipients and mails.

use contract::Action::{Delayed, Delivered, Failed};
use store::{Fate, Finding, Found, Inbox, Source, Store};

use crate::fixture::{ACCOUNT, inbox, on_both, report, submission};

const BOB: &str = "bob@example.net";
const CAROL: &str = "carol@example.net";

/// The identifier of a mail that was handed over for Bob and Carol, and its inbox.
async fn sent(store: &Store) -> anyhow::Result<(String, Inbox)> {
    let inbox = inbox(store, "agent").await?;
    let submitted = submission("k", &inbox, &[BOB, CAROL]);
    store.writer.enter(std::slice::from_ref(&submitted)).await?;
    let id = submitted.mail_id;
    store.writer.report(&[report(&id, 1, &[(BOB, Delivered), (CAROL, Delivered)])]).await?;
    Ok((id, inbox))
}

fn finding(mail_id: &str, forward_path: &str, fate: Fate) -> Finding {
    Finding {
        mail_id: mail_id.to_owned(),
        forward_path: forward_path.to_owned(),
        source: match fate {
            Fate::Complained => Source::Complaint,
            Fate::Read(_) => Source::Receipt,
            _ => Source::Notification,
        },
        status: "5.1.1".to_owned(),
        diagnostic: format!("550 5.1.1 {}\0", forward_path),
        remote_host: "mx.example.net".to_owned(),
        report_id: "report_1".to_owned(),
        reported_at: 10,
        fate,
    }
}

async fn apply(store: &Store, finding: &Finding) -> anyhow::Result<Option<Found>> {
    let found = store.writer.apply(std::slice::from_ref(finding)).await?;
    Ok(found.into_iter().next().flatten())
}

/// What applying comes to: the status of the mail, and whether it is news and was recorded before.
async fn outcome(store: &Store, finding: &Finding) -> anyhow::Result<(String, bool, bool)> {
    let found = apply(store, finding).await?.ok_or_else(|| anyhow::anyhow!("not found"))?;
    assert_eq!(found.account_id, ACCOUNT);
    Ok((found.email.status.unwrap_or_default(), found.is_news, found.repeated))
}

#[tokio::test]
async fn a_late_bounce_is_told_once() {
    on_both(async |store| {
        let (id, inbox) = sent(&store).await?;
        let first = finding(&id, BOB, Fate::Failed);
        assert_eq!(outcome(&store, &first).await?, ("sent".to_owned(), true, false));
        let email = store.reader.email(ACCOUNT, &inbox.id, &id).await?.expect("an email");
        let bob = &email.recipients[0];
        assert_eq!((&*bob.action, &*bob.status), ("failed", "5.1.1"));
        assert_eq!(
            (&*bob.diagnostic, &*bob.remote_host),
            ("550 5.1.1 bob@example.net", "mx.example.net")
        );
        assert_eq!(email.recipients[1].action, "delivered");

        let again = outcome(&store, &first).await?;
        assert_eq!(again, ("sent".to_owned(), true, true), "a redelivery announces it again");
        let other = Finding { report_id: "report_2".to_owned(), ..first.clone() };
        let repeat = outcome(&store, &other).await?;
        assert_eq!(repeat, ("sent".to_owned(), false, true), "the same by another mail is no news");
        let claim = Finding { source: Source::Claim, ..other };
        assert_eq!(outcome(&store, &claim).await?, ("sent".to_owned(), false, false));
        let last = finding(&id, CAROL, Fate::Failed);
        assert_eq!(outcome(&store, &last).await?, ("bounced".to_owned(), true, false));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_delay_and_a_receipt_change_nothing() {
    on_both(async |store| {
        let (id, inbox) = sent(&store).await?;
        let delay = finding(&id, BOB, Fate::Delayed);
        assert_eq!(outcome(&store, &delay).await?, ("sent".to_owned(), true, false));
        let read = finding(&id, BOB, Fate::Read("displayed".to_owned()));
        assert_eq!(outcome(&store, &read).await?, ("sent".to_owned(), false, false));
        let email = store.reader.email(ACCOUNT, &inbox.id, &id).await?.expect("an email");
        assert_eq!(
            (&*email.recipients[0].action, &*email.recipients[0].status),
            ("delivered", "2.0.0")
        );
        let log = store.reader.deliveries(ACCOUNT, &inbox.id, &id).await?;
        let rows: Vec<_> = log.iter().map(|it| (&*it.source, &*it.action, it.attempt)).collect();
        let session = ("session", "delivered", 1);
        assert_eq!(rows, [session, session, ("dsn", "delayed", 0), ("mdn", "displayed", 0)]);
        assert_eq!((log[2].attempted_at, &*log[2].status), (10, "5.1.1"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn delivered_to_all_is_delivered() {
    on_both(async |store| {
        let (id, _) = sent(&store).await?;
        let bob = finding(&id, BOB, Fate::Delivered);
        assert_eq!(outcome(&store, &bob).await?.0, "sent");
        let carol = finding(&id, CAROL, Fate::Delivered);
        assert_eq!(outcome(&store, &carol).await?, ("delivered".to_owned(), true, false));
        let late = finding(&id, BOB, Fate::Delayed);
        assert_eq!(outcome(&store, &late).await?, ("delivered".to_owned(), false, false));
        // One of those an alias stands for.
        let failed = finding(&id, BOB, Fate::Failed);
        assert_eq!(outcome(&store, &failed).await?, ("delivered".to_owned(), true, false));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_complaint_stands() {
    on_both(async |store| {
        let (id, inbox) = sent(&store).await?;
        let complaint = finding(&id, BOB, Fate::Complained);
        assert_eq!(outcome(&store, &complaint).await?, ("complained".to_owned(), true, false));
        let delivered = finding(&id, BOB, Fate::Delivered);
        assert_eq!(outcome(&store, &delivered).await?, ("complained".to_owned(), false, false));
        let email = store.reader.email(ACCOUNT, &inbox.id, &id).await?.expect("an email");
        assert_eq!(email.recipients[0].diagnostic, "reply 1", "what its host said stays");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_report_may_overtake_that_of_our_own_attempt() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let submitted = submission("k", &inbox, &[BOB]);
        store.writer.enter(std::slice::from_ref(&submitted)).await?;
        let id = submitted.mail_id;
        let failed = finding(&id, BOB, Fate::Failed);
        assert_eq!(outcome(&store, &failed).await?, ("bounced".to_owned(), true, false));
        let reported = store.writer.report(&[report(&id, 1, &[(BOB, Delivered)])]).await?;
        let reported = reported[0].as_ref().expect("reported");
        assert_eq!(reported.email.status.as_deref(), Some("bounced"));
        assert!(reported.report.recipients.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn strangers_are_not_found() {
    on_both(async |store| {
        let (id, _) = sent(&store).await?;
        assert_eq!(apply(&store, &finding("eml_unknown", BOB, Fate::Failed)).await?, None);
        let stranger = finding(&id, "mallory@example.net", Fate::Failed);
        assert_eq!(apply(&store, &stranger).await?, None);
        assert_eq!(store.writer.apply(&[]).await?, []);
        let known = store.reader.sent(&id).await?.expect("sent");
        assert_eq!(known.forward_paths, [BOB, CAROL]);
        assert_eq!(store.reader.sent("eml_unknown").await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn nobody_who_is_suppressed_makes_a_bounce() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let submitted = submission("k", &inbox, &[BOB, CAROL]);
        store.writer.enter(std::slice::from_ref(&submitted)).await?;
        let mut reports = [
            report(&submitted.mail_id, 1, &[(BOB, Failed)]),
            report(&submitted.mail_id, 2, &[(CAROL, Failed)]),
        ];
        for it in &mut reports {
            it.recipients[0].suppressed = true;
        }
        let reported = store.writer.report(&reports).await?;
        let status = reported[1].as_ref().and_then(|it| it.email.status.clone());
        assert_eq!(status.as_deref(), Some("suppressed"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn who_asked_for_notifications_is_known() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut asking = submission("asking", &inbox, &[BOB]);
        let silent = submission("silent", &inbox, &[BOB]);
        if let store::Outcome::Composed(composed) = &mut asking.outcome {
            composed.notify = vec!["failure".to_owned(), "delay".to_owned()];
        }
        store.writer.enter(&[asking.clone(), silent.clone()]).await?;
        let ids = [asking.mail_id.clone(), silent.mail_id];
        store.writer.report(&[report(&asking.mail_id, 1, &[(BOB, Delayed)])]).await?;
        let found = store.reader.notifiable(&ids).await?;
        assert_eq!(found.len(), 1);
        let it = &found[0];
        assert_eq!((&*it.email.id, &*it.address), (&*asking.mail_id, &*inbox.address));
        assert_eq!(
            (&it.notify[..], it.requested_at),
            (&["failure".to_owned(), "delay".to_owned()][..], 1_000_000)
        );
        assert_eq!(
            (&*it.octets, &*it.email.recipients[0].action),
            (&b"Octets asking"[..], "delayed")
        );
        store.writer.delete_inbox(ACCOUNT, &inbox.id).await?;
        assert_eq!(store.reader.notifiable(&ids).await?, []);
        Ok(())
    })
    .await;
}
