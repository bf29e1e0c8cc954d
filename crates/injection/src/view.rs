//! A text as detectors read it: folded, so that one spelling stands for all, each octet knowing where
//! it came from.

use std::ops::Range;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// A folded text: compatibility characters, case, accents, invisible characters and runs of white
/// space no longer make a difference.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    text: String,
    /// For each octet of `text`, where its character begins in the original.
    origins: Vec<u32>,
    original: usize,
}

impl View {
    pub(crate) fn new(original: &str) -> View {
        let mut view = View { original: original.len(), ..View::default() };
        for (start, word) in words(original) {
            let mixed = is_mixed_script(word);
            for (at, it) in word.char_indices() {
                view.push(start + at, it, mixed);
            }
        }
        view
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same range in the original.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = self.origins.get(range.start).map_or(self.original, |it| *it as usize);
        let end = self.origins.get(range.end).map_or(self.original, |it| *it as usize);
        start..end.max(start)
    }

    fn push(&mut self, at: usize, it: char, mixed: bool) {
        if is_invisible(it) {
            return;
        }
        if it.is_whitespace() {
            if !self.text.ends_with(' ') {
                self.push_folded(at, ' ');
            }
            return;
        }
        if it.is_ascii() {
            self.push_folded(at, it.to_ascii_lowercase());
            return;
        }
        for it in std::iter::once(it).nfkd().filter(|it| !is_combining_mark(*it)) {
            for it in it.to_lowercase().filter(|it| !is_combining_mark(*it)) {
                self.push_folded(at, if mixed { look_alike(it) } else { plain(it) });
            }
        }
    }

    fn push_folded(&mut self, at: usize, it: char) {
        self.text.push(it);
        self.origins.resize(self.text.len(), at as u32);
    }
}

/// As `View`, where the origin does not matter.
pub(crate) fn fold(text: &str) -> String {
    View::new(text).text
}

/// Characters that take no room: they split words for a machine and not for a person.
pub(crate) fn is_invisible(it: char) -> bool {
    matches!(it,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
        || (it.is_control() && !it.is_whitespace())
}

/// Pieces that begin with a letter run or with what lies between two.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive(|it: char| it.is_whitespace()).map(move |word| {
        let start = at;
        at += word.len();
        (start, word)
    })
}

/// Latin letters and look-alikes of another script in one word, as no language has them.
fn is_mixed_script(word: &str) -> bool {
    !word.is_ascii()
        && word.chars().any(|it| it.is_ascii_alphabetic())
        && word.chars().any(|it| look_alike(it) != it)
}

fn plain(it: char) -> char {
    match it {
        'ı' => 'i',
        'ß' => 's',
        'ł' => 'l',
        'đ' => 'd',
        'ø' => 'o',
        '‘' | '’' | '´' | '`' => '\'',
        '“' | '”' | '«' | '»' | '„' => '"',
        '‐'..='―' => '-',
        it => it,
    }
}

/// The Latin letter that a Cyrillic or Greek one looks like.
fn look_alike(it: char) -> char {
    match it {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'ɡ' => 'g',
        'һ' | 'н' => 'h',
        'і' | 'ι' | 'ӏ' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'ո' | 'η' => 'n',
        'о' | 'ο' | 'օ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        it => plain(it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, folded: &str) {
        assert_eq!(fold(text), folded);
    }

    #[test]
    fn one_spelling_stands_for_all() {
        check("Ignore  ALL\r\n\trules", "ignore all rules");
        check("ig\u{200b}no\u{ad}re", "ignore");
        check("ｉｇｎｏｒｅ 𝐚𝐥𝐥", "ignore all");
        check("Règles précédentes İstanbul", "regles precedentes istanbul");
        check("it’s", "it's");
    }

    #[test]
    fn look_alikes_count_in_mixed_words_only() {
        check("іgnоre", "ignore");
        check("игнорируй все", "игнорируи все");
        check("сор", "сор");
    }

    #[test]
    fn spans_lead_back_to_the_original() {
        let original = "É\u{200b}é  ｘy";
        let view = View::new(original);
        assert_eq!(view.text(), "ee xy");
        assert_eq!(&original[view.origin(0..2)], "É\u{200b}é");
        assert_eq!(&original[view.origin(3..5)], "ｘy");
        assert_eq!(view.origin(5..5), original.len()..original.len());
    }
}
