//! The header section of a message or part (RFC 5322 section 2.2, RFC 2045 section 3).

use std::{borrow::Cow, collections::HashSet};

use contract::Mailbox;
use mail_parser::{Addr, Address, ContentType, DateTime, HeaderValue, parsers::MessageStream};

/// The fields that are read. Others may be as many as they like.
const WANTED: &[&str] = &[
    "cc",
    "content-description",
    "content-disposition",
    "content-id",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "in-reply-to",
    "message-id",
    "references",
    "reply-to",
    "subject",
    "thread-index",
    "to",
];

/// Fields that begin beyond this are not read.
const MAX_SECTION: usize = 256 * 1024;
/// What is longer is cut. Far beyond what a list of a thousand recipients needs.
const MAX_FIELD: usize = 128 * 1024;
/// Some parameter syntax costs more than linear time.
const MAX_CONTENT_TYPE: usize = 8 * 1024;
const MAX_FIELDS: usize = 64;
const MAX_MAILBOXES: usize = 1000;
/// A message identifier cannot be folded (RFC 5322 section 2.1.1); what is longer is none.
pub(crate) const MAX_MESSAGE_ID: usize = 998;

pub(crate) struct Fields<'a> {
    fields: Vec<(&'static str, &'a [u8])>,
}

impl<'a> Fields<'a> {
    /// The header section and the body below it.
    pub(crate) fn split(octets: &'a [u8]) -> (Fields<'a>, &'a [u8]) {
        let mut fields = Vec::new();
        let mut any = false;
        let mut at = 0;
        while at < octets.len() {
            let end = line_end(octets, at);
            let line = &octets[at..end];
            if line.trim_ascii_end().is_empty() && !line.starts_with(b" ") {
                // Lines of which none is a field are no header section, but text.
                let body = if any || at == 0 { end } else { 0 };
                return (Fields { fields }, &octets[body..]);
            }
            let end = folded_end(octets, end);
            if at < MAX_SECTION && fields.len() < MAX_FIELDS {
                let name = name(&octets[at..end]);
                any |= name.is_some();
                fields.extend(name.and_then(wanted));
            }
            at = end;
        }
        (Fields { fields }, if any { &[] } else { octets })
    }

    /// The text of a field, encoded words decoded (RFC 2047), on one line.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.first(name).map(|value| one_line(&unstructured(value)))
    }

    /// The first word of a field in lower case, comments left out.
    pub(crate) fn token(&self, name: &str) -> String {
        let value = self.first(name).unwrap_or_default();
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        let token = value.split(['(', ';']).next().unwrap_or_default();
        token.trim().trim_matches('"').to_owned()
    }

    /// The mailboxes of a field, and of every further one of that name; groups are flattened.
    pub(crate) fn mailboxes(&self, name: &str) -> Vec<Mailbox> {
        let mut mailboxes = Vec::new();
        for value in self.all(name) {
            let value = line(value, MAX_FIELD);
            match MessageStream::new(&value).parse_address() {
                HeaderValue::Address(Address::List(list)) => {
                    mailboxes.extend(list.iter().filter_map(mailbox));
                }
                HeaderValue::Address(Address::Group(groups)) => {
                    let list = groups.iter().flat_map(|it| &it.addresses);
                    mailboxes.extend(list.filter_map(mailbox));
                }
                _ => (),
            }
        }
        mailboxes.truncate(MAX_MAILBOXES);
        mailboxes
    }

    /// The message identifiers of a field, without their angle brackets; what stands outside of
    /// brackets is not one.
    pub(crate) fn message_ids(&self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut seen = HashSet::new();
        for value in self.all(name) {
            let value = String::from_utf8_lossy(value);
            for piece in value.split('<').skip(1) {
                let Some((id, _)) = piece.split_once('>') else { continue };
                // Folded in the middle, as some do.
                let id: String = id.chars().filter(|it| !is_blank(*it)).collect();
                if (1..=MAX_MESSAGE_ID).contains(&id.len()) && seen.insert(id.clone()) {
                    ids.push(id);
                }
            }
        }
        ids
    }

    /// Microseconds since 1970.
    pub(crate) fn date_micros(&self, name: &str) -> Option<i64> {
        let value = line(self.first(name)?, MAX_CONTENT_TYPE);
        match MessageStream::new(&value).parse_date() {
            HeaderValue::DateTime(date) if DateTime::is_valid(&date) => {
                Some(date.to_timestamp() * 1_000_000)
            }
            _ => None,
        }
    }

    /// Content-Type or Content-Disposition with their parameters (RFC 2231).
    pub(crate) fn content_type(&self, name: &str) -> Option<ContentType<'static>> {
        let value = line(self.first(name)?, MAX_CONTENT_TYPE);
        match MessageStream::new(&value).parse_content_type().into_owned() {
            HeaderValue::ContentType(it) => Some(it),
            _ => None,
        }
    }

    /// The field as it stands.
    pub(crate) fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(it, _)| *it == name).map(|(_, value)| *value)
    }
}

