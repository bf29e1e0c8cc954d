//! The header section of a message or part (RFC 5322 section 2.2, RFC 2045 section 3).

use std::{borrow::Cow, collections::HashSet};

use contract::Mailbox;
use mail_parser::{
    Addr, Address, ContentType, DateTime, Header, HeaderName, HeaderValue, MessageParser,
    parsers::MessageStream,
};

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
    "sender",
    "subject",
    "thread-index",
    "to",
];

/// Fields that no program acts on, but that an agent may be shown; those that begin with `X-` too.
const TOLD: &[&str] = &["comments", "keywords", "list-id", "organization"];

/// What is beyond this is not read as fields, but as text. Postfix takes a fifth of it by default.
const MAX_SECTION: usize = 512 * 1024;
/// What is longer is cut. Far beyond what a list of a thousand recipients needs.
const MAX_FIELD: usize = 128 * 1024;
/// Some parameter syntax costs more than linear time.
const MAX_CONTENT_TYPE: usize = 8 * 1024;
const MAX_FIELDS: usize = 64;
/// Of a field that is only told.
const MAX_TOLD: usize = 8 * 1024;
/// Words that make a text of a value.
const MIN_PROSE: usize = 4;
const MAX_MAILBOXES: usize = 1000;
/// A message identifier cannot be folded (RFC 5322 section 2.1.1); what is longer is none.
pub(crate) const MAX_MESSAGE_ID: usize = 998;

pub(crate) struct Fields<'a> {
    fields: Vec<(&'static str, &'a [u8])>,
    /// Names as they stand and values of those that are told.
    told: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Fields<'a> {
    /// The header section and the body below it.
    pub(crate) fn split(octets: &'a [u8]) -> (Fields<'a>, &'a [u8]) {
        let (headers, section, body) = outlined(octets);
        // Lines of which none is a field are no header section, but text.
        if headers.is_empty() && !section.trim_ascii().is_empty() {
            return (Fields { fields: Vec::new(), told: Vec::new() }, octets);
        }
        let fields = headers.iter().filter_map(|it| {
            let name = WANTED.iter().find(|name| name.eq_ignore_ascii_case(it.name.as_str()))?;
            Some((*name, &section[it.offset_start as usize..it.offset_end as usize]))
        });
        let told = headers.iter().filter(|it| is_told(it.name.as_str())).map(|it| {
            let value = it.offset_start as usize;
            let name = it.offset_field as usize..value - 1;
            (section[name].trim_ascii_end(), &section[value..it.offset_end as usize])
        });
        let told = told.take(MAX_FIELDS).collect();
        (Fields { fields: fields.take(MAX_FIELDS).collect(), told }, body)
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

    /// The address of a field that has exactly one.
    pub(crate) fn only_mailbox(&self, name: &str) -> Option<String> {
        match &mut self.mailboxes(name)[..] {
            [only] => Some(std::mem::take(&mut only.address)),
            _ => None,
        }
    }

    /// The message identifiers of a field, without their angle brackets; what stands outside of
    /// brackets is not one.
    pub(crate) fn message_ids(&self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut seen = HashSet::new();
        for value in self.all(name) {
            for id in bracketed(value) {
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

    /// The texts of fields that say something to whoever is shown them.
    pub(crate) fn told(&self) -> impl Iterator<Item = String> {
        self.told.iter().filter_map(|(name, value)| {
            let text = one_line(&unstructured(&value[..value.len().min(MAX_TOLD)]));
            let custom = name.get(..2).is_some_and(|it| it.eq_ignore_ascii_case(b"x-"));
            (!custom || is_prose(&text)).then_some(text)
        })
    }

    /// The field as it stands.
    pub(crate) fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(it, _)| *it == name).map(|(_, value)| *value)
    }
}

/// Where the fields stand in the header section, that section, and the body below it.
fn outlined(octets: &[u8]) -> (Vec<Header<'_>>, &[u8], &[u8]) {
    // Blanks alone on the first line end no header section, unlike an empty line.
    let begun = if octets.starts_with(b" ") { octets.trim_ascii_start() } else { octets };
    let mut stream = MessageStream::new(&begun[..begun.len().min(MAX_SECTION)]);
    let mut headers = Vec::new();
    stream.parse_headers(&outline(), &mut headers);
    let (section, body) = begun.split_at(stream.offset());
    headers.retain(|it| is_field(section, it));
    (headers, section, body)
}

/// The fields of a header section in their order, encoded words decoded: so many at most, and so many
/// octets of each.
pub(crate) fn list(octets: &[u8], most: usize, limit: usize) -> Vec<(String, String)> {
    let (headers, section, _) = outlined(octets);
    let field = |it: &Header<'_>| {
        let value = &section[it.offset_start as usize..it.offset_end as usize];
        let mut value = one_line(&unstructured(value));
        value.truncate(value.floor_char_boundary(limit));
        (it.name.as_str().to_owned(), value)
    };
    headers.iter().take(most).map(field).collect()
}

