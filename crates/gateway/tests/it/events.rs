//! Events with a cursor: replayed, waited for, streamed, refused.

use std::time::Duration;

use contract::{Emit as _, Event};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::bench::{Agent, Answer, Bench, Inbox, content, eventually};

/// Says that something happened to an inbox, as storage would.
pub(crate) async fn announce(bench: &Bench, inbox: &Inbox, event: &str, subject: &str) {
    let data = contract::Email { subject: subject.to_owned(), ..Default::default() };
    let event = Event {
        event_id: format!("evt_{}", Uuid::now_v7().simple()),
        event: event.to_owned(),
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        data: Some(data),
        ..Default::default()
    };
    bench.bus.publish(event).await.unwrap();
}

fn subjects(page: &Value) -> Vec<&str> {
    page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["data"]["subject"].as_str().unwrap())
        .collect()
}

async fn read(agent: &Agent<'_>, query: &str) -> Value {
    agent.get(&format!("/v1/events?{query}")).await.ok()
}

#[tokio::test]
async fn what_happened_is_replayed_in_order_page_by_page() {
    let bench = Bench::new().await;
    let (agent, other) = (bench.agent().await, bench.agent().await);
    let (inbox, foreign) = (agent.inbox().await, other.inbox().await);
    for n in 0..5 {
        announce(&bench, &inbox, "email.sent", &n.to_string()).await;
        announce(&bench, &foreign, "email.sent", "foreign").await;
    }
    let first = read(&agent, "after=oldest&limit=3").await;
    assert_eq!(subjects(&first), ["0", "1", "2"]);
    assert_eq!(first["hasMore"], true);
    let rest = read(&agent, &format!("after={}", first["cursor"].as_str().unwrap())).await;
    assert_eq!(subjects(&rest), ["3", "4"]);
    assert_eq!(rest["hasMore"], false);
    // From the cursor of an event, too.
    let second = first["data"][1]["cursor"].as_str().unwrap();
    let after = read(&agent, &format!("after={second}&limit=1")).await;
    assert_eq!(subjects(&after), ["2"]);
    let event = &rest["data"][0];
    assert_eq!(
        (&event["event"], &event["inboxId"]),
        (&"email.sent".into(), &inbox.id.clone().into())
    );
    assert_eq!(event["accountId"], agent.id);
    // Nothing new, and no wait.
    let cursor = rest["cursor"].as_str().unwrap();
    let nothing = read(&agent, &format!("after={cursor}&timeout=0")).await;
    assert_eq!(nothing["data"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_request_is_held_until_something_happens() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    announce(&bench, &inbox, "email.sent", "before").await;
    let waiting = tokio::spawn(Answer::to(agent.request(Method::GET, "/v1/events")));
    eventually(async || {
        bench
            .process
            .metrics
            .text()
            .unwrap()
            .contains("mail_gateway_event_readers{service=\"gateway\"} 1")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "without a cursor it begins now");
    announce(&bench, &inbox, "email.bounced", "after").await;
    let page = waiting.await.unwrap().ok();
    assert_eq!(subjects(&page), ["after"]);
}

#[tokio::test]
async fn types_and_inbox_narrow_the_answer() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let (one, other) = (agent.inbox().await, agent.inbox().await);
    for (inbox, event) in [
        (&one, "email.sent"),
        (&other, "email.sent"),
        (&one, "email.bounced"),
        (&one, "inbox.warned"),
    ] {
        announce(&bench, inbox, event, &format!("{event} {}", inbox.id == one.id)).await;
    }
    // Both from the stream and from memory.
    let middle = read(&agent, "after=oldest&limit=1").await["cursor"].as_str().unwrap().to_owned();
    for (after, skipped) in [("oldest", 0), (&*middle, 1)] {
        let ask = async |query: &str| {
            let page = read(&agent, &format!("after={after}&{query}")).await;
            subjects(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let sent = ["email.sent true", "email.sent false"];
        assert_eq!(ask("types=email.sent").await, sent[skipped..]);
        assert_eq!(
            ask("types=inbox.warned,email.bounced").await,
            ["email.bounced true", "inbox.warned true"]
        );
        assert_eq!(ask("types=email.*").await.len(), 3 - skipped);
        assert_eq!(ask(&format!("inbox={}", other.id)).await, ["email.sent false"]);
        assert_eq!(ask(&format!("inbox={}&types=email.sent", one.id)).await, sent[skipped..1]);
    }
    let foreign = bench.agent().await.inbox().await;
    agent.get(&format!("/v1/events?inbox={}", foreign.id)).await.is(404, "not_found");
    agent.get("/v1/events?types=email.recieved").await.is(400, "invalid_request");
    agent.get("/v1/events?limit=0").await.is(400, "invalid_request");
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_says_so() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    agent.get("/v1/events?after=garbage").await.is(400, "invalid_request");
    announce(&bench, &inbox, "email.sent", "1").await;
    let first = read(&agent, "after=oldest").await;
    let old = first["cursor"].as_str().unwrap();
    announce(&bench, &inbox, "email.sent", "2").await;
    announce(&bench, &inbox, "email.sent", "3").await;

    let client = async_nats::connect(&bench.nats.url).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream("EVENTS").await.unwrap();
    stream.purge().sequence(3).await.unwrap();
    // The gateway still has them in memory, where nothing is lost.
    assert_eq!(subjects(&read(&agent, &format!("after={old}")).await), ["2", "3"]);
    let url = bench.another().await;
    let gone = async |after: &str, code: &str| {
        let request = bench.http.get(format!("{url}/v1/events?after={after}&timeout=0"));
        let answer = Answer::to(request.bearer_auth(&agent.token)).await;
        let body = answer.json();
        assert_eq!(
            (answer.status.as_u16(), body["error"].as_str().unwrap()),
            (410, code),
            "{body}"
        );
        assert!(body["message"].as_str().unwrap().contains("after=oldest"), "{body}");
        body["oldestCursor"].as_str().unwrap().to_owned()
    };
    let oldest = gone(old, "cursor_expired").await;
    assert_eq!(subjects(&read(&agent, &format!("after={oldest}")).await), ["3"]);
    assert_eq!(subjects(&read(&agent, "after=oldest").await), ["3"]);

    // Another stream under the same name has other events under the same numbers.
    let newest = read(&agent, "after=oldest").await["cursor"].as_str().unwrap().to_owned();
    jetstream.delete_stream("EVENTS").await.unwrap();
    bus::apply(&bench.nats.url, 1, false).await.unwrap();
    for n in 4..8 {
        announce(&bench, &inbox, "email.sent", &n.to_string()).await;
    }
    let oldest = gone(&newest, "cursor_unknown").await;
    assert_eq!(subjects(&read(&agent, &format!("after={oldest}")).await), ["4", "5", "6", "7"]);
    // And is followed again.
    let cursor = read(&agent, "after=oldest").await["cursor"].as_str().unwrap().to_owned();
    eventually(async || {
        announce(&bench, &inbox, "email.sent", "later").await;
        let page = read(&agent, &format!("after={cursor}&timeout=1")).await;
        !page["data"].as_array().unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_cursor_outlives_the_gateway_and_nats() {
    let mut bench = Bench::new().await;
    let (path, token) = {
        let agent = bench.agent().await;
        let inbox = agent.inbox().await;
        announce(&bench, &inbox, "email.sent", "1").await;
        let first = read(&agent, "after=oldest").await;
        announce(&bench, &inbox, "email.sent", "2").await;
        (format!("/v1/events?after={}", first["cursor"].as_str().unwrap()), agent.token.clone())
    };
    bench.nats.kill().await.unwrap();
    bench.nats.restart().await.unwrap();
    eventually(async || bench.bus.is_connected()).await;
    let ask = async || Answer::to(bench.request(Method::GET, &path).bearer_auth(&token)).await;
    eventually(async || ask().await.status == 200).await;
    assert_eq!(subjects(&ask().await.ok()), ["2"]);
}

#[tokio::test]
async fn events_stream_and_go_on_from_the_last_id() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    announce(&bench, &inbox, "email.sent", "1").await;
    let open = async |last: Option<&str>| {
        let mut request = agent.request(Method::GET, "/v1/events?after=oldest");
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response
    };
    let next = async |response: &mut reqwest::Response| {
        String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap()
    };
    let mut events = open(None).await;
    let first = next(&mut events).await;
    assert!(first.contains("event: email.sent\n"), "{first}");
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|it| it.starts_with(name)).unwrap().to_owned();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let data: Value = serde_json::from_str(&field(&first, "data")).unwrap();
    assert_eq!(data["data"]["subject"], "1");
    assert_eq!(data["cursor"], field(&first, "id"));
    announce(&bench, &inbox, "email.bounced", "2").await;
    let second = next(&mut events).await;
    assert!(second.contains("event: email.bounced\n"), "{second}");
    drop(events);

    let mut events = open(Some(&field(&first, "id"))).await;
    assert_eq!(next(&mut events).await, second);
}

#[tokio::test]
async fn a_stored_mail_is_an_event_like_on_nats() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &content("Hello", "text", None)).await;
    let page = read(&agent, "after=oldest&types=email.received").await;
    let email = &page["data"][0]["data"];
    assert_eq!(email["id"], id);
    assert!(email.as_object().unwrap().contains_key("body") && email["security"].is_object());
}

/// Of 10,000 events of which every fourth is wanted: all are there, once.
#[tokio::test]
async fn many_events_are_replayed_whole() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let (inbox, foreign) = (agent.inbox().await, bench.agent().await.inbox().await);
    let event = |n: usize| {
        let inbox = if n.is_multiple_of(4) { &inbox } else { &foreign };
        Event {
            event_id: format!("evt_{n}"),
            event: "email.sent".to_owned(),
            account_id: inbox.account_id.clone(),
            inbox_id: inbox.id.clone(),
            data: Some(contract::Email { id: n.to_string(), ..Default::default() }),
            ..Default::default()
        }
    };
    for chunk in (0..10_000).collect::<Vec<_>>().chunks(500) {
        let records: Vec<_> = chunk.iter().flat_map(|n| event(*n).records()).collect();
        bench.bus.publish(records).await.unwrap();
    }
    let (mut after, mut seen) = ("oldest".to_owned(), Vec::new());
    loop {
        let page = read(&agent, &format!("after={after}&limit=1000&timeout=0")).await;
        let events = page["data"].as_array().unwrap();
        seen.extend(events.iter().map(|it| it["data"]["id"].as_str().unwrap().to_owned()));
        after = page["cursor"].as_str().unwrap().to_owned();
        if events.is_empty() {
            break;
        }
    }
    let expected: Vec<String> = (0..10_000).step_by(4).map(|it| it.to_string()).collect();
    assert_eq!(seen, expected);
}
