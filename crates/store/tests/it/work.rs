//! Mail as work: who gets what, and what becomes of it.

use std::{collections::BTreeMap, time::Duration};

use contract::Email;
use store::{
    Claim, Claimed, Inbox, Lease, LeaseState, Outlook, Requeued, Settled, Settlement, Store, Swept,
};

use crate::fixture::{
    ACCOUNT, account, answer, edit, inbox, mail, on_both, on_both_urls, store_one, submission,
};

pub(crate) const SECOND: i64 = 1_000_000;

/// A lease that is over when anybody looks.
const OVER: i64 = 0;

pub(crate) async fn claim_for(
    store: &Store,
    inbox: &Inbox,
    most: i64,
    lease: i64,
) -> anyhow::Result<Claimed> {
    let (account_id, inbox_id) = (&inbox.account_id, &inbox.id);
    let claim = Claim { account_id, inbox_id, most, lease, worker: "w", key: None };
    let claimed = store.writer.claim(&claim).await?;
    claimed.ok_or_else(|| anyhow::anyhow!("there is no inbox"))
}

pub(crate) async fn claim(store: &Store, inbox: &Inbox, most: i64) -> anyhow::Result<Vec<Lease>> {
    Ok(claim_for(store, inbox, most, 60 * SECOND).await?.leases)
}

pub(crate) async fn one(store: &Store, inbox: &Inbox) -> anyhow::Result<Lease> {
    let leases = claim(store, inbox, 1).await?;
    leases.into_iter().next().ok_or_else(|| anyhow::anyhow!("nothing to hand out"))
}

/// The numbers of the mails.
fn numbers(leases: &[Lease]) -> Vec<u32> {
    leases.iter().filter_map(|it| it.email_id.get(4..8)?.parse().ok()).collect()
}

async fn settle(store: &Store, lease: &Lease, how: Settlement<'_>) -> anyhow::Result<Settled> {
    Ok(store.writer.settle_lease(ACCOUNT, &lease.id, how).await?)
}

fn back(reason: &str) -> Settlement<'_> {
    Settlement::Nack { delay: 0, reason }
}

