//! Emails as the REST API shows them, and as tools do: what this service says of them apart from what came
//! with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::untrusted::Untrusted;

/// Of these, no more are named.
const MOST_ADDRESSES: usize = 10;

/// An email of the API. What a newer API says besides is passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Mail {
    pub(crate) id: String,
    pub(crate) inbox_id: String,
    pub(crate) direction: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) cc: Vec<String>,
    pub(crate) subject: String,
    pub(crate) preview: Option<String>,
    pub(crate) is_read: bool,
    pub(crate) has_attachments: bool,
    pub(crate) thread_id: Option<String>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) security: Option<Security>,
    pub(crate) status: Option<String>,
    pub(crate) created_at: String,
    pub(crate) message_id: Option<String>,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) error: Option<Rejection>,
    pub(crate) held_reason: Option<String>,
    pub(crate) held_until: Option<String>,
    pub(crate) send_at: Option<String>,
    pub(crate) auto_reply: Option<AutoReply>,
    pub(crate) sender_authenticated: Option<bool>,
    pub(crate) hold: Option<Hold>,
    pub(crate) labels: Vec<String>,
    /// Only of one that is read alone.
    pub(crate) code: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Attachment {
    pub(crate) filename: String,
    pub(crate) content_type: String,
    #[serde(deserialize_with = "number")]
    pub(crate) size_bytes: u64,
    pub(crate) download_url: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) text_truncated: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Security {
    pub(crate) injection_risk_score: f64,
    pub(crate) flags: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Recipient {
    pub(crate) address: String,
    pub(crate) action: String,
    pub(crate) status: String,
    pub(crate) diagnostic: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rejection {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AutoReply {
    pub(crate) allowed: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hold {
    pub(crate) state: String,
    pub(crate) reasons: Vec<HoldReason>,
    pub(crate) expires_at: Option<String>,
    pub(crate) decided_at: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HoldReason {
    pub(crate) kind: String,
    pub(crate) detail: String,
    pub(crate) excerpt: String,
    pub(crate) explanation: String,
}

/// The JSON mapping of protobuf has 64-bit numbers as strings in some places.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default())
}

/// What this service knows of an email.
#[derive(Debug, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EmailFacts {
    pub(crate) email_id: String,
    inbox_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    /// "inbound" or "outbound".
    direction: String,
    created_at: String,
    is_read: bool,
    has_attachments: bool,
    labels: Vec<String>,
    /// Of a received mail, from 0 to 1: how much it reads like orders to an assistant. From 0.5 on, mind.
    #[serde(skip_serializing_if = "Option::is_none")]
    injection_risk_score: Option<f64>,
    /// What was noticed about it.
    flags: Vec<String>,
    /// Of a received mail: whether its sender could prove who he is.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_authenticated: Option<bool>,
    /// Of a received mail: false if machines must not answer it.
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_reply_allowed: Option<bool>,
    /// Of a sent mail: such as "queued", "held", "sent", "bounced".
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

impl From<&Mail> for EmailFacts {
    fn from(mail: &Mail) -> EmailFacts {
        let security = mail.security.clone().unwrap_or_default();
        let is_inbound = mail.direction == "inbound";
        EmailFacts {
            email_id: mail.id.clone(),
            inbox_id: mail.inbox_id.clone(),
            thread_id: mail.thread_id.clone(),
            direction: mail.direction.clone(),
            created_at: mail.created_at.clone(),
            is_read: mail.is_read,
            has_attachments: mail.has_attachments,
            labels: mail.labels.clone(),
            injection_risk_score: is_inbound.then_some(security.injection_risk_score),
            flags: security.flags,
            sender_authenticated: mail.sender_authenticated,
            auto_reply_allowed: mail.auto_reply.as_ref().map(|it| it.allowed),
            status: mail.status.clone(),
        }
    }
}

/// Emails as a list shows them, and their words below one another.
pub(crate) fn listed(mails: &[Mail]) -> (Vec<EmailFacts>, Untrusted) {
    let mut words = Untrusted::default();
    for mail in mails {
        tell(mail, &mut words);
    }
    (mails.iter().map(EmailFacts::from).collect(), words)
}

/// Who wrote an email, to whom, about what, and how it begins.
pub(crate) fn tell(mail: &Mail, words: &mut Untrusted) {
    words.heading(&mail.id);
    words.field("From", &mail.from);
    words.field("To", &addresses(&mail.to));
    words.field("Cc", &addresses(&mail.cc));
    words.field("Subject", &mail.subject);
    words.field("Begins", mail.preview.as_deref().unwrap_or_default());
}

pub(crate) fn addresses(all: &[String]) -> String {
    let mut named = all.iter().take(MOST_ADDRESSES).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > MOST_ADDRESSES {
        named.push_str(&format!(" and {} more", all.len() - MOST_ADDRESSES));
    }
    named
}

/// A code as this service found it in a mail; anything that is more than a code is none.
pub(crate) fn code(found: Option<&str>) -> Option<String> {
    let is_code = |it: &&str| {
        (1..=32).contains(&it.len())
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    found.filter(is_code).map(str::to_owned)
}

/// A word of this service, such as a state; nothing else gets in with it.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |it: &char| it.is_ascii_alphanumeric() || "_-.".contains(*it);
    text.chars().filter(is_plain).take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_have_no_words_of_strangers() {
        let mail = json!({
            "id": "eml_1", "inboxId": "ibx_1", "direction": "inbound", "from": "STRANGE@x.test",
            "to": ["STRANGE"], "subject": "STRANGE", "preview": "STRANGE",
            "attachments": [{ "filename": "STRANGE", "contentType": "STRANGE", "sizeBytes": "7" }],
            "security": { "injectionRiskScore": 0.25, "flags": ["prompt_injection"] },
            "createdAt": "2026-11-24T10:00:00.000Z", "autoReply": { "allowed": false },
            "somethingNew": 1,
        });
        let mail: Mail = serde_json::from_value(mail).expect("a mail");
        assert_eq!(mail.attachments[0].size_bytes, 7);
        let (facts, words) = listed(&[mail]);
        let facts = serde_json::to_string(&facts).expect("JSON");
        assert!(!facts.contains("STRANGE"), "{facts}");
        assert!(facts.contains("0.25") && facts.contains("\"autoReplyAllowed\":false"), "{facts}");
        let words = words.fenced().expect("random").expect("words");
        assert!(words.contains("| [eml_1]\n| From: STRANGE@x.test\n| To: STRANGE\n"), "{words}");
    }

    #[test]
    fn a_code_is_no_sentence() {
        assert_eq!(code(Some("G-204117")).as_deref(), Some("G-204117"));
        for other in [None, Some(""), Some("obey me"), Some(&*"1".repeat(33))] {
            assert_eq!(code(other), None);
        }
    }
}
