//! Reading: from octets to `contract::Message`.

use contract::{Attachment, Message};
use data_encoding::{BASE64, HEXLOWER};

use crate::{
    fields::{Fields, MAX_MESSAGE_ID, one_line},
    html,
    mime::{Entity, Tree},
};

/// The first and the newest references tell a thread (RFC 5322 section 3.6.4 has no limit).
const MAX_REFERENCES: usize = 51;
const MAX_PREVIEW: usize = 200;
/// Longer ones are cut: nobody reads on, and databases index them.
const MAX_SUBJECT: usize = 8 * 1024;
/// What file systems take.
const MAX_FILENAME: usize = 255;

/// Reads a content. Whatever is wrong with it, there is a message: at worst an empty one. `text` is
/// cut at `text_limit` octets, at a character.
pub fn parse(content: &[u8], text_limit: usize) -> Message {
    let tree = Tree::read(content);
    let fields = &tree.root().fields;
    let (text, text_truncated) = body_text(&tree, text_limit);
    Message {
        message_id: message_id(fields),
        in_reply_to: capped(fields.message_ids("in-reply-to")),
        references: capped(fields.message_ids("references")),
        thread_index: thread_index(fields).unwrap_or_default(),
        subject: cut(fields.text("subject").unwrap_or_default(), MAX_SUBJECT),
        from: fields.mailboxes("from"),
        to: fields.mailboxes("to"),
        cc: fields.mailboxes("cc"),
        reply_to: fields.mailboxes("reply-to"),
        date_micros: fields.date_micros("date").unwrap_or_default(),
        preview: preview(&text),
        text,
        text_truncated,
        attachments: attachments(&tree).map(describe).collect(),
    }
}

/// A decoded attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub filename: String,
    pub content_type: String,
    pub octets: Vec<u8>,
}

/// The attachment at this place of `Message::attachments`.
pub fn part(content: &[u8], index: usize) -> Option<Part> {
    let tree = Tree::read(content);
    let entity = attachments(&tree).nth(index)?;
    Some(Part {
        filename: filename(entity),
        content_type: entity.media_type(),
        octets: entity.octets(),
    })
}

fn message_id(fields: &Fields<'_>) -> String {
    match fields.message_ids("message-id").into_iter().next() {
        Some(id) => id,
        // Some programs leave the brackets out of their own identifier.
        None => fields
            .text("message-id")
            .and_then(|it| it.split_whitespace().next().map(str::to_owned))
            .map(|it| cut(it, MAX_MESSAGE_ID))
            .unwrap_or_default(),
    }
}

fn capped(mut ids: Vec<String>) -> Vec<String> {
    if ids.len() > MAX_REFERENCES {
        ids.drain(1..ids.len() - (MAX_REFERENCES - 1));
    }
    ids
}

/// The header of Thread-Index (MS-OXOMSG section 2.2.1.3), which a reply inherits.
fn thread_index(fields: &Fields<'_>) -> Option<String> {
    let value: Vec<u8> = fields
        .first("thread-index")?
        .iter()
        .copied()
        .filter(|it| !it.is_ascii_whitespace())
        .collect();
    let octets = BASE64.decode(&value).ok()?;
    octets.get(..22).map(|it| HEXLOWER.encode(it))
}

/// What a person would read, and whether it was cut.
pub(crate) fn body_text(tree: &Tree<'_>, limit: usize) -> (String, bool) {
    let mut text = String::new();
    let mut truncated = false;
    for at in shown(tree, 0) {
        let entity = &tree.entities[at];
        let room = limit.saturating_sub(text.len());
        let (piece, cut) = entity_text(entity, room);
        if !text.is_empty() && !piece.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&piece);
        truncated |= cut;
        if truncated {
            break;
        }
    }
    truncated |= text.len() > limit;
    (cut(text, limit), truncated)
}

/// The text of one entity: at least `limit` octets of it, if it has as many.
fn entity_text(entity: &Entity<'_>, limit: usize) -> (String, bool) {
    let text = entity.text();
    if entity.is("text/html") {
        let page = html::read(&text, limit.saturating_add(1));
        (page.visible, page.truncated)
    } else {
        (text, false)
    }
}

/// The leaves that make up what is shown of an entity.
fn shown(tree: &Tree<'_>, at: usize) -> Vec<usize> {
    let entity = &tree.entities[at];
    if entity.parts.is_empty() {
        return if entity.is_inline_text() { vec![at] } else { Vec::new() };
    }
    let alternatives = entity.parts.iter().map(|it| shown(tree, *it)).filter(|it| !it.is_empty());
    if entity.subtype() != "alternative" {
        return alternatives.flatten().collect();
    }
    // All say the same: plain text says it without loss, unless it is left empty.
    let alternatives: Vec<Vec<usize>> = alternatives.collect();
    let plain = alternatives.iter().find(|leaves| {
        leaves.iter().any(|it| {
            let leaf = &tree.entities[*it];
            leaf.is("text/plain") && !leaf.text().trim().is_empty()
        })
    });
    plain.or(alternatives.last()).cloned().unwrap_or_default()
}

