//! Everything in a mail that a machine may read, sorted by whether a person sees it.

use std::collections::VecDeque;

use contract::SendRequest;

use crate::{
    fields::Fields,
    html,
    mime::{Entity, Tree},
};

/// Mails within mails are opened this deep.
const MAX_NESTING: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SurfaceKind {
    Subject,
    /// A display name in From, Reply-To, To or Cc.
    Name,
    /// A plain text body.
    Text,
    /// What a person sees of an HTML body.
    Html,
    /// What an HTML body hides.
    Hidden,
    /// `alt`, `title` and the like.
    Attribute,
    /// A comment in HTML.
    Comment,
    /// Where links and images in HTML point.
    Link,
    Filename,
    /// An attached text, such as a calendar entry.
    Attached,
}

/// One piece of a mail as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    pub kind: SurfaceKind,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surfaces {
    pub list: Vec<Surface>,
    /// There was more than the limit allowed.
    pub truncated: bool,
}

/// The surfaces of a content, those of enclosed mails included; `limit` octets of text at most.
pub fn surfaces(content: &[u8], limit: usize) -> Surfaces {
    let mut collected = Collected { left: limit, surfaces: Surfaces::default() };
    let mut pending = VecDeque::from([(content.to_vec(), 0)]);
    while let Some((content, nesting)) = pending.pop_front() {
        let tree = Tree::read(&content);
        collected.fields(&tree.root().fields);
        for at in tree.leaves() {
            let entity = &tree.entities[at];
            if entity.is("message/rfc822") && nesting < MAX_NESTING {
                pending.push_back((entity.octets(), nesting + 1));
            } else {
                collected.entity(entity);
            }
        }
    }
    collected.surfaces
}

/// The surfaces of a mail that is to be sent.
pub fn request_surfaces(request: &SendRequest, limit: usize) -> Surfaces {
    if !request.content.is_empty() {
        return surfaces(&request.content, limit);
    }
    let mut collected = Collected { left: limit, surfaces: Surfaces::default() };
    collected.add(SurfaceKind::Subject, request.subject.clone());
    if let Some(body) = &request.body {
        collected.add(SurfaceKind::Text, body.text.clone());
        collected.page(&body.html);
    }
    for value in request.headers.values() {
        collected.add(SurfaceKind::Text, value.clone());
    }
    for attachment in &request.attachments {
        collected.add(SurfaceKind::Filename, attachment.filename.clone());
        if attachment.content_type.starts_with("text/") {
            let text = String::from_utf8_lossy(&attachment.content).into_owned();
            collected.add(SurfaceKind::Attached, text);
        }
    }
    collected.surfaces
}

struct Collected {
    left: usize,
    surfaces: Surfaces,
}

impl Collected {
    fn fields(&mut self, fields: &Fields<'_>) {
        if let Some(subject) = fields.text("subject") {
            self.add(SurfaceKind::Subject, subject);
        }
        for field in ["from", "reply-to", "to", "cc"] {
            for mailbox in fields.mailboxes(field) {
                self.add(SurfaceKind::Name, mailbox.name);
            }
        }
    }

    fn entity(&mut self, entity: &Entity<'_>) {
        if let Some(filename) = entity.filename() {
            self.add(SurfaceKind::Filename, filename.to_owned());
        }
        match entity.media_type().as_str() {
            "text/html" => self.page(&entity.text()),
            "text/plain" if entity.is_inline_text() => {
                self.add(SurfaceKind::Text, entity.text());
            }
            media_type if media_type.starts_with("text/") => {
                self.add(SurfaceKind::Attached, entity.text());
            }
            _ => (),
        }
    }

    fn page(&mut self, html: &str) {
        let page = html::read(html, self.left);
        self.surfaces.truncated |= page.truncated;
        self.add(SurfaceKind::Html, page.visible);
        self.add(SurfaceKind::Hidden, page.hidden);
        self.add(SurfaceKind::Attribute, page.attributes);
        self.add(SurfaceKind::Comment, page.comments);
        self.add(SurfaceKind::Link, page.links);
    }

