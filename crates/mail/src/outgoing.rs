//! All that a mail tells whoever gets it, as far as it is text: more than a person looks at.

use contract::SendRequest;

use crate::{
    mime::Tree,
    surface::{Surface, SurfaceKind, Surfaces, request_surfaces, surfaces},
};

/// So much of a file tells whether it is text.
const LOOK: usize = 4_096;

/// What `request_surfaces` has; besides addresses, all header fields, files that are text whatever their
/// type says, and mails that are attached. `limit` octets of text at most.
pub fn outgoing_texts(request: &SendRequest, limit: usize) -> Surfaces {
    let mut collected = request_surfaces(request, limit);
    let taken: usize = collected.list.iter().map(|it| it.text.len()).sum();
    let mut left = limit.saturating_sub(taken);
    let mut add = |kind, text: String| {
        let end = text.floor_char_boundary(left.min(text.len()));
        collected.truncated |= end < text.len();
        left -= end;
        if end > 0 {
            collected.list.push(Surface { kind, text: text[..end].to_owned(), attachment: None });
        }
    };
    let addresses = request.to.iter().chain(&request.cc).chain(&request.bcc);
    let addresses: Vec<&str> = addresses.chain([&request.reply_to]).map(String::as_str).collect();
    add(SurfaceKind::Name, addresses.join("\n"));
    if !request.content.is_empty() {
        add(SurfaceKind::Text, fields(&request.content));
        let tree = Tree::read(&request.content);
        for at in tree.leaves() {
            let entity = &tree.entities[at];
            if !entity.is("message/rfc822") && !entity.media_type().starts_with("text/") {
                text(&entity.octets()).into_iter().for_each(|it| add(SurfaceKind::Attached, it));
            }
        }
    }
    for it in &request.attachments {
        if it.content_type.starts_with("message/rfc822") {
            let enclosed = surfaces(&it.content, limit);
            enclosed.list.into_iter().for_each(|it| add(it.kind, it.text));
        } else if !it.content_type.starts_with("text/") {
            text(&it.content).into_iter().for_each(|it| add(SurfaceKind::Attached, it));
        }
    }
    collected
}

/// The header section, folded lines in one.
fn fields(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let end = text.find("\r\n\r\n").or_else(|| text.find("\n\n")).unwrap_or(text.len());
    text[..end].replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ")
}

fn text(octets: &[u8]) -> Option<String> {
    if octets.iter().take(LOOK).any(|it| *it < 0x20 && !it.is_ascii_whitespace()) {
        return None;
    }
    String::from_utf8(octets.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use contract::SendAttachment;

    use super::*;

    fn texts(request: &SendRequest) -> Vec<String> {
        outgoing_texts(request, 10_000).list.into_iter().map(|it| it.text).collect()
    }

    fn attachment(content_type: &str, content: &[u8]) -> SendAttachment {
        SendAttachment {
            filename: "f".to_owned(),
            content_type: content_type.to_owned(),
            content: content.to_vec(),
            upload_id: String::new(),
        }
    }

    #[test]
    fn files_and_addresses_are_read() {
        let request = SendRequest {
            to: vec!["a@x.test".to_owned()],
            bcc: vec!["b@x.test".to_owned()],
            attachments: vec![
                attachment("application/octet-stream", b"KEY=1"),
                attachment("application/octet-stream", b"\x7fELF\x02"),
                attachment("message/rfc822", b"Subject: s\r\n\r\nt"),
            ],
            ..SendRequest::default()
        };
        assert_eq!(texts(&request), ["f", "f", "f", "a@x.test\nb@x.test\n", "KEY=1", "s", "t"]);
    }

    #[test]
    fn all_fields_and_files_of_a_whole_message_are_read() {
        let content = "Subject: s\r\nX-Key: a\r\n b\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
                       --m\r\n\r\nt\r\n--m\r\nContent-Type: application/json\r\n\r\n{}\r\n--m--\r\n";
        let request = SendRequest { content: content.into(), ..SendRequest::default() };
        let texts = texts(&request);
        assert!(texts.iter().any(|it| it.contains("X-Key: a b")), "{texts:?}");
        assert!(texts.iter().any(|it| it.trim() == "{}"), "{texts:?}");
    }

    #[test]
    fn says_when_it_stops() {
        let file = attachment("application/json", "é".repeat(100).as_bytes());
        let request = SendRequest { attachments: vec![file], ..SendRequest::default() };
        let read = outgoing_texts(&request, 52);
        assert!(read.truncated);
        assert!(read.list.iter().map(|it| it.text.len()).sum::<usize>() <= 52);
    }
}
