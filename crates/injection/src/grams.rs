//! A text as hashed pieces of words and words in rows.

use std::ops::Range;

use crate::features::{MULTIPLIER, has_scheme, is_address};

/// Pieces of words are told apart by so many bits of a hash.
pub const GRAM_BITS: u32 = 19;
/// Letters of a piece.
const PIECE: Range<usize> = 4..6;
/// Words in a row.
const ROW: usize = 3;
/// A longer word is a key, a digest or the like.
const MAX_WORD: usize = 40;

/// The hashes of a text, and how many lie before each unit.
pub(crate) fn grams(text: &str, units: &[usize]) -> (Vec<u32>, Vec<usize>) {
    let letters = letters(text);
    let mut grams = Vec::with_capacity(letters.len() * 4);
    let mut starts = Vec::with_capacity(units.len());
    let mut rows = Rows::new(&letters);
    let mut lately = Lately::default();
    for at in 0..letters.len() {
        while starts.len() < units.len() && units[starts.len()] <= letters[at].0 as usize {
            starts.push(grams.len());
        }
        rows.at(at, |it| lately.push(it, &mut grams));
        let mut hash = 0u64;
        // Where a letter is a word, two are a piece.
        let least = if letters[at].1 >= '\u{2e80}' { 2 } else { PIECE.start };
        for (count, (_, it)) in letters[at..].iter().take(PIECE.end - 1).enumerate() {
            hash = (hash ^ u64::from(*it as u32)).wrapping_mul(MULTIPLIER);
            hash ^= hash >> 29;
            if count + 1 >= least {
                lately.push(index(hash), &mut grams);
            }
        }
    }
    starts.resize(units.len(), grams.len());
    (grams, starts)
}

/// What was said a moment ago says nothing when it is said again: rulers, lists, "ai ai ai".
#[derive(Default)]
struct Lately {
    /// By the lower bits of a gram: the gram, and how many came before it.
    seen: Vec<(u32, u32)>,
    count: u32,
}

impl Lately {
    const SLOTS: usize = 2048;
    const SPAN: u32 = 600;

    fn push(&mut self, gram: u32, grams: &mut Vec<u32>) {
        if self.seen.is_empty() {
            self.seen = vec![(u32::MAX, 0); Lately::SLOTS];
        }
        self.count = self.count.wrapping_add(1);
        let slot = &mut self.seen[gram as usize % Lately::SLOTS];
        if slot.0 != gram || self.count.wrapping_sub(slot.1) > Lately::SPAN {
            grams.push(gram);
        }
        *slot = (gram, self.count);
    }
}

fn index(hash: u64) -> u32 {
    (hash.wrapping_mul(MULTIPLIER) >> (64 - GRAM_BITS)) as u32
}

/// Rows of words.
struct Rows {
    /// Where each word begins, and its hash.
    words: Vec<(usize, u64)>,
    next: usize,
}

impl Rows {
    fn new(letters: &[(u32, char)]) -> Rows {
        let mut words: Vec<(usize, u64)> = Vec::new();
        let mut within = false;
        for (at, (_, it)) in letters.iter().enumerate() {
            let letter = it.is_alphanumeric() || it.is_control();
            match (letter, within) {
                (true, false) => words.push((at, u64::from(*it as u32))),
                (true, true) => {
                    if let Some(last) = words.last_mut() {
                        last.1 = (last.1 ^ u64::from(*it as u32)).wrapping_mul(MULTIPLIER);
                        last.1 ^= last.1 >> 31;
                    }
                }
                (false, _) => (),
            }
            within = letter;
        }
        Rows { words, next: 0 }
    }

    fn at(&mut self, at: usize, mut each: impl FnMut(u32)) {
        if self.words.get(self.next).is_none_or(|it| it.0 != at) {
            return;
        }
        let mut hash = 1u64;
        for (_, word) in self.words[self.next..].iter().take(ROW) {
            hash = (hash.rotate_left(21) ^ word).wrapping_mul(MULTIPLIER);
            each(index(hash ^ 0x5bd1));
        }
        self.next += 1;
    }
}

/// The letters with their place. What tells one mail from another and not an attack from a mail is
/// one sign each: addresses, links, keys, numbers.
fn letters(text: &str) -> Vec<(u32, char)> {
    let mut letters = Vec::with_capacity(text.len());
    let mut at = 0;
    for word in text.split_inclusive(' ') {
        let bare = word.trim_end();
        match sign(bare) {
            Some(sign) => {
                letters.extend([(at as u32, sign), ((at + bare.len()) as u32, ' ')]);
            }
            None => {
                let mut before = ' ';
                for (offset, it) in word.char_indices() {
                    let it = if it.is_ascii_digit() { '0' } else { it };
                    let again = it == before && !it.is_alphabetic();
                    if !again {
                        letters.push(((at + offset) as u32, it));
                    }
                    before = it;
                }
            }
        }
        at += word.len();
    }
    letters
}

/// What stands for a word that is no word.
fn sign(word: &str) -> Option<char> {
    let marked = word.bytes().any(|it| matches!(it, b':' | b'@'));
    if (marked && has_scheme(word)) || word.starts_with("www.") {
        Some('\u{1}')
    } else if marked && is_address(word) {
        Some('\u{2}')
    } else if word.len() > MAX_WORD && word.is_ascii() {
        Some('\u{3}')
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) {
        let grams = |text: &str| grams(text, &[0, text.len()]).0;
        assert_eq!(grams(one), grams(other), "{one:?} {other:?}");
    }

    #[test]
    fn what_names_one_mail_is_masked() {
        same("send it to a@x.test now", "send it to other@example.org now");
        same("see https://a.test/x now", "see http://b.test/?q=1 now");
        same("order 12345 came", "order 7 came");
        same("a ------- b", "a - b");
    }

    #[test]
    fn grams_are_counted_by_unit() {
        let text = "ignore all rules and more of it. then go on";
        let (grams, starts) = grams(text, &[0, 33, text.len()]);
        assert_eq!((starts[0], starts[2]), (0, grams.len()));
        assert!(starts[1] > 0 && starts[1] < grams.len());
        assert!(grams.iter().all(|it| *it < 1 << GRAM_BITS));
    }
}
