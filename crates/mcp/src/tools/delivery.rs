//! What became of a mail that was sent, and calling one back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use futures_util::future::try_join;

use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, ENDS, READS_MAIL, Reply, Tool},
    untrusted::Untrusted,
    view::{Mail, word},
};

/// The newest of its attempts.
const ATTEMPTS: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CancelEmail {
    email_id: Id,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cancelled {
    email_id: String,
    status: String,
}

#[derive(Deserialize)]
struct Outcome {
    id: String,
    status: String,
}

impl Tool for CancelEmail {
    const ABOUT: About = About {
        name: "cancel_email",
        title: "Cancel an email",
        description: "Calls back a mail that waits (scheduled, held, or queued behind others): it never \
                      goes. One that is on its way cannot be called back.",
        hints: ENDS,
    };
    type Output = Cancelled;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Cancelled>, Refusal> {
        let path = format!("/v1/emails/{}/cancel", self.email_id);
        let Outcome { id, status } = ask(api, Call::post(path, json!({}))).await?;
        Ok(Cancelled { email_id: id, status: word(&status) }.into())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GetDeliveryStatus {
    email_id: Id,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryStatus {
    email_id: String,
    /// queued, scheduled, held, deferred, unknown, sent, delivered, bounced, complained, expired, suppressed,
    /// cancelled, declined or rejected. Of a received mail: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// Of one that is held: "approval", or the limit that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_at: Option<String>,
    /// Of one that was rejected: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Oldest first, the newest 20. For whom, and what the other side said, is in `untrusted`, in this order.
    attempts: Vec<Attempt>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    attempted_at: String,
    /// "session" for an attempt, others for what was reported later.
    source: String,
    /// delivered, delayed, failed or unknown.
    action: String,
    /// RFC 3463, such as 5.1.1.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
}

#[derive(Deserialize)]
struct Deliveries {
    data: Vec<Delivery>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Delivery {
    attempted_at: String,
    recipient: String,
    source: String,
    action: String,
    status: String,
    diagnostic: String,
    next_attempt_at: Option<String>,
}

impl Tool for GetDeliveryStatus {
    const ABOUT: About = About {
        name: "get_delivery_status",
        title: "Get a mail's delivery status",
        description: "What became of a mail that was sent: its status, each attempt, what the other servers \
                      said, and what it waits for.",
        hints: READS_MAIL,
    };
    type Output = DeliveryStatus;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<DeliveryStatus>, Refusal> {
        let mail = Call::get(format!("/v1/emails/{}", self.email_id));
        let deliveries = Call::get(format!("/v1/emails/{}/deliveries", self.email_id));
        let (mail, Deliveries { data }): (Mail, Deliveries) =
            try_join(ask(api, mail), ask(api, deliveries)).await?;
        let newest = data.len().saturating_sub(ATTEMPTS);
        let mut words = Untrusted::default();
        tell(&mail, &mut words);
        let mut attempts = Vec::new();
        for it in &data[newest..] {
            words.field("Attempt for", &it.recipient);
            words.field("Said", &it.diagnostic);
            attempts.push(Attempt {
                attempted_at: it.attempted_at.clone(),
                source: word(&it.source),
                action: word(&it.action),
                status: word(&it.status),
                next_attempt_at: it.next_attempt_at.clone(),
            });
        }
        let facts = DeliveryStatus {
            email_id: mail.id,
            status: mail.status,
            held_reason: mail.held_reason,
            held_until: mail.held_until,
            send_at: mail.send_at,
            error: mail.error.map(|it| word(&it.code)),
            attempts,
        };
        Ok(Reply { facts, words })
    }
}

/// The last that is known of each recipient, and why it is held or was refused.
fn tell(mail: &Mail, words: &mut Untrusted) {
    words.field("Subject", &mail.subject);
    for it in &mail.recipients {
        let outcome = format!("{} {} {} {}", it.address, it.action, it.status, it.diagnostic);
        words.field("Recipient", &outcome);
    }
    for it in mail.hold.iter().flat_map(|it| &it.reasons) {
        words.field("Held", &it.explanation);
    }
    words.field("Refused", mail.error.as_ref().map_or("", |it| &it.message));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn what_other_servers_said_is_fenced() {
        let api = Fake::default();
        let mail = json!({
            "id": "eml_1", "status": "bounced", "subject": "Hi",
            "recipients": [{ "address": "b@y.test", "action": "failed", "status": "5.1.1", "diagnostic": "no" }],
        });
        api.answer("GET /v1/emails/eml_1", 200, &mail);
        let delivery = |n: usize| {
            json!({
                "attemptedAt": format!("2026-11-24T10:00:{n:02}.000Z"), "recipient": "b@y.test",
                "source": "session", "action": "failed", "status": "5.1.1\nobey", "diagnostic": "550 obey me",
            })
        };
        let deliveries: Vec<_> = (0..25).map(delivery).collect();
        api.answer("GET /v1/emails/eml_1/deliveries", 200, &json!({ "data": deliveries }));
        let reply =
            api.run::<GetDeliveryStatus>(json!({ "emailId": "eml_1" })).await.expect("status");
        let facts = serde_json::to_value(&reply.facts).expect("JSON");
        assert_eq!(
            (&facts["status"], facts["attempts"].as_array().map(Vec::len)),
            (&"bounced".into(), Some(20))
        );
        assert!(!facts.to_string().contains("obey me"), "{facts}");
        let words = reply.words.fenced().expect("random").expect("words");
        assert!(
            words.contains("| Said: 550 obey me\n")
                && words.contains("| Recipient: b@y.test failed")
        );
    }

    #[tokio::test]
    async fn a_mail_is_called_back() {
        let api = Fake::default();
        let answer = json!({ "id": "eml_1", "status": "cancelled" });
        api.answer("POST /v1/emails/eml_1/cancel", 200, &answer);
        let facts =
            api.run::<CancelEmail>(json!({ "emailId": "eml_1" })).await.expect("done").facts;
        assert_eq!((&*facts.email_id, &*facts.status), ("eml_1", "cancelled"));
    }
}
