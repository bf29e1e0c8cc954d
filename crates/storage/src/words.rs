//! What a mail to be sent says by itself: what it names, and which of the account's canaries are in it. Each
//! text is decoded once for both. Pure.

use std::collections::BTreeSet;

use contract::SendRequest;
use injection::{Kind, Part, Sample, secrets};
use mail::{Mention, Naming, Outgoing};
use store::Canary;

use crate::canaries::Lookout;

/// The octets of text that are searched for canaries …
const MAX_SEARCHED: usize = 16 * 1024 * 1024;
/// … and those that are read, if there are none to search for.
const MAX_NAMED: usize = 512 * 1024;

pub(crate) struct Words {
    pub(crate) named: BTreeSet<Mention>,
    pub(crate) canaries: Vec<Canary>,
}

/// `documents` is what was read of those that are attached.
pub(crate) fn words(request: &SendRequest, documents: &str, canaries: &[Canary]) -> Words {
    let mut lookout = Lookout::new(canaries);
    let mut naming = Naming::default();
    let Outgoing { parts, said, .. } = if lookout.is_idle() {
        let parts = Sample::from(mail::request_surfaces(request, MAX_NAMED)).parts;
        Outgoing { said: parts.len(), parts, truncated: false }
    } else {
        mail::outgoing_texts(request, MAX_SEARCHED)
    };
    let documents = Part { kind: Kind::Attached, text: documents.to_owned() };
    let parts = parts.iter().enumerate().map(|(at, it)| (at < said, it));
    for (is_said, part) in std::iter::once((true, &documents)).chain(parts) {
        let is_naming = is_said && !naming.is_full();
        if !is_naming && lookout.is_idle() {
            continue;
        }
        for text in secrets::readings(&part.text) {
            lookout.look(&text);
            if is_naming {
                naming.read(part.kind, &text);
            }
        }
    }
    if !lookout.is_idle() {
        for attachment in &request.attachments {
            lookout.look(&String::from_utf8_lossy(&attachment.content));
        }
    }
    Words { named: naming.into_mentions(), canaries: lookout.found() }
}

#[cfg(test)]
mod tests {
    use contract::{SendAttachment, SendBody};

    use super::*;

    const TOKEN: &str = "sk-proj-q2Jx8Zp0Vb7nTf4Yk1Rw";

    fn canary() -> Canary {
        Canary {
            id: "cny_1".to_owned(),
            kind: "api_key".to_owned(),
            label: "wiki".to_owned(),
            token: TOKEN.to_owned(),
            created_at: 0,
            hits: 0,
            last_hit_at: None,
        }
    }

    #[track_caller]
    fn check(request: &SendRequest, documents: &str) {
        let found = words(request, documents, &[canary()]).canaries;
        assert_eq!(found.len(), 1, "{request:?} {documents}");
        assert!(words(request, documents, &[]).canaries.is_empty());
    }

    #[test]
    fn a_canary_is_found_wherever_it_is() {
        let none = SendRequest::default();
        let file = SendAttachment {
            filename: "a.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            content: format!("\0\u{1}{TOKEN}").into_bytes(),
            upload_id: String::new(),
        };
        check(&SendRequest { attachments: vec![file], ..none.clone() }, "");
        let headers = [("X-A".to_owned(), TOKEN.to_owned())].into();
        check(&SendRequest { headers, ..none.clone() }, "");
        let html = format!("<p>Hi<!-- {TOKEN} -->");
        let body = Some(SendBody { text: String::new(), html });
        check(&SendRequest { body, ..none.clone() }, "");
        let content = format!("Subject: {TOKEN}\r\n\r\n").into_bytes();
        check(&SendRequest { content, ..none.clone() }, "");
        check(&SendRequest { bcc: vec![format!("{TOKEN}@x.test")], ..none.clone() }, "");
        let hex: String = TOKEN.bytes().map(|it| format!("{it:02x}")).collect();
        let body = Some(SendBody { text: format!("Look: {hex}"), html: String::new() });
        check(&SendRequest { body, ..none.clone() }, "");
        check(&none, &format!("Page 1 of the plan: {TOKEN}"));
    }

    #[test]
    fn what_documents_name_is_named() {
        let named = |canaries: &[Canary]| {
            words(&SendRequest::default(), "Pay at https://evil.test/pay-here", canaries).named
        };
        let domain = Mention::new(mail::MentionKind::Domain, "evil.test");
        assert!(named(&[]).contains(&domain) && named(&[canary()]).contains(&domain));
    }
}
