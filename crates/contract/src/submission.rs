use std::borrow::Cow;

use prost::Message as _;
use uuid::Uuid;

use crate::{Content, Decoded, Delivered, Input, SendRequest, SubmissionAccepted, content::Place};

/// A request to send, as it arrived. Who asks comes from the subject, which NATS permissions protect,
/// and never from the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    pub account_id: String,
    pub inbox_id: String,
    /// The token that it was made with, if the subject names one: then the ledger asks what it may.
    pub token: Option<String>,
    /// `Nats-Msg-Id` if the request has one, else its place in the stream.
    pub idempotency_key: String,
    /// The SendRequest as JSON.
    pub request: Content,
    /// When it entered the stream, in microseconds since 1970.
    pub requested_at_micros: i64,
}

impl Submission {
    pub fn mail_id(&self) -> String {
        submission_id(&self.inbox_id, &self.idempotency_key)
    }
}

impl Input for Submission {
    const SUBJECT: &'static str = "mail.v1.send.>";

    fn decode(delivered: Delivered<'_>) -> Decoded<Self> {
        let mut parts = delivered.subject.split('.').skip(3);
        let (Some(account_id), Some(inbox_id), token, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{} names no account and inbox", delivered.subject));
        };
        let place = match delivered.claim {
            // Whoever could name another inbox's claim could have it mailed to himself.
            Some(claim) if !claim.starts_with(&claim_prefix(account_id, inbox_id)) => {
                return Err(format!("claim {claim} does not belong to inbox {inbox_id}"));
            }
            Some(claim) => Place::Claim(claim.to_owned()),
            None => Place::Inline(delivered.payload.to_vec().into()),
        };
        Ok(Submission {
            account_id: account_id.to_owned(),
            inbox_id: inbox_id.to_owned(),
            token: token.map(str::to_owned),
            idempotency_key: match delivered.message_id {
                Some(key) => key.to_owned(),
                // A stream that is made anew counts from 1 again.
                None => {
                    format!("stream-{}-{}", delivered.stream_sequence, delivered.stored_at_micros)
                }
            },
            request: Content { size_bytes: delivered.payload.len() as u64, place: Some(place) },
            requested_at_micros: delivered.stored_at_micros,
        })
    }

    fn mail_id(&self) -> Cow<'_, str> {
        Cow::Owned(Submission::mail_id(self))
    }
}

/// Where requests of an inbox are published. With a token (its id, as lists of tokens have it) they are
/// held to what that one may; whoever is to be held to it must be able to publish nowhere else.
pub fn send_subject(account_id: &str, inbox_id: &str, token: Option<&str>) -> String {
    match token {
        Some(token) => format!("mail.v1.send.{account_id}.{inbox_id}.{token}"),
        None => format!("mail.v1.send.{account_id}.{inbox_id}"),
    }
}

/// The claims that requests of an inbox may name begin like this.
pub fn claim_prefix(account_id: &str, inbox_id: &str) -> String {
    format!("send/{account_id}/{inbox_id}/")
}

/// The mail a request becomes: the same for the same key, whichever door it came through.
pub fn submission_id(inbox_id: &str, idempotency_key: &str) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6f0f_3a54_90b7_4c9b_9c1e_5a3f_2d7b_8e11);
    let name = format!("{inbox_id}/{idempotency_key}");
    format!("eml_{}", Uuid::new_v5(&NAMESPACE, name.as_bytes()).simple())
}

impl SubmissionAccepted {
    /// The reverse path of a transaction for these recipients. One who is alone has his own: what comes
    /// back there is about him, whatever it says.
    pub fn reverse_path_to(&self, forward_paths: &[String]) -> &str {
        let own = match forward_paths {
            [only] => self.forward_paths.iter().position(|it| it == only),
            _ => None,
        };
        own.and_then(|it| self.reverse_paths.get(it)).unwrap_or(&self.reverse_path)
    }
}

impl SendRequest {
    /// The same octets for every request that means the same mail, however its JSON is written.
    ///
    /// `from` does not count: the inbox is named by the subject. Nor does `validateOnly`: a dry run is
    /// one of the same mail. Nor does when and whence a whole message came, nor under which lease.
    pub fn canonical(&self) -> Vec<u8> {
        let content = below_trace(&self.content).to_vec();
        let (from, lease_id) = (String::new(), String::new());
        SendRequest { from, lease_id, validate_only: false, content, ..self.clone() }
            .encode_to_vec()
    }
}

