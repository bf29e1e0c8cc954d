//! An email as it is read: the text that was written, a code, links, and what its header says.
//!
//! Worked out from the stored octets when somebody asks, so that better rules hold for old mail too
//! and lists stay cheap.

use std::sync::Arc;

use bytes::Bytes;
use contract::Email;
use reading::{Mail, Purpose, Reading};
use serde::Serialize;
use store::Reader;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Octets of a text, of an HTML body.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// Characters of a field's value.
const MAX_VALUE: usize = 2000;
/// So many mails are taken apart at once: each may be as large as a mail can be.
const AT_ONCE: usize = 8;

/// Reads the stored octets of emails.
#[derive(Clone)]
pub(crate) struct Readings {
    reader: Reader,
    turns: Arc<Semaphore>,
}

/// An email of which the octets are at hand.
pub(crate) struct Opened {
    pub(crate) email: Email,
    pub(crate) octets: Bytes,
}

impl Readings {
    pub(crate) fn new(reader: Reader) -> Readings {
        Readings { reader, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Has `work` done with an email's octets, not on the threads that serve everybody.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        account_id: &str,
        email: Email,
        work: impl FnOnce(Opened) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.turns.acquire().await.map_err(Problem::internal)?;
        let original = self.reader.original(account_id, &email.inbox_id, &email.id).await?;
        // What was refused was never composed.
        let octets = original.map(|it| it.octets.into()).unwrap_or_default();
        let work = tokio::task::spawn_blocking(move || work(Opened { email, octets }));
        work.await.map_err(Problem::internal)
    }
}

/// An email with all that is read of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadEmail {
    #[serde(flatten)]
    email: Email,
    /// What a person reads, as in `body`; at most 1 MiB.
    text: String,
    /// The HTML as it was sent, to be shown to nobody as it is; at most 1 MiB; null when there is none.
    #[schema(required)]
    html: Option<String>,
    /// What the sender wrote, without what is answered and without a signature.
    reply_text: String,
    /// The one-time code that the mail brings, digits in ASCII and without blanks; null when it
    /// brings none.
    #[schema(required, example = "204117")]
    code: Option<String>,
    /// Those that confirm, log in, reset or invite first; at most 50.
    links: Vec<ReadLink>,
    /// The Message-ID of what it answers.
    #[schema(required)]
    in_reply_to: Option<String>,
    /// Oldest first.
    references: Vec<String>,
    /// The fields of the header section in their order, decoded and without invisible characters; at
    /// most 200.
    headers: Vec<Field>,
    authentication: Authenticated,
    /// Of a received mail: whether a machine may answer it (RFC 3834).
    #[schema(required)]
    auto_reply_allowed: Option<bool>,
    /// A body was longer than what is here: all of it is in the raw mail.
    truncated: bool,
}

impl ReadEmail {
    /// Octets of what may be long.
    pub(crate) fn text_size(&self) -> usize {
        self.text.len() * 2 + self.reply_text.len() + self.html.as_ref().map_or(0, String::len)
    }

