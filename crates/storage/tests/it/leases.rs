//! Requests under a lease, and what time makes of leases.

use contract::SubmissionScanned;
use store::{Claim, Inbox, Lease, LeaseState};

use crate::{ACCOUNT, Bench, eventually, inline, mail, now, submission};

const MINUTE: i64 = 60 * 1_000_000;

async fn claim(bench: &Bench, inbox: &Inbox, lease: i64) -> Lease {
    let claim =
        Claim { account_id: ACCOUNT, inbox_id: &inbox.id, most: 1, lease, worker: "w", key: None };
    let claimed = bench.store.writer.claim(&claim).await.expect("claim").expect("an inbox");
    claimed.leases.into_iter().next().expect("a mail")
}

/// A worker's answer, as the scanner hands it on.
fn answer(inbox: &Inbox, key: &str, lease: &Lease, words: &str) -> SubmissionScanned {
    let request = format!(
        r#"{{"to":["bob@example.net"],"subject":"Re","body":{{"text":"{words}"}},"leaseId":"{}"}}"#,
        lease.id
    );
    SubmissionScanned { request: Some(inline(request.as_bytes())), ..submission(inbox, key, now()) }
}

async fn state(bench: &Bench, lease: &Lease) -> LeaseState {
    let found = bench.store.reader.lease(ACCOUNT, &lease.id).await.expect("read");
    found.expect("a lease").state
}

#[tokio::test]
async fn what_is_sent_under_a_lost_lease_is_refused_and_its_key_is_free() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    bench.deliver(&mail(1, &inbox.id), "a mail").await;
    bench.wait_for_events(1).await;
    let slow = claim(&bench, &inbox, 0).await;
    let quick = claim(&bench, &inbox, MINUTE).await;

    bench.deliver(&answer(&inbox, "k", &slow, "Slow"), "slow").await;
    let events = bench.wait_for_events(2).await;
    let rejected = events[1].data.as_ref().expect("an email");
    let error = rejected.error.as_ref().expect("why");
    assert_eq!((&*events[1].event, &*error.code), ("email.rejected", "lease_lost"));
    assert!(error.message.contains("expired"), "{}", error.message);
    assert_eq!(bench.store.reader.ledger_entry(&inbox.id, "k").await.expect("read"), None);

    let accepted = answer(&inbox, "k", &quick, "Quick");
    bench.deliver(&accepted, "quick").await;
    let events = bench.wait_for_events(3).await;
    assert_eq!(events[2].event, "email.queued");
    assert_eq!(state(&bench, &quick).await, LeaseState::Acked);
    // The same once more, as when we had died before we could say so, is the same event.
    bench.deliver(&accepted, "quick, delivered again").await;
    bench.deliver(&answer(&inbox, "k", &slow, "Slow"), "slow, once more").await;
    let events = bench.wait_for_events(4).await;
    let late = events[3].data.as_ref().and_then(|it| it.error.as_ref()).expect("why");
    assert_eq!((&*events[3].event, &*late.code), ("email.rejected", "lease_lost"));
    eventually(async || bench.outbound("outbound.scanned").await.is_empty()).await;
    assert_eq!(bench.count_events().await, 4);
    let accepted = "outbound.accepted".to_owned();
    assert_eq!(bench.outbound(&accepted).await, [(accepted.clone(), 1)], "one answer goes");
    running.stop().await;
}

#[tokio::test]
async fn a_dry_run_looks_at_the_lease_and_leaves_it() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    bench.deliver(&mail(1, &inbox.id), "a mail").await;
    bench.wait_for_events(1).await;
    let lost = claim(&bench, &inbox, 0).await;
    let lease = claim(&bench, &inbox, MINUTE).await;
    for (n, (lease, event)) in
        [(&lease, "email.validated"), (&lost, "email.rejected")].into_iter().enumerate()
    {
        let request = format!(
            r#"{{"to":["bob@example.net"],"subject":"Re","body":{{"text":"x"}},"leaseId":"{}",
                "validateOnly":true}}"#,
            lease.id
        );
        let dry = SubmissionScanned {
            request: Some(inline(request.as_bytes())),
            ..submission(&inbox, "k", now())
        };
        bench.deliver(&dry, event).await;
        assert_eq!(bench.wait_for_events(n + 2).await[n + 1].event, event);
    }
    assert_eq!(state(&bench, &lease).await, LeaseState::Active);
    running.stop().await;
}

#[tokio::test]
async fn a_mail_that_nobody_can_handle_is_set_aside_though_nobody_claims() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    bench.deliver(&mail(1, &inbox.id), "a mail").await;
    bench.wait_for_events(1).await;
    bench.store.writer.set_max_attempts(ACCOUNT, &inbox.id, 1).await.expect("set");
    let lease = claim(&bench, &inbox, 0).await;
    let events = bench.wait_for_events(2).await;
    let email = events[1].data.as_ref().expect("an email");
    assert_eq!((&*events[1].event, &email.id), ("email.set_aside", &lease.email_id));
    assert_eq!((email.attempts, &*events[1].inbox_id), (Some(1), &*inbox.id));
    assert!(email.set_aside_reason.as_ref().is_some_and(|it| it.contains("expired")));
    assert_eq!(state(&bench, &lease).await, LeaseState::Expired);
    let counted = running.process.metrics.text().expect("metrics");
    for event in ["expired", "set_aside"] {
        let line = format!("mail_storage_leases_total{{event=\"{event}\",service=\"storage\"}} 1");
        assert!(counted.contains(&line), "{line} in {counted}");
    }
    running.stop().await;
}
