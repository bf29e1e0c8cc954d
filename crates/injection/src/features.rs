//! What the model sees of a text: hashed pieces of words in the order they stand in, and which
//! meanings stand in which window.

use std::ops::Range;

use crate::{
    Kind,
    detector::Reading,
    lexicon::Concept,
    talk::Talk,
    window::{SCALES, units, windows},
};

/// Pieces of words are told apart by so many bits of a hash.
pub const GRAM_BITS: u32 = 20;
/// Combinations of meanings, likewise.
pub const CONCEPT_BITS: u32 = 17;
/// Letters of a piece.
const PIECE: Range<usize> = 3..6;
/// Words in a row.
const ROW: usize = 3;
/// A longer word is a key, a digest or the like.
const MAX_WORD: usize = 40;

/// Digits of an account's number.
const MIN_ACCOUNT: usize = 8;

/// One sign in so many octets is more than sentences have.
const NOISY: usize = 16;
/// Signs that stand alone.
const LONE: usize = 3;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A text as the model sees it.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// Hashes below `1 << GRAM_BITS`.
    pub grams: Vec<u32>,
    /// Meanings that follow each other, as hashes below `1 << CONCEPT_BITS`.
    pub rows: Vec<u32>,
    pub windows: Vec<Window>,
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
                });
            }
        }
        Features { grams, rows, windows: all }
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
    Url = 36,
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
    let Signs { mut bits, quotes, place, strange } = signs(piece);
    let mut set = |it: bool, structure| bits |= if it { bit(structure) } else { 0 };
    set(quotes >= 2, Structure::Cited);
    set(piece.starts_with('>'), Structure::Quoted);
    set(piece.len() < 60, Structure::Alone);
    set(strange * NOISY > piece.len() && is_mixed(piece), Structure::Noise);
    set(piece.split(' ').any(is_address), Structure::Address);
    set(piece.split(' ').any(is_account), Structure::Account);
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
            b'#' => set(begins(&["###"]), Structure::Markup),
            b']' => set(begins(&["]]"]), Structure::Markup),
            _ => (),
        }
    }
    signs
}

fn has_scheme(word: &str) -> bool {
    word.match_indices(':').any(|it| word[it.0..].starts_with("://"))
}

fn is_address(word: &str) -> bool {
    word.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}

/// An account's number, or the beginning of one: an IBAN, an address of a wallet.
fn is_account(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits >= MIN_ACCOUNT && digits * 2 >= word.len()
}

/// The hashes of a text, and how many lie before each unit.
fn grams(text: &str, units: &[usize]) -> (Vec<u32>, Vec<usize>) {
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
        let sign = if has_scheme(bare) || bare.starts_with("www.") {
            Some('\u{1}')
        } else if is_address(bare) {
            Some('\u{2}')
        } else if bare.len() > MAX_WORD && bare.is_ascii() {
            Some('\u{3}')
        } else {
            None
        };
        match sign {
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

    #[test]
    fn combinations_are_of_three_at_most() {
        let mut count = 0;
        combinations(0b10_1101, |it| {
            assert!(it < 1 << CONCEPT_BITS);
            count += 1;
        });
        assert_eq!(count, 4 + 6 + 4);
    }
}
