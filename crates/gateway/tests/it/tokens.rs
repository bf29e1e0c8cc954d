//! Tokens that may less than their account: what they may, see and send; how they are made and end.

use std::time::{Duration, Instant};

use contract::Event;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::bench::{Agent, Answer, Bench, Inbox, content, eventually};

/// Whatever ends by itself would take longer: polls 25 s, pings of WebSockets 30 s.
const AT_ONCE: Duration = Duration::from_secs(12);

async fn make<'a>(agent: &Agent<'a>, wishes: Value) -> Agent<'a> {
    let made = agent.post("/v1/tokens", &wishes).await.ok();
    Agent { token: made["token"].as_str().unwrap().to_owned(), ..agent.clone() }
}

async fn id(agent: &Agent<'_>) -> String {
    let current = agent.get("/v1/tokens/current").await.ok();
    current["id"].as_str().unwrap().to_owned()
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

fn mail(inbox: &Inbox, to: &str) -> Value {
    json!({ "from": inbox.address, "to": [to], "subject": "s", "body": { "text": "t" } })
}

#[tokio::test]
async fn each_right_opens_its_own_doors() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let inbox = whole.inbox().await;
    let email = bench.deliver(&inbox, &content("Hi", "Hi", None)).await;
    let (reader, sender) = (
        make(&whole, json!({ "rights": ["read"] })).await,
        make(&whole, json!({ "rights": ["send"] })).await,
    );
    let replier = make(&whole, json!({ "rights": ["reply", "read"] })).await;
    let admin = make(&whole, json!({ "rights": ["admin"] })).await;
    let read = format!("/v1/emails/{email}");

    for agent in [&reader, &replier] {
        agent.get(&read).await.ok();
        let refused = agent.post("/v1/emails/send", &mail(&inbox, "a@x.test")).await;
        assert!(refused.is(403, "insufficient_scope").contains("\"send\""));
    }
    for agent in [&sender, &admin] {
        let message = agent.get(&read).await.is(403, "insufficient_scope");
        assert!(message.contains("\"read\""), "{message}");
    }
    let approve = format!("{read}/approve");
    for agent in [&reader, &sender, &replier] {
        // An agent that may send cannot approve what it sends.
        agent.post(&approve, &json!({})).await.is(403, "insufficient_scope");
        agent.post("/v1/inboxes", &json!({})).await.is(403, "insufficient_scope");
        agent.post("/v1/tokens", &json!({})).await.is(403, "insufficient_scope");
        agent.get("/v1/outbound-policy").await.is(403, "insufficient_scope");
        agent.get("/v1/account").await.ok();
        agent.get("/v1/tokens/current").await.ok();
    }
    admin.get("/v1/holds").await.ok();
    admin.get("/v1/outbound-policy").await.ok();
    let forward = json!({ "to": ["x@y.test"] });
    replier.post(&format!("{read}/forward"), &forward).await.is(403, "insufficient_scope");
    reader.post(&format!("{read}/reply"), &json!({})).await.is(403, "insufficient_scope");
    // Past the gate: the body is wrong.
    replier.post(&format!("{read}/reply"), &json!({ "x": 1 })).await.is(400, "invalid_request");
}

