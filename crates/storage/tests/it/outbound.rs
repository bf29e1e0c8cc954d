use contract::{
    Action, DeliveryDue, DeliveryReported, Event, OnUnknown, OutcomeResolved, RecipientReport,
    Resolution, SubmissionAccepted, SubmissionScanned,
};
use prost::Message as _;
use store::Inbox;

use crate::{ACCOUNT, Bench, eventually, inline, submission};

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|it| it.event.as_str()).collect()
}

#[tokio::test]
async fn a_repeated_key_goes_out_once_and_gets_the_first_result() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    bench.deliver(&submission(&inbox, "k", 1_000_000), "first").await;
    let first = bench.wait_for_events(1).await;
    assert_eq!(names(&first), ["email.queued"]);
    let queued = first[0].data.as_ref().expect("an email");
    assert_eq!((&*queued.subject, queued.repeated), ("Hello", false));
    assert_eq!(
        queued.message_id.as_deref().map(|it| it.ends_with("@posthouse.localhost>")),
        Some(true)
    );

    bench.deliver(&submission(&inbox, "k", 1_000_000), "the same, delivered again").await;
    bench.deliver(&submission(&inbox, "k", 2_000_000), "asked again").await;
    let events = bench.wait_for_events(2).await;
    eventually(async || bench.outbound("outbound.scanned").await.is_empty()).await;
    assert_eq!(bench.events().await.len(), 2);
    let repeat = events[1].data.as_ref().expect("an email");
    assert!(repeat.repeated && !repeat.body_differs && repeat.id == queued.id);
    assert_ne!(events[1].event_id, events[0].event_id);

    let other = br#"{"to":["mallory@example.net"],"subject":"Hello","body":{"text":"Hi"}}"#;
    let other =
        SubmissionScanned { request: Some(inline(other)), ..submission(&inbox, "k", 3_000_000) };
    bench.deliver(&other, "other words under the same key").await;
    let events = bench.wait_for_events(3).await;
    let repeat = events[2].data.as_ref().expect("an email");
    assert!(repeat.repeated && repeat.body_differs && repeat.id == queued.id);

    let accepted = "outbound.accepted".to_owned();
    assert_eq!(bench.outbound(&accepted).await, [(accepted.clone(), 1)]);
    let accepted = bench.last_outbound(&accepted).await;
    let accepted = SubmissionAccepted::decode(accepted).expect("decode");
    assert_eq!(accepted.forward_paths, ["bob@example.net"]);
    assert_eq!(accepted.reverse_paths, std::slice::from_ref(&accepted.reverse_path));
    let return_path: mail::Address = accepted.reverse_path.parse().expect("an address");
    assert_eq!(return_path.domain(), inbox.domain, "aligned with From");
    assert!(mail::return_paths(accepted.reverse_path.as_bytes()).contains(&return_path));
    let outgoing = bench.store.reader.outgoing(&accepted.mail_id).await.expect("read");
    assert_eq!(outgoing.map(|it| it.open), Some(accepted.forward_paths));
    running.stop().await;
}

#[tokio::test]
async fn reports_become_statuses_and_events() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let request = submission(&inbox, "k", 1_000_000);
    bench.deliver(&request, "request").await;
    bench.wait_for_events(1).await;
    for (attempt, action) in [(1, Action::Delayed), (2, Action::Delivered), (1, Action::Delayed)] {
        let recipient = RecipientReport {
            forward_path: "bob@example.net".to_owned(),
            action: action.into(),
            diagnostic: format!("reply {attempt}"),
            ..RecipientReport::default()
        };
        let report = DeliveryReported {
            mail_id: request.mail_id.clone(),
            domain: "example.net".to_owned(),
            attempt,
            recipients: vec![recipient],
            ..DeliveryReported::default()
        };
        let before = bench.count_events().await;
        bench.deliver(&report, &format!("{attempt} {before}")).await;
        eventually(async || bench.outbound("outbound.reported").await.is_empty()).await;
    }
    let events = bench.events().await;
    assert_eq!(names(&events), ["email.queued", "email.deferred", "email.sent"]);
    let sent = events[2].data.as_ref().expect("an email");
    assert_eq!(sent.status.as_deref(), Some("sent"));
    assert_eq!(sent.recipients[0].diagnostic, "reply 2");
    assert_eq!(sent.idempotency_key.as_deref(), Some("k"));

    bench.deliver(&submission(&inbox, "k", 3_000_000), "asked again").await;
    let events = bench.wait_for_events(4).await;
    assert_eq!(events[3].event, "email.sent", "what became of the first");
    assert!(events[3].data.as_ref().is_some_and(|it| it.repeated));
    running.stop().await;
}

