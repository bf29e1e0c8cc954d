//! An event as it lies in the stream, in the forms that clients see.

use std::sync::OnceLock;

use axum::extract::ws::Utf8Bytes;
use bus::Logged;
use bytes::Bytes;
use contract::EventSubject;
use opentelemetry::trace::SpanContext;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::event_cursor::Place;

/// One event and its place.
pub(crate) struct Happening {
    pub(crate) sequence: u64,
    pub(crate) subject: EventSubject,
    /// JSON.
    pub(crate) payload: Bytes,
    /// Where it stands in a trace.
    pub(crate) trace: Option<SpanContext>,
    /// The same for everybody who is told over a WebSocket.
    frame: OnceLock<Utf8Bytes>,
}

impl Happening {
    /// `None` for what is no event: whoever has access to NATS can write there.
    pub(crate) fn of(logged: Logged) -> Option<Happening> {
        let subject = EventSubject::parse(&logged.subject)?;
        let Logged { sequence, payload, trace, .. } = logged;
        // Most are asked for by nobody: looked through, and not taken in.
        let is_object = payload.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice::<IgnoredAny>(&payload).ok()).flatten()?;
        Some(Happening { sequence, subject, payload, trace, frame: OnceLock::new() })
    }

    pub(crate) fn cursor(&self, stream: i64) -> String {
        Place { stream, sequence: self.sequence }.encode()
    }

    /// The thread of the email that it is about.
    pub(crate) fn thread_id(&self) -> Option<String> {
        let event: Value = serde_json::from_slice(&self.payload).ok()?;
        event["data"]["threadId"].as_str().map(str::to_owned)
    }

    /// As it is told over HTTP: as on NATS, with its cursor.
    pub(crate) fn event(&self, stream: i64) -> Value {
        let mut event = self.fields();
        event.insert("cursor".to_owned(), self.cursor(stream).into());
        Value::Object(event)
    }

    /// As it is told over a WebSocket, whose frames have names of their own.
    pub(crate) fn frame(&self, stream: i64) -> Utf8Bytes {
        let make = || {
            let mut event = self.fields();
            let mut take = |name: &str| event.remove(name).unwrap_or_default();
            let data = take("data");
            let frame = json!({
                "type": "event",
                "event_type": self.subject.event,
                "event_id": take("eventId"),
                "inbox_id": take("inboxId"),
                "account_id": take("accountId"),
                "timestamp": take("timestamp"),
                "cursor": self.cursor(stream),
                // Clients drop an event without.
                "data": if data.is_null() { json!({}) } else { data },
            });
            Utf8Bytes::from(frame.to_string())
        };
        self.frame.get_or_init(make).clone()
    }

    fn fields(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(payload: &str) -> Option<Happening> {
        Happening::of(Logged {
            sequence: 7,
            subject: "mail.v1.event.acct_1.ibx_1.email.sent".to_owned(),
            payload: payload.to_owned().into(),
            trace: None,
        })
    }

    #[test]
    fn has_its_cursor_in_every_form() {
        let payload = json!({
            "eventId": "evt_1", "event": "email.sent", "timestamp": "t", "accountId": "acct_1",
            "inboxId": "ibx_1", "data": { "id": "eml_1", "isRead": false }
        });
        let happening = happening(&payload.to_string()).expect("an event");
        let cursor = Place { stream: 5, sequence: 7 }.encode();
        let mut expected = payload.clone();
        expected["cursor"] = json!(cursor);
        assert_eq!(happening.event(5), expected);
        let frame: Value = serde_json::from_str(&happening.frame(5)).expect("JSON");
        let expected = json!({
            "type": "event", "event_type": "email.sent", "event_id": "evt_1", "inbox_id": "ibx_1",
            "account_id": "acct_1", "timestamp": "t", "cursor": cursor, "data": payload["data"]
        });
        assert_eq!(frame, expected);
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        for payload in ["", "[]", "7", "{"] {
            assert!(happening(payload).is_none(), "{payload}");
        }
    }
}
