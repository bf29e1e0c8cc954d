//! Words whose letters are set apart or written as digits.

use super::{Decoded, How, runs::Octets};

const MIN_SPACED: usize = 8;
const MIN_LEET: usize = 4;

/// Letters set apart by single spaces, dots or hyphens.
pub(super) fn spaced(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    if !has_spaced(text) {
        return found;
    }
    let mut run: Option<(usize, String)> = None;
    let mut letters = 0;
    let mut at = 0;
    // Wider gaps part the words of the spaced text.
    for token in text.split([' ', '.', '-', '_', '*']) {
        let mut chars = token.chars();
        let alone = chars.next().filter(|_| chars.next().is_none());
        match (alone, token.is_empty()) {
            // A sign begins no run, but does not end one either.
            (Some(it), _) if it.is_alphanumeric() || (run.is_some() && !it.is_whitespace()) => {
                let (_, word) = run.get_or_insert((at, String::new()));
                word.push(it);
                letters += usize::from(it.is_alphanumeric());
            }
            (None, true) => {
                if let Some((_, words)) = &mut run
                    && !words.ends_with(' ')
                {
                    words.push(' ');
                }
            }
            (Some(_), _) | (None, false) => end_spaced(&mut run, &mut letters, at, &mut found),
        }
        at += token.len() + 1;
    }
    end_spaced(&mut run, &mut letters, text.len() + 1, &mut found);
    found
}

/// Whether enough letters may stand alone in a row; a quick look that errs on the side of yes.
fn has_spaced(text: &str) -> bool {
    const GAPS: Octets = Octets::of(b" .-_*");
    let mut letters = 0;
    let mut length = 0;
    for it in text.bytes() {
        if !GAPS.has(it) {
            // What continues a character is no letter of its own.
            length += usize::from(it & 0xc0 != 0x80);
            continue;
        }
        letters = if length > 1 { 0 } else { letters + length };
        length = 0;
        if letters + 1 >= MIN_SPACED {
            return true;
        }
    }
    false
}

fn end_spaced(
    run: &mut Option<(usize, String)>,
    letters: &mut usize,
    end: usize,
    found: &mut Vec<Decoded>,
) {
    if let Some((start, text)) = run.take()
        && *letters >= MIN_SPACED
    {
        found.push(Decoded { how: How::Spaced, span: start..end - 1, text });
    }
    *letters = 0;
}

/// Passages with digits read as letters, where enough words mix the two.
pub(super) fn digits(text: &str) -> Vec<Decoded> {
    if !has_leet(text) {
        return Vec::new();
    }
    let mut at = 0;
    let words = text.split_inclusive(char::is_whitespace).filter_map(|word| {
        let start = at;
        at += word.len();
        is_leet(word.trim_end()).then_some(start)
    });
    let passages = super::passages(text, words).into_iter();
    let many = passages.filter(|it| it.count >= MIN_LEET);
    many.map(|it| Decoded {
        how: How::Digits,
        text: lettered(&text[it.span.clone()]),
        span: it.span,
    })
    .collect()
}

fn lettered(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .flat_map(|word| {
            let leet = is_leet(word.trim_end()) || is_all_leet(word.trim_end());
            word.chars().map(move |it| if leet { letter(it) } else { it })
        })
        .collect()
}

/// Whether enough digits stand after letters; a quick look that errs on the side of yes.
fn has_leet(text: &str) -> bool {
    const DIGITS: Octets = Octets::of(b"013457@$");
    let octets = text.as_bytes();
    let begun = octets.windows(2).filter(|it| it[0].is_ascii_alphabetic() && DIGITS.has(it[1]));
    begun.take(MIN_LEET).count() == MIN_LEET
}

/// A word whose digits stand between letters, as in no part number or length.
fn is_leet(word: &str) -> bool {
    let word = word.trim_matches(|it: char| !it.is_alphanumeric() && !"@$".contains(it));
    let letters = word.chars().filter(char::is_ascii_alphabetic).count();
    let read = word.chars().filter(|it| letter(*it) != *it).count();
    let mut after = word.chars().skip_while(|it| !it.is_ascii_alphabetic());
    let inside = after.any(|it| letter(it) != it) && after.any(|it| it.is_ascii_alphabetic());
    inside && word.len() <= 20 && letters + read == word.len()
}

/// A word that may be written so where others are: "7h15", "15".
fn is_all_leet(word: &str) -> bool {
    let word = word.trim_matches(|it: char| !it.is_alphanumeric() && !"@$".contains(it));
    let read = word.chars().filter(|it| letter(*it) != *it).count();
    let letters = word.chars().filter(char::is_ascii_alphabetic).count();
    let plausible = letters > 0 || word.len() <= 3;
    plausible && word.len() <= 20 && read > 0 && letters + read == word.len()
}

fn letter(it: char) -> char {
    match it {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        it => it,
    }
}
