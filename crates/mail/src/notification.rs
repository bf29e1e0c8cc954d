//! Composing a delivery status notification (RFC 3464) for whoever sent the mail.

use mail_builder::{
    MessageBuilder,
    headers::{
        address::Address as AddressField, content_type::ContentType, date::Date,
        message_id::MessageId, raw::Raw,
    },
    mime::{BodyPart, MimePart},
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::syntax::is_message_id;

/// As much of the mail's header section is returned, which is enough to know it by.
const MAX_RETURNED: usize = 32 * 1024;
/// What a host said is cut to a field that nobody has trouble with.
const MAX_DIAGNOSTIC: usize = 900;

/// What is told of a mail, all that is known of it in one.
#[derive(Clone, Debug, Default)]
pub struct Notification {
    /// The host that reports (RFC 3464 section 2.2.2).
    pub reporting_host: String,
    /// The domain it comes from, and its Message-ID without angle brackets.
    pub domain: String,
    pub message_id: String,
    pub to: String,
    /// Seconds since 1970.
    pub date: i64,
    /// When the mail was handed over.
    pub arrival_date: i64,
    /// Of the mail, without angle brackets.
    pub original_message_id: String,
    pub subject: String,
    /// The mail, from which its header section is returned.
    pub original: Vec<u8>,
    pub recipients: Vec<NotifiedRecipient>,
}

#[derive(Clone, Debug, Default)]
pub struct NotifiedRecipient {
    pub address: String,
    pub action: NotifiedAction,
    /// RFC 3463; made up of the action if empty.
    pub status: String,
    pub diagnostic: String,
    /// The host that said so; empty if we did.
    pub remote_host: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifiedAction {
    #[default]
    Failed,
    Delayed,
    /// The next host has it, which promised nothing more (RFC 3464 section 2.3.3).
    Relayed,
}

impl NotifiedAction {
    fn as_str(self) -> &'static str {
        match self {
            NotifiedAction::Failed => "failed",
            NotifiedAction::Delayed => "delayed",
            NotifiedAction::Relayed => "relayed",
        }
    }

    fn status(self) -> &'static str {
        match self {
            NotifiedAction::Failed => "5.0.0",
            NotifiedAction::Delayed => "4.0.0",
            NotifiedAction::Relayed => "2.0.0",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            NotifiedAction::Failed => "It did not reach:",
            NotifiedAction::Delayed => {
                "It is late, and is tried again without you doing anything, for:"
            }
            NotifiedAction::Relayed => "The next mail server took it for:",
        }
    }
}

/// The content of a notification. It goes out with the null reverse-path (RFC 3464 section 2).
pub fn notification(it: &Notification) -> Vec<u8> {
    // RFC 6533: addresses or fields that are not ASCII need types of their own.
    let fields = status_fields(it);
    let returned = header_section(&it.original);
    let is_international = !fields.is_ascii() || !returned.is_ascii();
    let (status_type, returned_type) = if is_international {
        ("message/global-delivery-status", "message/global-headers")
    } else {
        ("message/delivery-status", "text/rfc822-headers")
    };
    let report = ContentType::new("multipart/report").attribute("report-type", "delivery-status");
    let parts = vec![
        MimePart::new("text/plain", explanation(it)),
        exact(status_type, fields.into_bytes()),
        exact(returned_type, returned.to_vec()),
    ];
    let from = AddressField::new_address(
        Some("Mail Delivery System"),
        format!("MAILER-DAEMON@{}", it.domain),
    );
    let mut message = MessageBuilder::new()
        .from(from)
        .to(AddressField::new_address(None::<String>, it.to.as_str()))
        .subject(subject(it))
        .date(Date::new(it.date))
        .message_id(MessageId::new(it.message_id.as_str()))
        .header("Auto-Submitted", Raw::new("auto-replied"));
    if is_message_id(&it.original_message_id) {
        let original = it.original_message_id.as_str();
        message =
            message.in_reply_to(MessageId::new(original)).references(MessageId::new(original));
    }
    let mut content = Vec::new();
    message.body(MimePart::new(report, parts)).serialize(&mut content);
    content
}