#[track_caller]
fn done(settled: Settled) -> Lease {
    match settled {
        Settled::Done { lease, .. } => lease,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn lost(settled: Settled, state: LeaseState) {
    assert!(matches!(&settled, Settled::Lost(it) if it.state == state), "{settled:?}");
}

/// What was announced about mail that was set aside.
async fn announced(store: &Store) -> anyhow::Result<Vec<Email>> {
    let all = store.reader.announcements(100).await?;
    let about = all.iter().filter(|it| it.event == "email.set_aside");
    Ok(about.map(|it| serde_json::from_str(&it.data)).collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn mail_is_handed_out_once_the_oldest_first_also_what_was_there_before() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 1..=5 {
            store_one(&store, mail(n, &[&inbox])).await?;
        }
        store.writer.enter(&[submission("sent", &inbox, &["bob@example.net"])]).await?;
        let queue = store.reader.work_queue(&inbox.id).await?;
        assert_eq!((queue.ready, queue.acked, queue.max_attempts), (5, 0, 5));
        let first = claim(&store, &inbox, 2).await?;
        assert_eq!(numbers(&first), [1, 2]);
        let lease = &first[0];
        assert_eq!((&*lease.worker, lease.attempt, lease.state), ("w", 1, LeaseState::Active));
        assert!(lease.thread_id.is_some() && lease.expires_at > lease.claimed_at);
        assert_eq!(store.reader.lease(ACCOUNT, &lease.id).await?.as_ref(), Some(lease));
        assert_eq!(numbers(&claim(&store, &inbox, 100).await?), [3, 4, 5], "and not what was sent");
        assert_eq!(claim_for(&store, &inbox, 1, SECOND).await?, Claimed::default());
        store_one(&store, mail(6, &[&inbox])).await?;
        let queue = store.reader.work_queue(&inbox.id).await?;
        assert_eq!((queue.ready, queue.leased), (1, 5));
        assert_eq!(numbers(&claim(&store, &inbox, 1).await?), [6]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_large_inbox_is_taken_in_bit_by_bit() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for batch in 0..6 {
            let mails: Vec<_> = (1..=100).map(|n| mail(batch * 100 + n, &[&inbox])).collect();
            store.writer.store(&mails).await?;
        }
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.extend(numbers(&claim(&store, &inbox, 100).await?));
        }
        assert_eq!(seen, (1..=600).collect::<Vec<_>>());
        assert_eq!(store.reader.work_queue(&inbox.id).await?.leased, 600);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_worked_on_by_one_and_in_order() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        store_one(&store, answer(2, 1, &inbox)).await?;
        store_one(&store, mail(3, &[&inbox])).await?;
        store_one(&store, answer(4, 1, &inbox)).await?;
        let first = claim(&store, &inbox, 100).await?;
        assert_eq!(numbers(&first), [1, 3]);
        assert_eq!(claim(&store, &inbox, 100).await?, []);
        // Delayed, it still stands before the others.
        done(settle(&store, &first[0], Settlement::Nack { delay: SECOND, reason: "" }).await?);
        store_one(&store, answer(5, 1, &inbox)).await?;
        assert_eq!(claim(&store, &inbox, 100).await?, []);
        let queue = store.reader.work_queue(&inbox.id).await?;
        assert_eq!((queue.ready, queue.delayed, queue.leased), (3, 1, 1));
        let Outlook::Nothing { next: Some(next) } = store.reader.outlook(&inbox.id).await? else {
            panic!("nothing before the delay is over");
        };
        assert!(next <= SECOND, "{next}");
        tokio::time::sleep(Duration::from_micros(next.max(0).unsigned_abs())).await;
        for expected in [1, 2, 4, 5] {
            let lease = one(&store, &inbox).await?;
            assert_eq!(numbers(std::slice::from_ref(&lease)), [expected]);
            assert_eq!(claim(&store, &inbox, 100).await?, []);
            done(settle(&store, &lease, Settlement::Ack).await?);
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_over_is_lost_and_the_mail_handed_out_again() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let first = claim_for(&store, &inbox, 1, OVER).await?.leases.remove(0);
        // Nobody has ended it yet, and it is lost all the same.
        for how in [Settlement::Ack, back(""), Settlement::Extend { lease: SECOND }] {
            lost(settle(&store, &first, how).await?, LeaseState::Expired);
        }
        assert_eq!(store.reader.outlook(&inbox.id).await?, Outlook::Work);
        let again = claim_for(&store, &inbox, 1, 60 * SECOND).await?;
        assert_eq!(again.swept, Swept { expired: 1, set_aside: 0 });
        assert_eq!((again.leases[0].attempt, numbers(&again.leases)), (2, vec![1]));
        assert_ne!(again.leases[0].id, first.id);
        lost(settle(&store, &first, Settlement::Ack).await?, LeaseState::Expired);
        let ended = store.reader.lease(ACCOUNT, &first.id).await?.expect("a lease");
        assert!(ended.ended_at.is_some());
        assert!(ended.lost().expect("lost").message.contains("expired"));
        done(settle(&store, &again.leases[0], Settlement::Ack).await?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn settling_again_changes_nothing_and_otherwise_is_refused() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 1..=2 {
            store_one(&store, mail(n, &[&inbox])).await?;
        }
        let [acked, nacked] = claim(&store, &inbox, 2).await?.try_into().expect("two");
        let longer = done(settle(&store, &acked, Settlement::Extend { lease: 90 * SECOND }).await?);
        assert!(longer.expires_at > acked.expires_at);
        assert_eq!(store.reader.lease(ACCOUNT, &acked.id).await?.as_ref(), Some(&longer));
        for (lease, how, state) in [
            (&acked, Settlement::Ack, LeaseState::Acked),
            (&nacked, back("not today"), LeaseState::Nacked),
        ] {
            let first = done(settle(&store, lease, how).await?);
            assert_eq!(first.state, state);
            let again = settle(&store, lease, how).await?;
            assert!(
                matches!(&again, Settled::Done { lease, is_repeat: true, .. } if *lease == first)
            );
        }
        lost(settle(&store, &acked, back("")).await?, LeaseState::Acked);
        lost(settle(&store, &nacked, Settlement::Ack).await?, LeaseState::Nacked);
        lost(settle(&store, &acked, Settlement::Extend { lease: 1 }).await?, LeaseState::Acked);
        account(&store, "acct_other").await?;
        let foreign = store.writer.settle_lease("acct_other", &nacked.id, Settlement::Ack).await?;
        assert_eq!(foreign, Settled::Unknown);
        assert_eq!(store.reader.lease("acct_other", &nacked.id).await?, None);
        let queue = store.reader.work_queue(&inbox.id).await?;
        assert_eq!((queue.ready, queue.leased, queue.acked), (1, 0, 1));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_fails_too_often_is_set_aside_and_lets_the_next_pass() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        store_one(&store, answer(2, 1, &inbox)).await?;
        assert!(store.writer.set_max_attempts(ACCOUNT, &inbox.id, 2).await?);
        claim_for(&store, &inbox, 1, OVER).await?;
        assert_eq!(store.writer.sweep_work().await?, Swept { expired: 1, set_aside: 0 });
        let second = one(&store, &inbox).await?;
        assert_eq!((numbers(std::slice::from_ref(&second)), second.attempt), (vec![1], 2));
        let given = settle(&store, &second, back("no such order")).await?;
        assert!(matches!(given, Settled::Done { set_aside: true, .. }));

        let [email] = announced(&store).await?.try_into().expect("one event");
        assert_eq!((&email.id, email.attempts), (&second.email_id, Some(2)));
        assert_eq!(email.set_aside_reason.as_deref(), Some("no such order"));
        let page = store.reader.set_aside(ACCOUNT, &inbox.id, 9, None).await?;
        let [listed] = page.items.try_into().expect("one mail");
        assert_eq!((&listed.id, listed.attempts), (&email.id, Some(2)));
        assert_eq!(listed.set_aside_at, email.set_aside_at);
        assert!(store.reader.set_aside("acct_other", &inbox.id, 9, None).await?.items.is_empty());

        let next = one(&store, &inbox).await?;
        assert_eq!(numbers(std::slice::from_ref(&next)), [2], "the thread goes on");
        assert_eq!(store.writer.requeue(ACCOUNT, &email.id).await?, Requeued::Done);
        assert_eq!(store.writer.requeue(ACCOUNT, &email.id).await?, Requeued::Done, "once more");
        assert_eq!(claim(&store, &inbox, 9).await?, [], "somebody is at work on the thread");
        done(settle(&store, &next, Settlement::Ack).await?);
        let again = claim_for(&store, &inbox, 1, OVER).await?.leases.remove(0);
        assert_eq!((&again.email_id, again.attempt), (&email.id, 1));
        claim_for(&store, &inbox, 1, OVER).await?;
        let swept = claim_for(&store, &inbox, 1, OVER).await?.swept;
        assert_eq!(swept, Swept { expired: 1, set_aside: 1 }, "also without a word");
        let reason = announced(&store).await?.pop().and_then(|it| it.set_aside_reason);
        assert!(reason.is_some_and(|it| it.contains("expired")));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn only_what_was_set_aside_is_requeued() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        account(&store, "acct_other").await?;
        let ready = store_one(&store, mail(1, &[&inbox])).await?.email.id;
        let requeue = async |account: &str, id: &str| store.writer.requeue(account, id).await;
        assert_eq!(requeue(ACCOUNT, &ready).await?, Requeued::Done, "it is work anyway");
        let lease = one(&store, &inbox).await?;
        assert_eq!(requeue(ACCOUNT, &ready).await?, Requeued::Done, "and stays with its worker");
        done(settle(&store, &lease, Settlement::Ack).await?);
        assert_eq!(requeue(ACCOUNT, &ready).await?, Requeued::Acked);
        assert_eq!(requeue("acct_other", &ready).await?, Requeued::Unknown);
        let sent = store.writer.enter(&[submission("k", &inbox, &["bob@example.net"])]).await?;
        assert_eq!(requeue(ACCOUNT, &sent[0].email.id).await?, Requeued::Unknown);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn threads_that_become_one_are_worked_on_by_one() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 1..=3 {
            store_one(&store, mail(n, &[&inbox])).await?;
        }
        let first = one(&store, &inbox).await?;
        let joining = edit(mail(4, &[&inbox]), |it| {
            it.references = vec!["1@example.com".to_owned(), "2@example.com".to_owned()];
        });
        store_one(&store, joining).await?;
        assert_eq!(numbers(&claim(&store, &inbox, 9).await?), [3]);
        done(settle(&store, &first, Settlement::Ack).await?);
        let second = claim(&store, &inbox, 9).await?;
        assert_eq!(numbers(&second), [2]);
        done(settle(&store, &second[0], Settlement::Ack).await?);
        assert_eq!(numbers(&claim(&store, &inbox, 9).await?), [4]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_inbox_ends_its_leases() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        store.writer.set_max_attempts(ACCOUNT, &inbox.id, 1).await?;
        let lease = claim_for(&store, &inbox, 1, SECOND / 5).await?.leases.remove(0);
        store.writer.delete_inbox(ACCOUNT, &inbox.id).await?;
        lost(settle(&store, &lease, Settlement::Ack).await?, LeaseState::Revoked);
        let claim = Claim {
            account_id: ACCOUNT,
            inbox_id: &inbox.id,
            most: 1,
            lease: SECOND,
            worker: "w",
            key: None,
        };
        assert_eq!(store.writer.claim(&claim).await?, None);
        assert!(!store.writer.set_max_attempts(ACCOUNT, &inbox.id, 1).await?);
        assert_eq!(store.writer.requeue(ACCOUNT, &lease.email_id).await?, Requeued::Unknown);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(store.writer.sweep_work().await?.set_aside, 0, "nobody is to be told");
        let ended = store.reader.lease(ACCOUNT, &lease.id).await?.map(|it| it.state);
        assert_eq!(ended, Some(LeaseState::Revoked));
        assert_eq!(store.writer.purge_inboxes(i64::MAX).await?, 1);
        assert_eq!(store.reader.lease(ACCOUNT, &lease.id).await?, None, "it goes with its mail");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_inbox_has_no_work() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        account(&store, "acct_other").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let foreign = Claim {
            account_id: "acct_other",
            inbox_id: &inbox.id,
            most: 1,
            lease: SECOND,
            worker: "w",
            key: None,
        };
        assert_eq!(store.writer.claim(&foreign).await?, None);
        assert!(!store.writer.set_max_attempts("acct_other", &inbox.id, 1).await?);
        assert_eq!(claim(&store, &inbox, 1).await?.len(), 1);
        Ok(())
    })
    .await;
}

/// Works until nothing is left, and gives some of it back first. Returns the leases as they ended.
async fn work(store: Store, inbox: Inbox) -> anyhow::Result<Vec<Lease>> {
    let mut ended = Vec::new();
    for round in 0.. {
        let leases = claim(&store, &inbox, 2).await?;
        if leases.is_empty() && store.reader.work_queue(&inbox.id).await?.ready == 0 {
            break;
        }
        for lease in leases {
            let is_hasty = round % 3 == 0 && lease.attempt < 4;
            let how = if is_hasty { back("") } else { Settlement::Ack };
            match settle(&store, &lease, how).await? {
                Settled::Done { lease, .. } => ended.push(lease),
                other => anyhow::bail!("{other:?}"),
            }
        }
    }
    Ok(ended)
}

/// Two processes, eight workers, threads of four: each mail is acked once, in the order of its thread, and
/// no two leases on a thread overlap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_workers_have_a_thread_in_hand() {
    const THREADS: u32 = 12;
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let stores = [Store::open(url).await?, Store::open(url).await?];
        let inbox = inbox(&stores[0], "agent").await?;
        for n in 0..4 {
            for thread in 1..=THREADS {
                let number = n * 100 + thread;
                let mail =
                    if n == 0 { mail(number, &[&inbox]) } else { answer(number, thread, &inbox) };
                store_one(&stores[0], mail).await?;
            }
        }
        let workers: Vec<_> = (0..8_usize)
            .map(|n| tokio::spawn(work(stores[n % 2].clone(), inbox.clone())))
            .collect();
        let mut threads: BTreeMap<String, Vec<Lease>> = BTreeMap::new();
        for worker in workers {
            for lease in worker.await?? {
                threads.entry(lease.thread_id.clone().unwrap_or_default()).or_default().push(lease);
            }
        }
        assert_eq!(threads.len(), THREADS as usize);
        for leases in threads.values_mut() {
            // SQLite tells the time in milliseconds.
            leases.sort_by_key(|it| (it.claimed_at, it.ended_at, it.email_id.clone()));
            for pair in leases.windows(2) {
                assert!(Some(pair[1].claimed_at) >= pair[0].ended_at, "{pair:?}");
            }
            let acked: Vec<Lease> =
                leases.iter().filter(|it| it.state == LeaseState::Acked).cloned().collect();
            let numbers = numbers(&acked);
            assert!(numbers.len() == 4 && numbers.is_sorted(), "{numbers:?}");
        }
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}
