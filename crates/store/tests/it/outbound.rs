use contract::{Action, Rejection};
use store::{ArrivalFilter, EmailFilter, Submitted};

use crate::fixture::{ACCOUNT, inbox, on_both, rejection, report, submission};

#[tokio::test]
async fn a_request_is_entered_and_can_be_sent() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let to = ["bob@example.net", "carol@example.org"];
        let submitted = submission("k", &inbox, &to);
        let entered = store.writer.enter(std::slice::from_ref(&submitted)).await?;
        let entered = &entered[0];
        assert!(entered.to_send && !entered.repeated);
        assert_eq!(entered.entry.status, "queued");
        assert_eq!(entered.entry.email_id, submitted.mail_id);
        assert_eq!(entered.entry.request_digest, "digest k");
        assert_eq!(entered.email.status.as_deref(), Some("queued"));
        assert_eq!(entered.email.direction, "outbound");
        assert_eq!(entered.email.from, inbox.address);
        assert_eq!(entered.email.received_at, None);
        assert_eq!(entered.email.idempotency_key.as_deref(), Some("k"));
        let security = entered.email.security.as_ref().expect("a verdict");
        assert_eq!((&security.spf, &security.dkim, &security.dmarc), (&None, &None, &None));
        let recipients: Vec<_> =
            entered.email.recipients.iter().map(|it| (&*it.address, &*it.action)).collect();
        assert_eq!(recipients, [(to[0], ""), (to[1], "")]);
        let found = store.reader.ledger_entry(&inbox.id, "k").await?;
        assert_eq!(found.as_ref(), Some(&entered.entry));
        let outgoing = store.reader.outgoing(&submitted.mail_id).await?.expect("a mail");
        assert_eq!(outgoing.octets, b"Octets k");
        assert_eq!(outgoing.open, to);
        let email = store.reader.email(ACCOUNT, &inbox.id, &submitted.mail_id).await?;
        assert_eq!(email.and_then(|it| it.body).as_deref(), Some("Text k"));
        let arrivals = store.reader.arrivals(ACCOUNT, &inbox.id, &ArrivalFilter::default()).await?;
        assert_eq!(arrivals, [], "what was sent did not arrive");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_repeated_key_changes_nothing() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store.writer.enter(&[submission("k", &inbox, &["bob@example.net"])]).await?;
        let later = Submitted {
            requested_at: 2_000_000,
            request_digest: "another".to_owned(),
            ..submission("k", &inbox, &["carol@example.org"])
        };
        let again = store.writer.enter(&[later, submission("l", &inbox, &["b@x.example"])]).await?;
        assert!(again[0].repeated && !again[0].to_send);
        assert_eq!(again[0].entry, first[0].entry);
        assert_eq!(again[0].email, first[0].email);
        assert!(!again[1].repeated && again[1].to_send);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_key_twice_in_a_batch_is_entered_once() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let one = submission("k", &inbox, &["bob@example.net"]);
        let other = Submitted { requested_at: 2_000_000, ..one.clone() };
        let entered = store.writer.enter(&[one, other]).await?;
        assert_eq!(entered.iter().map(|it| it.repeated).collect::<Vec<_>>(), [false, true]);
        assert_eq!(entered.iter().map(|it| it.to_send).collect::<Vec<_>>(), [true, false]);
        let filter = EmailFilter { limit: 9, ..EmailFilter::default() };
        assert_eq!(store.reader.emails(ACCOUNT, &inbox.id, &filter).await?.items.len(), 1);
        Ok(())
    })
    .await;
}

/// A storage process died after the commit: the request comes again, nothing has reached the sender.
#[tokio::test]
async fn the_same_request_is_handed_on_until_something_is_reported() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let submitted = submission("k", &inbox, &["bob@example.net"]);
        store.writer.enter(std::slice::from_ref(&submitted)).await?;
        let again = store.writer.enter(std::slice::from_ref(&submitted)).await?;
        assert!(again[0].repeated && again[0].to_send);
        let delayed = report(&submitted.mail_id, 1, &[("bob@example.net", Action::Delayed)]);
        store.writer.report(&[delayed]).await?;
        let again = store.writer.enter(&[submitted]).await?;
        assert!(again[0].repeated && !again[0].to_send);
        assert_eq!(again[0].entry.status, "deferred");
        assert_eq!(store.reader.entered(&inbox.id, "k", 1_000_000).await?.as_ref(), again.first());
        assert_eq!(store.reader.entered(&inbox.id, "l", 1_000_000).await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn inboxes_have_their_own_keys() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        let to = ["bob@example.net"];
        let entered = store
            .writer
            .enter(&[submission("k", &first, &to), submission("k", &second, &to)])
            .await?;
        assert!(entered.iter().all(|it| it.to_send));
        assert_ne!(entered[0].entry.email_id, entered[1].entry.email_id);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_rejected_request_is_kept_and_never_sent() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let submitted = rejection("k", &inbox);
        let entered = store.writer.enter(std::slice::from_ref(&submitted)).await?;
        assert!(!entered[0].to_send && !entered[0].repeated);
        let expected = Rejection { code: "invalid_request".to_owned(), message: "Why".to_owned() };
        assert_eq!(entered[0].entry.rejection, Some(expected));
        let email = store.reader.email(ACCOUNT, &inbox.id, &submitted.mail_id).await?;
        let email = email.expect("an email");
        assert_eq!(email.status.as_deref(), Some("rejected"));
        assert_eq!(email.error.map(|it| it.code).as_deref(), Some("invalid_request"));
        assert_eq!((&*email.subject, &*email.from), ("Refused", &*inbox.address));
        assert_eq!(email.to, ["bob@example.net"]);
        assert_eq!((email.thread_id, email.body.as_deref()), (None, Some("")));
        assert_eq!(store.reader.outgoing(&submitted.mail_id).await?, None);
        assert_eq!(store.reader.original(ACCOUNT, &inbox.id, &submitted.mail_id).await?, None);
        let again = store.writer.enter(&[submission("k", &inbox, &["bob@example.net"])]).await?;
        assert!(again[0].repeated && !again[0].to_send);
        assert_eq!(again[0].entry.status, "rejected");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_inbox_must_exist() {
    on_both(async |store| {
        let known = inbox(&store, "agent").await?;
        let mut unknown = known.clone();
        unknown.id = "ibx_unknown".to_owned();
        let batch = [submission("a", &known, &["b@x.example"]), submission("b", &unknown, &[])];
        let err = store.writer.enter(&batch).await.err();
        let err = err.ok_or_else(|| anyhow::anyhow!("entered"))?;
        assert!(!err.is_transient(), "{err}");
        assert_eq!(store.reader.ledger_entry(&known.id, "a").await?, None, "all or nothing");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_is_queued_until_all_were_tried() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let submitted = submission("k", &inbox, &["bob@example.net", "carol@example.net"]);
        store.writer.enter(std::slice::from_ref(&submitted)).await?;
        let tried = report(&submitted.mail_id, 1, &[("bob@example.net", Action::Delivered)]);
        store.writer.report(&[tried]).await?;
        let entry = store.reader.ledger_entry(&inbox.id, "k").await?;
        assert_eq!(entry.map(|it| it.status).as_deref(), Some("queued"), "Carol is open");
        Ok(())
    })
    .await;
}
