//! The bodies of a message side by side: its text, its HTML, its calendar entry, and its fields.

use crate::{fields, message, mime::Tree};

/// More fields than a long way through many hosts adds.
const MAX_FIELDS: usize = 200;
/// Longer values are cut.
const MAX_VALUE: usize = 4096;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bodies {
    /// What a person would read, as `Message::text` has it.
    pub text: String,
    /// The message has a text/plain part of its own that is not empty.
    pub has_plain_text: bool,
    /// All that is shown of its text/html, as it was sent; empty when there is none.
    pub html: String,
    /// The first text/calendar part (RFC 5545); empty when there is none.
    pub calendar: String,
    /// The fields of the header section in their order, decoded, each on one line; at most 200, and of
    /// each at most 4096 octets.
    pub fields: Vec<(String, String)>,
    /// Something was longer than the limit and is cut.
    pub truncated: bool,
}

/// Reads the bodies of a content, each cut at `limit` octets, at a character.
pub fn bodies(content: &[u8], limit: usize) -> Bodies {
    let tree = Tree::read(content);
    let (text, mut truncated) = message::body_text(&tree, limit);
    let mut bodies =
        Bodies { text, fields: fields::list(content, MAX_FIELDS, MAX_VALUE), ..Bodies::default() };
    for at in tree.leaves() {
        let entity = &tree.entities[at];
        let is_html = entity.is("text/html");
        if entity.is_inline_text() && !is_html {
            bodies.has_plain_text |= !entity.text().trim().is_empty();
        } else if is_html && entity.is_inline_text() {
            truncated |= append(&mut bodies.html, &entity.text(), limit);
        } else if entity.is("text/calendar") && bodies.calendar.is_empty() {
            truncated |= append(&mut bodies.calendar, &entity.text(), limit);
        }
    }
    Bodies { truncated, ..bodies }
}

/// Whether it was too long.
fn append(body: &mut String, text: &str, limit: usize) -> bool {
    let room = limit.saturating_sub(body.len());
    body.push_str(&text[..text.floor_char_boundary(room)]);
    text.len() > room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alternatives_are_there() {
        let content = "Subject: =?utf-8?q?=C3=A9?=\nX-A: b\n c\n\
            Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\n\
            Content-Type: text/html\n\n<p>html\n--a\nContent-Type: text/calendar\n\nBEGIN\n--a--\n";
        let read = bodies(content.as_bytes(), 1000);
        assert_eq!((&*read.text, &*read.html, &*read.calendar), ("plain", "<p>html", "BEGIN"));
        assert!(read.has_plain_text && !read.truncated);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read.fields[..2], [field("Subject", "é"), field("X-A", "b c")]);
    }

    #[test]
    fn each_is_cut_at_a_character() {
        let read = bodies("Content-Type: text/html\n\n<p>éé".as_bytes(), 4);
        assert_eq!((&*read.html, read.truncated, read.has_plain_text), ("<p>", true, false));
    }
}
