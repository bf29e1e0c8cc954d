//! Whether a request to send can be honoured, as far as the request itself tells.

use contract::{Rejection, SendAttachment, SendRequest};

use crate::{
    address::{Address, InvalidAddress},
    syntax::{self, is_message_id},
};

const MAX_RECIPIENTS: usize = 50;
const MAX_ATTACHMENTS: usize = 10;
/// What most receivers take, base64 not counted.
const MAX_OCTETS: usize = 25 * 1024 * 1024;
const MAX_SUBJECT: usize = 998;
/// How much of a wrong value a message repeats.
const MAX_SHOWN: usize = 100;

/// Says what is wrong, with the field and the value. Codes are `invalid_request` and, for size alone,
/// `too_large`. Who may send as `from` is not decided here.
pub fn check(request: &SendRequest) -> Result<(), Rejection> {
    check_recipients(request)?;
    check_subject(&request.subject)?;
    check_body(request)?;
    if !request.reply_to.is_empty() {
        check_address("replyTo", &request.reply_to)?;
    }
    if !request.in_reply_to.is_empty() && !is_message_id(bare_id(&request.in_reply_to)) {
        return Err(invalid("inReplyTo", &request.in_reply_to, "is not a Message-ID"));
    }
    check_attachments(&request.attachments)?;
    check_size(request)
}

/// A message identifier without the angle brackets that users may leave around it.
pub fn bare_id(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap_or(id)
}

fn check_recipients(request: &SendRequest) -> Result<(), Rejection> {
    if request.to.is_empty() {
        return Err(rejection("to: at least one address is needed".to_owned()));
    }
    let count = request.to.len() + request.cc.len();
    if count > MAX_RECIPIENTS {
        return Err(rejection(format!("to, cc: {count} addresses are more than {MAX_RECIPIENTS}")));
    }
    for (field, list) in [("to", &request.to), ("cc", &request.cc)] {
        for (n, address) in list.iter().enumerate() {
            check_address(&format!("{field}[{n}]"), address)?;
        }
    }
    Ok(())
}

fn check_address(field: &str, text: &str) -> Result<(), Rejection> {
    let parsed: Result<Address, InvalidAddress> = text.parse();
    match parsed {
        Ok(_) => Ok(()),
        Err(err) => Err(invalid(field, text, &format!("is not an address: {}", err.why))),
    }
}

fn check_subject(subject: &str) -> Result<(), Rejection> {
    if subject.trim().is_empty() {
        return Err(rejection("subject: it is missing".to_owned()));
    }
    if subject.contains(['\r', '\n']) {
        return Err(invalid("subject", subject, "has a line break"));
    }
    if subject.chars().any(char::is_control) {
        return Err(invalid("subject", subject, "has a control character"));
    }
    if subject.len() > MAX_SUBJECT {
        return Err(invalid("subject", subject, "is longer than 998 octets"));
    }
    Ok(())
}

fn check_body(request: &SendRequest) -> Result<(), Rejection> {
    let given = request.body.as_ref().is_some_and(|it| !it.text.is_empty() || !it.html.is_empty());
    if given { Ok(()) } else { Err(rejection("body: text or html is needed".to_owned())) }
}

fn check_attachments(attachments: &[SendAttachment]) -> Result<(), Rejection> {
    if attachments.len() > MAX_ATTACHMENTS {
        return Err(rejection(format!(
            "attachments: {} are more than {MAX_ATTACHMENTS}",
            attachments.len()
        )));
    }
    for (n, attachment) in attachments.iter().enumerate() {
        let SendAttachment { filename, content_type, .. } = attachment;
        syntax::check_filename(filename)
            .map_err(|why| wrong(&format!("attachments[{n}].filename"), filename, why))?;
        syntax::check_content_type(content_type)
            .map_err(|why| wrong(&format!("attachments[{n}].contentType"), content_type, why))?;
    }
    Ok(())
}

