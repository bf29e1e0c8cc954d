//! Words whose letters are set apart or written as digits.

use super::{Decoded, How};

const MIN_SPACED: usize = 8;

/// Letters set apart by single spaces, dots or hyphens.
pub(super) fn spaced(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut run: Option<(usize, String)> = None;
    let mut letters = 0;
    let mut at = 0;
    // Wider gaps part the words of the spaced text.
    for token in text.split([' ', '.', '-', '_', '*']) {
        let mut chars = token.chars();
        let alone = chars.next().filter(|it| it.is_alphanumeric() && chars.next().is_none());
        match (alone, token.is_empty()) {
            (Some(it), _) => {
                let (_, word) = run.get_or_insert((at, String::new()));
                word.push(it);
                letters += 1;
            }
            (None, true) => {
                if let Some((_, words)) = &mut run
                    && !words.ends_with(' ')
                {
                    words.push(' ');
                }
            }
            (None, false) => end_spaced(&mut run, &mut letters, at, &mut found),
        }
        at += token.len() + 1;
    }
    end_spaced(&mut run, &mut letters, text.len() + 1, &mut found);
    found
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

/// The text with digits read as letters, if enough of its words mix the two.
pub(super) fn digits(text: &str) -> Option<Decoded> {
    let mixed = text.split_whitespace().filter(|it| is_leet(it)).count();
    if mixed < 4 {
        return None;
    }
    let read: String = text
        .split_inclusive(char::is_whitespace)
        .flat_map(|word| {
            let leet = is_leet(word.trim_end());
            word.chars().map(move |it| if leet { letter(it) } else { it })
        })
        .collect();
    Some(Decoded { how: How::Digits, span: 0..text.len(), text: read })
}

/// A word whose digits stand between letters, as in no part number or length.
fn is_leet(word: &str) -> bool {
    let word = word.trim_matches(|it: char| !it.is_alphanumeric() && !"@$".contains(it));
    let letters = word.chars().filter(char::is_ascii_alphabetic).count();
    let read = word.chars().filter(|it| letter(*it) != *it).count();
    let inside = word.chars().zip(word.chars().skip(1)).zip(word.chars().skip(2)).any(
        |((before, it), after)| {
            letter(it) != it && before.is_ascii_alphabetic() && after.is_ascii_alphabetic()
        },
    );
    inside && word.len() <= 20 && letters + read == word.len()
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