/// What stands below the Received fields on top (RFC 5321 section 4.4).
fn below_trace(content: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"received:";
    let mut rest = content;
    while rest.get(..NAME.len()).is_some_and(|it| it.eq_ignore_ascii_case(NAME)) {
        rest = after_line(rest);
        while rest.starts_with(b" ") || rest.starts_with(b"\t") {
            rest = after_line(rest);
        }
    }
    rest
}

fn after_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|it| *it == b'\n').map_or(text.len(), |it| it + 1);
    &text[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered<'a>(message_id: Option<&'a str>, claim: Option<&'a str>) -> Delivered<'a> {
        Delivered {
            subject: "mail.v1.send.acct_1.ibx_1",
            payload: b"{}",
            message_id,
            claim,
            stream_sequence: 7,
            stored_at_micros: 1,
        }
    }

    #[test]
    fn one_key_is_one_mail_within_an_inbox() {
        assert_eq!(submission_id("ibx_1", "k"), submission_id("ibx_1", "k"));
        assert_ne!(submission_id("ibx_1", "k"), submission_id("ibx_2", "k"));
        assert_ne!(submission_id("ibx_1", "k"), submission_id("ibx_1", "l"));
    }

    #[test]
    fn white_space_and_order_are_no_words() {
        let canonical =
            |json: &str| serde_json::from_str::<SendRequest>(json).expect("a request").canonical();
        let first = canonical(r#"{"to":["a@x.test"],"subject":"Hi","body":{"text":"Hi"}}"#);
        let spaced = r#"{ "body": {"text": "Hi"}, "from": "me@x.test", "cc": [],
            "subject": "\u0048i", "validateOnly": true, "headers": {}, "to": ["a@x.test"] }"#;
        assert_eq!(canonical(spaced), first);
        let other = canonical(r#"{"to":["a@x.test"],"subject":"Hi","body":{"text":"Ho"}}"#);
        assert_ne!(other, first);
        let fields = canonical(r#"{"headers":{"X-A":"1","X-B":"2"}}"#);
        assert_eq!(canonical(r#"{"headers":{"X-B":"2","X-A":"1"}}"#), fields);
    }

    #[test]
    fn the_way_a_message_came_is_no_word_of_it() {
        let canonical = |content: &str| {
            SendRequest { content: content.into(), ..SendRequest::default() }.canonical()
        };
        let bare = canonical("Subject: a\r\n\r\nReceived: x\r\n");
        let trace = "Received: from a\r\n\tby b; Monday\r\nreceived: c\r\n";
        let traced = format!("{trace}Subject: a\r\n\r\nReceived: x\r\n");
        assert_eq!(canonical(&traced), bare);
        assert_ne!(canonical("Subject: a\r\n\r\n"), bare);
        assert_eq!(canonical("Received: a"), canonical(""));
    }

    #[test]
    fn without_a_key_every_request_is_its_own() {
        let submission = Submission::decode(delivered(None, None)).expect("decode");
        assert_eq!(submission.idempotency_key, "stream-7-1");
    }

    #[test]
    fn the_subject_says_who_asks_and_nothing_else_does() {
        let decode = |subject: &str| {
            let payload = br#"{"token":"0123456789ab"}"#;
            Submission::decode(Delivered { subject, payload, ..delivered(None, None) })
        };
        let named = send_subject("acct_1", "ibx_1", Some("0123456789ab"));
        let named = decode(&named).expect("decode");
        assert_eq!((&*named.account_id, &*named.inbox_id), ("acct_1", "ibx_1"));
        assert_eq!(named.token.as_deref(), Some("0123456789ab"));
        let bare = decode(&send_subject("acct_1", "ibx_1", None)).expect("decode");
        assert_eq!(bare.token, None);
        assert_eq!(bare.mail_id().len(), named.mail_id().len());
        for wrong in ["mail.v1.send.acct_1", "mail.v1.send.acct_1.ibx_1.t.more"] {
            decode(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn refuses_the_claim_of_another_inbox() {
        let own = delivered(None, Some("send/acct_1/ibx_1/x"));
        Submission::decode(own).expect("decode");
        let foreign = delivered(None, Some("send/acct_1/ibx_2/x"));
        Submission::decode(foreign).expect_err("refuse");
    }
}
