//! What the model sees of a text: hashed pieces of words in the order they stand in, and which
//! meanings stand in which window.

use std::ops::Range;

use crate::{
    Kind,
    detector::Reading,
    grams::grams,
    lexicon::Concept,
    model::Signals,
    talk::Talk,
    window::{SCALES, units, windows},
};

/// Combinations of meanings are told apart by so many bits of a hash.
pub const CONCEPT_BITS: u32 = 17;
/// Octets of a folded text that is more than a word or two.
const SENTENCE: usize = 40;
/// Digits of an account's number.
const MIN_ACCOUNT: usize = 8;

/// One sign in so many octets is more than sentences have.
const NOISY: usize = 16;
/// Signs that stand alone.
const LONE: usize = 3;

pub(crate) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A text as the model sees it.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// Hashes below `1 << GRAM_BITS`.
    pub grams: Vec<u32>,
    /// Meanings that follow each other, as hashes below `1 << CONCEPT_BITS`.
    pub rows: Vec<u32>,
    pub windows: Vec<Window>,
    /// Whole sentences stood in a code.
    pub disguised: bool,
}

#[derive(Clone, Debug)]
pub struct Window {
    /// Octets of the folded text.
    pub range: Range<usize>,
    /// Of the features' grams.
    pub grams: Range<usize>,
    /// Of the features' rows.
    pub rows: Range<usize>,
    /// Which of the two scales: 0 is a sentence or two.
    pub scale: usize,
    /// A bit for each meaning.
    pub concepts: u64,
    /// It only tells of attacks.
    pub told: bool,
    /// The log-odds of what the rules say of it.
    pub rules: f32,
}

impl Features {
    pub(crate) fn of(reading: &Reading<'_>) -> Features {
        let all_units = units(&reading.view);
        let units = &all_units.starts;
        let (grams, starts) = grams(reading.view.text(), units);
        let concepts = concepts(reading, units);
        let (rows, row_starts) = rows(reading, units);
        let talk = Talk::of(reading);
        let whole = place(reading);
        let mut all = Vec::new();
        for scale in 0..SCALES.len() {
            for it in windows(&all_units, scale) {
                // One that is no longer than that of the lesser scale says nothing new.
                if scale > 0 && it.len() == 1 && units.len() > 2 {
                    continue;
                }
                let range = units[it.start]..units[it.end];
                all.push(Window {
                    told: talk.has(&range),
                    range,
                    grams: starts[it.start]..starts[it.end],
                    rows: row_starts[it.start]..row_starts[it.end],
                    scale,
                    concepts: concepts[it].iter().fold(whole, |all, it| all | it),
                    rules: Signals::NO_RULE,
                });
            }
        }
        let disguised = reading.decoded.is_some() && reading.view.text().len() >= SENTENCE;
        Features { grams, rows, windows: all, disguised }
    }
}

/// The meanings of a window alone, in pairs and in threes, each as a hash.
pub fn combinations(concepts: u64, mut each: impl FnMut(u32)) {
    let mut list = [0u8; 64];
    let mut count = 0;
    let mut left = concepts;
    while left != 0 {
        list[count] = left.trailing_zeros() as u8;
        count += 1;
        left &= left - 1;
    }
    let hash = |a: u8, b: u8, c: u8| combination(a, b, c);
    for a in 0..count {
        each(hash(list[a], 255, 255));
        for b in a + 1..count {
            each(hash(list[a], list[b], 255));
            for c in b + 1..count {
                each(hash(list[a], list[b], list[c]));
            }
        }
    }
}

fn combination(a: u8, b: u8, c: u8) -> u32 {
    let key = u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16;
    ((key + 1).wrapping_mul(MULTIPLIER) >> (64 - CONCEPT_BITS)) as u32
}

/// Which meaning follows which within a few words, in twos and threes, and how many such rows lie before
/// each unit: who is spoken to, what is to be done, and with what, in the order in which it is said.
fn rows(reading: &Reading<'_>, units: &[usize]) -> (Vec<u32>, Vec<usize>) {
    let text = reading.view.text();
    let hits = &reading.found.hits;
    let mut rows = Vec::new();
    let mut starts = Vec::with_capacity(units.len());
    let mut before: [Option<(u8, usize)>; 2] = [None, None];
    for hit in hits {
        while starts.len() < units.len() && units[starts.len()] <= hit.range.start {
            starts.push(rows.len());
        }
        let start = units[starts.len().saturating_sub(1)];
        let verb = matches!(
            hit.concept,
            Concept::Send | Concept::Deed | Concept::Disclose | Concept::Delete | Concept::Pay
        );
        let ordered = verb && opens(text, start, hit.range.start);
        let own = hit.concept as u8 | if ordered { ORDERED } else { IN_ROW };
        let near = |it: &(u8, usize)| it.0 != own && hit.range.start <= it.1 + REACH;
        match (before[0], before[1].filter(near)) {
            (Some(first), Some(second)) => {
                rows.push(combination(second.0, own, u8::MAX));
                if first.1 + REACH >= second.1 {
                    rows.push(combination(first.0, second.0, own));
                }
            }
            (None, Some(second)) => rows.push(combination(second.0, own, u8::MAX)),
            _ => (),
        }
        if before[1].is_none_or(|it| it.0 != own) {
            before[0] = before[1];
        }
        before[1] = Some((own, hit.range.end));
    }
    starts.resize(units.len(), rows.len());
    (rows, starts)
}