fn check_size(request: &SendRequest) -> Result<(), Rejection> {
    let body = request.body.as_ref().map_or(0, |it| it.text.len() + it.html.len());
    let attached: usize = request.attachments.iter().map(|it| it.content.len()).sum();
    let octets = body + attached;
    if octets > MAX_OCTETS {
        let message =
            format!("body, attachments: {octets} octets are more than {MAX_OCTETS} (25 MiB)");
        return Err(Rejection { code: "too_large".to_owned(), message });
    }
    Ok(())
}

fn wrong(field: &str, value: &str, why: &str) -> Rejection {
    invalid(field, value, &format!("is not valid: {why}"))
}

fn invalid(field: &str, value: &str, why: &str) -> Rejection {
    let shown = &value[..value.floor_char_boundary(MAX_SHOWN)];
    let more = if shown.len() < value.len() { "…" } else { "" };
    rejection(format!("{field}: {shown:?}{more} {why}"))
}

fn rejection(message: String) -> Rejection {
    Rejection { code: "invalid_request".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use contract::SendBody;

    use super::*;

    fn request() -> SendRequest {
        SendRequest {
            to: vec!["a@x.test".to_owned()],
            subject: "Hello".to_owned(),
            body: Some(SendBody { text: "Hi".to_owned(), html: String::new() }),
            ..Default::default()
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut SendRequest), message: &str) {
        let mut request = request();
        change(&mut request);
        let rejection = check(&request).expect_err("refuse");
        assert_eq!(rejection.message, message);
    }

    fn attachment(filename: &str, content_type: &str, octets: usize) -> SendAttachment {
        SendAttachment {
            filename: filename.to_owned(),
            content_type: content_type.to_owned(),
            content: vec![0; octets],
        }
    }

    #[test]
    fn passes_what_can_be_sent() {
        check(&request()).expect("pass");
        let mut full = request();
        full.cc = vec!["\"b b\"@x.test".to_owned(); 49];
        full.body = Some(SendBody { text: String::new(), html: "<p>Hi".to_owned() });
        full.reply_to = "почта@пример.рф".to_owned();
        full.in_reply_to = "<1@x.test>".to_owned();
        full.attachments = vec![attachment("a b.pdf", "application/pdf", 1); 10];
        check(&full).expect("pass");
    }

    #[test]
    fn names_the_field_and_the_value() {
        refused(|it| it.to.clear(), "to: at least one address is needed");
        refused(
            |it| it.cc = vec!["a@x.test".to_owned(); 50],
            "to, cc: 51 addresses are more than 50",
        );
        refused(
            |it| it.to.push("nobody".to_owned()),
            "to[1]: \"nobody\" is not an address: it has no @",
        );
        refused(|it| it.subject = " ".to_owned(), "subject: it is missing");
        refused(
            |it| it.subject = "a\r\nBcc: b".to_owned(),
            "subject: \"a\\r\\nBcc: b\" has a line break",
        );
        refused(|it| it.body = None, "body: text or html is needed");
        refused(
            |it| it.reply_to = "b@".to_owned(),
            "replyTo: \"b@\" is not an address: nothing stands after the @",
        );
        refused(|it| it.in_reply_to = "a b".to_owned(), "inReplyTo: \"a b\" is not a Message-ID");
        refused(
            |it| it.attachments = vec![attachment("a", "text/plain", 1); 11],
            "attachments: 11 are more than 10",
        );
        refused(
            |it| it.attachments = vec![attachment("a", "pdf", 1)],
            "attachments[0].contentType: \"pdf\" is not valid: it has no slash",
        );
        refused(
            |it| it.attachments = vec![attachment("a\nb", "", 1)],
            "attachments[0].filename: \"a\\nb\" is not valid: it has a control character",
        );
    }

    #[test]
    fn size_has_its_own_code() {
        let mut request = request();
        request.attachments = vec![attachment("a", "", MAX_OCTETS)];
        assert_eq!(check(&request).expect_err("refuse").code, "too_large");
    }

    #[test]
    fn a_long_wrong_value_is_cut() {
        let mut request = request();
        request.to = vec!["é".repeat(1000)];
        assert!(check(&request).expect_err("refuse").message.len() < 300);
    }
}
