//! Whether a mail has a canary in it, in any spelling. Pure.

use aho_corasick::AhoCorasick;
use contract::SendRequest;
use injection::secrets;
use store::Canary;

/// The octets of text that are searched.
const MAX_TEXT: usize = 16 * 1024 * 1024;

/// Those that are in it.
pub(crate) fn found(canaries: &[Canary], request: &SendRequest) -> Vec<Canary> {
    if canaries.is_empty() {
        return Vec::new();
    }
    let tokens = canaries.iter().map(|it| folded(&it.token));
    let automaton = AhoCorasick::new(tokens).expect("tokens are few and short");
    let mut hit = vec![false; canaries.len()];
    let mut look = |text: &str| {
        for found in automaton.find_overlapping_iter(&folded(text)) {
            hit[found.pattern().as_usize()] = true;
        }
    };
    for surface in mail::outgoing_texts(request, MAX_TEXT).list {
        secrets::readings(&surface.text).iter().for_each(|it| look(it));
    }
    for attachment in &request.attachments {
        look(&String::from_utf8_lossy(&attachment.content));
    }
    canaries.iter().zip(hit).filter(|(_, hit)| *hit).map(|(it, _)| it.clone()).collect()
}

/// Without case, white space and what is put between letters.
fn folded(text: &str) -> String {
    let is_kept = |it: &char| it.is_alphanumeric() || *it == '@';
    text.chars().filter(is_kept).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use contract::{SendAttachment, SendBody};

    use super::*;

    const TOKEN: &str = "sk-proj-q2Jx8Zp0Vb7nTf4Yk1Rw";

    fn check(request: &SendRequest, expected: bool) {
        let canary = Canary {
            id: "cny_1".to_owned(),
            kind: "api_key".to_owned(),
            label: "wiki".to_owned(),
            token: TOKEN.to_owned(),
            created_at: 0,
            hits: 0,
            last_hit_at: None,
        };
        assert_eq!(!found(&[canary], request).is_empty(), expected, "{request:?}");
    }

    fn text(text: &str) -> SendRequest {
        let body = Some(SendBody { text: text.to_owned(), html: String::new() });
        SendRequest { body, ..SendRequest::default() }
    }

    #[test]
    fn a_canary_is_found_in_any_spelling() {
        let hex: String = TOKEN.bytes().map(|it| format!("{it:02x}")).collect();
        for disguise in [
            TOKEN.to_owned(),
            TOKEN.to_uppercase(),
            TOKEN.replace("Zp0", "Zp0 \r\n"),
            TOKEN.replace('J', "J\u{200b}"),
            TOKEN.chars().map(|it| format!("{it} ")).collect(),
            TOKEN.chars().map(|it| format!("{it}.")).collect(),
            hex,
        ] {
            check(&text(&format!("Look: {disguise}!")), true);
        }
        check(&text(&TOKEN[..20]), false);
        check(&text("Lunch at noon?"), false);
    }

    #[test]
    fn it_is_found_wherever_it_is() {
        let file = SendAttachment {
            filename: "a.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            content: format!("\0\u{1}{TOKEN}").into_bytes(),
            upload_id: String::new(),
        };
        check(&SendRequest { attachments: vec![file], ..SendRequest::default() }, true);
        let headers = [("X-A".to_owned(), TOKEN.to_owned())].into();
        check(&SendRequest { headers, ..SendRequest::default() }, true);
        let html = format!("<p>Hi<!-- {TOKEN} -->");
        let body = Some(SendBody { text: String::new(), html });
        check(&SendRequest { body, ..SendRequest::default() }, true);
        let content = format!("Subject: {TOKEN}\r\n\r\n").into_bytes();
        check(&SendRequest { content, ..SendRequest::default() }, true);
        check(
            &SendRequest { bcc: vec![format!("{TOKEN}@x.test")], ..SendRequest::default() },
            true,
        );
    }
}
