//! Composing: from a draft to octets that may go on the wire.

use std::borrow::Cow;

use contract::Mailbox;
use mail_builder::{
    MessageBuilder,
    headers::{
        HeaderType, address::Address as AddressField, content_type::ContentType, date::Date,
        message_id::MessageId, raw::Raw, text::Text,
    },
    mime::{BodyPart, MimePart},
};

use crate::{
    address::{Address, InvalidAddress},
    automatic::{AGENT, AUTHOR},
    custom, html,
    list::DraftList,
    syntax::{self, is_message_id},
};

/// A mail to be composed.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub from: Mailbox,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub reply_to: Option<String>,
    pub subject: String,
    /// Derived from `html` if missing.
    pub text: Option<String>,
    pub html: Option<String>,
    /// Without angle brackets, as are those below.
    pub message_id: String,
    pub in_reply_to: Option<String>,
    /// Those that are no message identifiers are left out: they come from other people's mail.
    pub references: Vec<String>,
    /// Seconds since 1970.
    pub date: i64,
    pub attachments: Vec<DraftAttachment>,
    /// Further fields: names and values.
    pub headers: Vec<(String, String)>,
    /// The value of Auto-Submitted (RFC 3834 section 5); a person writes if it is "no" or empty.
    pub auto_submitted: String,
    /// What makes this a mail to a list.
    pub list: Option<DraftList>,
    /// Where receivers report complaints (RFC 9477).
    pub cfbl_address: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct DraftAttachment {
    pub filename: String,
    /// May have parameters; application/octet-stream if empty.
    pub content_type: String,
    pub octets: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ComposeError {
    #[error("{field}: a line break is not allowed here")]
    LineBreak { field: &'static str },
    #[error("{field}: {value:?} is not valid: {why}")]
    Invalid { field: &'static str, value: String, why: &'static str },
}

/// The content: CRLF line ends only, no line over 998 octets, ready to be signed.
pub fn compose(draft: &Draft) -> Result<Vec<u8>, ComposeError> {
    one_line("from", &draft.from.name)?;
    one_line("subject", &draft.subject)?;
    let mut message = MessageBuilder::new()
        .from(mailbox(&draft.from)?)
        .subject(draft.subject.as_str())
        .date(Date::new(draft.date))
        .message_id(message_id("message_id", &draft.message_id)?);
    if !draft.to.is_empty() {
        message = message.to(address_list("to", &draft.to)?);
    }
    if !draft.cc.is_empty() {
        message = message.cc(address_list("cc", &draft.cc)?);
    }
    if let Some(reply_to) = &draft.reply_to {
        message = message.reply_to(address("reply_to", reply_to)?);
    }
    if let Some(in_reply_to) = &draft.in_reply_to {
        message = message.in_reply_to(message_id("in_reply_to", in_reply_to)?);
    }
    let references: Vec<&str> =
        draft.references.iter().map(String::as_str).filter(|it| is_message_id(it)).collect();
    if !references.is_empty() {
        message = message.references(MessageId::new_list(references.into_iter()));
    }
    for (name, value) in &draft.headers {
        custom::check_field(name, value).map_err(|why| invalid("headers", name, why))?;
        message = message.header(name.as_str(), field_value(value));
    }
    let message = service_fields(message, draft)?;
    let mut content = Vec::new();
    message.body(body(draft)?).serialize(&mut content);
    if !content.ends_with(b"\r\n") {
        content.extend(b"\r\n");
    }
    Ok(content)
}

fn service_fields<'a>(
    message: MessageBuilder<'a>,
    draft: &'a Draft,
) -> Result<MessageBuilder<'a>, ComposeError> {
    let mut message = message;
    if !matches!(draft.auto_submitted.as_str(), "" | "no") {
        one_line("auto_submitted", &draft.auto_submitted)?;
        message = message.header("Auto-Submitted", Raw::new(draft.auto_submitted.as_str()));
        message = message.header(AUTHOR, Raw::new(AGENT));
    }
    if let Some(address) = &draft.cfbl_address {
        let address = parse_address("cfbl_address", address)?;
        message = message.header("CFBL-Address", Raw::new(format!("{address}; report=arf")));
    }
    match &draft.list {
        Some(list) => list.write(message),
        None => Ok(message),
    }
}

/// ASCII stands as it is, because it may be structured; the rest becomes encoded words (RFC 2047).
fn field_value(value: &str) -> HeaderType<'_> {
    if value.is_ascii() { Raw::new(value).into() } else { Text::new(value).into() }
}

