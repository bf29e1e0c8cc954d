//! A text without what takes no room, compatibility forms resolved; case stays, since tokens have it.

use std::ops::Range;

use unicode_normalization::char::decompose_compatible;

use crate::view::is_invisible;

pub(super) struct Clean {
    text: String,
    /// For each octet of `text`, where its character begins in the original; empty if all are where
    /// they were.
    origins: Vec<u32>,
    original: usize,
}

impl Clean {
    pub(super) fn new(original: &str) -> Clean {
        let is_plain = original.bytes().all(|it| it.is_ascii() && !is_invisible(char::from(it)));
        if is_plain {
            let text = original.to_owned();
            return Clean { text, origins: Vec::new(), original: original.len() };
        }
        let mut text = String::with_capacity(original.len());
        let mut origins = Vec::with_capacity(original.len());
        for (at, it) in original.char_indices().filter(|(_, it)| !is_invisible(*it)) {
            if it.is_ascii() {
                text.push(it);
            } else {
                decompose_compatible(it, |it| text.push(it));
            }
            origins.resize(text.len(), u32::try_from(at).unwrap_or(u32::MAX));
        }
        Clean { text, origins, original: original.len() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The same range in the original.
    pub(super) fn origin(&self, span: Range<usize>) -> Range<usize> {
        if self.origins.is_empty() {
            return span;
        }
        let at = |it: usize| self.origins.get(it).map_or(self.original, |it| *it as usize);
        at(span.start)..at(span.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_everything_was() {
        let original = "é\u{200b}Ａbc";
        let clean = Clean::new(original);
        assert!(clean.text().ends_with("Abc"));
        let at = clean.text().find("Ab").expect("Ab");
        assert_eq!(&original[clean.origin(at..at + 2)], "Ａb");
        assert_eq!(Clean::new("plain").origin(1..3), 1..3);
    }
}