#[tokio::test]
async fn a_token_for_an_inbox_sees_no_other() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let (own, other) = (whole.inbox().await, whole.inbox().await);
    let mine = bench.deliver(&own, &content("Mine", "Hi", None)).await;
    let foreign = bench.deliver(&other, &content("Foreign", "Hi", None)).await;
    let agent = make(&whole, json!({ "inboxIds": [own.id] })).await;

    assert_eq!(ids(&agent.get("/v1/inboxes").await.ok()), [&own.id]);
    assert_eq!(ids(&agent.get("/v1/emails/search").await.ok()), [&mine]);
    assert_eq!(ids(&agent.get(&own.path("/emails")).await.ok()), [&mine]);
    for path in [
        other.path(""),
        other.path("/emails"),
        other.path("/emails/poll?timeout=0"),
        other.path("/threads"),
        other.path("/reputation"),
        other.path(&format!("/emails/{foreign}/raw")),
        own.path(&format!("/emails/{foreign}")),
        format!("/v1/emails/{foreign}"),
        format!("/v1/emails/{foreign}/safe"),
        format!("/v1/emails/{foreign}/deliveries"),
        format!("/v1/events?inbox={}&timeout=0", other.id),
    ] {
        agent.get(&path).await.is(404, "not_found");
    }
    agent.post("/v1/emails/send", &mail(&other, "a@x.test")).await.is(404, "not_found");
    for rest in ["reply", "reply-all", "forward", "approve", "decline", "cancel"] {
        agent.post(&format!("/v1/emails/{foreign}/{rest}"), &json!({})).await.is(404, "not_found");
    }
    for path in ["/v1/domains", "/v1/webhooks", "/v1/audit"] {
        agent.get(path).await.is(403, "insufficient_scope");
    }
    for (email, label) in [(&mine, "own"), (&foreign, "other")] {
        let path = format!("/v1/emails/{email}");
        let label = whole.request(Method::PATCH, &path).json(&json!({ "addLabels": [label] }));
        Answer::to(label).await.ok();
    }
    assert_eq!(agent.get("/v1/labels").await.ok()["data"], json!(["own"]));
    assert_eq!(whole.get("/v1/labels").await.ok()["data"], json!(["other", "own"]));
    for path in ["/v1/holds", "/v1/quarantine"] {
        assert_eq!(agent.get(path).await.ok()["data"], json!([]));
    }
    let elsewhere = format!("/v1/quarantine?inboxId={}", other.id);
    agent.get(&elsewhere).await.is(404, "not_found");
    agent.post("/v1/inboxes", &json!({})).await.is(403, "insufficient_scope");
    let batch = json!({ "ids": [mine, foreign], "read": true });
    let changed = agent.post("/v1/emails/batch", &batch).await.ok();
    assert_eq!(changed["updated"], json!([mine]));
    assert_eq!(changed["failed"][0]["error"], "not_found");
    let filter = json!({ "filter": { "inboxId": other.id }, "read": true });
    agent.post("/v1/emails/batch", &filter).await.is(404, "not_found");
    let untouched = whole.get(&format!("/v1/emails/{foreign}")).await.ok();
    assert_eq!(untouched["isRead"], false);

    let events = agent.get("/v1/events?after=oldest&timeout=0").await.ok();
    let inboxes = events["data"].as_array().unwrap().iter().map(|it| &it["inboxId"]);
    assert!(
        inboxes.clone().count() > 0 && inboxes.clone().all(|it| *it == json!(own.id)),
        "{events}"
    );
}

#[tokio::test]
async fn a_token_for_a_thread_sees_no_other() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let inbox = whole.inbox().await;
    let mine = bench.deliver(&inbox, &content("Mine", "Hi", None)).await;
    let foreign = bench.deliver(&inbox, &content("Foreign", "Hi", None)).await;
    let thread = async |email: &str| {
        let email = whole.get(&format!("/v1/emails/{email}")).await.ok();
        email["threadId"].as_str().unwrap().to_owned()
    };
    let (seen, hidden) = (thread(&mine).await, thread(&foreign).await);
    whole.post("/v1/tokens", &json!({ "threadIds": [seen] })).await.is(400, "invalid_request");
    let wishes = json!({ "rights": ["read", "reply"], "threadIds": [seen] });
    let agent = make(&whole, wishes).await;

    assert_eq!(ids(&agent.get("/v1/inboxes").await.ok()), [&inbox.id]);
    assert_eq!(ids(&agent.get(&inbox.path("/emails")).await.ok()), [&mine]);
    assert_eq!(ids(&agent.get(&inbox.path("/threads")).await.ok()), [&seen]);
    assert_eq!(ids(&agent.get("/v1/emails/search").await.ok()), [&mine]);
    let poll = inbox.path("/emails/poll?timeout=0&since=1970-01-01T00:00:00Z");
    assert_eq!(ids(&agent.get(&poll).await.ok()), [&mine]);
    agent.get(&inbox.path(&format!("/threads/{seen}"))).await.ok();
    for path in [inbox.path(&format!("/threads/{hidden}")), format!("/v1/emails/{foreign}")] {
        agent.get(&path).await.is(404, "not_found");
    }
    agent.get(&inbox.path("/reputation")).await.is(403, "insufficient_scope");
    agent.post(&format!("/v1/emails/{foreign}/reply"), &json!({})).await.is(404, "not_found");
    let events = agent.get("/v1/events?after=oldest&timeout=0").await.ok();
    let threads: Vec<&Value> =
        events["data"].as_array().unwrap().iter().map(|it| &it["data"]["threadId"]).collect();
    assert_eq!(threads, [&json!(seen)], "{events}");
}

