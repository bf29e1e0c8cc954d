//! What keeps a lease with its worker: an answer to a claim that was lost, an answer to a mail that is on its
//! way.

use store::{Claim, Claimed, Inbox, LEASE_LOST, Lease, LeaseState, Settlement, Store};

use crate::{
    fixture::{ACCOUNT, inbox, mail, on_both, store_one},
    work::{SECOND, claim, claim_for, one},
};

fn keyed<'a>(inbox: &'a Inbox, key: &'a str, worker: &'a str, lease: i64) -> Claim<'a> {
    let (account_id, inbox_id) = (&inbox.account_id, &inbox.id);
    Claim { account_id, inbox_id, most: 2, lease, worker, key: Some(key) }
}

async fn claimed(store: &Store, claim: Claim<'_>) -> anyhow::Result<Claimed> {
    let repeated = store.reader.is_repeated(&claim).await?;
    let claimed = store.writer.claim(&claim).await?.expect("an inbox");
    assert_eq!(repeated, claimed.is_repeat, "{claimed:?}");
    Ok(claimed)
}

#[tokio::test]
async fn the_same_claim_is_given_the_same_while_it_lives() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 1..=4 {
            store_one(&store, mail(n, &[&inbox])).await?;
        }
        let minute = 60 * SECOND;
        let first = claimed(&store, keyed(&inbox, "k", "ada", minute)).await?;
        assert!(first.leases.len() == 2 && !first.is_repeat);
        let again = claimed(&store, keyed(&inbox, "k", "ada", 2 * minute)).await?;
        assert_eq!(again.leases, first.leases, "and for no longer");
        let other = claimed(&store, keyed(&inbox, "k", "bob", minute)).await?;
        assert!(other.leases.len() == 2 && !other.is_repeat);
        let foreign = Claim { account_id: "acct_2", ..keyed(&inbox, "k", "ada", minute) };
        assert!(!store.reader.is_repeated(&foreign).await?);
        assert_eq!(store.writer.claim(&foreign).await?, None);
        assert!(claim(&store, &inbox, 1).await?.is_empty(), "a claim without a key repeats none");

        let [ends, lives] = &first.leases[..] else { panic!("{first:?}") };
        store.writer.settle_lease(ACCOUNT, &ends.id, Settlement::Ack).await?;
        let again = claimed(&store, keyed(&inbox, "k", "ada", minute)).await?;
        assert_eq!(again.leases, std::slice::from_ref(lives));
        let back = Settlement::Nack { delay: 0, reason: "" };
        store.writer.settle_lease(ACCOUNT, &lives.id, back).await?;
        let new = claimed(&store, keyed(&inbox, "k", "ada", 0)).await?;
        assert_eq!(new.leases[0].email_id, lives.email_id);
        assert_ne!(new.leases[0].id, lives.id, "what has ended is over");
        let later = claimed(&store, keyed(&inbox, "k", "ada", minute)).await?;
        assert!(
            !later.is_repeat && later.leases[0].attempt == 3,
            "what has expired, too: {later:?}"
        );
        Ok(())
    })
    .await;
}

/// The answer is lost to one, who asks again before it is given: both are given the same.
#[tokio::test]
async fn of_two_that_are_the_same_claim_neither_gets_more() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 1..=6 {
            store_one(&store, mail(n, &[&inbox])).await?;
        }
        let claim = || claimed_at_once(&store, &inbox);
        let (one, two, three) = tokio::join!(claim(), claim(), claim());
        let one = one?;
        assert_eq!((one.len(), &one), (2, &two?));
        assert_eq!(one, three?);
        Ok(())
    })
    .await;
}

async fn claimed_at_once(store: &Store, inbox: &Inbox) -> anyhow::Result<Vec<Lease>> {
    let claimed = store.writer.claim(&keyed(inbox, "k", "w", 60 * SECOND)).await?;
    Ok(claimed.expect("an inbox").leases)
}

#[tokio::test]
async fn a_lease_is_kept_for_what_is_on_its_way_if_it_is_held() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let pin = async |lease_id: &str, least: i64| {
            store.writer.pin_lease(ACCOUNT, &inbox.id, lease_id, least).await
        };
        let read = async |lease: &Lease| {
            store.reader.lease(ACCOUNT, &lease.id).await.map(|it| it.expect("a lease"))
        };
        let lease = claim_for(&store, &inbox, 1, 10 * SECOND).await?.leases.remove(0);
        assert_eq!(pin(&lease.id, SECOND).await?, None);
        assert_eq!(read(&lease).await?, lease, "it lasts for longer anyway");
        assert_eq!(pin(&lease.id, 60 * SECOND).await?, None);
        let pinned = read(&lease).await?;
        assert!(pinned.expires_at >= lease.claimed_at + 60 * SECOND, "{pinned:?}");
        let due = store.reader.next_work_due().await?.expect("a lease that ends");
        assert!(due > 30 * SECOND, "the mail is not handed out earlier either: {due}");

        let code = async |lease_id: &str| -> anyhow::Result<Option<String>> {
            Ok(pin(lease_id, 60 * SECOND).await?.map(|it| it.code))
        };
        let lost = || Some(LEASE_LOST.to_owned());
        store.writer.settle_lease(ACCOUNT, &lease.id, Settlement::Ack).await?;
        assert_eq!((code(&lease.id).await?, code("lease_0").await?), (lost(), lost()));
        assert_eq!(read(&lease).await?.state, LeaseState::Acked);
        store_one(&store, mail(2, &[&inbox])).await?;
        let over = claim_for(&store, &inbox, 1, 0).await?.leases.remove(0);
        assert_eq!(code(&over.id).await?, lost());
        assert_eq!(read(&over).await?.expires_at, over.expires_at);
        let held = one(&store, &inbox).await?;
        let foreign = store.writer.pin_lease("acct_2", &inbox.id, &held.id, 600 * SECOND).await?;
        assert_eq!(foreign.map(|it| it.code), lost());
        assert_eq!(read(&held).await?, held);
        Ok(())
    })
    .await;
}