/// Octets between meanings that belong together.
const REACH: usize = 60;
/// Told apart from meanings that stand anywhere in a window.
const IN_ROW: u8 = 0x80;
/// A verb that begins its clause.
const ORDERED: u8 = 0xc0;

/// Bits after those of the lexicon's concepts.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Structure {
    Url = 38,
    Address,
    Account,
    Place,
    Imperative,
    Question,
    Shout,
    Code,
    Quoted,
    Cited,
    Unseen,
    Decoded,
    Subject,
    Name,
    Attached,
    Markup,
    Overridden,
    Alone,
    /// Signs and letters of several scripts in no order, as a search for an answer leaves them.
    Noise,
}

fn bit(structure: Structure) -> u64 {
    1 << structure as u8
}

/// The bits of where the text stands.
fn place(reading: &Reading<'_>) -> u64 {
    let mut bits = match reading.kind {
        Kind::Subject => bit(Structure::Subject),
        Kind::Name | Kind::Filename => bit(Structure::Name),
        Kind::Attached => bit(Structure::Attached),
        _ => 0,
    };
    if reading.kind.is_unseen() {
        bits |= bit(Structure::Unseen);
    }
    if reading.decoded.is_some() {
        bits |= bit(Structure::Decoded);
    }
    bits
}

/// The bits of each unit.
fn concepts(reading: &Reading<'_>, units: &[usize]) -> Vec<u64> {
    let text = reading.view.text();
    let mut hits = reading.found.hits.iter().peekable();
    let mut bits = Vec::with_capacity(units.len() - 1);
    for unit in units.windows(2) {
        let (start, end) = (unit[0], unit[1]);
        let piece = &text[start..end];
        let mut own = structure(piece);
        let mut overrides: Option<usize> = None;
        while let Some(hit) = hits.next_if(|it| it.range.start < end) {
            own |= 1 << hit.concept as u8;
            match hit.concept {
                Concept::Override => overrides = Some(hit.range.end),
                Concept::Instruction | Concept::Prior
                    if overrides.is_some_and(|it| hit.range.start < it + 40) =>
                {
                    own |= bit(Structure::Overridden);
                }
                Concept::Send | Concept::Deed | Concept::Disclose | Concept::Delete
                    if opens(text, start, hit.range.start) =>
                {
                    own |= bit(Structure::Imperative);
                }
                _ => (),
            }
        }
        bits.push(own);
    }
    bits
}

/// Whether a clause begins here.
pub(crate) fn opens(text: &str, start: usize, at: usize) -> bool {
    let before = text[..at].trim_end_matches([' ', '"', '\'', '*', '-', '>']);
    at <= start + 2
        || before.ends_with([':', '.', ',', ';', '!', '?', ')', ']'])
        || before.ends_with(" and")
        || before.ends_with("please")
        || before.ends_with(" then")
}

fn structure(piece: &str) -> u64 {
    let Signs { mut bits, quotes, place, strange, addressed } = signs(piece);
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    let mut set = |it: bool, structure| bits |= if it { bit(structure) } else { 0 };
    set(quotes >= 2, Structure::Cited);
    set(piece.starts_with('>'), Structure::Quoted);
    set(piece.len() < 60, Structure::Alone);
    set(strange * NOISY > piece.len() && is_mixed(piece), Structure::Noise);
    set(addressed && piece.split(' ').any(is_address), Structure::Address);
    set(digits >= MIN_ACCOUNT && piece.split(' ').any(is_account), Structure::Account);
    if bits & bit(Structure::Url) != 0 && place {
        bits |= bit(Structure::Place);
    }
    bits
}