#[tokio::test]
async fn a_token_makes_only_tokens_that_may_no_more() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let (one, two) = (whole.inbox().await, whole.inbox().await);
    let foreign = bench.agent().await.inbox().await;
    let refused = async |agent: &Agent<'_>, wishes: Value, what: &str| {
        let message = agent.post("/v1/tokens", &wishes).await.is(403, "insufficient_scope");
        assert!(message.starts_with(what), "{message}");
    };
    let parent = json!({
        "label": "Parent", "rights": ["read", "reply", "admin"], "inboxIds": [one.id], "expiresInSeconds": 3600,
        "limits": { "mails": 2, "perSeconds": 60, "recipients": ["B.test", "Ada@A.test"] },
    });
    let parent = make(&whole, parent).await;
    refused(&parent, json!({ "rights": ["send"] }), "rights").await;
    refused(&parent, json!({ "inboxIds": [one.id, two.id] }), "inboxIds").await;
    refused(&parent, json!({ "expiresInSeconds": 7200 }), "expiresAt").await;
    refused(&parent, json!({ "limits": { "recipients": ["c.test"] } }), "limits.recipients").await;
    let child = parent.post("/v1/tokens", &json!({ "rights": ["reply"] })).await.ok();
    let current = parent.get("/v1/tokens/current").await.ok();
    assert_eq!(child["inboxIds"], json!([one.id]));
    assert_eq!(child["expiresAt"], current["expiresAt"]);
    let limits = json!({ "mails": 2, "perSeconds": 60, "recipients": ["b.test", "ada@a.test"] });
    assert_eq!((&child["limits"], &child["madeWith"]), (&limits, &current["id"]));
    assert_eq!((&current["label"], &current["accountId"]), (&json!("Parent"), &json!(whole.id)));

    for wishes in [
        json!({ "inboxIds": [foreign.id] }),
        json!({ "inboxIds": ["ibx_a,b"] }),
        json!({ "rights": ["read"], "threadIds": ["thd_1"] }),
    ] {
        whole.post("/v1/tokens", &wishes).await.is(404, "not_found");
    }
    for wishes in [
        json!({ "rights": [] }),
        json!({ "rights": ["write"] }),
        json!({ "scopes": ["read"] }),
        json!({ "expiresInSeconds": 0 }),
        json!({ "expiresAt": "2020-01-01T00:00:00Z" }),
        json!({ "limits": { "perSeconds": 60 } }),
        json!({ "limits": { "recipients": ["a b"] } }),
        json!({ "label": "x".repeat(101) }),
    ] {
        whole.post("/v1/tokens", &wishes).await.is(400, "invalid_request");
    }

    // The parent sees its child and itself, not the account's first token.
    let seen = parent.get("/v1/tokens").await.ok();
    assert_eq!(seen["data"].as_array().unwrap().len(), 2, "{seen}");
    assert!(seen["data"].as_array().unwrap().iter().all(|it| it.get("token").is_none()));
    let first = id(&whole).await;
    parent.delete(&format!("/v1/tokens/{first}")).await.is(404, "not_found");
    let stranger = bench.agent().await;
    stranger.delete(&format!("/v1/tokens/{first}")).await.is(404, "not_found");
    let parent_id = id(&parent).await;
    whole.delete(&format!("/v1/tokens/{}", &parent_id[..6])).await.is(404, "not_found");
    whole.delete(&format!("/v1/tokens/{parent_id}?made=true")).await.ok();
    whole.delete(&format!("/v1/tokens/{parent_id}")).await.is(404, "not_found");
    parent.get("/v1/tokens/current").await.is(401, "authentication_error");
    let child = Agent { token: child["token"].as_str().unwrap().to_owned(), ..parent.clone() };
    child.get("/v1/tokens/current").await.is(401, "authentication_error");

    let audit = whole.get("/v1/audit?action=token.revoked").await.ok();
    assert_eq!(audit["data"].as_array().unwrap().len(), 2, "{audit}");
    assert_eq!(audit["data"][0]["by"], json!(first));
    let made = whole.get("/v1/audit?action=token.created").await.ok();
    assert_eq!(made["data"][0]["by"], json!(parent_id));
    assert_eq!(made["data"][1]["details"]["label"], "Parent");
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_says_when_it_was_used() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let inbox = whole.inbox().await;
    let agent = make(&whole, json!({ "rights": ["read"], "expiresInSeconds": 2 })).await;
    let listed = async || {
        let all = whole.get("/v1/tokens").await.ok();
        let data = all["data"].as_array().unwrap().clone();
        data.into_iter().find(|it| it["rights"] == json!(["read"]))
    };
    assert_eq!(listed().await.unwrap()["lastUsedAt"], Value::Null);
    agent.get("/v1/inboxes").await.ok();
    assert!(listed().await.unwrap()["lastUsedAt"].is_string());
    let began = Instant::now();
    // Held until it ends, and not until the poll would.
    agent.get(&inbox.path("/emails/poll?timeout=25")).await.is(401, "authentication_error");
    assert!(began.elapsed() < AT_ONCE);
    agent.get("/v1/inboxes").await.is(401, "authentication_error");
    assert_eq!(listed().await, None);
}

