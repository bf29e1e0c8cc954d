//! Requests under a lease: in the ledger and acked in one step, or neither.

use contract::{MailReviewed, Review};
use store::{Inbox, LEASE_LOST, Lease, LeaseState, Settled, Settlement, Store, Submitted};

use crate::{
    fixture::{ACCOUNT, answer, inbox, mail, now, on_both, rejection, store_one, submission},
    work::{SECOND, claim, claim_for, one},
};

fn under(lease: &Lease, key: &str, inbox: &Inbox) -> Submitted {
    Submitted {
        lease_id: Some(lease.id.clone()),
        requested_at: now(),
        ..submission(key, inbox, &["bob@example.net"])
    }
}

/// Why the ledger refused it, and whether it kept it.
async fn enter(store: &Store, submitted: Submitted) -> anyhow::Result<Option<(String, bool)>> {
    let entered = store.writer.enter(&[submitted]).await?.remove(0);
    let code = entered.entry.rejection.as_ref().map(|it| it.code.clone());
    assert!(code.is_none() || !entered.to_send);
    Ok(code.map(|it| (it, entered.is_kept)))
}

fn lost() -> Option<(String, bool)> {
    Some((LEASE_LOST.to_owned(), false))
}

async fn state(store: &Store, lease: &Lease) -> anyhow::Result<Option<LeaseState>> {
    Ok(store.reader.lease(ACCOUNT, &lease.id).await?.map(|it| it.state))
}

#[tokio::test]
async fn what_is_accepted_acks_its_mail_and_frees_the_thread() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        store_one(&store, answer(2, 1, &inbox)).await?;
        let lease = one(&store, &inbox).await?;
        let answering = under(&lease, "k", &inbox);
        assert_eq!(enter(&store, answering.clone()).await?, None);
        assert_eq!(state(&store, &lease).await?, Some(LeaseState::Acked));
        let entry = store.reader.ledger_entry(&inbox.id, "k").await?.expect("an entry");
        assert_eq!(entry.lease_id.as_ref(), Some(&lease.id));
        let again = store.writer.enter(&[answering]).await?.remove(0);
        assert!(again.repeated && again.is_kept && again.entry.rejection.is_none());
        assert_eq!(enter(&store, under(&lease, "l", &inbox)).await?, lost(), "one lease, one mail");
        assert_eq!(store.reader.ledger_entry(&inbox.id, "l").await?, None);
        let next = one(&store, &inbox).await?;
        assert_ne!(next.email_id, lease.email_id);
        let acked = store.writer.settle_lease(ACCOUNT, &lease.id, Settlement::Ack).await?;
        assert!(matches!(acked, Settled::Done { is_repeat: true, .. }));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn under_a_lost_lease_nothing_goes_and_the_key_stays_free() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let first = claim_for(&store, &inbox, 1, 0).await?.leases.remove(0);
        let second = one(&store, &inbox).await?;
        assert_eq!(enter(&store, under(&first, "k", &inbox)).await?, lost());
        // The same key, in one batch with the loser.
        let both = [under(&first, "k", &inbox), under(&second, "k", &inbox)];
        let entered = store.writer.enter(&both).await?;
        assert!(!entered[0].is_kept && entered[1].is_kept && entered[1].to_send);
        assert_eq!(state(&store, &second).await?, Some(LeaseState::Acked));
        let entry = store.reader.ledger_entry(&inbox.id, "k").await?.expect("an entry");
        assert_eq!((entry.lease_id, entry.rejection), (Some(second.id), None));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn two_requests_under_one_lease_are_one_answer() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let lease = one(&store, &inbox).await?;
        let both = [under(&lease, "k", &inbox), under(&lease, "l", &inbox)];
        let entered = store.writer.enter(&both).await?;
        assert!(entered[0].is_kept && entered[0].entry.rejection.is_none());
        let why = entered[1].entry.rejection.as_ref().map(|it| it.message.as_str());
        assert!(!entered[1].is_kept && why.is_some_and(|it| it.contains("acked")), "{why:?}");
        Ok(())
    })
    .await;
}

/// A request that was there in time has to wait for us, and nobody else has the mail: it counts.
#[tokio::test]
async fn who_came_in_time_is_not_late_because_we_are() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 1..=2 {
            store_one(&store, mail(n, &[&inbox])).await?;
        }
        let leases = claim_for(&store, &inbox, 2, 0).await?.leases;
        let early = Submitted { requested_at: 1, ..under(&leases[0], "k", &inbox) };
        assert_eq!(enter(&store, early).await?, None);
        let late = Submitted { requested_at: now() + SECOND, ..under(&leases[1], "l", &inbox) };
        assert_eq!(enter(&store, late).await?, lost());
        let ended = store.reader.lease(ACCOUNT, &leases[1].id).await?.expect("a lease");
        assert!(ended.ended_at.is_some(), "so that everybody sees that nothing comes of it");
        assert_eq!(claim(&store, &inbox, 9).await?.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_its_lease() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let lease = one(&store, &inbox).await?;
        let refused = Submitted { lease_id: Some(lease.id.clone()), ..rejection("k", &inbox) };
        let code = enter(&store, refused).await?;
        assert_eq!(code, Some(("invalid_request".to_owned(), true)));
        assert_eq!(state(&store, &lease).await?, Some(LeaseState::Active));
        assert_eq!(enter(&store, under(&lease, "l", &inbox)).await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_good_in_its_own_inbox_only() {
    on_both(async |store| {
        let (own, other) = (inbox(&store, "own").await?, inbox(&store, "other").await?);
        store_one(&store, mail(1, &[&own])).await?;
        let lease = one(&store, &own).await?;
        assert_eq!(enter(&store, under(&lease, "k", &other)).await?, lost());
        assert_eq!(state(&store, &lease).await?, Some(LeaseState::Active));
        let lost_there = store.reader.lost_lease(ACCOUNT, &other.id, &lease.id).await?;
        assert_eq!(lost_there.map(|it| it.code).as_deref(), Some(LEASE_LOST));
        assert_eq!(store.reader.lost_lease(ACCOUNT, &own.id, &lease.id).await?, None);
        assert!(store.reader.lost_lease("acct_2", &own.id, &lease.id).await?.is_some());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn quarantined_mail_is_work_once_it_is_released() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let settings = store::ScreeningSettings {
            quarantine_at: Some(store::Threshold::At(0.5)),
            ..store::ScreeningSettings::default()
        };
        let actor = store::Actor { id: "t".to_owned(), reason: String::new() };
        store.writer.set_screening(ACCOUNT, Some(&inbox.id), &settings, &actor).await?;
        let hidden = mail(1, &[&inbox]);
        let message = hidden.scanned.message.clone();
        let email_id = store_one(&store, hidden).await?.email.id;
        assert_eq!(claim(&store, &inbox, 9).await?, []);
        let decided = MailReviewed {
            email_id: email_id.clone(),
            account_id: ACCOUNT.to_owned(),
            review: Review::Released.into(),
            reviewed_at_micros: now(),
            ..MailReviewed::default()
        };
        store.writer.review(&decided, message.as_ref(), None).await?;
        assert_eq!(one(&store, &inbox).await?.email_id, email_id);
        Ok(())
    })
    .await;
}
