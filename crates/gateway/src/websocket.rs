//! Events over a WebSocket, as the contract has them, with a cursor besides.
//!
//! Each socket has its place in the events and reads on from there when it has sent what it had: a client
//! that reads slowly costs one page of memory, and one that does not read at all is let go of.

use std::{future::ready, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        FromRef, State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    response::Response,
    routing::any,
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    caller::{Admitted, Staying},
    event_cursor::Place,
    events::Events,
    gateway::Gateway,
    params::Params,
    problem::Problem,
    revocations::Stay,
    selection::Selection,
    sockets::Sockets,
    tail::Step,
    waiters::Waiter,
};

/// So many events are read ahead of a client.
const PAGE: usize = 64;

/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A client that says nothing for so long, not even to a ping, is gone.
const SILENCE: Duration = Duration::from_secs(75);

/// After the last word.
const FAREWELL: Duration = Duration::from_secs(20);

/// Of what clients say, which is little.
const MOST_INCOMING: usize = 64 * 1024;

/// Octets of a socket's buffers. With the usual 128 KiB, 5,000 idle sockets take 650 MB.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 0;
const MOST_UNSENT: usize = 4 * 1024 * 1024;

/// Inboxes that one socket subscribes to.
const MOST_SUBSCRIPTIONS: usize = 10_000;

/// Why the service closes a socket (RFC 6455 section 7.4: 4000 to 4999 are for applications).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Close {
    GoingAway,
    Silent,
    Revoked,
    TooSlow,
    EventsLost,
    Unavailable,
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Subscribe { id: Option<String>, inbox_ids: Vec<String> },
    Unsubscribe { id: Option<String>, inbox_ids: Vec<String> },
    Ping,
    Pong,
}

pub(crate) const PATH: &str = "/v1/ws";

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route(PATH, any(connect))
}

/// What a socket touches.
#[derive(Clone)]
pub(crate) struct Door {
    events: Events,
    sockets: Sockets,
}

impl FromRef<Gateway> for Door {
    fn from_ref(gateway: &Gateway) -> Door {
        Door { events: Events::from_ref(gateway), sockets: Sockets::from_ref(gateway) }
    }
}

/// Whatever is wrong is said before the upgrade: a client that was let in waits for `authenticated`.
async fn connect(
    Admitted { bearer, .. }: Admitted,
    Staying(stay): Staying,
    params: Params,
    State(door): State<Door>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|err| {
        Problem::invalid_request(format!("this path takes WebSockets (RFC 6455) only: {err}"))
    })?;
    let account_id = bearer.account.id.clone();
    let wanted = door.events.selection(&account_id, bearer.token.grant.clone(), &params).await?;
    let waiter = door.events.tail.wait_for(&account_id);
    let place = door.events.tail.place(params.text("after").as_deref()).await?;
    let slot = door.sockets.slot().ok_or_else(|| {
        Problem::unavailable("this gateway has as many WebSockets as it takes (max_websockets)")
    })?;
    let tracker = door.sockets.tracker.clone();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MOST_UNSENT)
        .max_message_size(MOST_INCOMING)
        .max_frame_size(MOST_INCOMING)
        .on_upgrade(move |socket| {
            let patience = door.sockets.patience;
            let heard_at = Instant::now();
            let session = Session {
                socket,
                events: door.events,
                account_id,
                stay,
                expires_at: bearer.token.grant.expires_at,
                wanted,
                place,
                waiter,
                patience,
                heard_at,
                _slot: slot,
            };
            tracker.track_future(session.run())
        }))
}

