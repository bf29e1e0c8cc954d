//! What the ledger refuses to do by machine, what it sends to lists, and what was uploaded.

use bus::Upload;
use contract::{Email, MailScanned, SubmissionScanned};
use serde_json::{Value, json};
use storage::Config;
use store::{Inbox, Subscription};

use crate::{ACCOUNT, Bench, eventually, inline, mail, submission};

const BOB: &str = "bob@example.net";

fn ask(inbox: &Inbox, key: &str, more: &Value) -> SubmissionScanned {
    let mut request = json!({ "to": [BOB], "subject": "Hello", "body": { "text": "Hi" } });
    for (name, value) in more.as_object().expect("an object") {
        request[name] = value.clone();
    }
    let request = Some(inline(request.to_string().as_bytes()));
    SubmissionScanned { request, ..submission(inbox, key, 1_000_000) }
}

/// What a request is answered with.
async fn answer(bench: &Bench, inbox: &Inbox, key: &str, more: &Value) -> (String, Email) {
    let before = bench.count_events().await;
    bench.deliver(&ask(inbox, key, more), key).await;
    eventually(async || bench.count_events().await > before).await;
    let event = bench.events().await.pop().expect("an event");
    let email = event.data.expect("an email");
    assert_eq!(email.idempotency_key.as_deref(), Some(key));
    (event.event, email)
}

#[track_caller]
fn is_rejected((event, email): &(String, Email), code: &str) {
    assert_eq!(event, "email.rejected", "{email:?}");
    assert_eq!(email.error.as_ref().map(|it| &*it.code), Some(code), "{email:?}");
}

async fn sent(bench: &Bench, (event, email): &(String, Email)) -> (String, Option<String>) {
    assert_eq!(event, "email.queued", "{email:?}");
    let outgoing = bench.store.reader.outgoing(&email.id).await.expect("read").expect("a mail");
    (String::from_utf8(outgoing.octets).expect("ASCII"), outgoing.list_id)
}

#[tokio::test]
async fn a_machines_mail_is_answered_only_on_purpose() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let content = format!(
        "From: a@example.com\r\nTo: {}\r\nMessage-ID: <1@example.com>\r\nAuto-Submitted: auto-replied\r\n\
         \r\nAway.\r\n",
        inbox.address
    );
    let mut arrival = mail(1, &inbox.id);
    let envelope = arrival.envelope.as_mut().expect("an envelope");
    envelope.reverse_path = "a@example.com".to_owned();
    envelope.forward_paths[0].address = inbox.address.clone();
    bench.deliver(&MailScanned { content: Some(inline(content.as_bytes())), ..arrival }, "1").await;
    let received = bench.wait_for_events(1).await.remove(0).data.expect("an email");
    let auto_reply = received.auto_reply.expect("of a received mail");
    assert!(!auto_reply.allowed && auto_reply.reason.contains("Auto-Submitted"), "{auto_reply:?}");

    let reply = |more: &Value| {
        let mut reply = json!({ "inReplyTo": "<1@example.com>" });
        reply
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().expect("object"));
        reply
    };
    is_rejected(&answer(&bench, &inbox, "a", &reply(&json!({}))).await, "auto_reply_refused");
    let allowed = reply(&json!({ "allowAutoReply": true }));
    let (content, _) = sent(&bench, &answer(&bench, &inbox, "b", &allowed).await).await;
    assert!(content.contains("\r\nAuto-Submitted: auto-replied\r\n"), "{content}");
    let by_person = reply(&json!({ "automatic": "no" }));
    let (content, _) = sent(&bench, &answer(&bench, &inbox, "c", &by_person).await).await;
    assert!(!content.contains("Auto-Submitted"), "{content}");
    let elsewhere = json!({ "inReplyTo": "<2@example.com>" });
    sent(&bench, &answer(&bench, &inbox, "d", &elsewhere).await).await;
    running.stop().await;
}

#[tokio::test]
async fn who_left_a_list_gets_no_more_of_it() {
    let mut bench = Bench::new().await;
    let public_url = Some("https://mail.example.com".to_owned());
    bench.config = Config { public_url, ..bench.config.clone() };
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let to_list = |id: &str| json!({ "list": { "id": id } });
    let (content, list_id) =
        sent(&bench, &answer(&bench, &inbox, "a", &to_list("news")).await).await;
    assert_eq!(list_id.as_deref(), Some("news"));
    assert!(content.contains("\r\nList-Unsubscribe: <https://mail.example.com/v1/"), "{content}");

    let subscription = Subscription {
        account_id: ACCOUNT.to_owned(),
        list_id: "news".to_owned(),
        address: BOB.to_uppercase(),
        mail_id: "eml_1".to_owned(),
    };
    bench.store.writer.unsubscribe(&subscription, "news").await.expect("unsubscribe");
    is_rejected(&answer(&bench, &inbox, "b", &to_list("news")).await, "unsubscribed");
    sent(&bench, &answer(&bench, &inbox, "c", &to_list("offers")).await).await;
    let (content, list_id) = sent(&bench, &answer(&bench, &inbox, "d", &json!({})).await).await;
    assert!(list_id.is_none() && !content.contains("List-Unsubscribe"), "{content}");
    running.stop().await;
}

#[tokio::test]
async fn what_was_uploaded_is_in_the_mail() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let upload = Upload {
        filename: "report.csv".to_owned(),
        content_type: "text/csv".to_owned(),
        size_bytes: 3,
        expires_at: 2_000_000,
    };
    let uploads = bench.bus.uploads();
    let id = |digit: &str| format!("upl_{}", digit.repeat(32));
    uploads.put(ACCOUNT, &id("0"), &upload, "Man".into()).await.expect("put");
    uploads.put("acct_2", &id("1"), &upload, "Man".into()).await.expect("put");
    let expired = Upload { expires_at: 1_000_000, ..upload };
    uploads.put(ACCOUNT, &id("2"), &expired, "Man".into()).await.expect("put");

    let with = |id: String| json!({ "attachments": [{ "uploadId": id }] });
    let (content, _) = sent(&bench, &answer(&bench, &inbox, "a", &with(id("0"))).await).await;
    assert!(content.contains("filename=\"report.csv\"") && content.contains("TWFu"), "{content}");
    for (key, digit) in [("b", "1"), ("c", "2"), ("d", "3")] {
        is_rejected(&answer(&bench, &inbox, key, &with(id(digit))).await, "upload_not_found");
    }
    running.stop().await;
}
