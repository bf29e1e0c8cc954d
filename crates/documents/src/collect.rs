//! Pieces of text as they are found, and how much more there may be.

use std::fmt;

use crate::{Extracted, Kind, Limits, Piece, Unreadable};

const KINDS: [Kind; 6] =
    [Kind::Text, Kind::Hidden, Kind::Metadata, Kind::Comment, Kind::Link, Kind::Member];

pub(crate) struct Collected {
    texts: [String; KINDS.len()],
    pub(crate) limits: Limits,
    /// Octets of text that may still come.
    left: usize,
    /// Octets that may still be decompressed.
    pub(crate) inflatable: usize,
    gap: Option<Unreadable>,
}

impl Collected {
    pub(crate) fn new(limits: &Limits) -> Collected {
        Collected {
            texts: Default::default(),
            limits: *limits,
            left: limits.text,
            inflatable: limits.inflated,
            gap: None,
        }
    }

    /// Adds to what there is of a kind.
    pub(crate) fn add(&mut self, kind: Kind, text: &str) {
        let room = text.floor_char_boundary(self.left);
        if room < text.len() {
            self.missed(Unreadable::TooLarge);
        }
        // PostgreSQL takes no NUL, and no reader sees one.
        self.texts[kind as usize].extend(text[..room].chars().filter(|it| *it != '\0'));
        self.left -= room;
    }

    /// Adds a line of its own.
    pub(crate) fn line(&mut self, kind: Kind, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.end_line(kind);
            self.add(kind, text);
            self.end_line(kind);
        }
    }

    pub(crate) fn end_line(&mut self, kind: Kind) {
        if self.texts[kind as usize].chars().next_back().is_some_and(|it| it != '\n') {
            self.add(kind, "\n");
        }
    }

    /// Some of the document is not read; the first reason stands.
    pub(crate) fn missed(&mut self, why: Unreadable) {
        self.gap.get_or_insert(why);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Adds what another collection has of each kind.
    pub(crate) fn merge(&mut self, other: Collected) {
        for (kind, text) in KINDS.into_iter().zip(other.texts) {
            self.line(kind, &text);
        }
        if let Some(why) = other.gap {
            self.missed(why);
        }
    }

    pub(crate) fn finish(self) -> Extracted {
        let pieces = KINDS.into_iter().zip(self.texts).filter(|it| !it.1.trim().is_empty());
        let pieces = pieces.map(|(kind, text)| Piece { kind, text: text.trim().to_owned() });
        Extracted { pieces: pieces.collect(), gap: self.gap }
    }
}

/// A text that takes no more than it may: then it fails, which ends whoever writes to it.
pub(crate) struct Bounded {
    pub(crate) text: String,
    limit: usize,
    /// It was given more.
    pub(crate) is_full: bool,
}

impl Bounded {
    pub(crate) fn new(limit: usize) -> Bounded {
        Bounded { text: String::new(), limit, is_full: false }
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.is_full |= self.text.len() + text.len() > self.limit;
        if self.is_full {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_its_limit_and_says_so() {
        let mut collected = Collected::new(&Limits { text: 5, ..Limits::default() });
        collected.add(Kind::Text, "abc\0");
        collected.add(Kind::Link, "é");
        collected.add(Kind::Text, "x");
        let extracted = collected.finish();
        assert_eq!(extracted.pieces, [Piece { kind: Kind::Text, text: "abcx".to_owned() }]);
        assert_eq!(extracted.gap, Some(Unreadable::TooLarge));
    }

    #[test]
    fn lines_stand_alone() {
        let mut collected = Collected::new(&Limits::default());
        collected.line(Kind::Member, "a");
        collected.line(Kind::Member, " ");
        collected.line(Kind::Member, "b");
        assert_eq!(collected.finish().pieces[0].text, "a\nb");
    }
}
