//! A text as detectors read it: folded, so that one spelling stands for all, each octet knowing where
//! it came from.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::skeleton;

/// The letters by which the script of a text is told.
const MAX_LOOK: usize = 4096;

/// A folded text: compatibility characters, case, accents, invisible characters and runs of white
/// space no longer make a difference.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    text: String,
    /// For each octet of `text`, where its character begins in the original.
    origins: Vec<u32>,
    original: usize,
    /// Where white space of the folded text stands for the end of a line.
    breaks: Vec<Break>,
    /// Where words stand that mix letters of Latin with some that only look so.
    disguised: Vec<usize>,
}

/// The end of a line, or of a paragraph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Break {
    pub(crate) at: usize,
    pub(crate) lines: usize,
}

impl View {
    pub(crate) fn new(original: &str) -> View {
        let mut view = View { original: original.len(), ..View::default() };
        view.text.reserve(original.len());
        view.origins.reserve(original.len());
        if original.is_ascii() {
            for (at, it) in original.bytes().enumerate() {
                view.push(at, char::from(it), false);
            }
            return view;
        }
        let latin = is_mostly_latin(original);
        for (start, word) in words(original) {
            let mixed = is_disguised(word, latin);
            if mixed {
                view.disguised.push(start);
            }
            for (at, it) in word.char_indices() {
                view.push(start + at, it, mixed);
            }
        }
        view
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where words begin, in the original, that are written with look-alikes of Latin letters.
    pub(crate) fn disguised(&self) -> &[usize] {
        &self.disguised
    }

    pub(crate) fn breaks(&self) -> &[Break] {
        &self.breaks
    }

    /// The same range in the original.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = self.origins.get(range.start).map_or(self.original, |it| *it as usize);
        let end = self.origins.get(range.end).map_or(self.original, |it| *it as usize);
        start..end.max(start)
    }

    fn push(&mut self, at: usize, it: char, mixed: bool) {
        if it.is_ascii_graphic() {
            self.text.push(it.to_ascii_lowercase());
            self.origins.push(at as u32);
            return;
        }
        if is_invisible(it) {
            return;
        }
        if it.is_whitespace() {
            if !self.text.ends_with(' ') {
                self.push_folded(at, ' ');
            }
            if matches!(it, '\n' | '\u{2028}' | '\u{2029}') {
                self.push_break();
            }
            return;
        }
        for it in std::iter::once(it).nfkd().filter(|it| !is_accent(*it)) {
            for it in it.to_lowercase().filter(|it| !is_accent(*it)) {
                self.push_folded(at, if mixed { look_alike(it) } else { plain(it) });
            }
        }
    }

    fn push_break(&mut self) {
        let at = self.text.len() - 1;
        match self.breaks.last_mut() {
            Some(it) if it.at == at => it.lines += 1,
            _ => self.breaks.push(Break { at, lines: 1 }),
        }
    }

    fn push_folded(&mut self, at: usize, it: char) {
        self.text.push(it);
        self.origins.resize(self.text.len(), at as u32);
    }
}

/// As `View`, where the origin does not matter.
pub fn fold(text: &str) -> String {
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

/// Marks that make no other word, or that many leave out: accents, points, vowels of Arabic. Those of
/// Indic scripts are letters of their own.
fn is_accent(it: char) -> bool {
    matches!(it, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{20d0}'..='\u{20f0}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{fe20}'..='\u{fe2f}')
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

/// Whether a word is written with look-alikes of Latin letters: among Latin letters, as no language has
/// it, or throughout in a text that is otherwise Latin.
fn is_disguised(word: &str, latin: bool) -> bool {
    if word.is_ascii() {
        return false;
    }
    let mut ascii = 0;
    let mut alike = 0;
    let mut others = 0;
    for it in word.chars().filter(|it| it.is_alphabetic()) {
        if it.is_ascii() {
            ascii += 1;
        } else if look_alike(it) != plain(it) {
            alike += 1;
        } else {
            others += 1;
        }
    }
    alike > 0 && (ascii > 0 || (latin && others == 0 && alike > 2))
}

fn is_mostly_latin(text: &str) -> bool {
    let mut letters = 0;
    let mut ascii = 0;
    for it in text.chars().filter(|it| it.is_alphabetic()).take(MAX_LOOK) {
        letters += 1;
        ascii += usize::from(it.is_ascii());
    }
    ascii * 2 > letters
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

/// The Latin letter that one of another script looks like: the usual ones first, some of which Unicode
/// does not count because only their capitals look alike.
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
        it => confusable(it).unwrap_or_else(|| plain(it)),
    }
}

/// By Unicode's table of confusables (UTS #39), where it leads to one letter of ASCII.
fn confusable(it: char) -> Option<char> {
    if it.is_ascii() {
        return None;
    }
    let mut octets = [0; 4];
    let mut skeleton = skeleton(it.encode_utf8(&mut octets));
    let first = skeleton.next().filter(char::is_ascii_alphabetic)?;
    skeleton.next().is_none().then(|| first.to_ascii_lowercase())
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
        check("see the сору and the ѕоре here", "see the copy and the sope here");
        check("ꮯopy ꓲgnore", "copy lgnore");
        check("Grüße an Łukasz, Ærø", "gruse an lukasz, æro");
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
