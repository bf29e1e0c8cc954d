//! Events over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use gateway::Config;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, protocol::frame::coding::CloseCode},
};

use crate::{
    bench::{Agent, Bench},
    events::announce,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whatever has to come comes within this.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(agent: &Agent<'_>, query: &str) -> Socket {
    let mut socket = open(agent.bench, &format!("token={}{query}", agent.token)).await.unwrap();
    let hello = next(&mut socket).await;
    assert_eq!(hello, json!({ "type": "authenticated", "account_id": agent.id }));
    socket
}

async fn open(bench: &Bench, query: &str) -> Result<Socket, Error> {
    let url = format!("{}/v1/ws?{query}", bench.url.replace("http", "ws"));
    connect_async(url).await.map(|(socket, _)| socket)
}

/// The next frame in JSON.
async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        if let Message::Text(text) = message.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn say(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

fn status(refused: Result<Socket, Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_not_known_is_refused_at_the_upgrade() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    assert_eq!(status(open(&bench, "token=lm_sk_live_x").await), 401);
    assert_eq!(status(open(&bench, "").await), 401);
    let with = |query: &str| format!("token={}&{query}", agent.token);
    assert_eq!(status(open(&bench, &with("after=garbage")).await), 400);
    assert_eq!(status(open(&bench, &with("types=nothing")).await), 400);
    let foreign = bench.agent().await.inbox().await;
    assert_eq!(status(open(&bench, &with(&format!("inbox={}", foreign.id))).await), 404);
    agent.get("/v1/ws").await.is(400, "invalid_request");
}

#[tokio::test]
async fn events_come_in_the_contracts_form() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let mut socket = connect(&agent, "").await;
    announce(&bench, &inbox, "email.received", "1").await;
    let event = next(&mut socket).await;
    assert_eq!((&event["type"], &event["event_type"]), (&json!("event"), &json!("email.received")));
    assert_eq!((&event["inbox_id"], &event["data"]["subject"]), (&json!(inbox.id), &json!("1")));
    assert!(event["data"].as_object().unwrap().contains_key("body"));
    say(&mut socket, json!({ "type": "ping" })).await;
    assert_eq!(next(&mut socket).await, json!({ "type": "pong" }));
    say(&mut socket, json!({ "type": "shout" })).await;
    let complaint = next(&mut socket).await;
    assert_eq!(
        (&complaint["type"], &complaint["code"]),
        (&json!("error"), &json!("invalid_message"))
    );
}

#[tokio::test]
async fn who_subscribes_hears_of_those_inboxes_only() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let (one, other) = (agent.inbox().await, agent.inbox().await);
    let foreign = stranger.inbox().await;
    let mut socket = connect(&agent, "").await;
    let inbox_ids = json!([one.id, foreign.id]);
    say(&mut socket, json!({ "type": "subscribe", "id": "req_1", "inbox_ids": inbox_ids })).await;
    let complaint = next(&mut socket).await;
    assert_eq!(complaint["code"], "not_found");
    assert!(complaint["message"].as_str().unwrap().contains(&foreign.id));
    let expected = json!({ "type": "subscribed", "id": "req_1", "inbox_ids": [one.id] });
    assert_eq!(next(&mut socket).await, expected);
    announce(&bench, &foreign, "email.received", "foreign").await;
    announce(&bench, &other, "email.received", "other").await;
    announce(&bench, &other, "inbox.created", "of the account").await;
    announce(&bench, &one, "email.received", "mine").await;
    assert_eq!(next(&mut socket).await["data"]["subject"], "of the account");
    assert_eq!(next(&mut socket).await["data"]["subject"], "mine");
    say(&mut socket, json!({ "type": "unsubscribe", "id": "req_2", "inbox_ids": [one.id] })).await;
    assert_eq!(next(&mut socket).await["type"], "unsubscribed");
    announce(&bench, &one, "email.received", "not any more").await;
    announce(&bench, &one, "inbox.created", "the account still").await;
    assert_eq!(next(&mut socket).await["data"]["subject"], "the account still");
}

/// While events keep coming, a client reads from the beginning, goes, and comes again: each is there once.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_first_and_nothing_twice() {
    const EVENTS: usize = 400;
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let tell = async {
        for n in 0..EVENTS {
            announce(&bench, &inbox, "email.sent", &n.to_string()).await;
        }
    };
    let listen = async {
        let (mut seen, mut after) = (Vec::new(), "oldest".to_owned());
        while seen.len() < EVENTS {
            let mut socket = connect(&agent, &format!("&types=email.sent&after={after}")).await;
            for _ in 0..(EVENTS - seen.len()).min(37) {
                let event = next(&mut socket).await;
                seen.push(event["data"]["subject"].as_str().unwrap().to_owned());
                after = event["cursor"].as_str().unwrap().to_owned();
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(tell, listen);
    assert_eq!(seen, (0..EVENTS).map(|it| it.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_let_go_of_and_told() {
    let bench = Bench::with(Config { slow_client_seconds: 1, ..Config::default() }).await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    // More than the kernel's buffers on both sides take.
    let subject = "x".repeat(100_000);
    for _ in 0..200 {
        announce(&bench, &inbox, "email.sent", &subject).await;
    }
    let mut socket = connect(&agent, "&types=email.sent&after=oldest").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut events = 0;
    let close = loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(_))) => events += 1,
            Some(Ok(Message::Close(frame))) => break frame.unwrap(),
            Some(Ok(_)) => (),
            other => panic!("{other:?} after {events} events"),
        }
    };
    assert_eq!(close.code, CloseCode::from(4008));
    assert!(events < 200, "all of {events} were taken");
}

#[tokio::test]
async fn sockets_are_counted_and_end_with_the_gateway() {
    let bench = Bench::with(Config { max_websockets: 1, ..Config::default() }).await;
    let agent = bench.agent().await;
    let mut socket = connect(&agent, "").await;
    assert_eq!(status(open(&bench, &format!("token={}", agent.token)).await), 503);
    bench.process.shutdown.cancel();
    let close = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    match close {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    bench.stop().await;
}
