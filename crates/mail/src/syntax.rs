//! What may stand in the fields of a mail we send.

/// A line has at most 998 octets (RFC 5322 section 2.1.1), and an identifier cannot be folded.
const MAX_MESSAGE_ID: usize = 900;
const MAX_FILENAME: usize = 255;
const MAX_CONTENT_TYPE: usize = 255;

/// Without angle brackets (RFC 5322 section 3.6.4, more tolerantly: what others sent has to be
/// answered).
pub(crate) fn is_message_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MAX_MESSAGE_ID
        && !id.chars().any(|it| it.is_whitespace() || it.is_control() || matches!(it, '<' | '>'))
}

pub(crate) fn check_filename(filename: &str) -> Result<(), &'static str> {
    if filename.is_empty() {
        return Err("it is empty");
    }
    if filename.len() > MAX_FILENAME {
        return Err("it is longer than 255 octets");
    }
    if filename.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(())
}

/// `type/subtype` and perhaps parameters (RFC 2045 section 5.1), or nothing.
pub(crate) fn check_content_type(content_type: &str) -> Result<(), &'static str> {
    if content_type.is_empty() {
        return Ok(());
    }
    if content_type.len() > MAX_CONTENT_TYPE {
        return Err("it is longer than 255 octets");
    }
    let mut pieces = content_type.split(';');
    let media_type = pieces.next().unwrap_or_default().trim_end();
    let Some((main, sub)) = media_type.split_once('/') else {
        return Err("it has no slash");
    };
    if !is_token(main) || !is_token(sub) {
        return Err("it is not type/subtype");
    }
    if main.eq_ignore_ascii_case("multipart") {
        return Err("an attachment has one part");
    }
    if !pieces.all(is_parameter) {
        return Err("a parameter is not name=value");
    }
    Ok(())
}

fn is_parameter(parameter: &str) -> bool {
    let Some((name, value)) = parameter.trim().split_once('=') else { return false };
    let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let sound = match quoted {
        Some(it) => it.bytes().all(|it| matches!(it, b' '..=b'~') && !matches!(it, b'"' | b'\\')),
        None => is_token(value),
    };
    is_token(name) && sound
}

/// RFC 2045 section 5.1.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|it| it.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&it))
}
