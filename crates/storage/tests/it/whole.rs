//! Requests that hand in a whole message.

use contract::{SendRequest, SubmissionAccepted, SubmissionScanned};
use prost::Message as _;
use store::Inbox;

use crate::{Bench, inline, submission};

fn whole(inbox: &Inbox, key: &str, requested_at: i64, content: &str) -> SubmissionScanned {
    let request = SendRequest {
        to: vec!["bob@example.net".to_owned(), "hidden@example.org".to_owned()],
        content: content.into(),
        ..SendRequest::default()
    };
    let json = serde_json::to_vec(&request).expect("JSON");
    SubmissionScanned { request: Some(inline(&json)), ..submission(inbox, key, requested_at) }
}

#[tokio::test]
async fn a_whole_message_is_kept_and_goes_as_it_is() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let content = "Date: Tue, 24 Nov 2026 01:02:03 +0000\r\nMessage-ID: <1@client.example>\r\n\
                   From: Agent <agent@posthouse.localhost>\r\nTo: bob@example.net\r\nSubject: Hi\r\n\
                   Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n x \r\n--b--\r\n";
    let first = whole(&inbox, "k", 1_000_000, &format!("Received: from a\r\n\tby b\r\n{content}"));
    bench.deliver(&first, "first").await;
    let events = bench.wait_for_events(1).await;
    let queued = events[0].data.as_ref().expect("an email");
    assert_eq!((&*events[0].event, &*queued.subject), ("email.queued", "Hi"));
    assert_eq!(queued.message_id.as_deref(), Some("<1@client.example>"));
    assert_eq!(queued.to, ["bob@example.net"]);
    let accepted = bench.last_outbound("outbound.accepted").await;
    let accepted = SubmissionAccepted::decode(accepted).expect("decode");
    assert_eq!(accepted.forward_paths, ["bob@example.net", "hidden@example.org"]);
    assert_eq!(mail::return_paths(accepted.reverse_path.as_bytes()).len(), 1);
    let outgoing = bench.store.reader.outgoing(&accepted.mail_id).await.expect("read");
    let octets = outgoing.expect("it is there").octets;
    assert!(octets.ends_with(content.as_bytes()), "{}", String::from_utf8_lossy(&octets));

    // Handed in again by another way.
    let again = whole(&inbox, "k", 2_000_000, &format!("Received: from c\r\n{content}"));
    bench.deliver(&again, "again").await;
    let events = bench.wait_for_events(2).await;
    assert!(events[1].data.as_ref().is_some_and(|it| it.repeated && !it.body_differs));
    assert_eq!(bench.outbound("outbound.accepted").await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_message_of_another_author_is_refused() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    bench.inbox("other").await;
    let running = bench.start().await;
    let foreign = "Subject: Hi\r\nFrom: other@posthouse.localhost\r\n\r\n";
    bench.deliver(&whole(&inbox, "k", 1_000_000, foreign), "foreign").await;
    let events = bench.wait_for_events(1).await;
    let email = events[0].data.as_ref().expect("an email");
    let error = email.error.as_ref().expect("an error");
    assert_eq!((&*events[0].event, &*email.subject), ("email.rejected", "Hi"));
    assert_eq!(error.message, "content: From is not the address of the inbox");
    assert_eq!(bench.outbound("outbound.accepted").await, []);
    running.stop().await;
}