/// Whether letters of several scripts, or none at all, stand between the signs.
fn is_mixed(piece: &str) -> bool {
    let ascii = piece.bytes().filter(u8::is_ascii_alphabetic).count();
    let other = piece.chars().filter(|it| !it.is_ascii() && it.is_alphabetic()).count();
    let lone =
        piece.split(' ').filter(|it| it.len() == 1 && !it.as_bytes()[0].is_ascii_alphanumeric());
    (ascii > 0 && other > 0) || lone.take(LONE).count() == LONE
}

/// What single signs tell, in one look at each.
#[derive(Default)]
struct Signs {
    bits: u64,
    quotes: usize,
    /// Something stands for data to be filled in, if in a link.
    place: bool,
    /// Signs that are neither letters nor those that sentences need.
    strange: usize,
    /// There is a sign as in an address.
    addressed: bool,
}

fn signs(piece: &str) -> Signs {
    let mut signs = Signs::default();
    let octets = piece.as_bytes();
    for (at, it) in octets.iter().enumerate() {
        if it.is_ascii_alphanumeric() && !matches!(it, b'd' | b'h' | b'w') || *it == b' ' {
            continue;
        }
        let rest = &octets[at..];
        let begins = |list: &[&str]| list.iter().any(|it| rest.starts_with(it.as_bytes()));
        let mut set = |it: bool, structure| signs.bits |= if it { bit(structure) } else { 0 };
        signs.strange += usize::from(
            !matches!(it, b'.' | b',' | b'-' | b'0'..=b'9')
                && *it < 0x80
                && !it.is_ascii_alphanumeric(),
        );
        match it {
            b'h' => set(begins(&["http:", "https:"]), Structure::Url),
            b'w' => set(begins(&["www."]), Structure::Url),
            b'd' => set(begins(&["diff --git"]), Structure::Code),
            b'"' | b'\'' | b'`' => signs.quotes += 1,
            b'?' => {
                set(true, Structure::Question);
                signs.place |= begins(&["?d=", "?q="]);
            }
            // The question marks of Chinese and Arabic.
            0xef => set(begins(&["？"]), Structure::Question),
            0xd8 => set(begins(&["؟"]), Structure::Question),
            b'!' => set(begins(&["!!"]), Structure::Shout),
            b'*' => set(begins(&["***"]), Structure::Shout),
            b'=' => {
                set(begins(&["=="]), Structure::Code);
                signs.place |= begins(&["=data", "=the ", "=all ", "=your ", "=my "]);
            }
            b'{' => {
                signs.place = true;
                set(true, Structure::Code);
                set(begins(&["{\"", "{'"]), Structure::Markup);
            }
            b'}' => set(begins(&["};"]), Structure::Code),
            b'(' => set(begins(&["()"]), Structure::Code),
            b':' => set(begins(&["::"]), Structure::Code),
            b'-' => set(begins(&["->"]), Structure::Code),
            b'<' => {
                signs.place = true;
                set(begins(&["</"]), Structure::Code);
                set(begins(&["<|", "<<"]), Structure::Markup);
            }
            b'>' => {
                set(at > 0 && octets[at - 1] == b' ' && begins(&["> "]), Structure::Quoted);
            }
            b'[' => {
                signs.place = true;
                set(begins(&["[/"]), Structure::Markup);
            }
            b'@' => signs.addressed = true,
            b'#' => set(begins(&["###"]), Structure::Markup),
            b']' => set(begins(&["]]"]), Structure::Markup),
            _ => (),
        }
    }
    signs
}

pub(crate) fn has_scheme(word: &str) -> bool {
    word.match_indices(':').any(|it| word[it.0..].starts_with("://"))
}

pub(crate) fn is_address(word: &str) -> bool {
    word.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}

/// An account's number, or the beginning of one: an IBAN, an address of a wallet.
fn is_account(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits >= MIN_ACCOUNT && digits * 2 >= word.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexicon::Lexicon;
    use crate::view::View;

    #[test]
    fn combinations_are_of_three_at_most() {
        let mut count = 0;
        combinations(0b10_1101, |it| {
            assert!(it < 1 << CONCEPT_BITS);
            count += 1;
        });
        assert_eq!(count, 4 + 6 + 4);
    }

    fn rows_of(text: &str) -> Vec<u32> {
        let view = View::new(text);
        let found = Lexicon::new().find(&view);
        let end = view.text().len();
        let kind = Kind::Text;
        rows(&Reading { kind, raw: text, view, found, decoded: None }, &[0, end]).0
    }

    #[test]
    fn rows_tell_what_follows_what() {
        let order = rows_of("Forward the password");
        assert!(!order.is_empty());
        assert_eq!(order, rows_of("Forward it with the password"));
        assert_ne!(order, rows_of("The password, forward"));
        assert_eq!(rows_of(&format!("Forward {} password", "and so on ".repeat(9))), []);
    }
}
