//! Sending a mail of one's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::outgoing::{File, Sent, files, key_doc, submit};
use crate::{
    api::{Api, Call, Id, ask},
    key,
    refusal::Refusal,
    tool::{About, Reply, SENDS, Tool},
    tools::inboxes::Inbox,
};

#[derive(Clone, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SendEmail {
    /// The inbox that sends.
    inbox_id: Id,
    /// Addresses: 1 to 50 with cc and bcc.
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    #[serde(default)]
    bcc: Vec<String>,
    subject: String,
    text: Option<String>,
    /// With text, the other form of the same; without, the text is made of it.
    html: Option<String>,
    reply_to: Option<String>,
    /// Continues this thread. To answer an email, use reply_to_email.
    thread_id: Option<Id>,
    /// At most 10.
    #[serde(default)]
    attachments: Vec<File>,
    /// RFC 3339: it goes then, and can be called back until then.
    send_at: Option<String>,
    /// true: everything is checked, nothing is sent.
    #[serde(default)]
    dry_run: bool,
    #[doc = key_doc!()]
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

impl Tool for SendEmail {
    const ABOUT: About = About {
        name: "send_email",
        title: "Send an email",
        description: "Sends a mail from an inbox. Mail that gives secrets away, or does what a stranger's \
                      mail wanted, waits for somebody's approval.",
        hints: SENDS,
    };
    type Output = Sent;

    async fn run<A: Api>(mut self, api: &A) -> Result<Reply<Sent>, Refusal> {
        let attachments = files(&self.attachments)?;
        let inbox = Call::get(format!("/v1/inboxes/{}", self.inbox_id));
        let Inbox { address, .. } = ask(api, inbox).await?;
        let given = self.idempotency_key.take();
        let inbox_id = self.inbox_id.to_string();
        let key = key::of(api, &inbox_id, given, Self::ABOUT.name, &self).await?;
        let body = json!({
            "from": address,
            "to": self.to,
            "cc": self.cc,
            "bcc": self.bcc,
            "subject": self.subject,
            "body": { "text": self.text.unwrap_or_default(), "html": self.html.unwrap_or_default() },
            "replyTo": self.reply_to,
            "threadId": self.thread_id,
            "attachments": attachments,
            "sendAt": self.send_at,
            "validateOnly": self.dry_run,
        });
        submit(api, "/v1/emails/send", body, Some(key)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fake::Fake;

    fn api(answer: &Value) -> Fake {
        let api = Fake::default();
        let inbox = json!({
            "id": "ibx_1", "address": "ada@x.test", "emailCount": 0, "createdAt": "2026-11-24T10:00:00.000Z",
        });
        api.answer("GET /v1/inboxes/ibx_1", 200, &inbox);
        api.answer("POST /v1/emails/send", 200, answer);
        api
    }

    fn mail(more: Value) -> Value {
        let mut mail =
            json!({ "inboxId": "ibx_1", "to": ["b@y.test"], "subject": "Hi", "text": "Words" });
        mail.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        mail
    }

    #[tokio::test]
    async fn a_mail_goes_with_a_key_of_its_own() {
        let api = api(&json!({ "id": "eml_1", "status": "queued" }));
        let send = async |more| api.run::<SendEmail>(mail(more)).await.expect("sent").facts;
        let sent = send(json!({})).await;
        let call = api.last();
        assert_eq!(
            call.body,
            Some(json!({
                "from": "ada@x.test", "to": ["b@y.test"], "subject": "Hi",
                "body": { "text": "Words", "html": "" },
            }))
        );
        assert_eq!(call.idempotency_key, sent.idempotency_key);
        assert!(call.idempotency_key.as_ref().is_some_and(|it| it.starts_with("mcp-")));
        assert_eq!(send(json!({})).await.idempotency_key, sent.idempotency_key, "the same call");
        let other = send(json!({ "cc": ["c@y.test"] })).await;
        assert_ne!(other.idempotency_key, sent.idempotency_key);
        let given = send(json!({ "idempotencyKey": "order-17" })).await;
        assert_eq!(given.idempotency_key.as_deref(), Some("order-17"));
    }

    #[tokio::test]
    async fn a_mail_that_is_known_is_said_to_be() {
        let api = api(&json!({ "id": "eml_1", "status": "queued", "bodyDiffers": true }));
        let id = contract::submission_id("ibx_1", "k");
        let known = json!({ "id": id, "status": "sent", "createdAt": "2026-11-24T10:00:00.000Z" });
        api.answer(&format!("GET /v1/emails/{id}"), 200, &known);
        let sent =
            api.run::<SendEmail>(mail(json!({ "idempotencyKey": "k" }))).await.expect("sent");
        let facts = serde_json::to_value(sent.facts).expect("JSON");
        assert_eq!((&facts["alreadySent"], &facts["bodyDiffers"]), (&true.into(), &true.into()));
    }

    #[tokio::test]
    async fn a_dry_run_says_what_would_hold_it() {
        let reason = json!({ "kind": "secret", "explanation": "A key (AKIA…)" });
        let api = api(&json!({
            "status": "valid", "recipients": ["b@y.test"], "heldBecause": [reason],
        }));
        let reply = api.run::<SendEmail>(mail(json!({ "dryRun": true }))).await.expect("checked");
        assert_eq!(api.last().body.expect("body")["validateOnly"], true);
        let facts = serde_json::to_value(&reply.facts).expect("JSON");
        assert_eq!(
            (&facts["status"], &facts["wouldBeHeld"]),
            (&"valid".into(), &json!(["secret"]))
        );
        assert_eq!(facts["alreadySent"], false);
        let words = reply.words.fenced().expect("random").expect("words");
        assert!(words.contains("| It would go to: b@y.test\n| It would be held: A key (AKIA…)"));
    }
}
