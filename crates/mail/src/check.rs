//! Whether a request to send can be honoured, as far as the request itself tells.

use std::collections::BTreeMap;

use contract::{OnUnknown, Rejection, SendAttachment, SendRequest};

use crate::{
    address::{Address, InvalidAddress},
    custom,
    list::{check_automatic, check_list},
    syntax::{self, is_message_id},
    timing, whole,
};

/// Of one mail.
pub const MAX_RECIPIENTS: usize = 50;
const MAX_ATTACHMENTS: usize = 10;
/// What most receivers take, base64 not counted.
const MAX_OCTETS: usize = 25 * 1024 * 1024;
/// What a request may ask to be notified of, in the words of RFC 3461 section 4.1.
const NOTIFICATIONS: [&str; 3] = ["failure", "delay", "success"];
const MAX_SUBJECT: usize = 998;
const MAX_HEADERS: usize = 20;
/// 30 days.
const MAX_TTL_SECONDS: u32 = 30 * 24 * 60 * 60;
const MAX_DELAY_MICROS: i64 = MAX_TTL_SECONDS as i64 * 1_000_000;
/// How much of a wrong value a message repeats.
const MAX_SHOWN: usize = 100;

/// Says what is wrong, with the field and the value. Codes are `invalid_request` and, for size alone,
/// `too_large`. Who may send as `from` is not decided here. `now` is in microseconds since 1970.
pub fn check(request: &SendRequest, now: i64) -> Result<(), Rejection> {
    check_recipients(request)?;
    check_timing(request, now)?;
    on_unknown(request)?;
    check_notify(&request.notify)?;
    if !is_lease_id(&request.lease_id) {
        return Err(invalid("leaseId", &request.lease_id, "is not one"));
    }
    if !request.content.is_empty() {
        return whole::check(request);
    }
    check_subject(&request.subject)?;
    check_body(request)?;
    if !request.reply_to.is_empty() {
        check_address("replyTo", &request.reply_to)?;
    }
    if !request.in_reply_to.is_empty() && !is_message_id(bare_id(&request.in_reply_to)) {
        return Err(invalid("inReplyTo", &request.in_reply_to, "is not a Message-ID"));
    }
    check_attachments(&request.attachments)?;
    check_headers(&request.headers)?;
    check_automatic(&request.automatic)?;
    check_list(request)?;
    check_size(request)
}

