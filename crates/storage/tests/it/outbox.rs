use contract::{
    Action, DeliveryReported, Event, MailReceived, RecipientReport, SubmissionAccepted,
    SubmissionScanned, content::Place,
};
use prost::Message as _;
use store::{Cancelled, Inbox, LimitOverrides};

use crate::{ACCOUNT, Bench, eventually, inline, now, submission};

const SECOND: i64 = 1_000_000;

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|it| it.event.as_str()).collect()
}

/// What was handed to the sender so far.
async fn accepted(bench: &Bench) -> u64 {
    let subject = "outbound.accepted";
    bench.outbound(subject).await.iter().map(|(_, count)| *count as u64).sum()
}

async fn report(bench: &Bench, mail_id: &str) {
    let recipient = RecipientReport {
        forward_path: "bob@example.net".to_owned(),
        action: Action::Delivered.into(),
        ..RecipientReport::default()
    };
    let report = DeliveryReported {
        mail_id: mail_id.to_owned(),
        domain: "example.net".to_owned(),
        attempt: 1,
        recipients: vec![recipient],
        ..DeliveryReported::default()
    };
    bench.deliver(&report, mail_id).await;
}

fn at(request: SubmissionScanned, send_at: i64, expires_at: i64) -> SubmissionScanned {
    SubmissionScanned { send_at_micros: send_at, expires_at_micros: expires_at, ..request }
}

#[tokio::test]
async fn what_is_over_the_limit_is_held_and_goes_when_it_may() {
    let mut bench = Bench::new().await;
    bench.config.limits.scale.per_minute = 2;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    for key in ["one", "two", "three"] {
        bench.deliver(&submission(&inbox, key, SECOND), key).await;
    }
    let events = bench.wait_for_events(4).await;
    let queued = names(&events).iter().filter(|it| **it == "email.queued").count();
    let held: Vec<_> = events.iter().filter(|it| it.event == "email.held").collect();
    assert_eq!((queued, held.len()), (3, 1));
    let email = held[0].data.as_ref().expect("an email");
    assert_eq!(email.status.as_deref(), Some("held"));
    assert!(email.held_reason.as_deref().is_some_and(|it| it.contains("2 mails a minute")));
    assert_eq!(accepted(&bench).await, 2);

    let more = LimitOverrides { per_minute: Some(3), ..LimitOverrides::default() };
    bench.store.writer.set_inbox_limits(&inbox.id, more).await.expect("set");
    eventually(async || accepted(&bench).await == 3).await;
    let last = bench.last_outbound("outbound.accepted").await;
    let last = SubmissionAccepted::decode(last).expect("decode");
    assert_eq!((&*last.mail_id, last.forward_paths), (&*email.id, vec!["bob@example.net".into()]));
    report(&bench, &email.id).await;
    eventually(async || status(&bench, &inbox, &email.id).await == "sent").await;
    running.stop().await;
}

async fn status(bench: &Bench, inbox: &Inbox, email_id: &str) -> String {
    let email = bench.store.reader.email(ACCOUNT, &inbox.id, email_id).await.expect("read");
    email.and_then(|it| it.status).unwrap_or_default()
}

#[tokio::test]
async fn a_mail_for_later_goes_at_its_time_whoever_was_away() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let send_at = now() + 2 * SECOND;
    let request = at(submission(&inbox, "later", SECOND), send_at, send_at + 90 * SECOND);
    bench.deliver(&request, "later").await;
    let events = bench.wait_for_events(1).await;
    let email = events[0].data.as_ref().expect("an email");
    assert_eq!(
        (names(&events), email.status.as_deref()),
        (vec!["email.queued"], Some("scheduled"))
    );
    assert_eq!(email.send_at, Some(store::rfc3339(send_at)));
    assert_eq!(accepted(&bench).await, 0);
    running.stop().await;
    let running = bench.start().await;
    eventually(async || accepted(&bench).await == 1).await;
    let accepted = bench.last_outbound("outbound.accepted").await;
    let accepted = SubmissionAccepted::decode(accepted).expect("decode");
    assert!((send_at..=now()).contains(&accepted.accepted_at_micros), "{accepted:?}");
    assert_eq!(accepted.expires_at_micros, request.expires_at_micros);
    running.stop().await;
}

