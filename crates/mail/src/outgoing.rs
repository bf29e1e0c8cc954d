//! All that a mail tells whoever gets it, as far as it is text: more than a person looks at.

use contract::SendRequest;
use injection::{Kind, Part, Sample};

use crate::{
    mime::Tree,
    surface::{request_surfaces, surfaces},
};

/// So much of a file tells whether it is text.
const LOOK: usize = 4_096;

/// The texts of a mail that is to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outgoing {
    /// What `request_surfaces` has, and then the rest.
    pub parts: Vec<Part>,
    /// How many of the parts are what `request_surfaces` has.
    pub said: usize,
    /// There was more than the limit allowed.
    pub truncated: bool,
}

/// All texts of a request; `limit` octets at most.
pub fn outgoing_texts(request: &SendRequest, limit: usize) -> Outgoing {
    let surfaces = request_surfaces(request, limit);
    let truncated = surfaces.truncated;
    let parts = Sample::from(surfaces).parts;
    let mut outgoing = Outgoing { said: parts.len(), parts, truncated };
    outgoing.add_rest(request, limit);
    outgoing
}

impl Outgoing {
    /// Of what was read already.
    pub fn of(request: &SendRequest, said: Vec<Part>, limit: usize) -> Outgoing {
        let mut outgoing = Outgoing { said: said.len(), parts: said, truncated: false };
        outgoing.add_rest(request, limit);
        outgoing
    }

    /// Addresses, all header fields, files that are text whatever their type says, and mails that are
    /// attached.
    fn add_rest(&mut self, request: &SendRequest, limit: usize) {
        let taken: usize = self.parts.iter().map(|it| it.text.len()).sum();
        let mut left = limit.saturating_sub(taken);
        rest(request, limit, |kind, text| {
            let end = text.floor_char_boundary(left);
            self.truncated |= end < text.len();
            left -= end;
            if end > 0 {
                self.parts.push(Part { kind, text: text[..end].to_owned() });
            }
        });
    }
}

fn rest(request: &SendRequest, limit: usize, mut add: impl FnMut(Kind, String)) {
    let addresses = request.to.iter().chain(&request.cc).chain(&request.bcc);
    let addresses: Vec<&str> = addresses.chain([&request.reply_to]).map(String::as_str).collect();
    add(Kind::Name, addresses.join("\n"));
    if !request.content.is_empty() {
        add(Kind::Text, fields(&request.content));
        let tree = Tree::read(&request.content);
        for at in tree.leaves() {
            let entity = &tree.entities[at];
            if !entity.is("message/rfc822") && !entity.media_type().starts_with("text/") {
                text(&entity.octets()).into_iter().for_each(|it| add(Kind::Attached, it));
            }
        }
    }
    for it in &request.attachments {
        if it.content_type.starts_with("message/rfc822") {
            let enclosed = Sample::from(surfaces(&it.content, limit));
            enclosed.parts.into_iter().for_each(|it| add(it.kind, it.text));
        } else if !it.content_type.starts_with("text/") {
            text(&it.content).into_iter().for_each(|it| add(Kind::Attached, it));
        }
    }
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
        outgoing_texts(request, 10_000).parts.into_iter().map(|it| it.text).collect()
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
        assert!(read.parts.iter().map(|it| it.text.len()).sum::<usize>() <= 52);
    }
}