fn subject(it: &Notification) -> &'static str {
    let any = |action| it.recipients.iter().any(|it| it.action == action);
    if any(NotifiedAction::Failed) {
        "Undelivered mail"
    } else if any(NotifiedAction::Delayed) {
        "Delayed mail"
    } else {
        "Mail handed over"
    }
}

fn explanation(it: &Notification) -> String {
    let mut text = format!("This is about your mail \"{}\".\n", one_line(&it.subject, 200));
    for action in [NotifiedAction::Failed, NotifiedAction::Delayed, NotifiedAction::Relayed] {
        let mut concerned = it.recipients.iter().filter(|it| it.action == action).peekable();
        if concerned.peek().is_none() {
            continue;
        }
        text += &format!("\n{}\n", action.meaning());
        for recipient in concerned {
            let said = one_line(&recipient.diagnostic, MAX_DIAGNOSTIC);
            text += &format!("\n  <{}>\n  {said}\n", one_line(&recipient.address, 320));
        }
    }
    text
}

/// RFC 3464 section 2.1: a group of fields for the mail, and one for each recipient.
fn status_fields(it: &Notification) -> String {
    let mut fields = format!("Reporting-MTA: dns; {}\r\n", one_line(&it.reporting_host, 255));
    if let Some(date) = rfc2822(it.arrival_date) {
        fields += &format!("Arrival-Date: {date}\r\n");
    }
    for recipient in &it.recipients {
        let address = one_line(&recipient.address, 320);
        let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
        let status = match recipient.status.as_str() {
            "" => recipient.action.status(),
            status => status,
        };
        fields += &format!(
            "\r\nFinal-Recipient: {kind}; {address}\r\nAction: {}\r\nStatus: {}\r\n",
            recipient.action.as_str(),
            one_line(status, 20)
        );
        // What we found out ourselves is no reply of a host (RFC 3464 section 2.3.6).
        let (kind, host) = match recipient.remote_host.as_str() {
            "" => ("x-posthouse", None),
            host => ("smtp", Some(one_line(host, 255))),
        };
        if let Some(host) = host {
            fields += &format!("Remote-MTA: dns; {host}\r\n");
        }
        if !recipient.diagnostic.is_empty() {
            let said = one_line(&recipient.diagnostic, MAX_DIAGNOSTIC);
            fields += &format!("Diagnostic-Code: {kind}; {said}\r\n");
        }
        if let Some(date) = rfc2822(it.date) {
            fields += &format!("Last-Attempt-Date: {date}\r\n");
        }
    }
    fields
}

fn rfc2822(seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc2822).ok()
}

