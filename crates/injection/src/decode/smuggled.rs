//! Text in characters that are never shown, or shown in another order.

use std::ops::Range;

use super::{Decoded, How};
use crate::view::is_invisible;

const MIN_TAGS: usize = 4;
const MIN_SELECTORS: usize = 8;

/// Runs of tags and of variation selectors.
pub(super) fn smuggled(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    // All of them begin with one of these in UTF-8.
    if !text.bytes().any(|it| matches!(it, 0xef | 0xf3)) {
        return found;
    }
    let mut run = Run::default();
    let mut before = ' ';
    for (at, it) in text.char_indices() {
        match (tag(it), selector(it)) {
            // A flag of a region, such as that of Scotland, is written with tags.
            (Some(_), _) if run.text.is_empty() && before == '\u{1f3f4}' => run.flag = true,
            (Some(octet), _) => run.push(How::Tags, at, it, octet, &mut found),
            (_, Some(octet)) => run.push(How::Selectors, at, it, octet, &mut found),
            _ => run.end(&mut found),
        }
        before = it;
    }
    run.end(&mut found);
    found
}

#[derive(Default)]
struct Run {
    how: Option<How>,
    flag: bool,
    span: Range<usize>,
    text: Vec<u8>,
}

impl Run {
    fn push(&mut self, how: How, at: usize, it: char, octet: u8, found: &mut Vec<Decoded>) {
        if self.flag {
            return;
        }
        if self.how != Some(how) {
            self.end(found);
            self.how = Some(how);
            self.span.start = at;
        }
        self.span.end = at + it.len_utf8();
        self.text.push(octet);
    }

    fn end(&mut self, found: &mut Vec<Decoded>) {
        if self.how.is_none() && !self.flag {
            return;
        }
        let Run { how, span, text, .. } = std::mem::take(self);
        let Some(how) = how else { return };
        let least = if how == How::Tags { MIN_TAGS } else { MIN_SELECTORS };
        if text.len() >= least {
            let text = String::from_utf8_lossy(&text).into_owned();
            found.push(Decoded { how, span, text });
        }
    }
}

fn tag(it: char) -> Option<u8> {
    matches!(it, '\u{e0020}'..='\u{e007e}').then(|| (it as u32 - 0xe0000) as u8)
}

/// The octet that a variation selector stands for where text is hidden in them.
fn selector(it: char) -> Option<u8> {
    match it {
        '\u{fe00}'..='\u{fe0f}' => Some((it as u32 - 0xfe00) as u8),
        '\u{e0100}'..='\u{e01ef}' => Some((it as u32 - 0xe0100 + 16) as u8),
        _ => None,
    }
}

/// What stands between a right-to-left override and its end.
pub(super) fn reversed(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices('\u{202e}') {
        let rest = &text[start + '\u{202e}'.len_utf8()..];
        let end = rest.find(['\u{202c}', '\n', '\u{202e}']).unwrap_or(rest.len());
        let run = &rest[..end];
        if run.chars().filter(char::is_ascii_alphabetic).count() >= 4 {
            let span = start..start + '\u{202e}'.len_utf8() + run.len();
            found.push(Decoded { how: How::Reversed, span, text: run.chars().rev().collect() });
        }
    }
    found
}

/// How many invisible characters stand between two letters of ASCII, where none has a use.
pub(crate) fn split_letters(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    if text.is_ascii() {
        return places;
    }
    let mut before = None;
    let mut pending = None;
    for (at, it) in text.char_indices() {
        // Hyphenation is no disguise.
        if it == '\u{ad}' {
            continue;
        }
        if is_invisible(it) && !it.is_control() {
            pending = pending.or(before.map(|_| at));
            continue;
        }
        let letter = it.is_ascii_alphabetic();
        if let Some(at) = pending.take().filter(|_| letter) {
            places.push(at);
        }
        before = letter.then_some(());
    }
    places
}