fn attachments<'t, 'a>(tree: &'t Tree<'a>) -> impl Iterator<Item = &'t Entity<'a>> {
    tree.leaves().into_iter().map(|it| &tree.entities[it]).filter(|it| !it.is_inline_text())
}

fn describe(entity: &Entity<'_>) -> Attachment {
    Attachment {
        filename: filename(entity),
        content_type: entity.media_type(),
        size_bytes: entity.octets().len() as u64,
        content_id: entity.fields.message_ids("content-id").into_iter().next().unwrap_or_default(),
        // Told by whoever opens documents.
        text: String::new(),
        text_truncated: false,
    }
}

/// A name that is safe to create a file with, in one folder.
fn filename(entity: &Entity<'_>) -> String {
    let name = entity.filename().unwrap_or_default();
    let name: String =
        one_line(name).chars().map(|it| if matches!(it, '/' | '\\') { '_' } else { it }).collect();
    // Neither this folder nor the one above, nor a hidden file.
    cut(name.trim_start_matches('.').trim().to_owned(), MAX_FILENAME)
}

fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// The first characters on one line, at most 200.
pub fn preview(text: &str) -> String {
    let mut preview = String::new();
    let mut left = MAX_PREVIEW;
    for word in text.split_whitespace() {
        let gap = usize::from(!preview.is_empty());
        if left <= gap {
            break;
        }
        if gap > 0 {
            preview.push(' ');
        }
        preview.extend(word.chars().filter(|it| !it.is_control()).take(left - gap));
        left = MAX_PREVIEW.saturating_sub(preview.chars().count());
    }
    preview
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(content: &str, text: &str) {
        assert_eq!(parse(content.as_bytes(), 1000).text, text);
    }

    #[test]
    fn plain_text_comes_before_html_unless_it_is_empty() {
        let alternative = |plain: &str| {
            format!(
                "Content-Type: multipart/alternative; boundary=a\n\n--a\n\n{plain}\n--a\n\
                 Content-Type: text/html\n\n<p>html\n--a--\n"
            )
        };
        check_text(&alternative("plain"), "plain");
        check_text(&alternative(" "), "html");
        check_text("Content-Type: text/html\n\n<p>a<p>b", "a\n\nb");
    }

    #[test]
    fn all_inline_texts_are_read_and_attached_ones_are_not() {
        check_text(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a\n\
             Content-Disposition: attachment; filename=2.txt\n\n2\n--a\n\n3\n--a--\n",
            "1\n3",
        );
    }

    #[test]
    fn text_is_cut_at_a_character() {
        for (limit, text, truncated) in [(0, "", true), (3, "é", true), (4, "éé", false)] {
            let message = parse("\n\u{e9}\u{e9}".as_bytes(), limit);
            assert_eq!((message.text.as_str(), message.text_truncated), (text, truncated));
        }
        let html = format!("Content-Type: text/html\n\n{}", "<p>é".repeat(1000));
        let message = parse(html.as_bytes(), 5);
        assert_eq!((message.text.as_str(), message.text_truncated), ("é\n\n", true));
    }

    #[test]
    fn references_keep_the_first_and_the_newest() {
        let ids: Vec<String> = (0..200).map(|it| format!("<{it}@x>")).collect();
        let message = parse(format!("References: {}\n\n", ids.join(" ")).as_bytes(), 0);
        assert_eq!(message.references.len(), 51);
        assert_eq!(message.references[0], "0@x");
        assert_eq!(message.references[1], "150@x");
        assert_eq!(message.references[50], "199@x");
    }

    #[test]
    fn a_message_identifier_may_lack_its_brackets() {
        assert_eq!(parse(b"Message-ID: <a@b>\n\n", 0).message_id, "a@b");
        assert_eq!(parse(b"Message-ID: a@b c\n\n", 0).message_id, "a@b");
        assert_eq!(parse(b"\n", 0).message_id, "");
    }

    #[test]
    fn the_conversation_of_thread_index() {
        let index = BASE64.encode(&(0..27).collect::<Vec<u8>>());
        let message = parse(format!("Thread-Index: {index}\n\n").as_bytes(), 0);
        assert_eq!(message.thread_index, "000102030405060708090a0b0c0d0e0f101112131415");
        assert_eq!(parse(b"Thread-Index: x\n\n", 0).thread_index, "");
    }

    #[test]
    fn a_filename_stays_in_its_folder() {
        for (given, safe) in [
            ("../../etc/passwd", "_.._etc_passwd"),
            ("C:\\a.exe", "C:_a.exe"),
            (".bashrc", "bashrc"),
            ("=?utf-8?Q?=C3=A9.pdf?=", "é.pdf"),
            ("a b.pdf", "a b.pdf"),
        ] {
            let content = format!(
                "Content-Type: application/pdf\nContent-Disposition: attachment; \
                 filename=\"{}\"\n\nx",
                given.replace('\\', "\\\\")
            );
            assert_eq!(part(content.as_bytes(), 0).expect("part").filename, safe);
        }
    }

    #[test]
    fn a_preview_is_one_short_line() {
        assert_eq!(preview(" a\n\n b\tc "), "a b c");
        assert_eq!(preview(&"ab ".repeat(100)).chars().count(), 200);
        assert_eq!(preview(&"é".repeat(300)).chars().count(), 200);
    }
}
