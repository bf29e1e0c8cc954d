use contract::{Action, Action::*};
use store::{Inbox, Store};

use crate::fixture::{ACCOUNT, account, inbox, mail, on_both, report, store_one, submission};

const BOB: &str = "bob@example.net";
const CAROL: &str = "carol@example.net";

/// The identifier of a mail to Bob and Carol, and its inbox.
async fn sent(store: &Store) -> anyhow::Result<(String, Inbox)> {
    let inbox = inbox(store, "agent").await?;
    let submitted = submission("k", &inbox, &[BOB, CAROL]);
    store.writer.enter(std::slice::from_ref(&submitted)).await?;
    Ok((submitted.mail_id, inbox))
}

/// Reports an attempt; gives the status it leads to and the recipients it changed.
async fn attempt(
    store: &Store,
    mail_id: &str,
    number: u32,
    recipients: &[(&str, Action)],
) -> anyhow::Result<(String, Vec<String>, bool)> {
    let reported = store.writer.report(&[report(mail_id, number, recipients)]).await?;
    let reported = reported.into_iter().next().flatten();
    let reported = reported.ok_or_else(|| anyhow::anyhow!("unknown mail"))?;
    assert_eq!(reported.idempotency_key, "k");
    assert_eq!(reported.account_id, ACCOUNT);
    let changed = reported.report.recipients.into_iter().map(|it| it.forward_path).collect();
    Ok((reported.email.status.unwrap_or_default(), changed, reported.repeated))
}

#[tokio::test]
async fn reports_lead_to_the_end() {
    on_both(async |store| {
        let (id, inbox) = sent(&store).await?;
        let first = attempt(&store, &id, 1, &[(BOB, Delivered), (CAROL, Delayed)]).await?;
        assert_eq!(first, ("deferred".to_owned(), vec![BOB.to_owned(), CAROL.to_owned()], false));
        let outgoing = store.reader.outgoing(&id).await?.expect("a mail");
        assert_eq!(outgoing.open, [CAROL]);
        let second = attempt(&store, &id, 2, &[(CAROL, Failed)]).await?;
        assert_eq!(second, ("sent".to_owned(), vec![CAROL.to_owned()], false));
        assert_eq!(store.reader.outgoing(&id).await?.expect("a mail").open, [""; 0]);
        let email = store.reader.email(ACCOUNT, &inbox.id, &id).await?.expect("an email");
        let carol = &email.recipients[1];
        assert_eq!((&*carol.address, &*carol.action), (CAROL, "failed"));
        assert_eq!((&*carol.diagnostic, &*carol.remote_host), ("reply 2", "mx.example.net"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn all_failed_is_bounced() {
    on_both(async |store| {
        let (id, inbox) = sent(&store).await?;
        assert_eq!(attempt(&store, &id, 1, &[(BOB, Failed)]).await?.0, "queued");
        assert_eq!(attempt(&store, &id, 2, &[(CAROL, Failed)]).await?.0, "bounced");
        let entry = store.reader.ledger_entry(&inbox.id, "k").await?;
        assert_eq!(entry.map(|it| it.status).as_deref(), Some("bounced"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_repeated_report_changes_nothing_and_says_what_it_did() {
    on_both(async |store| {
        let (id, _) = sent(&store).await?;
        let outcome = [(BOB, Delayed), (CAROL, Delivered)];
        let first = attempt(&store, &id, 1, &outcome).await?;
        attempt(&store, &id, 2, &[(BOB, Delivered)]).await?;
        let again = attempt(&store, &id, 1, &outcome).await?;
        assert_eq!(again, ("sent".to_owned(), first.1, true));
        let in_a_batch = [report(&id, 3, &[]), report(&id, 4, &[]), report(&id, 4, &[])];
        let reported = store.writer.report(&in_a_batch).await?;
        let repeated: Vec<_> = reported.iter().flatten().map(|it| it.repeated).collect();
        assert_eq!(repeated, [false, false, true]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_late_report_undoes_nothing() {
    on_both(async |store| {
        let (id, _) = sent(&store).await?;
        attempt(&store, &id, 2, &[(BOB, Delivered), (CAROL, Failed)]).await?;
        let late = attempt(&store, &id, 1, &[(BOB, Delayed), (CAROL, Delayed)]).await?;
        assert_eq!(late, ("sent".to_owned(), vec![], false));
        let wrong = attempt(&store, &id, 3, &[(BOB, Failed), (CAROL, Delivered)]).await?;
        assert_eq!(wrong, ("sent".to_owned(), vec![], false));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn reports_on_unknown_mail_and_recipients_are_told_apart() {
    on_both(async |store| {
        let (id, _) = sent(&store).await?;
        let reports =
            [report("eml_unknown", 1, &[(BOB, Delivered)]), report(&id, 1, &[(BOB, Delivered)])];
        let reported = store.writer.report(&reports).await?;
        assert!(reported[0].is_none() && reported[1].is_some());
        let stranger = attempt(&store, &id, 2, &[("mallory@example.net", Failed)]).await?;
        assert_eq!(stranger, ("queued".to_owned(), vec![], false));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn each_attempt_is_in_the_log_of_its_owner() {
    on_both(async |store| {
        let (id, inbox) = sent(&store).await?;
        let mut first = report(&id, 1, &[(BOB, Delivered), (CAROL, Delayed)]);
        first.next_attempt_at_micros = 9;
        let mut second = report(&id, 2, &[(CAROL, Failed)]);
        second.attempted_at_micros = 10;
        store.writer.report(&[second, first]).await?;
        let log = store.reader.deliveries(ACCOUNT, &inbox.id, &id).await?;
        let rows: Vec<_> = log
            .iter()
            .map(|it| {
                (&*it.recipient, it.attempt, it.attempted_at, &*it.action, it.next_attempt_at)
            })
            .collect();
        let expected = [
            (BOB, 1, 5, "delivered", None),
            (CAROL, 1, 5, "delayed", Some(9)),
            (CAROL, 2, 10, "failed", None),
        ];
        assert_eq!(rows, expected);
        assert_eq!((&*log[2].diagnostic, &*log[2].tls), ("reply 2", "TLSv1.3"));
        assert_eq!((&*log[2].domain, &*log[2].remote_host), ("example.net", "mx.example.net"));

        account(&store, "acct_2").await?;
        assert_eq!(store.reader.deliveries("acct_2", &inbox.id, &id).await?, []);
        assert_eq!(store.reader.deliveries(ACCOUNT, "ibx_other", &id).await?, []);
        assert_eq!(store.reader.inbox_of_email("acct_2", &id).await?, None);
        let found = store.reader.inbox_of_email(ACCOUNT, &id).await?;
        assert_eq!(found.map(|it| it.id), Some(inbox.id.clone()));
        let received = store_one(&store, mail(1, &[&inbox])).await?.email.id;
        assert_eq!(store.reader.deliveries(ACCOUNT, &inbox.id, &received).await?, []);
        store.writer.delete_inbox(ACCOUNT, &inbox.id).await?;
        assert_eq!(store.reader.inbox_of_email(ACCOUNT, &id).await?, None);
        Ok(())
    })
    .await;
}