/// Each recipient once, in the form that goes on the wire.
pub fn forward_paths(request: &SendRequest) -> Result<Vec<String>, Rejection> {
    let mut paths: Vec<String> = Vec::new();
    for text in request.to.iter().chain(&request.cc).chain(&request.bcc) {
        let address: Address =
            text.parse().map_err(|err: InvalidAddress| rejection(err.to_string()))?;
        let path = address.to_string();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// What is to follow when nobody knows whether the mail was taken.
pub fn on_unknown(request: &SendRequest) -> Result<OnUnknown, Rejection> {
    match request.on_unknown.as_str() {
        "" | "retry" => Ok(OnUnknown::Retry),
        "hold" => Ok(OnUnknown::Hold),
        other => Err(invalid("onUnknown", other, "is neither \"retry\" nor \"hold\"")),
    }
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
    let count = request.to.len() + request.cc.len() + request.bcc.len();
    if count > MAX_RECIPIENTS {
        let message = format!("to, cc, bcc: {count} addresses are more than {MAX_RECIPIENTS}");
        return Err(rejection(message));
    }
    for (field, list) in [("to", &request.to), ("cc", &request.cc), ("bcc", &request.bcc)] {
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
        let SendAttachment { filename, content_type, content, upload_id } = attachment;
        if !upload_id.is_empty() && !content.is_empty() {
            let message = format!("attachments[{n}]: give either content or uploadId");
            return Err(rejection(message));
        }
        if !upload_id.is_empty() && !is_upload_id(upload_id) {
            return Err(invalid(&format!("attachments[{n}].uploadId"), upload_id, "is not one"));
        }
        // An upload has a file name of its own.
        if upload_id.is_empty() || !filename.is_empty() {
            syntax::check_filename(filename)
                .map_err(|why| wrong(&format!("attachments[{n}].filename"), filename, why))?;
        }
        syntax::check_content_type(content_type)
            .map_err(|why| wrong(&format!("attachments[{n}].contentType"), content_type, why))?;
    }
    Ok(())
}

/// Whether an attachment can have this name and this type.
pub fn check_attachment(filename: &str, content_type: &str) -> Result<(), Rejection> {
    syntax::check_filename(filename).map_err(|why| wrong("filename", filename, why))?;
    let checked = syntax::check_content_type(content_type);
    checked.map_err(|why| wrong("Content-Type", content_type, why))
}

/// As claiming gives them, or none.
fn is_lease_id(id: &str) -> bool {
    let digits = id.strip_prefix("lease_").unwrap_or_default();
    id.is_empty() || digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

/// As the API gives them; they become part of a key in the object store.
fn is_upload_id(id: &str) -> bool {
    let digits = id.strip_prefix("upl_").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), Rejection> {
    let count = headers.len();
    if count > MAX_HEADERS {
        return Err(rejection(format!("headers: {count} are more than {MAX_HEADERS}")));
    }
    let mut names: Vec<String> = Vec::new();
    for (name, value) in headers {
        custom::check_field(name, value)
            .map_err(|why| invalid("headers", name, &format!("cannot be added: {why}")))?;
        let lower = name.to_ascii_lowercase();
        if names.contains(&lower) {
            return Err(invalid("headers", name, "is there twice: case makes no difference"));
        }
        names.push(lower);
    }
    Ok(())
}

fn check_timing(request: &SendRequest, now: i64) -> Result<(), Rejection> {
    let text = &request.send_at;
    if !text.is_empty() {
        let at = timing::moment(text).ok_or_else(|| {
            invalid("sendAt", text, "is not an RFC 3339 time such as 2026-11-24T05:41:12Z")
        })?;
        // One that has passed is no mistake: a request may be repeated as often as it takes.
        if at > now.saturating_add(MAX_DELAY_MICROS) {
            return Err(invalid("sendAt", text, "is more than 30 days ahead"));
        }
    }
    match request.ttl_seconds {
        Some(seconds) if !(1..=MAX_TTL_SECONDS).contains(&seconds) => Err(rejection(format!(
            "ttlSeconds: {seconds} is not from 1 to {MAX_TTL_SECONDS} (30 days)"
        ))),
        _ => Ok(()),
    }
}

fn check_notify(notify: &[String]) -> Result<(), Rejection> {
    for (n, it) in notify.iter().enumerate() {
        if !NOTIFICATIONS.contains(&it.as_str()) {
            let why = "is not \"failure\", \"delay\" or \"success\"";
            return Err(invalid(&format!("notify[{n}]"), it, why));
        }
        if notify[..n].contains(it) {
            return Err(invalid(&format!("notify[{n}]"), it, "is there twice"));
        }
    }
    Ok(())
}

/// Once more when uploads stand in their places.
pub fn check_size(request: &SendRequest) -> Result<(), Rejection> {
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

pub(crate) fn rejection(message: String) -> Rejection {
    Rejection { code: "invalid_request".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use contract::SendBody;

    use super::*;

    const NOW: i64 = 1_795_500_000_000_000;

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
        let rejection = check(&request, NOW).expect_err("refuse");
        assert_eq!(rejection.message, message);
    }

    fn attachment(filename: &str, content_type: &str, octets: usize) -> SendAttachment {
        SendAttachment {
            filename: filename.to_owned(),
            content_type: content_type.to_owned(),
            content: vec![0; octets],
            upload_id: String::new(),
        }
    }

    #[test]
    fn passes_what_can_be_sent() {
        check(&request(), NOW).expect("pass");
        let mut full = request();
        full.cc = vec!["\"b b\"@x.test".to_owned(); 49];
        full.body = Some(SendBody { text: String::new(), html: "<p>Hi".to_owned() });
        full.reply_to = "почта@пример.рф".to_owned();
        full.in_reply_to = "<1@x.test>".to_owned();
        full.attachments = vec![attachment("a b.pdf", "application/pdf", 1); 10];
        check(&full, NOW).expect("pass");
    }

    #[test]
    fn names_the_field_and_the_value() {
        refused(|it| it.to.clear(), "to: at least one address is needed");
        refused(
            |it| it.cc = vec!["a@x.test".to_owned(); 50],
            "to, cc, bcc: 51 addresses are more than 50",
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
    fn an_upload_stands_for_content_and_name() {
        let upload = |id: &str| SendAttachment { upload_id: id.to_owned(), ..Default::default() };
        let id = format!("upl_{}", "0a".repeat(16));
        let mut request = request();
        request.attachments = vec![upload(&id)];
        check(&request, NOW).expect("pass");
        refused(
            |it| it.attachments = vec![SendAttachment { content: vec![1], ..upload(&id) }],
            "attachments[0]: give either content or uploadId",
        );
        refused(
            |it| it.attachments = vec![upload("upl_../x")],
            "attachments[0].uploadId: \"upl_../x\" is not one",
        );
    }

    #[test]
    fn notifications_are_asked_for_by_name() {
        let mut asking = request();
        asking.notify = NOTIFICATIONS.map(str::to_owned).to_vec();
        check(&asking, NOW).expect("pass");
        refused(
            |it| it.notify = vec!["delay".to_owned(), "never".to_owned()],
            "notify[1]: \"never\" is not \"failure\", \"delay\" or \"success\"",
        );
        refused(
            |it| it.notify = vec!["delay".to_owned(), "delay".to_owned()],
            "notify[1]: \"delay\" is there twice",
        );
    }

    #[test]
    fn size_has_its_own_code() {
        let mut request = request();
        request.attachments = vec![attachment("a", "", MAX_OCTETS)];
        assert_eq!(check(&request, NOW).expect_err("refuse").code, "too_large");
    }

    #[test]
    fn a_long_wrong_value_is_cut() {
        let mut request = request();
        request.to = vec!["é".repeat(1000)];
        assert!(check(&request, NOW).expect_err("refuse").message.len() < 300);
    }

    #[test]
    fn hidden_recipients_count_and_are_reached_once() {
        let mut request = request();
        request.bcc = vec!["b@x.test".to_owned(), "A@x.test".to_owned(), "a@X.test".to_owned()];
        check(&request, NOW).expect("pass");
        let paths = forward_paths(&request).expect("paths");
        assert_eq!(paths, ["a@x.test", "b@x.test", "A@x.test"]);
        refused(
            |it| it.bcc = vec!["b@x.test".to_owned(); 50],
            "to, cc, bcc: 51 addresses are more than 50",
        );
        refused(
            |it| it.bcc = vec!["b@x.test\r\nX: y".to_owned()],
            "bcc[0]: \"b@x.test\\r\\nX: y\" is not an address: \
             the domain has a character that is not allowed there",
        );
    }

    #[test]
    fn header_fields_are_told_apart_from_ours() {
        let with = |name: &str, value: &str| {
            let field = (name.to_owned(), value.to_owned());
            move |it: &mut SendRequest| it.headers.extend([field])
        };
        let mut full = request();
        (0..20).for_each(|n| with(&format!("X-{n}"), "v")(&mut full));
        check(&full, NOW).expect("pass");
        with("X-20", "v")(&mut full);
        check(&full, NOW).expect_err("refuse");
        refused(
            with("bcc", "b@x.test"),
            "headers: \"bcc\" cannot be added: this field is written by the service",
        );
        refused(
            with("X-A", "v\r\nBcc: b@x.test"),
            "headers: \"X-A\" cannot be added: the value has a line break",
        );
        refused(
            |it| it.headers.extend(["X-A", "x-a"].map(|name| (name.to_owned(), "v".to_owned()))),
            "headers: \"x-a\" is there twice: case makes no difference",
        );
    }

    #[test]
    fn the_unknown_is_sent_again_or_held() {
        let of = |text: &str| {
            let mut request = request();
            request.on_unknown = text.to_owned();
            check(&request, NOW).and_then(|()| on_unknown(&request))
        };
        assert_eq!(of(""), Ok(OnUnknown::Retry));
        assert_eq!(of("retry"), Ok(OnUnknown::Retry));
        assert_eq!(of("hold"), Ok(OnUnknown::Hold));
        refused(
            |it| it.on_unknown = "Hold".to_owned(),
            "onUnknown: \"Hold\" is neither \"retry\" nor \"hold\"",
        );
    }

    #[test]
    fn times_have_bounds() {
        let mut request = request();
        request.ttl_seconds = Some(1);
        for at in ["2020-01-01T00:00:00Z", "2026-12-24T00:00:00+01:00"] {
            request.send_at = at.to_owned();
            check(&request, NOW).expect(at);
        }
        refused(
            |it| it.send_at = "2026-12-25T00:00:00Z".to_owned(),
            "sendAt: \"2026-12-25T00:00:00Z\" is more than 30 days ahead",
        );
        refused(
            |it| it.send_at = "tomorrow".to_owned(),
            "sendAt: \"tomorrow\" is not an RFC 3339 time such as 2026-11-24T05:41:12Z",
        );
        for seconds in [0, 2_592_001] {
            refused(
                |it| it.ttl_seconds = Some(seconds),
                &format!("ttlSeconds: {seconds} is not from 1 to 2592000 (30 days)"),
            );
        }
    }
}