#[tokio::test]
async fn what_is_held_is_due_again_when_the_agent_says_so() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let request =
        SubmissionScanned { on_unknown: OnUnknown::Hold.into(), ..submission(&inbox, "k", 1) };
    bench.deliver(&request, "request").await;
    bench.wait_for_events(1).await;
    let accepted = bench.last_outbound("outbound.accepted").await;
    let accepted = SubmissionAccepted::decode(&accepted[..]).expect("decode");
    assert_eq!(accepted.on_unknown(), OnUnknown::Hold);
    let recipient = RecipientReport {
        forward_path: "bob@example.net".to_owned(),
        action: Action::Unknown.into(),
        held: true,
        ..RecipientReport::default()
    };
    let report = DeliveryReported {
        mail_id: request.mail_id.clone(),
        domain: "example.net".to_owned(),
        attempt: 3,
        recipients: vec![recipient],
        ..DeliveryReported::default()
    };
    bench.deliver(&report, "report").await;
    bench.wait_for_events(2).await;
    let decision = OutcomeResolved {
        mail_id: request.mail_id.clone(),
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        resolution: Resolution::Retry.into(),
        resolved_at_micros: 7,
    };
    // Twice, as after a crash.
    bench.deliver(&decision, "decision").await;
    bench.deliver(&decision, "again").await;
    eventually(async || bench.outbound("outbound.resolved").await.is_empty()).await;
    let events = bench.events().await;
    assert_eq!(names(&events), ["email.queued", "email.unknown", "email.deferred"]);
    let stream = bench.jetstream().await.get_stream("DUE").await.expect("stream");
    assert_eq!(stream.cached_info().state.messages, 1);
    let due = stream.get_last_raw_message_by_subject("outbound.due").await.expect("a delivery");
    let due = DeliveryDue::decode(due.payload).expect("decode");
    assert_eq!((due.attempt, due.accepted_at_micros), (4, 7));
    assert_eq!((&*due.domain, due.on_unknown()), ("example.net", OnUnknown::Hold));
    assert_eq!(due.forward_paths, ["bob@example.net"]);
    assert_ne!(due.reverse_path, inbox.address, "one that names mail and recipient");
    running.stop().await;
}

#[tokio::test]
async fn a_report_on_an_unknown_mail_is_parked() {
    let bench = Bench::new().await;
    let running = bench.start().await;
    let report = DeliveryReported { mail_id: "eml_unknown".to_owned(), ..Default::default() };
    bench.deliver(&report, "report").await;
    eventually(async || bench.count("DEAD").await == 1).await;
    assert!(bench.parked().await[0].contains("not in the ledger"));
    running.stop().await;
}