#[tokio::test]
async fn what_is_called_back_or_over_is_announced() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let tomorrow = now() + 24 * 3_600 * SECOND;
    let cancelled = at(submission(&inbox, "cancelled", SECOND), tomorrow, 0);
    bench.deliver(&cancelled, "cancelled").await;
    bench.wait_for_events(1).await;
    let done = bench.store.writer.cancel(ACCOUNT, &cancelled.mail_id).await.expect("cancel");
    assert_eq!(done, Cancelled::Done);
    let events = bench.wait_for_events(2).await;
    assert_eq!(events[1].event, "email.cancelled");
    let expiring = at(submission(&inbox, "expiring", SECOND), tomorrow, now() + SECOND / 2);
    bench.deliver(&expiring, "expiring").await;
    let events = bench.wait_for_events(4).await;
    assert_eq!(names(&events[2..]), ["email.queued", "email.expired"]);
    let email = events[3].data.as_ref().expect("an email");
    assert_eq!(email.status.as_deref(), Some("expired"));
    assert_eq!(email.recipients[0].status, "4.4.7");

    bench.deliver(&SubmissionScanned { requested_at_micros: 2, ..cancelled }, "again").await;
    let events = bench.wait_for_events(5).await;
    assert_eq!(events[4].event, "email.cancelled", "what became of the first");
    assert_eq!(accepted(&bench).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn who_asks_is_notified_of_what_ran_out_of_time() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    for (key, fields) in [("silent", ""), ("asked", r#","notify":["failure"]"#)] {
        let request = format!(
            r#"{{"to":["bob@example.net"],"subject":"Hi","body":{{"text":"Hi"}}{fields}}}"#
        );
        let request = Some(inline(request.as_bytes()));
        let waiting = SubmissionScanned { request, ..submission(&inbox, key, SECOND) };
        let waiting = at(waiting, now() + 24 * 3_600 * SECOND, now() + SECOND / 2);
        bench.deliver(&waiting, key).await;
    }
    let events = bench.wait_for_events(4).await;
    assert_eq!(names(&events).iter().filter(|it| **it == "email.expired").count(), 2);
    eventually(async || bench.count("INBOUND").await == 1).await;
    let mut stream = bench.jetstream().await.get_stream("INBOUND").await.expect("stream");
    let first = stream.info().await.expect("info").state.first_sequence;
    let notice = stream.get_raw_message(first).await.expect("message");
    let notice = MailReceived::decode(notice.payload).expect("a mail");
    let Some(Place::Inline(content)) = notice.content.and_then(|it| it.place) else {
        panic!("not inline");
    };
    let content = String::from_utf8_lossy(&content);
    for line in ["Action: failed", "Status: 4.4.7", "Final-Recipient: rfc822; bob@example.net"] {
        assert!(content.contains(line), "{content}");
    }
    running.stop().await;
}

/// A process released it and was lost before it could publish.
#[tokio::test]
async fn what_a_lost_process_released_is_handed_over() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let request = at(submission(&inbox, "k", SECOND), now() + 2 * SECOND, 0);
    bench.deliver(&request, "k").await;
    bench.wait_for_events(1).await;
    running.stop().await;
    eventually(async || {
        let released = bench.store.writer.release(&[], 1).await.expect("release");
        !released.mails.is_empty()
    })
    .await;
    let running = bench.start().await;
    eventually(async || accepted(&bench).await == 1).await;
    eventually(async || {
        let agenda = bench.store.reader.outbox_agenda().await.expect("read");
        agenda.unconfirmed_since.is_none()
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn an_accounts_day_holds_for_requests_over_nats_and_for_dry_runs() {
    let mut bench = Bench::new().await;
    bench.config.daily_email_limit = 1;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    bench.deliver(&submission(&inbox, "one", SECOND), "one").await;
    bench.wait_for_events(1).await;
    bench.deliver(&submission(&inbox, "two", SECOND), "two").await;
    let events = bench.wait_for_events(2).await;
    let refused = events[1].data.as_ref().expect("an email");
    let error = refused.error.as_ref().expect("an error");
    assert_eq!((&*events[1].event, &*error.code), ("email.rejected", "rate_limited"));
    let dry =
        br#"{"to":["bob@example.net"],"subject":"S","body":{"text":"T"},"validateOnly":true}"#;
    let dry = SubmissionScanned { request: Some(inline(dry)), ..submission(&inbox, "dry", SECOND) };
    bench.deliver(&dry, "dry").await;
    let events = bench.wait_for_events(3).await;
    let error = events[2].data.as_ref().and_then(|it| it.error.clone()).expect("an error");
    assert_eq!(error.code, "rate_limited");
    running.stop().await;
}
