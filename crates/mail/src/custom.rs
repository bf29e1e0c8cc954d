//! Header fields that an agent may add to a mail.

/// A line has at most 998 octets (RFC 5322 section 2.1.1), and a value without spaces cannot be folded.
const MAX_NAME: usize = 76;
const MAX_VALUE: usize = 900;

/// Fields that this service writes itself, or that say where a mail came from. Lower case.
const OWNED: [&str; 22] = [
    "authentication-results",
    "auto-submitted",
    "bcc",
    "cc",
    "cfbl-address",
    "cfbl-feedback-id",
    "date",
    "delivered-to",
    "dkim-signature",
    "domainkey-signature",
    "feedback-id",
    "from",
    "in-reply-to",
    "message-id",
    "posthouse-author",
    "received",
    "received-spf",
    "references",
    "reply-to",
    "return-path",
    "sender",
    "subject",
];

const OWNED_PREFIXES: [&str; 4] = ["arc-", "content-", "mime-", "resent-"];

/// `optional-field` of RFC 5322 section 3.6.8, on one line.
pub(crate) fn check_field(name: &str, value: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.len() > MAX_NAME {
        return Err("the name is longer than 76 octets");
    }
    if !name.bytes().all(|it| matches!(it, b'!'..=b'9' | b';'..=b'~')) {
        return Err("a name has visible ASCII characters, and no colon");
    }
    let lower = name.to_ascii_lowercase();
    let is_owned = OWNED.contains(&lower.as_str())
        || lower == "to"
        || OWNED_PREFIXES.iter().any(|it| lower.starts_with(it));
    if is_owned {
        return Err("this field is written by the service");
    }
    if value.contains(['\r', '\n']) {
        return Err("the value has a line break");
    }
    if value.chars().any(char::is_control) {
        return Err("the value has a control character");
    }
    if value.trim().is_empty() {
        return Err("the value is empty");
    }
    if value.len() > MAX_VALUE {
        return Err("the value is longer than 900 octets");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_nobody_elses() {
        for name in ["X-Order", "List-Unsubscribe", "Priority", "!#$%&'*+-.^_`|~9;<"] {
            check_field(name, "ümlaut, and <https://x.test/?a=1>").expect(name);
        }
        check_field("X", &"v".repeat(900)).expect("the longest");
    }

    #[test]
    fn refuses_what_the_service_writes_in_any_case() {
        for name in [
            "FROM",
            "To",
            "cc",
            "bCC",
            "Subject",
            "Date",
            "Message-ID",
            "Return-Path",
            "Received",
            "DKIM-Signature",
            "Authentication-Results",
            "MIME-Version",
            "Content-Type",
            "content-x",
            "In-Reply-To",
            "References",
            "Reply-To",
            "Sender",
            "Resent-To",
            "ARC-Seal",
            "Auto-Submitted",
            "Feedback-ID",
            "Posthouse-Author",
        ] {
            let why = check_field(name, "v").expect_err(name);
            assert_eq!(why, "this field is written by the service");
        }
    }

    #[test]
    fn refuses_what_would_be_another_field() {
        for (name, value) in [
            ("", "v"),
            ("X Y", "v"),
            ("X:", "v"),
            ("X\r\nBcc", "v"),
            ("Ü", "v"),
            (&"x".repeat(77), "v"),
            ("X", "v\r\nBcc: a@x.test"),
            ("X", "v\n w"),
            ("X", "v\rw"),
            ("X", "bell\u{7}"),
            ("X", " "),
            ("X", &"v".repeat(901)),
        ] {
            check_field(name, value).expect_err(name);
        }
    }
}