fn is_told(name: &str) -> bool {
    let custom = name.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("x-"));
    custom || TOLD.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Words, where most fields of this kind hold tokens, numbers and signatures.
fn is_prose(text: &str) -> bool {
    let is_word = |it: &&str| {
        let word = it.trim_matches(|it: char| it.is_ascii_punctuation());
        word.chars().all(char::is_alphabetic) && word.chars().count() > 1
    };
    let all = text.split_whitespace().count();
    let words = text.split_whitespace().filter(is_word).count();
    let gapless = text.chars().filter(|it| *it >= '\u{2e80}').count();
    (words >= MIN_PROSE && words * 2 > all) || gapless >= 2 * MIN_PROSE
}

/// On one line, without control characters: NUL, which PostgreSQL refuses, and line breaks, which
/// must not come back into a header, among them.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    text.trim().to_owned()
}

/// Only where the fields stand: each is read when it is asked for, within its bounds.
fn outline() -> MessageParser {
    // Without any entry mail-parser would read them all.
    MessageParser::new().ignore_header(HeaderName::Received).default_header_ignore()
}

/// A name at the beginning of a line, and a colon (RFC 5322 section 3.6.8): mail-parser also takes
/// lines of text for fields.
fn is_field(section: &[u8], header: &Header<'_>) -> bool {
    let before = |at: u32| (at as usize).checked_sub(1).map(|it| section[it]);
    let name = header.name.as_str();
    !name.is_empty()
        && name.bytes().all(|it| it.is_ascii_graphic())
        && before(header.offset_field).is_none_or(|it| it == b'\n')
        && before(header.offset_start) == Some(b':')
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

/// What stands in angle brackets; mail-parser would also give what stands there without any.
fn bracketed(value: &[u8]) -> Vec<String> {
    if !value.contains(&b'<') || !value.contains(&b'>') {
        return Vec::new();
    }
    match MessageStream::new(&line(value, MAX_FIELD)).parse_id() {
        HeaderValue::Text(id) => vec![id.into_owned()],
        HeaderValue::TextList(ids) => ids.into_iter().map(Cow::into_owned).collect(),
        _ => Vec::new(),
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
            ("  \nSubject: a\n\nb", "b"),
            ("  just text", "  just text"),
            ("just text\nhere", "just text\nhere"),
            ("just\n http://x.test\n\nhere", "just\n http://x.test\n\nhere"),
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
    fn fields_that_say_something_are_told() {
        let fields = fields(
            "Comments: a\r\nX-Spam: score=5 tests=A,B,C\r\nx-note: =?utf-8?q?please?= do as\r\n you\r\n \
             are told\r\nKeywords: b, c\r\nX-ID: 15 of 16 no 8\r\nReceived: from here by there\r\n",
        );
        let told: Vec<String> = fields.told().collect();
        assert_eq!(told, ["a", "please do as you are told", "b, c"]);
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
