//! A whole message that somebody else composed (RFC 5322): whether it may go out as it is, and the
//! little that is done to it (RFC 6409 section 8). What stands in its body is never touched.
//!
//! Stricter than reading: nobody downstream may see another author, another end of the header section
//! or another end of the mail than we do.

use std::{borrow::Cow, ops::Range};

use contract::{Rejection, SendRequest};
use memchr::{memchr, memchr2};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::{address::Address, author::addr_spec, fields::Fields, syntax::is_message_id};

/// The largest message: what intake takes from the world by default, and room for its trace field.
pub const MAX_CONTENT: usize = 36 * 1024 * 1024;
/// Without Received fields, which others add.
const MAX_HEADER: usize = 256 * 1024;
/// RFC 5322 section 2.1.1, without CRLF.
const MAX_LINE: usize = 998;

/// At most one of each (RFC 5322 section 3.6); lower case.
const UNIQUE: [&str; 10] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
];

/// What is taken out: hidden recipients, and what only a receiver can know (RFC 5321 section 4.4,
/// RFC 8601 section 5). Received fields stay: loops are seen by them.
const REMOVED: [&str; 6] =
    ["authentication-results", "bcc", "delivered-to", "received-spf", "resent-bcc", "return-path"];

/// Why a message cannot go out. Names no values, so that it can stand in a reply.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Flaw {
    #[error("the message is larger than 36 MiB")]
    TooLarge,
    #[error("the header section is larger than 256 KiB")]
    HeaderTooLarge,
    #[error("line {0} is longer than 998 octets (RFC 5322 section 2.1.1): encode the part")]
    LineTooLong(usize),
    #[error("line {0} has a CR or LF that stands alone: a line ends with CRLF")]
    BareLineEnd(usize),
    #[error("line {0} has a NUL")]
    Nul(usize),
    #[error("line {0} is no header field")]
    NoField(usize),
    #[error("line {0} of the header section is not UTF-8")]
    NotUtf8(usize),
    #[error("there is no From field")]
    NoFrom,
    #[error("{0} is there twice (RFC 5322 section 3.6)")]
    Twice(&'static str),
    #[error("{0} is not one address")]
    NotOneAddress(&'static str),
    #[error("{0} is not the address of the inbox")]
    Foreign(&'static str),
}

impl From<Flaw> for Rejection {
    fn from(flaw: Flaw) -> Rejection {
        let code = match flaw {
            Flaw::TooLarge => "too_large",
            _ => "invalid_request",
        };
        Rejection { code: code.to_owned(), message: format!("content: {flaw}") }
    }
}

/// Whether a request with a whole message says nothing else, and the message can go out.
pub(crate) fn check(request: &SendRequest) -> Result<(), Rejection> {
    let known = SendRequest {
        from: request.from.clone(),
        to: request.to.clone(),
        validate_only: request.validate_only,
        send_at: request.send_at.clone(),
        ttl_seconds: request.ttl_seconds,
        on_unknown: request.on_unknown.clone(),
        notify: request.notify.clone(),
        content: request.content.clone(),
        lease_id: request.lease_id.clone(),
        ..SendRequest::default()
    };
    if *request != known {
        let message = "content: with it go only from, to, sendAt, ttlSeconds, validateOnly, onUnknown, \
                       notify and leaseId; the rest is in the message";
        return Err(Rejection { code: "invalid_request".to_owned(), message: message.to_owned() });
    }
    let whole = Whole::read(&request.content)?;
    // Where it is left out, only the subject of the request tells the inbox.
    if let Ok(from) = request.from.parse::<Address>() {
        whole.check_author(&from.canonical())?;
    }
    Ok(())
}

/// A message that may go out.
#[derive(Debug)]
pub struct Whole<'a> {
    /// CRLF is its only line end, and stands at its end.
    content: Cow<'a, [u8]>,
    fields: Vec<Field>,
    /// Where the body begins, behind the empty line.
    body: usize,
    from: Address,
    sender: Option<Address>,
    message_id: Option<String>,
    is_dated: bool,
}

#[derive(Clone, Debug)]
struct Field {
    /// In lower case.
    name: String,
    /// Of the first line, from 1.
    line: usize,
    /// With the name and the last line end.
    whole: Range<usize>,
    value: Range<usize>,
}

impl<'a> Whole<'a> {
    /// Lines may end with LF alone if all do, as many tools write them.
    pub fn read(content: &'a [u8]) -> Result<Whole<'a>, Flaw> {
        let content = with_crlf(content);
        if content.len() > MAX_CONTENT {
            return Err(Flaw::TooLarge);
        }
        check_lines(&content)?;
        let (fields, body) = fields(&content)?;
        let written = fields.iter().filter(|it| it.name != "received").map(|it| it.whole.len());
        if written.sum::<usize>() > MAX_HEADER {
            return Err(Flaw::HeaderTooLarge);
        }
        for name in UNIQUE {
            if fields.iter().filter(|it| it.name == name).count() > 1 {
                return Err(Flaw::Twice(name));
            }
        }
        let from = only_address(&content, &fields, "from")?.ok_or(Flaw::NoFrom)?;
        let sender = only_address(&content, &fields, "sender")?;
        let read = Fields::split(&content[..body]).0;
        let message_id = message_id(&content, &fields);
        let is_dated = read.date_micros("date").is_some();
        Ok(Whole { content, fields, body, from, sender, message_id, is_dated })
    }

    /// That it is from the inbox of this canonical address.
    pub fn check_author(&self, canonical: &str) -> Result<(), Flaw> {
        if self.from.canonical() != canonical {
            return Err(Flaw::Foreign("From"));
        }
        match &self.sender {
            Some(sender) if sender.canonical() != canonical => Err(Flaw::Foreign("Sender")),
            _ => Ok(()),
        }
    }

    /// Its own identifier without angle brackets, if it has a valid one.
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// The octets that go out. `message_id` and `date` (seconds since 1970) are for a message that
    /// has none, or none that is valid (RFC 6409 sections 8.2 and 8.3).
    pub fn finish(&self, message_id: &str, date: i64) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.content.len() + 256);
        for field in self.fields.iter().filter(|it| self.keeps(it)) {
            octets.extend_from_slice(&self.content[field.whole.clone()]);
        }
        if !self.is_dated {
            let date = OffsetDateTime::from_unix_timestamp(date)
                .ok()
                .and_then(|it| it.format(&Rfc2822).ok())
                .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned());
            octets.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
        }
        if self.message_id.is_none() {
            octets.extend_from_slice(format!("Message-ID: <{message_id}>\r\n").as_bytes());
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(&self.content[self.body..]);
        octets
    }

    fn keeps(&self, field: &Field) -> bool {
        match field.name.as_str() {
            "date" => self.is_dated,
            "message-id" => self.message_id.is_some(),
            name => !REMOVED.contains(&name),
        }
    }
}

