//! A mail is one trace from door to door, whichever door; and a trace that somebody brings along comes out
//! at the other end.

mod collector;
mod logs;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use contract::{
    Bundle, BundledMessage, Content, Envelope, ForwardPath, MailReceived, Trace, content::Place,
};
use e2e::{Agent, Cluster, Inbox, Plan};
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use test_peer::{Peer, Setup};

use self::collector::{Collector, Span};
use crate::{
    pipeline_out::mail,
    webhooks::{Call, Receiver},
};

const TRACEPARENT: &str = "traceparent";

/// The span that stands above what is asked for here.
const GIVEN: &str = "00f067aa0ba902b7";

/// What a mail that is sent goes through, and with a request to REST before that.
const WAY_OUT: [(&str, &str); 5] = [
    ("scanner", "process mail.v1.send.>"),
    ("storage", "process outbound.scanned"),
    ("sender", "process outbound.accepted"),
    ("storage", "process outbound.reported"),
    ("webhooks", "POST webhook"),
];
const AT_REST: (&str, &str) = ("gateway", "POST /v1/emails/send");

/// A trace as somebody brings it along.
fn given(n: u8) -> (String, String) {
    let trace_id = format!("4bf92f3577b34da6a3ce929d0e0e47{n:02x}");
    (format!("00-{trace_id}-{GIVEN}-01"), trace_id)
}

/// Trace and span.
fn parts(traceparent: &str) -> (String, String) {
    let mut parts = traceparent.split('-').skip(1).map(str::to_owned);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Somebody with an inbox, told of events by a webhook.
struct World {
    cluster: Cluster,
    agent: Agent,
    inbox: Inbox,
    receiver: Receiver,
    /// Takes what is sent.
    peer: Peer,
}

impl World {
    async fn start(events: &[&str], common: String) -> anyhow::Result<World> {
        let peer = Peer::start(Setup::default()).await;
        let plan = Plan { sink: Some(peer.address), common, ..Plan::default() };
        let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
        let agent = cluster.api()?.sign_up().await?;
        let inbox = agent.inbox().await?;
        let (receiver, address) = Receiver::start().await?;
        let webhook = json!({ "url": format!("http://{address}/hook"), "events": events });
        agent.post("/v1/webhooks", &webhook).await?.success()?;
        Ok(World { cluster, agent, inbox, receiver, peer })
    }

    async fn send(&self, more: &Value, fields: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut mail = mail(&self.inbox, "bob@elsewhere.example", "Traced");
        let more = more.as_object().context("an object")?.clone();
        mail.as_object_mut().context("an object")?.extend(more);
        let (api, token) = (&self.agent.api, Some(self.agent.token.as_str()));
        api.call(Method::POST, "/v1/emails/send", token, fields, Some(&mail)).await?.success()?;
        Ok(())
    }

    /// As an agent with nothing but a NATS client does.
    async fn publish(&self, key: &str, fields: &[(&str, &str)]) -> anyhow::Result<()> {
        let subject = format!("mail.v1.send.{}.{}", self.agent.account, self.inbox.id);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", key);
        fields.iter().for_each(|(name, value)| headers.insert(*name, *value));
        let request = json!({
            "to": ["bob@elsewhere.example"], "subject": "Traced", "body": { "text": "By NATS" }
        });
        put(&self.cluster, subject, headers, request.to_string().into()).await
    }

    /// As a language model does, whose client writes where it stands into the call itself.
    async fn call_tool(&self, traceparent: &str) -> anyhow::Result<()> {
        let arguments = json!({
            "inboxId": self.inbox.id, "to": ["bob@elsewhere.example"], "subject": "Traced",
            "text": "By MCP",
        });
        let meta = json!({ TRACEPARENT: traceparent });
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "send_email", "arguments": arguments, "_meta": meta },
        });
        let fields = [("accept", "application/json, text/event-stream")];
        let (api, token) = (&self.agent.api, Some(self.agent.token.as_str()));
        let answer = api.call(Method::POST, "/mcp", token, &fields, Some(&call)).await?;
        let answer = answer.success()?;
        ensure!(answer["result"]["isError"] == false, "{answer}");
        Ok(())
    }

    /// Nothing that says who wrote to whom, what, and by which right.
    fn check_discretion(&self, spans: &[Span]) {
        let secrets = [&self.inbox.address, "elsewhere.example", "Traced", &self.agent.token];
        for span in spans {
            for value in span.attributes.values().chain([&span.name]) {
                assert!(secrets.iter().all(|it| !value.contains(*it)), "{span:?}");
            }
        }
    }
}