    /// Where there is no room for it.
    pub(crate) fn without_text(self) -> ReadEmail {
        let email = Email { body: None, ..self.email };
        let (text, reply_text) = (String::new(), String::new());
        ReadEmail { email, text, reply_text, html: None, truncated: true, ..self }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadLink {
    /// As it was written.
    url: String,
    /// Where it leads.
    #[schema(example = "example.org")]
    host: String,
    /// "verify", "login", "reset", "invite", "unsubscribe" or "other".
    #[schema(example = "verify")]
    purpose: &'static str,
    /// What a person sees of it.
    text: String,
    /// Its text or its host imitates another host.
    deceptive: bool,
}

#[derive(Serialize, ToSchema)]
struct Field {
    name: String,
    value: String,
}

/// What the sender could prove (RFC 8601); null where nothing was looked at.
#[derive(Serialize, ToSchema)]
struct Authenticated {
    #[schema(required, example = "pass")]
    spf: Option<String>,
    #[schema(required)]
    dkim: Option<String>,
    #[schema(required)]
    dmarc: Option<String>,
    /// The Authentication-Results field that this service wrote.
    #[schema(required)]
    results: Option<String>,
}

impl From<reading::Link> for ReadLink {
    fn from(link: reading::Link) -> ReadLink {
        ReadLink {
            url: link.url,
            host: link.host,
            purpose: purpose(link.purpose),
            text: reading::plain_field(&link.text, 200),
            deceptive: link.deceptive,
        }
    }
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Verify => "verify",
        Purpose::Login => "login",
        Purpose::Reset => "reset",
        Purpose::Invite => "invite",
        Purpose::Other => "other",
        Purpose::Unsubscribe => "unsubscribe",
    }
}

/// The bodies of an email as the rules take them.
pub(crate) fn mail_of<'a>(email: &'a Email, bodies: &'a mail::Bodies) -> Mail<'a> {
    Mail {
        from: &email.from,
        subject: &email.subject,
        text: &bodies.text,
        html: &bodies.html,
        has_plain_text: bodies.has_plain_text,
    }
}

pub(crate) fn read(opened: Opened) -> ReadEmail {
    let Opened { email, octets } = opened;
    let bodies = mail::bodies(&octets, MAX_BODY);
    let message = mail::parse(&octets, 0);
    let reading = Reading::of(mail_of(&email, &bodies));
    let reply_text = reading.reply_text();
    let code = reading::code(&reading);
    let links = reading::links(&reading).into_iter().map(ReadLink::from).collect();
    let bracketed = |id: &String| format!("<{}>", reading::plain_field(id, 1000));
    let headers: Vec<Field> = bodies
        .fields
        .iter()
        .map(|(name, value)| Field {
            name: reading::plain_field(name, 100),
            value: reading::plain_field(value, MAX_VALUE),
        })
        .collect();
    let authentication = authentication(&email, &headers);
    ReadEmail {
        auto_reply_allowed: email.auto_reply.as_ref().map(|it| it.allowed),
        in_reply_to: message.in_reply_to.first().map(bracketed),
        references: message.references.iter().map(bracketed).collect(),
        html: Some(bodies.html).filter(|it| !it.is_empty()),
        text: bodies.text,
        truncated: bodies.truncated,
        reply_text,
        code,
        links,
        headers,
        authentication,
        email,
    }
}

/// Storage puts Return-Path and Authentication-Results above what came in: a field of that name
/// further down is the sender's own.
fn authentication(email: &Email, headers: &[Field]) -> Authenticated {
    let result = |of: fn(&contract::EmailSecurity) -> &Option<String>| {
        email.security.as_ref().and_then(|it| of(it).clone())
    };
    let is = |it: &&Field, name: &str| it.name.eq_ignore_ascii_case(name);
    let mut top = headers.iter();
    let ours = top.next().filter(|it| is(it, "return-path")).and_then(|_| top.next());
    let ours = ours.filter(|it| is(it, "authentication-results") && email.direction == "inbound");
    Authenticated {
        spf: result(|it| &it.spf),
        dkim: result(|it| &it.dkim),
        dmarc: result(|it| &it.dmarc),
        results: ours.map(|it| it.value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(octets: &'static [u8]) -> serde_json::Value {
        let email = Email { direction: "inbound".to_owned(), ..Email::default() };
        let read = read(Opened { email, octets: Bytes::from_static(octets) });
        serde_json::to_value(read).expect("JSON")
    }

    #[test]
    fn only_our_own_results_count() {
        let ours = of(b"Return-Path: <a@x>\r\nAuthentication-Results: us; spf=pass\r\n\r\nx");
        assert_eq!(ours["authentication"]["results"], "us; spf=pass");
        let forged = of(
            b"Return-Path: <a@x>\r\nReceived: x\r\nAuthentication-Results: us; spf=pass\r\n\r\n",
        );
        assert!(forged["authentication"]["results"].is_null());
    }

    #[test]
    fn an_email_without_octets_is_read_all_the_same() {
        let read = of(b"");
        assert_eq!((&read["text"], &read["replyText"]), (&"".into(), &"".into()));
        assert!(read["html"].is_null() && read["code"].is_null() && read["inReplyTo"].is_null());
    }
}
