//! What is expected meets the mail that comes, and its end is told once.

use std::time::Duration;

use contract::{Event, MailReviewed, MailScanned, Review};
use store::{
    Expectation, ExpectationKind, ExpectationState, Expected, Inbox, NewExpectation, SenderList,
    SenderRule,
};

use crate::{ACCOUNT, Bench, eventually, inline, mail, now};

async fn expect(bench: &Bench, inbox: &Inbox, key: &str, within: Duration) -> Expectation {
    let new = NewExpectation {
        account_id: ACCOUNT.to_owned(),
        inbox_id: inbox.id.clone(),
        idempotency_key: key.to_owned(),
        kind: ExpectationKind::Code,
        in_reply_to: None,
        from_domain: None,
        deadline: now() + i64::try_from(within.as_micros()).expect("a short time"),
    };
    match bench.store.writer.expect(&new).await.expect("expect") {
        Expected::Made(made) => *made,
        other => panic!("{other:?}"),
    }
}

async fn now_is(bench: &Bench, it: &Expectation) -> Expectation {
    let found = bench.store.reader.expectation(ACCOUNT, &it.id).await;
    found.expect("read").expect("it is there")
}

/// A mail that is received now and brings a code.
fn coded(number: usize, inbox: &Inbox, code: u32) -> MailScanned {
    let content = format!("Subject: Sign in\r\n\r\nYour code is {code}.\r\n");
    MailScanned {
        received_at_micros: now(),
        content: Some(inline(content.as_bytes())),
        ..mail(number, &inbox.id)
    }
}

async fn told(bench: &Bench) -> Vec<Event> {
    let mut events = bench.events().await;
    events.retain(|it| it.event.starts_with("expectation."));
    events
}

#[tokio::test]
async fn two_storages_hand_out_each_code_once() {
    const CODES: u32 = 20;
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = [bench.start().await, bench.start().await];
    let mut expected = Vec::new();
    for key in 0..CODES {
        expected.push(expect(&bench, &inbox, &key.to_string(), Duration::from_secs(600)).await);
    }
    for number in 0..CODES {
        let mail = coded(number as usize, &inbox, 314_159 + 7_919 * number);
        bench.deliver(&mail, &number.to_string()).await;
        // Once more, as after a lost ack.
        bench.deliver(&mail, &format!("{number} again")).await;
    }
    eventually(async || told(&bench).await.len() >= CODES as usize).await;
    eventually(async || bench.all_stored().await).await;
    let mut codes = Vec::new();
    for it in &expected {
        let now = now_is(&bench, it).await;
        assert_eq!(now.state, ExpectationState::Matched, "{now:?}");
        codes.extend(now.code);
    }
    codes.sort();
    let all: Vec<String> = (0..CODES).map(|it| (314_159 + 7_919 * it).to_string()).collect();
    assert_eq!(codes, all);
    // What two announcers publish is one event.
    eventually(async || {
        let left = bench.store.reader.announcements(100).await.expect("read");
        left.iter().all(|it| !it.event.starts_with("expectation."))
    })
    .await;
    assert_eq!(told(&bench).await.len(), CODES as usize);
    for it in running {
        it.stop().await;
    }
}

#[tokio::test]
async fn a_deadline_is_told_once_by_two() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let over = expect(&bench, &inbox, "over", Duration::from_millis(1)).await;
    let running = [bench.start().await, bench.start().await];
    let soon = expect(&bench, &inbox, "soon", Duration::from_millis(300)).await;
    let later = expect(&bench, &inbox, "later", Duration::from_secs(600)).await;
    eventually(async || told(&bench).await.len() >= 2).await;
    for it in [&over, &soon] {
        let ended = now_is(&bench, it).await;
        assert_eq!(ended.state, ExpectationState::Expired);
        assert!(ended.settled_at >= Some(it.deadline));
    }
    assert_eq!(now_is(&bench, &later).await.state, ExpectationState::Waiting);
    eventually(async || {
        let metrics = running.iter().map(|it| it.process.metrics.text().expect("metrics"));
        let count = metrics.map(|it| {
            let lines = it.lines().filter(|it| it.starts_with("mail_storage_expectations_total"));
            lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u32>().ok()).sum::<u32>()
        });
        count.sum::<u32>() == 2
    })
    .await;
    assert_eq!(told(&bench).await.len(), 2);
    for it in running {
        it.stop().await;
    }
}

#[tokio::test]
async fn what_is_released_from_quarantine_counts() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let rule = SenderRule {
        account_id: ACCOUNT.to_owned(),
        inbox_id: None,
        list: SenderList::Block,
        entry: "alice@example.com".to_owned(),
        note: String::new(),
        created_at: now(),
    };
    bench.store.writer.list_sender(&rule, &store::Actor::default()).await.expect("block");
    let running = bench.start().await;
    let it = expect(&bench, &inbox, "k", Duration::from_secs(600)).await;
    bench.deliver(&coded(1, &inbox, 482_913), "1").await;
    bench.wait_for_events(1).await;
    assert_eq!(now_is(&bench, &it).await, it);
    let decided = MailReviewed {
        email_id: "eml_00001".to_owned(),
        account_id: ACCOUNT.to_owned(),
        review: Review::Released.into(),
        reviewed_at_micros: now(),
        ..MailReviewed::default()
    };
    bench.bus.publish(decided).await.expect("publish");
    eventually(async || now_is(&bench, &it).await.is_settled()).await;
    assert_eq!(now_is(&bench, &it).await.code.as_deref(), Some("482913"));
    eventually(async || told(&bench).await.len() == 1).await;
    running.stop().await;
}
