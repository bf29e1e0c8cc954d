use contract::{Action, DeliveryReported, OutcomeResolved, Resolution};
use store::{Resolved, Store};

use crate::fixture::{ACCOUNT, inbox, on_both, report, submission};

const BOB: &str = "bob@example.net";
const CAROL: &str = "carol@example.net";

/// A mail to Bob and Carol: Carol has it, Bob may have it.
async fn unknown(store: &Store, next_attempt_at_micros: i64) -> anyhow::Result<String> {
    let inbox = inbox(store, "agent").await?;
    let submitted = submission("k", &inbox, &[BOB, CAROL]);
    store.writer.enter(std::slice::from_ref(&submitted)).await?;
    let outcome = [(BOB, Action::Unknown), (CAROL, Action::Delivered)];
    let mut report =
        DeliveryReported { next_attempt_at_micros, ..report(&submitted.mail_id, 1, &outcome) };
    report.recipients[0].held = next_attempt_at_micros == 0;
    let reported = store.writer.report(&[report]).await?.remove(0).expect("a mail");
    assert_eq!(reported.email.status.as_deref(), Some("unknown"));
    Ok(submitted.mail_id)
}

async fn decide(
    store: &Store,
    mail_id: &str,
    account_id: &str,
    resolution: Resolution,
) -> anyhow::Result<Option<Resolved>> {
    let decision = OutcomeResolved {
        mail_id: mail_id.to_owned(),
        account_id: account_id.to_owned(),
        resolution: resolution.into(),
        ..OutcomeResolved::default()
    };
    Ok(store.writer.resolve(&decision).await?)
}

#[tokio::test]
async fn what_is_held_is_sent_again_when_the_agent_says_so() {
    on_both(async |store| {
        let id = unknown(&store, 0).await?;
        let outgoing = store.reader.outgoing(&id).await?.expect("a mail");
        assert_eq!((outgoing.open, outgoing.unknown), (vec![], vec![BOB.to_owned()]));
        let resolved = decide(&store, &id, ACCOUNT, Resolution::Retry).await?.expect("a mail");
        assert_eq!(resolved.recipients, [(BOB.to_owned(), 1)]);
        assert_eq!(resolved.email.status.as_deref(), Some("deferred"));
        let outgoing = store.reader.outgoing(&id).await?.expect("a mail");
        assert_eq!((outgoing.open, outgoing.unknown), (vec![BOB.to_owned()], vec![]));
        // Once more, as after a crash: the same, so that what follows from it is published again.
        let again = decide(&store, &id, ACCOUNT, Resolution::Retry).await?.expect("a mail");
        assert_eq!(again.recipients, resolved.recipients);
        // And when it has been tried since, it is about nobody.
        store.writer.report(&[report(&id, 2, &[(BOB, Action::Delivered)])]).await?;
        let late = decide(&store, &id, ACCOUNT, Resolution::Retry).await?.expect("a mail");
        assert_eq!((late.recipients, late.email.status.as_deref()), (vec![], Some("sent")));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_the_agent_knows_to_be_sent_is_sent() {
    on_both(async |store| {
        let id = unknown(&store, 60_000_000).await?;
        let resolved = decide(&store, &id, ACCOUNT, Resolution::Sent).await?.expect("a mail");
        assert_eq!(resolved.recipients, [(BOB.to_owned(), 1)]);
        assert_eq!(resolved.email.status.as_deref(), Some("sent"));
        let bob = &resolved.email.recipients[0];
        assert_eq!((&*bob.action, &*bob.status), ("delivered", "2.0.0"));
        assert_eq!(bob.diagnostic, "resolved: sent; before: reply 1");
        // The attempt that was scheduled finds nobody.
        let outgoing = store.reader.outgoing(&id).await?.expect("a mail");
        assert!(outgoing.open.is_empty() && outgoing.unknown.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_is_tried_again_anyway_is_left_alone() {
    on_both(async |store| {
        let id = unknown(&store, 60_000_000).await?;
        let resolved = decide(&store, &id, ACCOUNT, Resolution::Retry).await?.expect("a mail");
        assert_eq!(
            (resolved.recipients, resolved.email.status.as_deref()),
            (vec![], Some("unknown"))
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn nobody_decides_for_others() {
    on_both(async |store| {
        let id = unknown(&store, 0).await?;
        assert_eq!(decide(&store, &id, "acct_other", Resolution::Sent).await?, None);
        assert_eq!(decide(&store, "eml_none", ACCOUNT, Resolution::Sent).await?, None);
        assert_eq!(decide(&store, &id, ACCOUNT, Resolution::Unspecified).await?, None);
        let outgoing = store.reader.outgoing(&id).await?.expect("a mail");
        assert_eq!(outgoing.unknown, [BOB]);
        Ok(())
    })
    .await;
}
