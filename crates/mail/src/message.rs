//! Reading: from octets to `contract::Message`.

use contract::{Attachment, Message};
use data_encoding::{BASE64, HEXLOWER};

use crate::{
    fields::{Fields, one_line},
    html,
    mime::{Entity, Tree},
};

/// The first and the newest references tell a thread (RFC 5322 section 3.6.4 has no limit).
const MAX_REFERENCES: usize = 51;
const MAX_PREVIEW: usize = 200;

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
        subject: fields.text("subject").unwrap_or_default(),
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
fn body_text(tree: &Tree<'_>, limit: usize) -> (String, bool) {
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
    text.truncate(text.floor_char_boundary(limit));
    (text, truncated)
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
    }
}

/// A name that is safe to create a file with, in one folder.
fn filename(entity: &Entity<'_>) -> String {
    let name = entity.filename().unwrap_or_default();
    let name: String =
        one_line(name).chars().map(|it| if matches!(it, '/' | '\\') { '_' } else { it }).collect();
    // Neither this folder nor the one above, nor a hidden file.
    name.trim_start_matches('.').trim().to_owned()
}

/// The first characters on one line.
fn preview(text: &str) -> String {
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