fn with_crlf(content: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\r', content).is_some() || memchr(b'\n', content).is_none() {
        if content.ends_with(b"\n") {
            return Cow::Borrowed(content);
        }
        return Cow::Owned([content, b"\r\n"].concat());
    }
    let mut octets = Vec::with_capacity(content.len() + content.len() / 32 + 2);
    for line in content.split_inclusive(|it| *it == b'\n') {
        octets.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        octets.extend_from_slice(b"\r\n");
    }
    Cow::Owned(octets)
}

fn check_lines(content: &[u8]) -> Result<(), Flaw> {
    let mut rest = content;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        if !rest[end..].starts_with(b"\r\n") {
            return Err(Flaw::BareLineEnd(number));
        }
        let line = &rest[..end];
        if line.len() > MAX_LINE {
            return Err(Flaw::LineTooLong(number));
        }
        if memchr(0, line).is_some() {
            return Err(Flaw::Nul(number));
        }
        rest = &rest[end + 2..];
    }
    Ok(())
}

/// The fields, and where the body begins.
fn fields(content: &[u8]) -> Result<(Vec<Field>, usize), Flaw> {
    let mut fields: Vec<Field> = Vec::new();
    let mut at = 0;
    for number in 1.. {
        let Some(length) = memchr(b'\n', &content[at..]) else { break };
        let end = at + length + 1;
        let line = &content[at..end - 2];
        if line.is_empty() {
            return Ok((fields, end));
        }
        std::str::from_utf8(line).map_err(|_| Flaw::NotUtf8(number))?;
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            // A line of blanks alone ends the section for some.
            let field = fields.last_mut().filter(|_| !line.trim_ascii().is_empty());
            let field = field.ok_or(Flaw::NoField(number))?;
            (field.whole.end, field.value.end) = (end, end);
        } else {
            let colon = memchr(b':', line).ok_or(Flaw::NoField(number))?;
            let name = line[..colon].trim_ascii_end();
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return Err(Flaw::NoField(number));
            }
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let value = at + colon + 1..end;
            fields.push(Field { name, line: number, whole: at..end, value });
        }
        at = end;
    }
    Ok((fields, content.len()))
}

