use bytes::Bytes;
use contract::{Authentication, MailScanned};
use futures_util::StreamExt as _;
use store::EmailFilter;

use crate::{ACCOUNT, Bench, eventually, mail};

#[tokio::test]
async fn a_bad_mail_among_good_ones_is_parked_alone() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    for number in 0..30 {
        bench.deliver(&mail(number, &inbox.id), &number.to_string()).await;
    }
    bench.deliver(&mail(30, "ibx_purged"), "orphan").await;
    bench.deliver(&MailScanned { content: None, ..mail(31, &inbox.id) }, "empty").await;
    // Its content was gone when it was scanned, and is there again.
    bench.deliver(&MailScanned { message: None, ..mail(62, &inbox.id) }, "unread").await;
    for number in 32..62 {
        bench.deliver(&mail(number, &inbox.id), &number.to_string()).await;
    }
    let running = bench.start().await;
    let events = bench.wait_for_events(60).await;
    eventually(async || bench.all_stored().await && bench.count("DEAD").await == 3).await;
    assert_eq!(events.len(), 60);
    let reasons = bench.parked().await;
    assert!(reasons.iter().any(|it| it.contains("not read by the scanner")), "{reasons:?}");
    assert!(reasons.iter().any(|it| it.contains("none exists any more")), "{reasons:?}");
    assert!(reasons.iter().any(|it| it.contains("no content")), "{reasons:?}");
    let filter = EmailFilter { limit: 100, ..EmailFilter::default() };
    let page = bench.store.reader.emails(ACCOUNT, &inbox.id, &filter).await.expect("read");
    assert_eq!(page.items.len(), 60);
    running.stop().await;
}

#[tokio::test]
async fn what_is_announced_can_be_read() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let client = async_nats::connect(&bench.nats.url).await.expect("connect");
    let subject = format!("mail.v1.event.{ACCOUNT}.{}.email.received", inbox.id);
    let mut events = client.subscribe(subject).await.expect("subscribe");
    client.flush().await.expect("flush");
    for number in 0..40 {
        bench.deliver(&mail(number, &inbox.id), &number.to_string()).await;
    }
    for _ in 0..40 {
        let message = tokio::time::timeout(crate::SOON, events.next()).await.expect("in time");
        let payload = message.expect("an event").payload;
        let event: contract::Event = serde_json::from_slice(&payload).expect("JSON");
        let announced = event.data.expect("an email");
        assert_eq!(event.timestamp, announced.created_at);
        let read = bench.store.reader.email(ACCOUNT, &inbox.id, &announced.id).await;
        let mut read = read.expect("read").expect("it is there");
        assert_eq!(read.body.take().as_deref(), Some(""));
        assert_eq!(read, announced);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_redelivered_mail_is_stored_and_announced_once() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    bench.deliver(&mail(1, &inbox.id), "first").await;
    bench.wait_for_events(1).await;
    bench.deliver(&mail(1, &inbox.id), "second").await;
    bench.deliver(&mail(2, &inbox.id), "other").await;
    eventually(async || bench.all_stored().await).await;
    let events = bench.wait_for_events(2).await;
    assert_eq!(events.len(), 2, "JetStream knows the repeated one by its identity");
    let count = bench.store.reader.inbox(ACCOUNT, &inbox.id).await.expect("read");
    assert_eq!(count.map(|it| it.email_count), Some(2));
    let metrics = running.process.metrics.text().expect("metrics");
    let repeats = r#"mail_storage_repeats_total{stage="storage",service="storage"} 1"#;
    assert!(metrics.contains(repeats), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn large_content_comes_by_claim_and_whole() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let mut octets = b"Subject: x\r\n\r\n".to_vec();
    octets.extend(b"0123456789abcdef0123456789abcdef\r\n".repeat(20_000));
    let claims = bench.bus.claims();
    let content = claims.put("mail_00001", Bytes::from(octets.clone())).await.expect("put");
    let mut large = MailScanned { content: Some(content.clone()), ..mail(1, &inbox.id) };
    let message = large.message.as_mut().expect("a message");
    message.text_truncated = true;
    large.authentication =
        Some(Authentication { results: "mx; spf=pass".to_owned(), ..Authentication::default() });
    let running = bench.start().await;
    bench.deliver(&large, "first").await;
    bench.wait_for_events(1).await;
    let original = bench.store.reader.original(ACCOUNT, &inbox.id, "eml_00001").await;
    let original = original.expect("read").expect("an original").octets;
    let below =
        original.strip_prefix(b"Return-Path: <>\r\nAuthentication-Results: mx; spf=pass\r\n");
    assert!(below == Some(&octets[..]), "octet for octet below our own field");
    let email = bench.store.reader.email(ACCOUNT, &inbox.id, "eml_00001").await;
    let body = email.expect("read").and_then(|it| it.body).unwrap_or_default();
    assert!(body.len() > 600_000, "the whole text, {} octets", body.len());

    eventually(async || claims.get(&content).await.expect("get").is_none()).await;
    bench.deliver(&large, "once more, after its claim is gone").await;
    bench.deliver(&MailScanned { content: Some(content), ..mail(2, &inbox.id) }, "lost").await;
    eventually(async || bench.all_stored().await).await;
    let reasons = bench.parked().await;
    assert!(reasons.len() == 1 && reasons[0].contains("mail_00002 is gone"), "{reasons:?}");
    running.stop().await;
}
