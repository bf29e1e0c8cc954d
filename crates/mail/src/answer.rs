//! What an answer to a mail, or a mail passed on, takes from it.

use contract::{Mailbox, Message, SendAttachment};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::{
    address::Address,
    message::part,
    mime::{Entity, Tree},
    syntax::{self, check_content_type, check_filename},
};

/// Octets of a subject taken over; with what is put before it, it fits into a line.
const MAX_SUBJECT: usize = 900;
const MAX_FILENAME: usize = 200;

/// Whom an answer goes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipients {
    pub to: Vec<String>,
    pub cc: Vec<String>,
}

/// Who gets an answer from `own` (RFC 5322 section 3.6.2): whoever wants answers, else who wrote, and
/// for `everybody` also those it was sent to. Of a mail that `own` wrote itself, those it went to.
pub fn recipients(message: &Message, own: &str, everybody: bool) -> Recipients {
    let own = canonical(own);
    let is_own = |it: &Mailbox| own.is_some() && canonical(&it.address) == own;
    let (to, cc) = if !message.from.is_empty() && message.from.iter().all(is_own) {
        (vec![&message.to], vec![&message.cc])
    } else {
        let author = match message.reply_to.iter().any(|it| canonical(&it.address).is_some()) {
            true => &message.reply_to,
            false => &message.from,
        };
        (vec![author], vec![&message.to, &message.cc])
    };
    let mut seen: Vec<String> = own.iter().cloned().collect();
    let mut fresh = |lists: Vec<&Vec<Mailbox>>| {
        let mut addresses = Vec::new();
        for mailbox in lists.into_iter().flatten() {
            if let Some(canonical) = canonical(&mailbox.address)
                && !seen.contains(&canonical)
            {
                seen.push(canonical);
                addresses.push(mailbox.address.clone());
            }
        }
        addresses
    };
    let to = fresh(to);
    Recipients { to, cc: if everybody { fresh(cc) } else { Vec::new() } }
}

fn canonical(address: &str) -> Option<String> {
    address.parse().ok().map(|it: Address| it.canonical())
}

/// `Re: ` and the subject, unless it begins so (RFC 5322 section 3.6.5).
pub fn reply_subject(subject: &str) -> String {
    prefixed(subject, "Re:", &["re:"])
}

/// `Fwd: ` and the subject, unless it begins so.
pub fn forward_subject(subject: &str) -> String {
    prefixed(subject, "Fwd:", &["fwd:", "fw:"])
}

fn prefixed(subject: &str, prefix: &str, known: &[&str]) -> String {
    let subject = one_line(subject);
    let subject = &subject[..subject.floor_char_boundary(MAX_SUBJECT)];
    let is_known =
        |it: &&str| subject.get(..it.len()).is_some_and(|start| start.eq_ignore_ascii_case(it));
    if known.iter().any(is_known) {
        return subject.to_owned();
    }
    format!("{prefix} {subject}").trim_end().to_owned()
}

/// The Message-ID, where it is one that can be referred to.
pub fn answered_id(message: &Message) -> Option<&str> {
    Some(message.message_id.as_str()).filter(|it| syntax::is_message_id(it))
}

/// A mail as it stands in the text of another that passes it on.
pub fn quoted(message: &Message) -> String {
    let mut quoted = "---------- Forwarded message ----------\n".to_owned();
    let date = OffsetDateTime::from_unix_timestamp(message.date_micros.div_euclid(1_000_000));
    let date =
        date.ok().filter(|_| message.date_micros != 0).and_then(|it| it.format(&Rfc2822).ok());
    let fields = [
        ("From", mailboxes(&message.from)),
        ("Date", date.unwrap_or_default()),
        ("Subject", one_line(&message.subject)),
        ("To", mailboxes(&message.to)),
        ("Cc", mailboxes(&message.cc)),
    ];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        quoted.push_str(&format!("{name}: {value}\n"));
    }
    quoted.push('\n');
    quoted.push_str(&message.text);
    quoted
}