#[tokio::test]
async fn what_is_open_ends_with_its_token_on_every_gateway() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let inbox = whole.inbox().await;
    let another = bench.another().await;
    let agent = make(&whole, json!({ "rights": ["read"] })).await;
    let open = async |path: &str| {
        let request = bench.http.get(format!("{another}{path}")).bearer_auth(&agent.token);
        request.header("accept", "text/event-stream")
    };
    let wait = inbox.path("/emails/poll?timeout=25");
    let poll = tokio::spawn(Answer::to(
        bench.http.get(format!("{another}{wait}")).bearer_auth(&agent.token),
    ));
    let own = tokio::spawn(Answer::to(agent.request(Method::GET, "/v1/events?timeout=25")));
    let mut stream = open("/v1/events").await.send().await.unwrap();
    let url = format!("{}/v1/ws?token={}", another.replace("http", "ws"), agent.token);
    let (mut socket, _) = connect_async(url).await.unwrap();
    let hello = socket.next().await.unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("authenticated"));
    let bystander = whole.request(Method::GET, "/v1/events?timeout=25");
    let bystander = tokio::spawn(Answer::to(bystander));
    eventually(async || {
        let metrics = bench.process.metrics.text().unwrap();
        metrics.contains("mail_gateway_event_readers{service=\"gateway\"} 2")
    })
    .await;

    let began = Instant::now();
    whole.delete(&format!("/v1/tokens/{}", id(&agent).await)).await.ok();
    agent.get("/v1/inboxes").await.is(401, "authentication_error");
    own.await.unwrap().is(401, "authentication_error");
    poll.await.unwrap().is(401, "authentication_error");
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            assert_eq!(u16::from(frame.unwrap().code), 4001);
            break;
        }
    }
    while stream.chunk().await.unwrap().is_some() {}
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // Nobody else notices.
    let event = Event {
        event_id: "evt_1".to_owned(),
        event: "email.sent".to_owned(),
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        ..Event::default()
    };
    bench.bus.publish(event).await.unwrap();
    assert_eq!(bystander.await.unwrap().ok()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_token_may_send_is_said_before_anything_is_handed_on() {
    let bench = Bench::new().await;
    let whole = bench.agent().await;
    let inbox = whole.inbox().await;
    let limits = json!({ "limits": { "mails": 0, "perSeconds": 60, "recipients": ["b.test"] } });
    let agent = make(&whole, limits).await;
    let refused = agent.post("/v1/emails/send", &mail(&inbox, "a@a.test")).await;
    assert!(refused.is(403, "token_recipient").contains("a@a.test"));
    let refused = agent.post("/v1/emails/send", &mail(&inbox, "a@b.test")).await;
    assert!(refused.is(429, "token_limit").contains("0 mails in 60 seconds"));
}