/// In no other encoding than its own: RFC 3464 section 2.1 allows 7bit, RFC 6533 section 3 8bit.
fn exact(media_type: &'static str, octets: Vec<u8>) -> MimePart<'static> {
    let encoding = if octets.is_ascii() { "7bit" } else { "8bit" };
    let headers = vec![("Content-Type".into(), Raw::new(media_type).into())];
    let part = MimePart { headers, contents: BodyPart::Binary(octets.into()) };
    part.transfer_encoding(encoding)
}

/// Whole fields of the header section, cut where it gets long.
fn header_section(content: &[u8]) -> &[u8] {
    let end =
        content.windows(4).position(|it| it == b"\r\n\r\n").map_or(content.len(), |it| it + 2);
    let section = &content[..end];
    if section.len() <= MAX_RETURNED {
        return section;
    }
    let lines = section[..MAX_RETURNED].windows(2).rposition(|it| it == b"\r\n");
    &section[..lines.map_or(0, |it| it + 2)]
}

/// What a host said may have anything in it.
fn one_line(text: &str, most: usize) -> String {
    let text: Vec<&str> = text.split(|it: char| it.is_whitespace() || it.is_control()).collect();
    let text = text.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ");
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReportAction, report};

    fn notified(address: &str, action: NotifiedAction) -> Notification {
        Notification {
            reporting_host: "mx.a.test".to_owned(),
            domain: "a.test".to_owned(),
            message_id: "dsn@a.test".to_owned(),
            to: "agent@a.test".to_owned(),
            date: 1_795_498_872,
            arrival_date: 1_795_498_800,
            original_message_id: "m@a.test".to_owned(),
            subject: "Hello".to_owned(),
            original: b"Message-ID: <m@a.test>\r\nTo: bob@x.test\r\n\r\nHi\r\n".to_vec(),
            recipients: vec![NotifiedRecipient {
                address: address.to_owned(),
                action,
                status: String::new(),
                diagnostic: "550 5.1.1 no\r\nsuch: user".to_owned(),
                remote_host: "mx.x.test".to_owned(),
            }],
        }
    }

    #[test]
    fn says_what_our_own_reader_reads() {
        for (action, expected) in [
            (NotifiedAction::Failed, ReportAction::Failed),
            (NotifiedAction::Delayed, ReportAction::Delayed),
            (NotifiedAction::Relayed, ReportAction::Delivered),
        ] {
            let content = notification(&notified("bob@x.test", action));
            let read = report(&content).expect("a report");
            assert_eq!((&*read.message_id, &*read.reporting_host), ("m@a.test", "mx.a.test"));
            let [recipient] = &read.recipients[..] else { panic!("{read:?}") };
            assert_eq!((&*recipient.address, recipient.action), ("bob@x.test", expected));
            assert_eq!(recipient.diagnostic, "550 5.1.1 no such: user");
            assert_eq!(recipient.remote_host, "mx.x.test");
        }
    }

    #[test]
    fn is_a_machine_s_that_nobody_answers() {
        let content = notification(&notified("bob@x.test", NotifiedAction::Failed));
        let text = String::from_utf8(content.clone()).expect("ASCII");
        assert!(text.contains("Auto-Submitted: auto-replied\r\n"), "{text}");
        assert!(text.contains("report-type=\"delivery-status\""), "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text}");
        assert!(!crate::auto_reply_allowed(&content, "", "agent@a.test"));
        let read = crate::parse(&content, usize::MAX);
        assert_eq!(
            (&*read.subject, &*read.from[0].address),
            ("Undelivered mail", "MAILER-DAEMON@a.test")
        );
        assert_eq!(read.in_reply_to, ["m@a.test"]);
        assert!(read.text.contains("550 5.1.1 no such: user"), "{}", read.text);
    }

    #[test]
    fn addresses_beyond_ascii_have_their_own_types() {
        let content = notification(&notified("b\u{f6}b@x.test", NotifiedAction::Failed));
        let text = String::from_utf8(content.clone()).expect("UTF-8");
        assert!(text.contains("message/global-delivery-status"), "{text}");
        assert!(text.contains("Final-Recipient: utf-8; b\u{f6}b@x.test\r\n"), "{text}");
        let read = report(&content).expect("a report");
        assert_eq!(read.recipients[0].address, "b\u{f6}b@x.test");
    }

    #[test]
    fn long_header_sections_are_cut_between_lines() {
        let mut it = notified("bob@x.test", NotifiedAction::Failed);
        let field = format!("X-Long: {}\r\n", "y".repeat(900));
        it.original = (field.repeat(100) + "\r\nbody").into_bytes();
        let returned = header_section(&it.original);
        assert!(returned.len() <= MAX_RETURNED && returned.len() > MAX_RETURNED - 1000);
        assert!(returned.ends_with(b"y\r\n"));
        let content = notification(&it);
        assert!(content.split(|it| *it == b'\n').all(|it| it.len() <= 999));
    }
}