#[tokio::test]
async fn who_may_not_send_hears_why() {
    let bench = Bench::new().await;
    let own = bench.inbox("agent").await;
    bench.store.writer.ensure_account("acct_0", 0).await.expect("account");
    let novice = bench.inbox_of("acct_0", "novice").await;
    let deleted = bench.inbox("deleted").await;
    bench.store.writer.delete_inbox(ACCOUNT, &deleted.id).await.expect("delete");
    let mut foreign = own.clone();
    foreign.account_id = "acct_0".to_owned();
    let mut unreadable = submission(&own, "unreadable", 1_000_000);
    unreadable.request = Some(inline(b"{"));
    unreadable.rejection =
        Some(contract::Rejection { code: "invalid_request".to_owned(), message: "EOF".to_owned() });
    let long = submission(&own, &"k".repeat(5_000), 1_000_000);
    let running = bench.start().await;
    for (n, (submission, code)) in [
        (submission(&novice, "k", 1_000_000), "insufficient_tier"),
        (submission(&deleted, "k", 1_000_000), "inbox_not_found"),
        (submission(&foreign, "k", 1_000_000), "inbox_not_found"),
        (unreadable, "invalid_request"),
        (long, "invalid_request"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.deliver(&submission, &n.to_string()).await;
        let events = bench.wait_for_events(n + 1).await;
        let event = &events[n];
        let email = event.data.as_ref().expect("an email");
        assert_eq!(event.event, "email.rejected");
        assert_eq!(event.account_id, submission.account_id);
        assert_eq!(email.error.as_ref().map(|it| it.code.as_str()), Some(code), "{email:?}");
        assert_eq!(email.status.as_deref(), Some("rejected"));
    }
    assert_eq!(bench.outbound("outbound.accepted").await, []);
    assert_eq!(bench.store.reader.ledger_entry(&own.id, "k").await.expect("read"), None);
    running.stop().await;
}

fn asking(inbox: &Inbox, key: &str, requested_at: i64, more: &str) -> SubmissionScanned {
    let request =
        format!(r#"{{"to":["bob@example.net"],"subject":"Hello","body":{{"text":"Hi"}},{more}}}"#);
    let request = Some(inline(request.as_bytes()));
    SubmissionScanned { request, ..submission(inbox, key, requested_at) }
}

#[tokio::test]
async fn a_dry_run_is_answered_and_leaves_nothing() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let dry = r#""validateOnly":true"#;
    bench.deliver(&asking(&inbox, "k", 1_000_000, dry), "dry").await;
    let events = bench.wait_for_events(1).await;
    assert_eq!(names(&events), ["email.validated"]);
    let email = events[0].data.as_ref().expect("an email");
    assert_eq!((email.status.as_deref(), &*email.subject), (Some("valid"), "Hello"));
    assert_eq!(email.recipients[0].address, "bob@example.net");
    let wrong = r#""validateOnly":true,"threadId":"thd_unknown""#;
    bench.deliver(&asking(&inbox, "k", 2_000_000, wrong), "dry and wrong").await;
    let events = bench.wait_for_events(2).await;
    assert_eq!(events[1].event, "email.rejected");
    assert_eq!(bench.store.reader.ledger_entry(&inbox.id, "k").await.expect("read"), None);

    bench.deliver(&submission(&inbox, "k", 3_000_000), "and now").await;
    let events = bench.wait_for_events(3).await;
    assert_eq!(events[2].event, "email.queued", "the key is free");
    assert_eq!(bench.outbound("outbound.accepted").await.len(), 1);
    bench.deliver(&asking(&inbox, "k", 4_000_000, dry), "dry, of the same mail").await;
    let events = bench.wait_for_events(4).await;
    assert!(events[3].data.as_ref().is_some_and(|it| it.repeated && !it.body_differs));
    running.stop().await;
}

#[tokio::test]
async fn who_is_known_not_to_exist_gets_no_more_mail() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let request = submission(&inbox, "first", 1_000_000);
    bench.deliver(&request, "first").await;
    bench.wait_for_events(1).await;
    let recipient = RecipientReport {
        forward_path: "bob@example.net".to_owned(),
        action: Action::Failed.into(),
        status: "5.1.1".to_owned(),
        diagnostic: "550 5.1.1 <bob@example.net>: user unknown".to_owned(),
        ..RecipientReport::default()
    };
    let report = DeliveryReported {
        mail_id: request.mail_id.clone(),
        domain: "example.net".to_owned(),
        attempt: 1,
        recipients: vec![recipient],
        ..DeliveryReported::default()
    };
    bench.deliver(&report, "report").await;
    bench.wait_for_events(2).await;
    bench.deliver(&submission(&inbox, "second", 2_000_000), "second").await;
    let events = bench.wait_for_events(3).await;
    assert_eq!(names(&events), ["email.queued", "email.bounced", "email.rejected"]);
    let error = events[2].data.as_ref().and_then(|it| it.error.clone()).expect("an error");
    assert_eq!(error.code, "recipient_suppressed");
    assert!(error.message.contains("user unknown"), "{}", error.message);

    assert!(bench.store.writer.lift_suppression(ACCOUNT, "bob@example.net").await.expect("lift"));
    bench.deliver(&submission(&inbox, "third", 3_000_000), "third").await;
    let events = bench.wait_for_events(4).await;
    assert_eq!(events[3].event, "email.queued");
    running.stop().await;
}