/// On one line, without control characters: NUL, which PostgreSQL refuses, and line breaks, which
/// must not come back into a header, among them.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    text.trim().to_owned()
}

fn line_end(octets: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &octets[from..]).map_or(octets.len(), |it| from + it + 1)
}

/// Where the field that has a line up to `end` is over: a line that begins with white space
/// continues it (RFC 5322 section 2.2.3).
fn folded_end(octets: &[u8], mut end: usize) -> usize {
    while matches!(octets.get(end), Some(b' ' | b'\t')) {
        end = line_end(octets, end);
    }
    end
}

/// The name and the value of a field (RFC 5322 section 3.6.8); `None` for a line that is none.
fn name(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', octets)?;
    let name = octets[..colon].trim_ascii_end();
    let sound = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    sound.then_some((name, &octets[colon + 1..]))
}

fn wanted<'a>((name, value): (&[u8], &'a [u8])) -> Option<(&'static str, &'a [u8])> {
    let name = WANTED.iter().find(|it| name.eq_ignore_ascii_case(it.as_bytes()))?;
    Some((name, value))
}

/// A value as mail-parser wants it: cut to a length, and ended.
fn line(value: &[u8], limit: usize) -> Cow<'_, [u8]> {
    let cut = &value[..value.len().min(limit)];
    if cut.ends_with(b"\n") { cut.into() } else { [cut, b"\n"].concat().into() }
}

fn unstructured(value: &[u8]) -> String {
    let value = line(value, MAX_FIELD);
    match MessageStream::new(&value).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => String::new(),
    }
}

fn mailbox(addr: &Addr<'_>) -> Option<Mailbox> {
    let address = one_line(addr.address.as_deref()?);
    let name = addr.name.as_deref().map(one_line).unwrap_or_default();
    (!address.is_empty()).then_some(Mailbox { name, address })
}

fn is_blank(it: char) -> bool {
    it.is_whitespace() || it.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(section: &'static str) -> Fields<'static> {
        Fields::split(section.as_bytes()).0
    }

    #[test]
    fn a_section_ends_at_the_first_empty_line() {
        for (octets, body) in [
            ("Subject: a\r\n\r\nb", "b"),
            ("Subject: a\n\nb\n\nc", "b\n\nc"),
            ("\r\nSubject: a", "Subject: a"),
            ("Subject: a", ""),
            ("", ""),
            ("just text\n\nhere", "just text\n\nhere"),
            ("From a@x.test Mon\nSubject: a\n\nb", "b"),
        ] {
            assert_eq!(Fields::split(octets.as_bytes()).1, body.as_bytes());
        }
    }

    #[test]
    fn folded_fields_and_encoded_words() {
        let fields = fields("sUbject : =?utf-8?Q?caf=C3=A9?=\r\n =?utf-8?B?IMOp?= x\r\n\ty\r\n");
        assert_eq!(fields.text("subject").as_deref(), Some("café é x y"));
    }

    #[test]
    fn only_what_is_in_angle_brackets_is_a_message_identifier() {
        let fields = fields(
            "References: \"x@y\" <a@b>,<c\r\n @d> <> <e@f\r\nIn-Reply-To: mail of Monday\r\n",
        );
        assert_eq!(fields.message_ids("references"), ["a@b", "c@d"]);
        assert!(fields.message_ids("in-reply-to").is_empty());
    }

    #[test]
    fn groups_are_flattened() {
        let fields = fields("To: Us: A <a@x.test>, b@x.test;, =?utf-8?q?=C3=A9?= <c@x.test>\r\n");
        let addresses: Vec<String> =
            fields.mailboxes("to").into_iter().map(|it| it.name + "|" + &it.address).collect();
        assert_eq!(addresses, ["A|a@x.test", "|b@x.test", "é|c@x.test"]);
    }

    #[test]
    fn no_line_break_comes_out_of_an_encoded_word() {
        let fields = fields("Subject: =?utf-8?Q?a=0D=0ABcc:_b=00?=\n");
        assert_eq!(fields.text("subject").as_deref(), Some("a  Bcc: b"));
    }
}
