//! What the ledger refuses because of the token that a request names.

use std::collections::BTreeMap;

use contract::{Event, Grant, Right, SendLimits, SubmissionScanned, token_id};
use store::{Arrival, Inbox, NewToken};

use crate::{ACCOUNT, Bench, eventually, inline, mail, now, submission};

const HASH: &str = "0123456789abcdef";

async fn add(bench: &Bench, hash: &str, grant: Grant) {
    let token = NewToken { grant, ..NewToken::whole(hash, ACCOUNT) };
    bench.store.writer.add_token(&token).await.expect("add a token");
}

fn only(rights: &[Right]) -> Grant {
    Grant { rights: rights.iter().copied().collect(), ..Grant::default() }
}

/// A request with this JSON, made now with the token.
fn asking(inbox: &Inbox, key: &str, request: &str) -> SubmissionScanned {
    SubmissionScanned {
        request: Some(inline(request.as_bytes())),
        token: token_id(HASH).to_owned(),
        ..submission(inbox, key, now())
    }
}

/// What becomes of it: the code of its refusal, or the event.
fn outcome(events: &[Event], mail_id: &str) -> Option<String> {
    let of = |it: &&Event| it.data.as_ref().is_some_and(|it| it.id == mail_id);
    let event = events.iter().find(of)?;
    let error = event.data.as_ref().and_then(|it| it.error.as_ref());
    Some(error.map_or_else(|| event.event.clone(), |it| it.code.clone()))
}

async fn check(bench: &Bench, request: &SubmissionScanned, expected: &str) {
    bench.deliver(request, &request.idempotency_key).await;
    eventually(async || outcome(&bench.events().await, &request.mail_id).is_some()).await;
    let outcome = outcome(&bench.events().await, &request.mail_id);
    assert_eq!(outcome.as_deref(), Some(expected), "{}", request.idempotency_key);
}

#[tokio::test]
async fn a_token_is_held_to_what_it_may_send_and_to_whom() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let recipients = Some(vec!["bob@example.net".to_owned()]);
    let limits = SendLimits { mails: Some(2), recipients, ..SendLimits::default() };
    add(&bench, HASH, Grant { limits, ..only(&[Right::Send]) }).await;
    let running = bench.start().await;
    let to = |key: &str, to: &str| {
        let json = format!(r#"{{"to":["{to}"],"subject":"Hi","body":{{"text":"Hi"}}}}"#);
        asking(&inbox, key, &json)
    };
    check(&bench, &to("stranger", "eve@example.net"), "token_recipient").await;
    check(&bench, &to("one", "bob@example.net"), "email.queued").await;
    check(&bench, &to("two", "Bob@Example.NET"), "email.queued").await;
    check(&bench, &to("three", "bob@example.net"), "token_limit").await;
    let unnamed = SubmissionScanned { token: String::new(), ..to("free", "eve@example.net") };
    check(&bench, &unnamed, "email.queued").await;
    let unknown =
        SubmissionScanned { token: "ffffffffffff".to_owned(), ..to("x", "bob@example.net") };
    check(&bench, &unknown, "insufficient_scope").await;

    let before = to("before", "bob@example.net");
    bench.store.writer.revoke_token(ACCOUNT, HASH).await.expect("revoke");
    let after = SubmissionScanned { requested_at_micros: now(), ..to("after", "bob@example.net") };
    check(&bench, &after, "token_revoked").await;
    // What was asked for while it counted is judged by what it may: here it has sent enough.
    check(&bench, &before, "token_limit").await;
    running.stop().await;
}

#[tokio::test]
async fn one_that_may_only_answer_writes_to_nobody_else() {
    let bench = Bench::new().await;
    let (inbox, other) = (bench.inbox("agent").await, bench.inbox("other").await);
    let received = |number: usize, inbox: &Inbox| {
        let scanned = mail(number, &inbox.id);
        let octets = format!(
            "From: alice@example.com\r\nReply-To: desk@example.com\r\nSubject: Subject {number}\r\n\
             Message-ID: <{number}@example.com>\r\n\r\nText\r\n"
        );
        Arrival {
            scanned,
            octets: octets.into(),
            whole_text: None,
            carried: String::new(),
            no_auto_reply: BTreeMap::new(),
            offer: None,
        }
    };
    let arrivals = [received(1, &inbox), received(2, &inbox), received(3, &other)];
    let stored = bench.store.writer.store(&arrivals).await.expect("store");
    let threads: Vec<String> =
        stored.iter().map(|it| it[0].email.thread_id.clone().expect("a thread")).collect();
    add(
        &bench,
        HASH,
        Grant {
            inbox_ids: Some(vec![inbox.id.clone()]),
            thread_ids: Some(vec![threads[0].clone()]),
            ..only(&[Right::Reply])
        },
    )
    .await;
    let running = bench.start().await;
    let ask = |key: &str, to: &str, more: &str| {
        let json = format!(r#"{{"to":["{to}"],"subject":"Re","body":{{"text":"Hi"}}{more}}}"#);
        asking(&inbox, key, &json)
    };
    let (alice, first) = ("alice@example.com", r#","inReplyTo":"<1@example.com>""#);
    check(&bench, &ask("answer", alice, first), "email.queued").await;
    check(&bench, &ask("to whom it wants", "desk@example.com", first), "email.queued").await;
    let thread = format!(r#","threadId":"{}""#, threads[0]);
    check(&bench, &ask("by thread", alice, &thread), "email.queued").await;
    check(&bench, &ask("new mail", alice, ""), "insufficient_scope").await;
    check(&bench, &ask("to a stranger", "eve@example.net", first), "token_recipient").await;
    let copied = format!(r#"{first},"cc":["eve@example.net"]"#);
    check(&bench, &ask("in copy", alice, &copied), "token_recipient").await;
    let hidden = format!(r#"{first},"bcc":["eve@example.net"]"#);
    check(&bench, &ask("hidden", alice, &hidden), "token_recipient").await;
    let second = r#","inReplyTo":"<2@example.com>""#;
    check(&bench, &ask("another thread", alice, second), "insufficient_scope").await;
    let both = format!(r#"{thread},"inReplyTo":"<2@example.com>""#);
    check(&bench, &ask("two threads", alice, &both), "insufficient_scope").await;
    let nowhere = r#","inReplyTo":"<3@example.com>""#;
    check(&bench, &ask("a mail of another inbox", alice, nowhere), "insufficient_scope").await;
    let foreign = SubmissionScanned {
        mail_id: contract::submission_id(&other.id, "foreign"),
        inbox_id: other.id.clone(),
        ..ask("foreign", alice, r#","inReplyTo":"<3@example.com>""#)
    };
    check(&bench, &foreign, "insufficient_scope").await;
    running.stop().await;
}