fn mailboxes(list: &[Mailbox]) -> String {
    let shown = list.iter().map(|it| match it.name.as_str() {
        "" => it.address.clone(),
        name => format!("{} <{}>", one_line(name), it.address),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A whole mail as an attachment named after its subject.
pub fn enclosed(message: &Message, content: Vec<u8>) -> SendAttachment {
    let name: String = one_line(&message.subject)
        .chars()
        .map(|it| if "/\\:".contains(it) { '_' } else { it })
        .collect();
    let name = name[..name.floor_char_boundary(MAX_FILENAME)].trim();
    let name = if name.is_empty() { "message" } else { name };
    SendAttachment {
        filename: format!("{name}.eml"),
        content_type: "message/rfc822".to_owned(),
        content,
        upload_id: String::new(),
    }
}

/// How many mails a content has in one another, itself included; counts no further than `most`.
pub fn nesting(content: &[u8], most: usize) -> usize {
    let mut level = vec![content.to_vec()];
    for depth in 1..most {
        level = level.iter().flat_map(|it| enclosed_in(it)).collect();
        if level.is_empty() {
            return depth;
        }
    }
    most
}

fn enclosed_in(content: &[u8]) -> Vec<Vec<u8>> {
    let tree = Tree::read(content);
    let leaves = tree.leaves().into_iter().map(|at| &tree.entities[at]);
    leaves.filter(|it| it.is("message/rfc822")).map(Entity::octets).collect()
}

/// The attachments of a content, ready to be sent on.
pub fn attachments(message: &Message, content: &[u8]) -> Vec<SendAttachment> {
    let parts = (0..message.attachments.len()).filter_map(|it| part(content, it));
    let passed_on = parts.enumerate().map(|(n, part)| SendAttachment {
        filename: match check_filename(&part.filename) {
            Ok(()) => part.filename,
            Err(_) => format!("attachment-{}", n + 1),
        },
        content_type: match check_content_type(&part.content_type) {
            Ok(()) => part.content_type,
            Err(_) => String::new(),
        },
        content: part.octets,
        upload_id: String::new(),
    });
    passed_on.collect()
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "my.agent@posthouse.localhost";

    fn list(addresses: &[&str]) -> Vec<Mailbox> {
        let mailbox = |it: &&str| Mailbox { name: String::new(), address: (*it).to_owned() };
        addresses.iter().map(mailbox).collect()
    }

    fn received() -> Message {
        Message {
            from: list(&["sarah@x.test"]),
            to: list(&["MyAgent@posthouse.localhost", "bob@x.test", "not an address"]),
            cc: list(&["carol@x.test", "BOB@x.test", "sarah@x.test"]),
            ..Message::default()
        }
    }

    #[track_caller]
    fn check(message: &Message, everybody: bool, to: &[&str], cc: &[&str]) {
        let Recipients { to: found_to, cc: found_cc } = recipients(message, OWN, everybody);
        assert_eq!((found_to, found_cc), (owned(to), owned(cc)));
    }

    fn owned(list: &[&str]) -> Vec<String> {
        list.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn an_answer_goes_to_who_wrote_and_never_to_ourselves() {
        check(&received(), false, &["sarah@x.test"], &[]);
        check(&received(), true, &["sarah@x.test"], &["bob@x.test", "carol@x.test"]);
    }

    #[test]
    fn reply_to_counts_for_more_if_it_is_an_address() {
        let with = |reply_to: &[&str]| Message { reply_to: list(reply_to), ..received() };
        check(&with(&["list@x.test", "desk@x.test"]), false, &["list@x.test", "desk@x.test"], &[]);
        check(&with(&["nobody"]), false, &["sarah@x.test"], &[]);
    }

    #[test]
    fn an_answer_to_our_own_mail_goes_where_that_went() {
        let own = Message { from: list(&[OWN]), reply_to: list(&["x@x.test"]), ..received() };
        check(&own, false, &["bob@x.test"], &[]);
        check(&own, true, &["bob@x.test"], &["carol@x.test", "sarah@x.test"]);
    }

    #[test]
    fn subjects_are_prefixed_once() {
        assert_eq!(reply_subject("Hello"), "Re: Hello");
        assert_eq!(reply_subject("RE: Hello"), "RE: Hello");
        assert_eq!(reply_subject(""), "Re:");
        assert_eq!(reply_subject("a\r\nBcc: b"), "Re: a  Bcc: b");
        assert_eq!(forward_subject("Re: Hello"), "Fwd: Re: Hello");
        assert_eq!(forward_subject("FW: Hello"), "FW: Hello");
        assert!(reply_subject(&"ü".repeat(900)).len() < 998);
    }

    #[test]
    fn a_quote_says_who_wrote_when() {
        let message = Message {
            from: vec![Mailbox { name: "Sarah".to_owned(), address: "sarah@x.test".to_owned() }],
            to: list(&["a@x.test", "b@x.test"]),
            subject: "Hello".to_owned(),
            date_micros: 1_795_500_000_000_000,
            text: "Hi\n".to_owned(),
            ..Message::default()
        };
        let expected = "---------- Forwarded message ----------\nFrom: Sarah <sarah@x.test>\n\
                        Date: Tue, 24 Nov 2026 06:00:00 +0000\nSubject: Hello\n\
                        To: a@x.test, b@x.test\n\nHi\n";
        assert_eq!(quoted(&message), expected);
    }

    #[test]
    fn an_enclosed_mail_is_named_after_its_subject() {
        let named = |subject: &str| {
            let message = Message { subject: subject.to_owned(), ..Message::default() };
            let attachment = enclosed(&message, Vec::new());
            check_filename(&attachment.filename).expect("a filename");
            attachment.filename
        };
        assert_eq!(named("Re: a/b"), "Re_ a_b.eml");
        assert_eq!(named("\r\n"), "message.eml");
        named(&"ü".repeat(500));
    }

    #[test]
    fn counts_mails_in_one_another() {
        let plain = "Subject: s\r\n\r\nt\r\n";
        let enclosing = "Content-Type: message/rfc822\r\n\r\n";
        let count =
            |depth: usize| nesting(format!("{}{plain}", enclosing.repeat(depth)).as_bytes(), 10);
        assert_eq!([0, 1, 8, 9, 1000].map(count), [1, 2, 9, 10, 10]);
        let beside = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                      Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nt\r\n"
            .to_owned();
        let beside = format!("{beside}--b\r\nContent-Type: message/rfc822\r\n\r\n{plain}--b--\r\n");
        assert_eq!(nesting(beside.as_bytes(), 10), 2);
    }
}
