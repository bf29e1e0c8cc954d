//! What a webhook is sent: the contract's form of an event. Pure.

use serde_json::{Map, Value, json};

/// Octets; of an event that is longer only what the contract names is sent.
const MOST_OCTETS: usize = 256 * 1024;

/// What the contract names, and what tells the rest apart.
const SUMMARY: [&str; 9] =
    ["id", "emailId", "inboxId", "from", "to", "subject", "preview", "status", "threadId"];

/// An event as it is sent.
#[derive(Debug, PartialEq)]
pub(crate) struct Body {
    pub(crate) event_id: String,
    pub(crate) event: String,
    pub(crate) inbox_id: String,
    pub(crate) octets: Vec<u8>,
}

impl Body {
    /// `payload`: the event as it is in the stream. `None` if it is none.
    pub(crate) fn of(payload: &[u8], webhook_id: &str) -> Option<Body> {
        let event: Map<String, Value> = serde_json::from_slice(payload).ok()?;
        let text = |name: &str| event.get(name)?.as_str().map(str::to_owned);
        let (event_id, name) = (text("eventId")?, text("event")?);
        let inbox_id = text("inboxId").unwrap_or_default();
        let mut data = match event.get("data") {
            Some(Value::Object(data)) => data.clone(),
            _ => Map::new(),
        };
        data.entry("inboxId").or_insert_with(|| inbox_id.clone().into());
        if name.starts_with("email.")
            && let Some(id) = data.get("id").cloned()
        {
            data.insert("emailId".to_owned(), id);
        }
        let head = json!({
            "event": name, "timestamp": text("timestamp"), "eventId": event_id,
            "accountId": text("accountId"), "webhookId": webhook_id,
        });
        let mut octets = render(&head, &data);
        if octets.len() > MOST_OCTETS {
            data.retain(|name, _| SUMMARY.contains(&name.as_str()));
            // A subject or a list of recipients has no bound of its own.
            data.retain(|_, value| value.to_string().len() <= MOST_OCTETS / 16);
            data.insert("truncated".to_owned(), true.into());
            octets = render(&head, &data);
        }
        Some(Body { event_id, event: name, inbox_id, octets })
    }

    /// Tells that a webhook works, and nothing else.
    pub(crate) fn ping(event_id: String, timestamp: String, webhook: &store::Webhook) -> Body {
        let data = json!({ "inboxId": webhook.inbox_id, "id": webhook.id, "url": webhook.url });
        let octets = json!({
            "event": "webhook.ping", "timestamp": timestamp, "eventId": event_id,
            "accountId": webhook.account_id, "webhookId": webhook.id, "data": data,
        });
        Body {
            event_id,
            event: "webhook.ping".to_owned(),
            inbox_id: String::new(),
            octets: octets.to_string().into_bytes(),
        }
    }
}

fn render(head: &Value, data: &Map<String, Value>) -> Vec<u8> {
    let mut body = head.clone();
    body["data"] = Value::Object(data.clone());
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(data: &Value) -> Value {
        let event = json!({
            "eventId": "evt_1", "event": "email.received", "timestamp": "t", "accountId": "acct_1",
            "inboxId": "ibx_1", "data": data
        });
        let body = Body::of(event.to_string().as_bytes(), "whk_1").expect("an event");
        assert_eq!((&*body.event_id, &*body.event), ("evt_1", "email.received"));
        assert!(body.octets.len() <= MOST_OCTETS);
        serde_json::from_slice(&body.octets).expect("JSON")
    }

    #[test]
    fn has_what_the_contract_names_and_more() {
        let data = json!({ "id": "eml_1", "inboxId": "ibx_1", "subject": "s", "isRead": false });
        let expected = json!({
            "event": "email.received", "timestamp": "t", "eventId": "evt_1", "accountId": "acct_1",
            "webhookId": "whk_1",
            "data": { "id": "eml_1", "emailId": "eml_1", "inboxId": "ibx_1", "subject": "s",
                      "isRead": false }
        });
        assert_eq!(body(&data), expected);
    }

    #[test]
    fn a_long_event_is_cut_to_its_summary() {
        let data = json!({ "id": "eml_1", "subject": "s", "attachments": "x".repeat(MOST_OCTETS) });
        let body = body(&data);
        assert_eq!(body["data"]["truncated"], true);
        assert_eq!(
            (&body["data"]["emailId"], &body["data"]["subject"]),
            (&json!("eml_1"), &json!("s"))
        );
        assert!(body["data"]["attachments"].is_null());
    }

    #[test]
    fn what_is_no_event_is_not_sent() {
        for payload in ["", "[]", "{}", r#"{"event":"x"}"#] {
            assert_eq!(Body::of(payload.as_bytes(), "whk_1"), None, "{payload}");
        }
    }
}
