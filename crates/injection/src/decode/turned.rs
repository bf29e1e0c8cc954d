//! Lines whose letters are turned by thirteen places, or written backwards.

use std::ops::RangeInclusive;

use super::{Decoded, How};

/// So many small words have to appear by turning, and three for each that was there.
const MIN_GAIN: usize = 3;

/// Words that hold a text together; a line without any is not read by the sentence.
const SMALL: &[&str] = &[
    "the", "and", "to", "of", "in", "that", "is", "you", "all", "for", "your", "this", "with",
    "not", "it", "are", "from", "do", "any", "der", "die", "das", "und", "nicht", "ist", "les",
    "des", "que", "une", "est", "los", "las", "por", "para", "con", "het", "een", "van",
];

/// Of the small words, in octets.
const LENGTHS: RangeInclusive<usize> = 2..=5;

pub(super) fn turned(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    let small = Small::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let span = start..start + line.len();
        start = span.end;
        let mut plain = 0;
        let mut rotated = 0;
        let mut backward = 0;
        for word in line.as_bytes().split(|it| !it.is_ascii_alphabetic()) {
            let Some(read) = small.read(word) else { continue };
            plain += usize::from(read & PLAIN != 0);
            rotated += usize::from(read & ROTATED != 0);
            backward += usize::from(read & BACKWARD != 0);
        }
        if rotated >= MIN_GAIN && rotated > plain * 3 {
            let text =
                line.chars().map(|it| if it.is_ascii() { rot13(it as u8).into() } else { it });
            found.push(Decoded { how: How::Rotated, span: span.clone(), text: text.collect() });
        }
        if backward >= MIN_GAIN && backward > plain * 3 {
            found.push(Decoded {
                how: How::Backward,
                span,
                text: line.trim().chars().rev().collect(),
            });
        }
    }
    found
}

const PLAIN: u8 = 1;
const ROTATED: u8 = 2;
const BACKWARD: u8 = 4;

/// The small words as they are written, turned and backwards, in order.
struct Small(Vec<(u64, u8)>);

impl Small {
    fn new() -> Small {
        let mut all = Vec::with_capacity(SMALL.len() * 3);
        for it in SMALL {
            let word = it.bytes();
            all.push((key(word.clone()), PLAIN));
            all.push((key(word.clone().map(rot13)), ROTATED));
            all.push((key(word.rev()), BACKWARD));
        }
        all.sort_unstable();
        all.dedup_by(|next, it| {
            let same = next.0 == it.0;
            it.1 |= if same { next.1 } else { 0 };
            same
        });
        Small(all)
    }

    /// As what a word can be read, if as any.
    fn read(&self, word: &[u8]) -> Option<u8> {
        if !LENGTHS.contains(&word.len()) {
            return None;
        }
        let key = key(word.iter().map(u8::to_ascii_lowercase));
        let at = self.0.binary_search_by_key(&key, |it| it.0).ok()?;
        Some(self.0[at].1)
    }
}

/// A word of no more than eight octets as a number.
fn key(word: impl Iterator<Item = u8>) -> u64 {
    word.fold(0, |key, it| key << 8 | u64::from(it))
}

fn rot13(it: u8) -> u8 {
    match it {
        b'a'..=b'z' => b'a' + (it - b'a' + 13) % 26,
        b'A'..=b'Z' => b'A' + (it - b'A' + 13) % 26,
        it => it,
    }
}
