use contract::{Action, DeliveryReported, InboxEvent, RecipientReport, SubmissionScanned};
use store::{Brakes, Breakers, Inbox, InboxState};

use crate::{Bench, eventually, inline, submission};

/// Inbox events so far.
async fn changes(bench: &Bench) -> Vec<InboxEvent> {
    let mut stream = bench.jetstream().await.get_stream("EVENTS").await.expect("stream");
    let state = stream.info().await.expect("info").state.clone();
    let mut events = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("message");
        if message.subject.contains(".inbox.") && !message.subject.ends_with(".created") {
            let event: InboxEvent = serde_json::from_slice(&message.payload).expect("an event");
            let (account, inbox) = (&event.account_id, &event.inbox_id);
            let subject = format!("mail.v1.event.{account}.{inbox}.{}", event.event);
            assert_eq!(message.subject.as_str(), subject);
            events.push(event);
        }
    }
    events
}

fn names(events: &[InboxEvent]) -> Vec<&str> {
    events.iter().map(|it| it.event.as_str()).collect()
}

fn judged_early(bench: &mut Bench) {
    bench.config.breakers =
        Breakers { bounce_min_recipients: 2, bounce_min: 2, ..Breakers::default() };
}

/// Sends a mail that bounces.
async fn bounce(bench: &Bench, inbox: &Inbox, key: &str) {
    let request = submission(inbox, key, 1_000_000);
    bench.deliver(&request, &format!("{} {key}", inbox.id)).await;
    eventually(async || {
        bench.store.reader.outgoing(&request.mail_id).await.expect("read").is_some()
    })
    .await;
    let recipient = RecipientReport {
        forward_path: "bob@example.net".to_owned(),
        action: Action::Failed.into(),
        status: "5.1.1".to_owned(),
        diagnostic: "550 5.1.1 no such user".to_owned(),
        ..RecipientReport::default()
    };
    let report = DeliveryReported {
        mail_id: request.mail_id,
        domain: "example.net".to_owned(),
        attempt: 1,
        recipients: vec![recipient],
        ..DeliveryReported::default()
    };
    for repeat in 0..2 {
        bench.deliver(&report, &format!("{} {key} {repeat}", inbox.id)).await;
    }
    eventually(async || bench.outbound("outbound.reported").await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_bounces_is_stopped_once_whoever_counts() {
    let mut bench = Bench::new().await;
    judged_early(&mut bench);
    let (inbox, other) = (bench.inbox("agent").await, bench.inbox("other").await);
    let running = [bench.start().await, bench.start().await];
    for key in ["1", "2"] {
        bounce(&bench, &inbox, key).await;
        // The suppression is none of this test's matter.
        let address = "bob@example.net";
        bench.store.writer.lift_suppression(&inbox.account_id, address).await.expect("lift");
    }
    eventually(async || changes(&bench).await.len() == 1).await;
    let stopped = changes(&bench).await.remove(0);
    assert_eq!((&*stopped.event, &*stopped.inbox_id), ("inbox.stopped", &*inbox.id));
    let standing = stopped.data.expect("a standing");
    assert_eq!((&*standing.state, standing.reason.as_deref()), ("stopped", Some("bounces")));
    assert!(standing.explanation.is_some_and(|it| it.starts_with("2 of 2 recipients bounced")));
    assert_eq!(standing.figures.map(|it| it.bounced), Some(2));

    let before = bench.count_events().await;
    bench.deliver(&submission(&inbox, "3", 1_000_000), "3").await;
    let events = bench.wait_for_events(before as usize + 1).await;
    let rejected = events.last().expect("an event");
    assert_eq!(rejected.event, "email.rejected");
    let error = rejected.data.as_ref().and_then(|it| it.error.as_ref()).expect("an error");
    assert_eq!(error.code, "inbox_stopped");
    assert!(error.message.contains("2 of 2"), "{}", error.message);
    bench.deliver(&submission(&other, "3", 1_000_000), "other").await;
    let events = bench.wait_for_events(before as usize + 2).await;
    assert_eq!(events.last().map(|it| &*it.event), Some("email.queued"), "a neighbour");

    // What the operator does to the database is announced, too.
    bench.store.writer.resume_inbox(&inbox).await.expect("resume");
    eventually(async || changes(&bench).await.len() == 2).await;
    eventually(async || bench.store.reader.unannounced(1).await.expect("read").is_empty()).await;
    let changes = changes(&bench).await;
    assert_eq!(names(&changes), ["inbox.stopped", "inbox.resumed"]);
    assert_ne!(changes[0].event_id, changes[1].event_id);
    for it in running {
        it.stop().await;
    }
}

#[tokio::test]
async fn a_change_that_nobody_announced_is_announced_later() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    bench.store.writer.stop_inbox(&inbox, "why not").await.expect("stop");
    let running = bench.start().await;
    eventually(async || changes(&bench).await.len() == 1).await;
    running.stop().await;
    // Whoever announces it again announces the same.
    let first = changes(&bench).await;
    let standing = bench.store.reader.standing(&inbox).await.expect("read");
    assert_eq!(standing.state, InboxState::Stopped);
    let running = bench.start().await;
    bench.store.writer.resume_inbox(&inbox).await.expect("resume");
    eventually(async || changes(&bench).await.len() == 2).await;
    assert_eq!(changes(&bench).await[0], first[0]);
    running.stop().await;
}

#[tokio::test]
async fn the_brakes_hold_on_nats_and_in_a_dry_run() {
    let mut bench = Bench::new().await;
    bench.config.brakes = Brakes { same_content_per_hour: 1, ..Brakes::default() };
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let dry = br#"{"to":["bob@example.net"],"subject":"Re: hello","body":{"text":"Hi"},"validateOnly":true}"#;
    let dry = |key: &str| SubmissionScanned {
        request: Some(inline(dry)),
        ..submission(&inbox, key, 2_000_000)
    };
    for (n, (submission, expected)) in [
        (dry("dry"), "email.validated"),
        (submission(&inbox, "1", 1_000_000), "email.queued"),
        (submission(&inbox, "2", 1_000_000), "email.rejected"),
        (dry("dry"), "email.rejected"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.deliver(&submission, &n.to_string()).await;
        let events = bench.wait_for_events(n + 1).await;
        assert_eq!(events[n].event, expected, "{n}");
        let error = events[n].data.as_ref().and_then(|it| it.error.clone());
        let code = (expected == "email.rejected").then_some("identical_content");
        assert_eq!(error.as_ref().map(|it| &*it.code), code, "{error:?}");
    }
    let accepted = "outbound.accepted".to_owned();
    assert_eq!(bench.outbound(&accepted).await, [(accepted.clone(), 1)]);
    running.stop().await;
}