    fn add(&mut self, kind: SurfaceKind, mut text: String) {
        if text.len() > self.left {
            text.truncate(text.floor_char_boundary(self.left));
            self.surfaces.truncated = true;
        }
        if !text.trim().is_empty() {
            self.left -= text.len();
            self.surfaces.list.push(Surface { kind, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{SendAttachment, SendBody};

    use super::*;

    #[track_caller]
    fn check(content: &str, expected: &[(SurfaceKind, &str)]) {
        let read = surfaces(content.as_bytes(), 10_000);
        assert!(!read.truncated);
        let read: Vec<(SurfaceKind, &str)> =
            read.list.iter().map(|it| (it.kind, it.text.as_str())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn html_is_taken_apart() {
        check(
            "Subject: s\nFrom: n <a@x.test>\nContent-Type: text/html\n\n\
             <p>v<i style=display:none>h</i><img alt=a src=l><!-- c -->",
            &[
                (SurfaceKind::Subject, "s"),
                (SurfaceKind::Name, "n"),
                (SurfaceKind::Html, "v"),
                (SurfaceKind::Hidden, "h"),
                (SurfaceKind::Attribute, "a"),
                (SurfaceKind::Comment, "c"),
                (SurfaceKind::Link, "l"),
            ],
        );
    }

    #[test]
    fn both_alternatives_and_attached_texts_are_read() {
        check(
            "Content-Type: multipart/mixed; boundary=m\n\n--m\n\
             Content-Type: multipart/alternative; boundary=a\n\n--a\n\nt\n--a\n\
             Content-Type: text/html\n\nh\n--a--\n--m\n\
             Content-Type: text/calendar; name=c.ics\n\nDESCRIPTION:d\n--m\n\
             Content-Type: image/png; name=p.png\n\nx\n--m--\n",
            &[
                (SurfaceKind::Text, "t"),
                (SurfaceKind::Html, "h"),
                (SurfaceKind::Filename, "c.ics"),
                (SurfaceKind::Attached, "DESCRIPTION:d"),
                (SurfaceKind::Filename, "p.png"),
            ],
        );
    }

    #[test]
    fn enclosed_mails_are_opened() {
        let enclosed = "Content-Type: message/rfc822\n\nSubject: s\n\nt";
        check(enclosed, &[(SurfaceKind::Subject, "s"), (SurfaceKind::Text, "t")]);
        surfaces("Content-Type: message/rfc822\n\n".repeat(10_000).as_bytes(), 10_000);
    }

    #[test]
    fn a_request_is_read_like_a_mail() {
        let request = SendRequest {
            subject: "s".to_owned(),
            body: Some(SendBody { text: "t".to_owned(), html: "<p hidden>h".to_owned() }),
            attachments: vec![SendAttachment {
                filename: "f".to_owned(),
                content_type: "text/csv".to_owned(),
                content: b"c".to_vec(),
                upload_id: String::new(),
            }],
            headers: [("X-A".to_owned(), "x".to_owned())].into(),
            ..SendRequest::default()
        };
        let read = request_surfaces(&request, 100).list;
        let read: Vec<&str> = read.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(read, ["s", "t", "h", "x", "f", "c"]);
    }

    #[test]
    fn a_whole_message_in_a_request_is_read_as_one() {
        let content = b"Subject: s\r\n\r\nt".to_vec();
        let read = request_surfaces(&SendRequest { content, ..SendRequest::default() }, 100);
        let read: Vec<_> = read.list.iter().map(|it| (it.kind, it.text.as_str())).collect();
        assert_eq!(read, [(SurfaceKind::Subject, "s"), (SurfaceKind::Text, "t")]);
    }

    #[test]
    fn says_when_it_stops() {
        let read = surfaces(format!("Subject: s\n\n{}", "é".repeat(100)).as_bytes(), 100);
        assert!(read.truncated);
        assert_eq!(read.list[1].text, "é".repeat(49));
    }
}