async fn put(
    cluster: &Cluster,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
    let jetstream = jetstream::new(client);
    let ack = jetstream.publish_with_headers(subject, headers, payload).await;
    ack.context("publish")?.await.context("wait for the ack")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_received_mail_is_one_trace_from_the_session_to_the_webhook() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let world = World::start(&["email.received"], collector.lines()).await?;
    let content = b"From: bob@elsewhere.example\r\nSubject: Traced\r\n\r\nHello.\r\n";
    let mut smtp = world.cluster.connect().await?;
    let reply = smtp.send("bob@elsewhere.example", &[&world.inbox.address], content).await?;
    ensure!(reply.is_positive(), "{reply:?}");
    let calls = world.receiver.wait_for(1).await?;
    let read = world.agent.get("/v1/events?after=oldest&types=email.received").await?.success()?;
    ensure!(read["data"].as_array().is_some_and(|it| it.len() == 1), "{read}");

    let (trace_id, span_id) = parts(&calls[0].headers[TRACEPARENT]);
    let wanted = [
        ("intake", "receive mail"),
        ("scanner", "process inbound.received"),
        ("storage", "process inbound.scanned"),
        ("webhooks", "process mail.v1.event.>"),
        ("webhooks", "process webhooks.due"),
        ("webhooks", "POST webhook"),
        ("gateway", "tell events"),
    ];
    let spans = collector.wait_for(&trace_id, "", &wanted).await?;
    assert_eq!(spans.iter().filter(|it| it.parent.is_empty()).count(), 1, "{spans:#?}");
    world.check_discretion(&spans);
    let find = |name: &str| spans.iter().find(|it| it.name == name).expect("waited for");
    let (call, caller) = (find("POST webhook"), find("process webhooks.due"));
    assert_eq!(call.id, span_id, "what the receiver does stands below the call");
    assert_eq!(call.links, [(trace_id.clone(), caller.id.clone())], "what woke the webhook");
    let scanned = find("process inbound.received");
    let attribute = |name: &str| scanned.attributes.get(name).map(String::as_str);
    assert_eq!(attribute("messaging.system"), Some("nats"));
    assert_eq!(attribute("messaging.operation.type"), Some("process"));
    assert_eq!(attribute("messaging.destination.template"), Some("inbound.received"));
    assert_eq!(attribute("messaging.consumer.group.name"), Some("scanner"));
    assert_eq!(
        attribute("mail.id"),
        find("receive mail").attributes.get("mail.id").map(String::as_str)
    );
    let told = find("tell events");
    assert_eq!(told.links.len(), 1, "the request that was answered: {told:?}");
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_mail_goes_on_in_the_trace_of_its_request() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let world = World::start(&["email.sent"], collector.lines()).await?;
    let wanted = WAY_OUT;
    let over_rest = [&wanted[..], &[AT_REST]].concat();

    // Over REST, and with a while in the outbox.
    let (traceparent, trace_id) = given(1);
    let fields = [(TRACEPARENT, traceparent.as_str()), ("tracestate", "vendor=1")];
    let later = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let later = later.format(&time::format_description::well_known::Rfc3339)?;
    world.send(&json!({ "sendAt": later }), &fields).await?;
    let calls = world.receiver.wait_for(1).await?;
    assert_eq!(world.peer.content_count(), 1);
    assert_eq!(parts(&calls[0].headers[TRACEPARENT]).0, trace_id);
    assert_eq!(calls[0].headers["tracestate"], "vendor=1");
    let spans = collector.wait_for(&trace_id, GIVEN, &over_rest).await?;
    assert_eq!(spans.iter().filter(|it| it.parent == GIVEN).count(), 1, "{spans:#?}");
    world.check_discretion(&spans);

    // Over NATS, by a client that writes header fields as HTTP does.
    let (traceparent, trace_id) = given(2);
    world.publish("first", &[("Traceparent", &traceparent)]).await?;
    let calls = world.receiver.wait_for(2).await?;
    assert_eq!(parts(&calls[1].headers[TRACEPARENT]).0, trace_id);
    collector.wait_for(&trace_id, GIVEN, &wanted).await?;

    // Over MCP.
    let (traceparent, trace_id) = given(3);
    world.call_tool(&traceparent).await?;
    let calls = world.receiver.wait_for(3).await?;
    assert_eq!(parts(&calls[2].headers[TRACEPARENT]).0, trace_id);
    collector.wait_for(&trace_id, GIVEN, &over_rest).await?;

    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_trace_is_not_believed_and_one_that_parts_is_one() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let world = World::start(&["email.sent"], collector.lines()).await?;
    let two = json!({ "to": ["bob@elsewhere.example", "eve@another.example"] });
    world.send(&two, &[(TRACEPARENT, "00-0af7651916cd43dd8448eb211c80319c-1-01")]).await?;
    let calls = world.receiver.wait_for(2).await?;
    let (trace_id, _) = parts(&calls[0].headers[TRACEPARENT]);
    assert_eq!(parts(&calls[1].headers[TRACEPARENT]).0, trace_id);
    ensure!(trace_id.len() == 32 && trace_id != "0af7651916cd43dd8448eb211c80319c", "{trace_id}");
    let parted = [&WAY_OUT[..], &[AT_REST, ("sender", "process outbound.due")]].concat();
    let spans = collector.wait_for(&trace_id, "", &parted).await?;
    let deliveries = spans.iter().filter(|it| it.name == "process outbound.due");
    assert_eq!(deliveries.count(), 2, "{spans:#?}");
    ensure!(spans.iter().all(|it| !it.has_failed), "{spans:#?}");
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_keeps_the_trace_of_each_of_its_mails() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let world = World::start(&["email.received"], collector.lines()).await?;
    let message = |n: u8| BundledMessage {
        identity: format!("received/m{n}"),
        payload: received(&world, n).encode_to_vec().into(),
        trace: Some(Trace { traceparent: given(n).0, tracestate: String::new() }),
    };
    let bundle = Bundle { messages: (1..=3).map(message).collect() };
    let mut headers = HeaderMap::new();
    headers.insert("Mail-Bundle", "3");
    let payload = bundle.encode_to_vec().into();
    put(&world.cluster, "inbound.received".to_owned(), headers, payload).await?;

    let calls = world.receiver.wait_for(3).await?;
    let traces: BTreeMap<String, String> = calls.iter().map(subject_and_trace).collect();
    let expected = (1..=3).map(|n| (format!("Number {n}"), given(n).1));
    assert_eq!(traces, expected.collect());

    // One span for all of them links to each, and that of each to it.
    let mut together = BTreeSet::new();
    for n in 1..=3 {
        let wanted = [("scanner", "process inbound.received")];
        let spans = collector.wait_for(&given(n).1, GIVEN, &wanted).await?;
        let of_mail = spans.iter().find(|it| it.name == wanted[0].1).context("waited for")?;
        assert_eq!((&*of_mail.parent, of_mail.links.len()), (GIVEN, 1));
        together.extend(of_mail.links.clone());
    }
    let (trace_id, span_id) = together.pop_first().context("a link")?;
    ensure!(together.is_empty(), "{together:?}");
    let wanted = [("scanner", "process inbound.received")];
    let spans = collector.wait_for(&trace_id, "", &wanted).await?;
    assert_eq!((spans.len(), &spans[0].id), (1, &span_id));
    assert_eq!(spans[0].attributes["messaging.batch.message_count"], "3");
    let linked: BTreeSet<String> = spans[0].links.iter().map(|(it, _)| it.clone()).collect();
    assert_eq!(linked, (1..=3).map(|n| given(n).1).collect());
    world.cluster.stop().await
}

