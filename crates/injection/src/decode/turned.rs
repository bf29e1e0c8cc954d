//! Lines whose letters are turned by thirteen places, or written backwards.

use super::{Decoded, How};

/// So many small words have to appear by turning, and three for each that was there.
const MIN_GAIN: usize = 3;

/// Words that hold a text together; a line without any is not read by the sentence.
const SMALL: &[&str] = &[
    "the", "and", "to", "of", "in", "that", "is", "you", "all", "for", "your", "this", "with",
    "not", "it", "are", "from", "do", "any", "der", "die", "das", "und", "nicht", "ist", "les",
    "des", "que", "une", "est", "los", "las", "por", "para", "con", "het", "een", "van",
];

pub(super) fn turned(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let span = start..start + line.len();
        start = span.end;
        let mut plain = 0;
        let mut rotated = 0;
        let mut backward = 0;
        for word in line.split(|it: char| !it.is_ascii_alphabetic()) {
            let Some(word) = Word::new(word) else { continue };
            plain += usize::from(word.is_small(|it| it));
            rotated += usize::from(word.is_small(rot13));
            backward += usize::from(word.reversed().is_small(|it| it));
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

/// A short word, in lower case.
#[derive(Clone, Copy)]
struct Word {
    letters: [u8; 5],
    len: usize,
}

impl Word {
    fn new(word: &str) -> Option<Word> {
        let mut letters = [0; 5];
        let own = letters.get_mut(..word.len()).filter(|it| it.len() >= 2)?;
        own.copy_from_slice(word.as_bytes());
        own.make_ascii_lowercase();
        Some(Word { letters, len: word.len() })
    }

    fn is_small(&self, turn: fn(u8) -> u8) -> bool {
        let turned = self.letters.map(turn);
        SMALL.iter().any(|it| it.as_bytes() == &turned[..self.len])
    }

    fn reversed(mut self) -> Word {
        self.letters[..self.len].reverse();
        self
    }
}

fn rot13(it: u8) -> u8 {
    match it {
        b'a'..=b'z' => b'a' + (it - b'a' + 13) % 26,
        b'A'..=b'Z' => b'A' + (it - b'A' + 13) % 26,
        it => it,
    }
}
