//! Mail that is handed in to be sent (RFC 6409): as whom, to whom, and the request it becomes.

use anyhow::Context as _;
use bus::{KnownToken, Resolution};
use bytes::Bytes;
use contract::{Envelope, ForwardPath, Peer, submission_id, token_id};
use data_encoding::BASE64;
use mail::{Address, Flaw, Whole};
use service::{current_trace, mail_span};
use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    memory::Share,
    post::Refusal,
    reply::{self, Reply},
    sequence::Step,
    session::Session,
    trace,
};

/// What those who judge the request take, without the trace field on top.
pub(crate) const MAX_SIZE: usize = mail::MAX_CONTENT - 1024 * 1024;

/// The inbox that the mail in hand is from.
#[derive(Clone, Default)]
pub(crate) struct Author {
    account_id: String,
    inbox_id: String,
    /// The id of the token: the ledger asks it what it may, and notes that it was used.
    token: String,
    canonical: String,
}

impl Session {
    /// Which inbox the mail is from: any of the account whose token the client has.
    pub(crate) async fn author(&mut self, reverse_path: &str) -> Result<Author, Reply> {
        let Some(login) = &self.login else { return Err(reply::AUTH_WANTED) };
        let address: Address = reverse_path.parse().map_err(|_| reply::NOT_AN_INBOX)?;
        let token = self.shared.post.token(&login.token_hash).await;
        let token = token.ok_or(reply::LOOKUP_FAILED)?;
        let is_same =
            |it: &KnownToken| it.account_id == login.account_id && it.grant == login.grant;
        if !token.as_ref().is_some_and(is_same) {
            self.login = None;
            return Err(reply::AUTH_WANTED);
        }
        match self.shared.post.resolve(&address).await {
            None => Err(reply::LOOKUP_FAILED),
            Some(Resolution::Inbox { account_id, inbox_id })
                if account_id == login.account_id && login.grant.sees_inbox(&inbox_id) =>
            {
                let token = token_id(&login.token_hash).to_owned();
                Ok(Author { account_id, inbox_id, token, canonical: address.canonical() })
            }
            Some(_) => Err(reply::NOT_AN_INBOX),
        }
    }

    /// Anybody may be sent to, but nobody here who does not exist, and nobody whom the token may not
    /// write to.
    pub(crate) async fn addressee(&mut self, address: &Address) -> Reply {
        let limits = self.login.as_ref().map(|it| &it.grant.limits);
        if limits.is_some_and(|it| !it.allow(&address.to_string())) {
            return reply::NOT_TO_THEM;
        }
        match self.shared.post.resolve(address).await {
            None => return reply::LOOKUP_FAILED,
            Some(Resolution::UnknownRecipient) => return reply::UNKNOWN_RECIPIENT,
            Some(Resolution::Inbox { .. } | Resolution::UnknownDomain) => (),
        }
        self.sequence.advance(Step::Rcpt);
        self.recipients += 1;
        let address = address.to_string();
        self.envelope.forward_paths.push(ForwardPath { address, ..ForwardPath::default() });
        reply::RECIPIENT_OK
    }

    /// Takes a content that has come to its end as a request to send it.
    pub(crate) async fn submit(
        &self,
        envelope: Envelope,
        content: Bytes,
        mut share: Share,
    ) -> Reply {
        if trace::hops(&content) > trace::MAX_HOPS {
            return reply::MAIL_LOOP;
        }
        if !self.shared.post.is_open() {
            return reply::UNAVAILABLE;
        }
        // Beside the content there will be its base64.
        let needed = content.len() / 2 * 5;
        if !share.cover(needed, self.shared.config.memory_timeout()).await {
            return reply::NO_MEMORY;
        }
        let octets = content.len() as u64;
        let author = self.author.clone();
        let handed_in = HandedIn {
            envelope,
            author: author.clone(),
            peer: self.peer.clone(),
            hostname: self.shared.config.hostname.clone(),
        };
        // Large ones take long: not on the threads that serve everybody.
        let request = spawn_blocking(move || handed_in.request(&content)).await;
        let request = match request.context("make a request of a mail") {
            Ok(Ok(request)) => request,
            Ok(Err(reply)) => return reply,
            Err(err) => {
                tracing::error!("{err:#}");
                return reply::UNAVAILABLE;
            }
        };
        let Request { key, mail_id, json } = request;
        let post = &self.shared.post;
        let Author { account_id, inbox_id, token, .. } = &author;
        let log = mail_span(&mail_id, current_trace().as_ref());
        let submitted = post.submit(account_id, inbox_id, Some(token), &key, json);
        match submitted.instrument(log).await {
            Ok(()) => {
                self.shared.metrics.bytes.inc_by(octets);
                Reply::saying(250, "2.0.0", format!("OK {mail_id}"))
            }
            Err(Refusal::Full) => reply::FULL,
            Err(Refusal::Unavailable) => reply::UNAVAILABLE,
        }
    }
}

/// All that is known of a mail beside its content.
struct HandedIn {
    envelope: Envelope,
    author: Author,
    peer: Peer,
    hostname: String,
}

/// What is published.
#[derive(Debug)]
struct Request {
    key: String,
    mail_id: String,
    json: Bytes,
}