/// As an intake publishes it.
fn received(world: &World, n: u8) -> MailReceived {
    let content = format!("From: bob@elsewhere.example\r\nSubject: Number {n}\r\n\r\nHello.\r\n");
    let path = ForwardPath {
        address: world.inbox.address.clone(),
        account_id: world.agent.account.clone(),
        inbox_id: world.inbox.id.clone(),
        email_id: format!("eml_{n}"),
        ..ForwardPath::default()
    };
    MailReceived {
        mail_id: format!("m{n}"),
        envelope: Some(Envelope { forward_paths: vec![path], ..Envelope::default() }),
        content: Some(Content {
            size_bytes: content.len() as u64,
            place: Some(Place::Inline(content.into_bytes().into())),
        }),
        ..MailReceived::default()
    }
}

fn subject_and_trace(call: &Call) -> (String, String) {
    let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
    let subject = body["data"]["subject"].as_str().unwrap_or_default().to_owned();
    (subject, parts(&call.headers[TRACEPARENT]).0)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_a_trace_is_passed_on_as_it_is() -> anyhow::Result<()> {
    let world = World::start(&["email.sent"], String::new()).await?;
    let (traceparent, _) = given(1);
    world.publish("first", &[(TRACEPARENT, &traceparent), ("tracestate", "vendor=1")]).await?;
    let calls = world.receiver.wait_for(1).await?;
    assert_eq!(calls[0].headers[TRACEPARENT], traceparent);
    assert_eq!(calls[0].headers["tracestate"], "vendor=1");
    world.publish("second", &[]).await?;
    let calls = world.receiver.wait_for(2).await?;
    ensure!(!calls[1].headers.contains_key(TRACEPARENT), "{:?}", calls[1].headers);
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_no_mail() -> anyhow::Result<()> {
    let nobody = e2e::free_port()?;
    let lines = format!("traces = {{ endpoint = 'http://{nobody}' }}\n");
    let world = World::start(&["email.sent"], lines).await?;
    world.send(&json!({}), &[]).await?;
    let calls = world.receiver.wait_for(1).await?;
    ensure!(calls[0].headers.contains_key(TRACEPARENT), "{:?}", calls[0].headers);
    e2e::eventually(e2e::SOON, "spans to be counted as failed", async || {
        let metrics = world.cluster.metrics("sender-1").await?;
        let failed = metrics.lines().find(|it| {
            it.starts_with("mail_trace_spans_total") && it.contains(r#"outcome="failed""#)
        });
        Ok(failed.is_some_and(|it| !it.ends_with(" 0")).then_some(()))
    })
    .await?;
    // Each ends well, and in time, all the same.
    world.cluster.stop().await
}