struct Session {
    socket: WebSocket,
    events: Events,
    account_id: String,
    /// Until when its token counts.
    stay: Arc<Stay>,
    expires_at: Option<i64>,
    wanted: Selection,
    place: Place,
    waiter: Waiter,
    /// A client that takes nothing for so long is too slow.
    patience: Duration,
    heard_at: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Session {
    async fn run(mut self) {
        let (stay, expires_at) = (Arc::clone(&self.stay), self.expires_at);
        let served = tokio::select! {
            biased;
            () = stay.over(expires_at) => Err(Some(Close::Revoked)),
            served = self.serve() => served,
        };
        if let Err(Some(close)) = served {
            let (code, reason) = close.frame();
            let frame = CloseFrame { code, reason: reason.into() };
            // One that is too slow finds it behind what it has not read yet, if it reads on.
            _ = timeout(FAREWELL, self.socket.send(Message::Close(Some(frame)))).await;
        }
    }

    /// The error says how to close; `None` if the client has left.
    async fn serve(&mut self) -> Result<(), Option<Close>> {
        let hello = json!({ "type": "authenticated", "account_id": self.account_id });
        self.say(hello.to_string().into()).await?;
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.events.stop.0.clone();
        loop {
            let has_more = self.tell().await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Some(Close::GoingAway)),
                said = self.socket.recv() => self.hear(said).await?,
                _ = pings.tick() => self.ping().await?,
                () = self.waiter.woken(), if !has_more => (),
                () = ready(()), if has_more => (),
            }
        }
    }

    /// What happened since; whether there is more.
    async fn tell(&mut self) -> Result<bool, Option<Close>> {
        let read = self.events.tail.read(&self.wanted, self.place, PAGE).await;
        let Step { events, place, has_more } =
            read.map_err(|problem| match problem.status.as_u16() {
                410 => Some(Close::EventsLost),
                _ => Some(Close::Unavailable),
            })?;
        for event in events {
            self.say(event.frame(place.stream)).await?;
            self.events.told(&event, "websocket");
        }
        self.place = place;
        Ok(has_more)
    }

    async fn hear(
        &mut self,
        said: Option<Result<Message, axum::Error>>,
    ) -> Result<(), Option<Close>> {
        self.heard_at = Instant::now();
        let text = match said {
            Some(Ok(Message::Text(text))) => text,
            // Pings are answered below us.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => {
                return self.complain("invalid_message", "frames are JSON in text").await;
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
        };
        match serde_json::from_str(&text) {
            Ok(Said::Subscribe { id, inbox_ids }) => self.subscribe(id, inbox_ids).await,
            Ok(Said::Unsubscribe { id, inbox_ids }) => {
                self.wanted.unsubscribe(&inbox_ids);
                self.answer("unsubscribed", id, inbox_ids).await
            }
            Ok(Said::Ping) => self.say(json!({ "type": "pong" }).to_string().into()).await,
            Ok(Said::Pong) => Ok(()),
            Err(err) => self.complain("invalid_message", &err.to_string()).await,
        }
    }

    /// An inbox that is not the account's is like one that never was.
    async fn subscribe(
        &mut self,
        id: Option<String>,
        inbox_ids: Vec<String>,
    ) -> Result<(), Option<Close>> {
        if self.wanted.subscriptions() + inbox_ids.len() > MOST_SUBSCRIPTIONS {
            let message = format!("a socket has at most {MOST_SUBSCRIPTIONS} inboxes");
            return self.complain("too_many_subscriptions", &message).await;
        }
        let Ok(own) = self.events.reader.inboxes(&self.account_id).await else {
            return Err(Some(Close::Unavailable));
        };
        let (known, unknown): (Vec<String>, Vec<String>) = inbox_ids
            .into_iter()
            .partition(|it| self.wanted.sees_inbox(it) && own.iter().any(|own| own.id == *it));
        self.wanted.subscribe(known.iter().cloned());
        if !unknown.is_empty() {
            let message = format!("you have no inbox {}", unknown.join(", "));
            self.complain("not_found", &message).await?;
        }
        self.answer("subscribed", id, known).await
    }

    async fn answer(
        &mut self,
        kind: &str,
        id: Option<String>,
        inbox_ids: Vec<String>,
    ) -> Result<(), Option<Close>> {
        let frame = json!({ "type": kind, "id": id, "inbox_ids": inbox_ids });
        self.say(frame.to_string().into()).await
    }

    async fn complain(&mut self, code: &str, message: &str) -> Result<(), Option<Close>> {
        let frame = json!({ "type": "error", "code": code, "message": message });
        self.say(frame.to_string().into()).await
    }

    /// In the contract's words and in the protocol's, which every client answers.
    async fn ping(&mut self) -> Result<(), Option<Close>> {
        if self.heard_at.elapsed() > SILENCE {
            return Err(Some(Close::Silent));
        }
        self.say(json!({ "type": "ping" }).to_string().into()).await?;
        self.send(Message::Ping(bytes::Bytes::new())).await
    }

    async fn say(&mut self, frame: axum::extract::ws::Utf8Bytes) -> Result<(), Option<Close>> {
        self.send(Message::Text(frame)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Option<Close>> {
        match timeout(self.patience, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => Err(Some(Close::TooSlow)),
        }
    }
}

impl Close {
    fn frame(self) -> (u16, &'static str) {
        match self {
            Close::GoingAway => (1001, "the gateway stops: connect again with after=<last cursor>"),
            Close::Silent => (4000, "no answer to pings"),
            Close::Revoked => (4001, "the token was revoked, or it has expired"),
            Close::TooSlow => (4008, "you read too slowly: connect again with after=<last cursor>"),
            Close::EventsLost => {
                (4010, "events were lost: GET /v1/events says from where to go on")
            }
            Close::Unavailable => (1013, "try again with after=<last cursor>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_control_frame() {
        // RFC 6455 section 5.5: 125 octets with the code.
        for close in [
            Close::GoingAway,
            Close::Silent,
            Close::Revoked,
            Close::TooSlow,
            Close::EventsLost,
            Close::Unavailable,
        ] {
            let (code, reason) = close.frame();
            assert!(reason.len() <= 123 && code >= 1001, "{close:?}");
        }
    }

    #[test]
    fn the_contracts_frames_are_understood() {
        let frame = r#"{"type":"subscribe","id":"req_1","inbox_ids":["ibx_1"]}"#;
        assert!(matches!(
            serde_json::from_str(frame).expect("a frame"),
            Said::Subscribe { id: Some(id), inbox_ids } if id == "req_1" && inbox_ids == ["ibx_1"]
        ));
        assert!(matches!(serde_json::from_str(r#"{"type":"pong"}"#).expect("a frame"), Said::Pong));
        serde_json::from_str::<Said>(r#"{"type":"shout"}"#).map(drop).expect_err("unknown");
    }
}