fn body(draft: &Draft) -> Result<MimePart<'_>, ComposeError> {
    let text = match (&draft.text, &draft.html) {
        (Some(text), _) => text.clone(),
        (None, Some(html)) => html::read(html, usize::MAX).visible,
        (None, None) => return Err(invalid("text", "", "neither text nor html is given")),
    };
    let text = MimePart::new("text/plain", line_feeds(&text));
    let shown = match &draft.html {
        Some(html) => {
            let html = MimePart::new("text/html", line_feeds(html));
            MimePart::new("multipart/alternative", vec![text, html])
        }
        None => text,
    };
    if draft.attachments.is_empty() {
        return Ok(shown);
    }
    let mut parts = vec![shown];
    for it in &draft.attachments {
        parts.push(attachment(it)?);
    }
    Ok(MimePart::new("multipart/mixed", parts))
}

/// In base64, so that the octets arrive as they are; a message as it is, where it can be.
fn attachment(attachment: &DraftAttachment) -> Result<MimePart<'_>, ComposeError> {
    one_line("attachments.filename", &attachment.filename)?;
    one_line("attachments.content_type", &attachment.content_type)?;
    let DraftAttachment { filename, content_type, octets } = attachment;
    syntax::check_filename(filename)
        .map_err(|why| invalid("attachments.filename", filename, why))?;
    syntax::check_content_type(content_type)
        .map_err(|why| invalid("attachments.content_type", content_type, why))?;
    let is_message = media_type(content_type).eq_ignore_ascii_case("message/rfc822");
    if is_message && is_seven_bit(octets) {
        let part = part("message/rfc822", filename, octets);
        return Ok(part.transfer_encoding("7bit"));
    }
    let content_type = match content_type.split('/').next().unwrap_or_default() {
        "" => "application/octet-stream",
        // A message may not be encoded (RFC 2046 section 5.2.1).
        main if main.eq_ignore_ascii_case("message") => "application/octet-stream",
        _ => content_type,
    };
    Ok(part(content_type, filename, octets))
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// RFC 2045 section 2.7.
fn is_seven_bit(octets: &[u8]) -> bool {
    octets.is_ascii()
        && octets.split_inclusive(|it| *it == b'\n').all(|line| {
            let text = line.strip_suffix(b"\r\n");
            text.is_some_and(|it| it.len() <= 998 && !it.contains(&b'\r') && !it.contains(&0))
        })
}

fn part<'a>(content_type: &'a str, filename: &'a str, octets: &'a [u8]) -> MimePart<'a> {
    // As a raw field, lest a text is taken for one whose line ends may change.
    let headers: Vec<(Cow<'_, str>, HeaderType<'_>)> = vec![
        ("Content-Type".into(), Raw::new(content_type).into()),
        (
            "Content-Disposition".into(),
            ContentType::new("attachment").attribute("filename", filename).into(),
        ),
    ];
    MimePart { headers, contents: BodyPart::Binary(octets.into()) }
}

fn mailbox(mailbox: &Mailbox) -> Result<AddressField<'_>, ComposeError> {
    let name = Some(mailbox.name.as_str()).filter(|it| !it.is_empty());
    let address = parse_address("from", &mailbox.address)?;
    Ok(AddressField::new_address(name, address))
}

fn address_list(
    field: &'static str,
    list: &[String],
) -> Result<AddressField<'static>, ComposeError> {
    let list = list.iter().map(|it| address(field, it)).collect::<Result<_, _>>()?;
    Ok(AddressField::new_list(list))
}

fn address(field: &'static str, text: &str) -> Result<AddressField<'static>, ComposeError> {
    Ok(AddressField::new_address(None::<String>, parse_address(field, text)?))
}

fn parse_address(field: &'static str, text: &str) -> Result<String, ComposeError> {
    one_line(field, text)?;
    let address: Result<Address, InvalidAddress> = text.parse();
    address.map(|it| it.to_string()).map_err(|err| invalid(field, text, err.why))
}

fn message_id<'a>(field: &'static str, id: &'a str) -> Result<MessageId<'a>, ComposeError> {
    one_line(field, id)?;
    if !is_message_id(id) {
        return Err(invalid(field, id, "a message identifier has neither spaces nor brackets"));
    }
    Ok(MessageId::new(id))
}

fn one_line(field: &'static str, value: &str) -> Result<(), ComposeError> {
    if value.contains(['\r', '\n']) {
        return Err(ComposeError::LineBreak { field });
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(field, value, "it has a control character"));
    }
    Ok(())
}

/// A body with LF line ends, which become CRLF; a bare CR is none and must not go on the wire.
fn line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "")
}

fn invalid(field: &'static str, value: &str, why: &'static str) -> ComposeError {
    ComposeError::Invalid { field, value: value.to_owned(), why }
}