impl HandedIn {
    fn request(&self, content: &[u8]) -> Result<Request, Reply> {
        let whole = Whole::read(content).map_err(refusal)?;
        whole.check_author(&self.author.canonical).map_err(refusal)?;
        let mut to: Vec<String> =
            self.envelope.forward_paths.iter().map(|it| it.address.clone()).collect();
        to.sort_unstable();
        to.dedup();
        let key = key(whole.message_id(), &to);
        let mail_id = submission_id(&self.author.inbox_id, &key);
        let trace = trace::header(
            &self.peer,
            trace::Protocol { extended: true, authenticated: true },
            &self.envelope,
            &self.hostname,
            mail_id.trim_start_matches("eml_"),
            OffsetDateTime::now_utc(),
        );
        let from = self.envelope.reverse_path.clone();
        let json = json(&from, &to, &[trace.as_bytes(), content]);
        Ok(Request { key, mail_id, json })
    }
}

/// What one mail is known by, should the client lose our 250 and hand it in again. The recipients are
/// part of it, because clients send one message in several transactions to many; without a Message-ID
/// there is nothing to know it by.
fn key(message_id: Option<&str>, to: &[String]) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x9d0c_5c7e_1a3b_4f52_8e64_77b0_2f19_c3d5);
    let id = match message_id {
        Some(id) => Uuid::new_v5(&NAMESPACE, format!("{id}\n{}", to.join("\n")).as_bytes()),
        None => Uuid::now_v7(),
    };
    format!("smtp-{}", id.simple())
}

/// A SendRequest with this content. Written piece by piece, because the content may be large: nothing
/// but the result is held beside it.
fn json(from: &str, to: &[String], content: &[&[u8]]) -> Bytes {
    let head = serde_json::json!({ "from": from, "to": to }).to_string();
    let octets: usize = content.iter().map(|it| it.len()).sum();
    let mut json = String::with_capacity(head.len() + octets.div_ceil(3) * 4 + 16);
    json.push_str(head.trim_end_matches('}'));
    json.push_str(",\"content\":\"");
    let base64 = BASE64;
    let mut encoder = base64.new_encoder(&mut json);
    content.iter().for_each(|it| encoder.append(it));
    encoder.finalize();
    json.push_str("\"}");
    json.into_bytes().into()
}

fn refusal(flaw: Flaw) -> Reply {
    let (code, status) = match flaw {
        Flaw::TooLarge | Flaw::HeaderTooLarge => (552, "5.3.4"),
        Flaw::Foreign(_) => (550, "5.7.1"),
        _ => (554, "5.6.0"),
    };
    Reply::saying(code, status, flaw.to_string())
}

#[cfg(test)]
mod tests {
    use contract::SendRequest;

    use super::*;

    fn handed_in(to: &[&str]) -> HandedIn {
        let forward_paths = to
            .iter()
            .map(|it| ForwardPath { address: (*it).to_owned(), ..ForwardPath::default() })
            .collect();
        HandedIn {
            envelope: Envelope {
                reverse_path: "a.da@x.test".to_owned(),
                forward_paths,
                smtputf8: false,
            },
            author: Author { canonical: "ada@x.test".to_owned(), ..Author::default() },
            peer: Peer {
                ip: "192.0.2.1".to_owned(),
                helo: "c".to_owned(),
                tls: "TLSv1.3".to_owned(),
            },
            hostname: "mx.x.test".to_owned(),
        }
    }

    #[test]
    fn a_mail_becomes_a_request() {
        let content = "From: \"\u{e9}\" <ada@x.test>\r\nBcc: c@y.test\r\n\r\n\u{e9}\r\n";
        let request = handed_in(&["b@y.test", "c@y.test", "b@y.test"]).request(content.as_bytes());
        let request = request.expect("a request");
        let read: SendRequest = serde_json::from_slice(&request.json).expect("a SendRequest");
        assert_eq!(
            (&*read.from, read.to.join(" ")),
            ("a.da@x.test", "b@y.test c@y.test".to_owned())
        );
        let sent = String::from_utf8(read.content).expect("UTF-8");
        let (trace, rest) = sent.split_at(sent.len() - content.len());
        assert_eq!(rest, content);
        assert!(trace.starts_with("Received: from c ([192.0.2.1])"), "{trace}");
        let id = request.mail_id.trim_start_matches("eml_");
        assert!(trace.contains(&format!("with ESMTPSA id {id};")), "{trace}");
    }

    #[test]
    fn what_is_handed_in_again_has_the_same_key() {
        let content = |id: &str| format!("From: ada@x.test\r\n{id}\r\n");
        let key = |id: &str, to: &[&str]| {
            handed_in(to).request(content(id).as_bytes()).expect("a request").key
        };
        let first = key("Message-ID: <1@c>\r\n", &["b@y.test", "c@y.test"]);
        assert_eq!(key("Message-ID: <1@c>\r\n", &["c@y.test", "b@y.test"]), first);
        assert_ne!(key("Message-ID: <2@c>\r\n", &["b@y.test", "c@y.test"]), first);
        assert_ne!(key("Message-ID: <1@c>\r\n", &["d@y.test"]), first, "the rest of many");
        assert_ne!(key("", &["b@y.test"]), key("", &["b@y.test"]));
    }

    #[test]
    fn refusals_say_why() {
        let check = |content: &str, code, status| {
            let reply = handed_in(&["b@y.test"]).request(content.as_bytes()).expect_err("refuse");
            assert_eq!((reply.code, reply.status), (code, status), "{reply:?}");
        };
        check("From: boss@x.test\r\n\r\n", 550, "5.7.1");
        check("From: ada@x.test\r\nSender: boss@x.test\r\n\r\n", 550, "5.7.1");
        check("Subject: Hi\r\n\r\n", 554, "5.6.0");
        check(&format!("From: ada@x.test\r\n{}\r\n", "X: y\r\n".repeat(50_000)), 552, "5.3.4");
    }
}