/// The address of a field that has to have exactly one, in a form that everybody reads alike: there is
/// neither a group nor an address outside the angle brackets.
fn only_address(
    content: &[u8],
    fields: &[Field],
    name: &'static str,
) -> Result<Option<Address>, Flaw> {
    let Some(field) = fields.iter().find(|it| it.name == name) else { return Ok(None) };
    let flaw = Flaw::NotOneAddress(if name == "from" { "From" } else { "Sender" });
    let value = std::str::from_utf8(&content[field.value.clone()])
        .map_err(|_| Flaw::NotUtf8(field.line))?;
    let address: Address = addr_spec(value).and_then(|it| it.parse().ok()).ok_or(flaw)?;
    // What reads the mail later must agree.
    let (read, _) = Fields::split(&content[field.whole.clone()]);
    let mailbox = read.only_mailbox(name).and_then(|it| it.parse::<Address>().ok());
    if mailbox.as_ref() == Some(&address) { Ok(Some(address)) } else { Err(flaw) }
}

/// An identifier as everybody writes it, alone in its field.
fn message_id(content: &[u8], fields: &[Field]) -> Option<String> {
    let field = fields.iter().find(|it| it.name == "message-id")?;
    let value = std::str::from_utf8(&content[field.value.clone()]).ok()?.trim();
    let id = value.strip_prefix('<')?.strip_suffix('>')?;
    let is_valid = is_message_id(id) && id.is_ascii() && id.contains('@');
    is_valid.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "ada@x.test";

    #[track_caller]
    fn finished(content: &str, expected: &str) {
        let whole = Whole::read(content.as_bytes()).expect("read");
        whole.check_author(OURS).expect("ours");
        let octets = whole.finish("ours@x.test", 1_795_498_872);
        assert_eq!(String::from_utf8_lossy(&octets), expected);
    }

    #[track_caller]
    fn refused(content: &[u8], flaw: Flaw) {
        assert_eq!(Whole::read(content).expect_err("refuse"), flaw);
    }

    #[test]
    fn what_is_missing_is_added_below() {
        finished(
            "From: ada@x.test\r\n\r\nHi\r\n",
            "From: ada@x.test\r\nDate: Tue, 24 Nov 2026 05:41:12 +0000\r\n\
             Message-ID: <ours@x.test>\r\n\r\nHi\r\n",
        );
    }

    #[test]
    fn what_is_there_stays_octet_for_octet() {
        let content = "Received: from a\r\n\tby b; x\r\nX-A:  b \r\nDate: Tue, 24 Nov 2026 01:02:03 +0100\r\n\
                       From: \"A, B\" <Ada+tag@X.test>\r\nMESSAGE-ID:\r\n <1@y.test>\r\nSubject: \u{e9}\r\n\
                       Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n x \r\n.\r\n--b--\r\n";
        finished(content, content);
        assert_eq!(Whole::read(content.as_bytes()).expect("read").message_id(), Some("1@y.test"));
    }

    #[test]
    fn hidden_recipients_and_foreign_trace_go() {
        let kept =
            "From: ada@x.test\r\nDate: Tue, 24 Nov 2026 01:02:03 +0100\r\nMessage-ID: <1@y>\r\n";
        let removed = "Bcc: hidden@y.test,\r\n other@y.test\r\nreturn-path: <a@b>\r\nResent-Bcc: a@b\r\n\
                       Delivered-To: a@b\r\nReceived-SPF: pass\r\nAuthentication-Results: mx; spf=pass\r\n";
        finished(
            &format!("{removed}{kept}BCC: x@y.test\r\n\r\nBcc: b\r\n"),
            &format!("{kept}\r\nBcc: b\r\n"),
        );
    }

    #[test]
    fn invalid_dates_and_identifiers_are_replaced() {
        for wrong in ["1@y", "<1>", "<a b@y>", "<1@y> <2@y>", "<\u{e9}@y>"] {
            finished(
                &format!("Message-ID: {wrong}\r\nDate: tomorrow\r\nFrom: ada@x.test\r\n\r\n"),
                "From: ada@x.test\r\nDate: Tue, 24 Nov 2026 05:41:12 +0000\r\n\
                 Message-ID: <ours@x.test>\r\n\r\n",
            );
        }
    }

    #[test]
    fn lines_may_end_with_lf_alone_if_all_do() {
        let kept =
            "Date: Tue, 24 Nov 2026 01:02:03 +0100\nMessage-ID: <1@y>\nFrom: ada@x.test\n\nHi\n.";
        finished(kept, &format!("{}\r\n", kept.replace('\n', "\r\n")));
        let header_only =
            "From: ada@x.test\nMessage-ID: <1@y>\nDate: Tue, 24 Nov 2026 01:02:03 +0100";
        finished(header_only, &format!("{}\r\n\r\n", header_only.replace('\n', "\r\n")));
        refused(b"From: ada@x.test\r\n\r\na\nb\r\n", Flaw::BareLineEnd(3));
        refused(b"From: ada@x.test\r\n\r\na\rb\r\n", Flaw::BareLineEnd(3));
        refused(b"From: ada@x.test\n\na\r", Flaw::BareLineEnd(1));
    }

    #[test]
    fn nobody_may_see_another_header_section() {
        refused(b"From: ada@x.test\r\n \t\r\nX: y\r\n\r\n", Flaw::NoField(2));
        refused(b" a\r\nFrom: ada@x.test\r\n\r\n", Flaw::NoField(1));
        refused(b"From ada Monday\r\nFrom: ada@x.test\r\n\r\n", Flaw::NoField(1));
        refused(b"From: ada@x.test\r\ntext\r\n\r\n", Flaw::NoField(2));
        refused(b"From: ada@x.test\r\n: y\r\n\r\n", Flaw::NoField(2));
        refused(b"From: ada@x.test\r\nX: \xff\r\n\r\n", Flaw::NotUtf8(2));
        refused(b"From: ada@x.test\r\n\r\n\0\r\n", Flaw::Nul(3));
        refused(b"\r\nFrom: ada@x.test\r\n", Flaw::NoFrom);
        refused(b"x", Flaw::NoField(1));
        Whole::read(b"From: ada@x.test\r\n\r\n\xff\r\n").expect("8 bit in the body");
        let header = format!("From: ada@x.test\r\n{}\r\n", "X: y\r\n".repeat(50_000));
        refused(header.as_bytes(), Flaw::HeaderTooLarge);
        let traced = header.replace("X:", "Received:");
        Whole::read(traced.as_bytes()).expect("trace does not count");
    }

    #[test]
    fn nobody_may_see_another_author() {
        let content = b"From: =?utf-8?q?Ad=C3=A1?=\r\n <a.d.a+x@X.TEST> (Ada)\r\n\r\n";
        Whole::read(content).expect("read").check_author(OURS).expect("ours");
        let two = b"From: boss@y.test <ada@x.test>\r\n\r\n";
        refused(two, Flaw::NotOneAddress("From"));
        refused(b"From: Us: ada@x.test;\r\n\r\n", Flaw::NotOneAddress("From"));
        refused(b"From: ada@x.test\r\nfrom: boss@y.test\r\n\r\n", Flaw::Twice("from"));
        refused(b"From: ada@x.test\r\nSender: a@b, c@d\r\n\r\n", Flaw::NotOneAddress("Sender"));
        let author =
            |content: &str| Whole::read(content.as_bytes()).expect("read").check_author(OURS);
        assert_eq!(author("From: boss@y.test\r\n\r\n"), Err(Flaw::Foreign("From")));
        let sender = "From: ada@x.test\r\nSender: boss@y.test\r\n\r\n";
        assert_eq!(author(sender), Err(Flaw::Foreign("Sender")));
    }

    #[test]
    fn lines_and_sizes_have_bounds() {
        let line = |n| format!("From: ada@x.test\r\n\r\n{}\r\n", "a".repeat(n));
        Whole::read(line(998).as_bytes()).expect("the longest");
        refused(line(999).as_bytes(), Flaw::LineTooLong(3));
        let large = line(900) + &format!("{}\r\n", "a".repeat(898)).repeat(MAX_CONTENT / 900);
        refused(large.as_bytes(), Flaw::TooLarge);
    }

    #[test]
    fn a_request_says_nothing_beside_the_message() {
        let mut request = SendRequest {
            to: vec!["b@y.test".to_owned()],
            content: b"From: ada@x.test\r\n\r\n".to_vec(),
            ttl_seconds: Some(60),
            ..SendRequest::default()
        };
        crate::check(&request, 0).expect("pass");
        request.from = "A.da@x.test".to_owned();
        crate::check(&request, 0).expect("the same inbox");
        request.from = "boss@x.test".to_owned();
        let rejection = crate::check(&request, 0).expect_err("refuse");
        assert_eq!(rejection.message, "content: From is not the address of the inbox");
        request.from.clear();
        request.subject = "Hi".to_owned();
        let rejection = crate::check(&request, 0).expect_err("refuse");
        assert!(rejection.message.starts_with("content: with it go only"), "{rejection:?}");
        request.subject.clear();
        request.ttl_seconds = Some(0);
        crate::check(&request, 0).expect_err("its time is checked too");
        request.ttl_seconds = None;
        request.content = b"text".to_vec();
        let rejection = crate::check(&request, 0).expect_err("refuse");
        assert_eq!(rejection.message, "content: line 1 is no header field");
    }
}
