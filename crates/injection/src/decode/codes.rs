//! Text in codes of machines: base64, hex, ones and zeros, percent signs, quoted-printable, numbered characters, Morse.

use data_encoding::{Encoding, HEXLOWER_PERMISSIVE, Specification};

use super::{
    Decoded, How,
    runs::{Octets, runs},
};

const MIN_BASE64: usize = 24;
const MIN_HEX: usize = 24;
/// Fewer are nothing to obey.
const MIN_LETTERS: usize = 8;
const MIN_ENTITIES: usize = 6;
const MIN_ESCAPES: usize = 8;
/// Morse letters in a row.
const MIN_MORSE: usize = 10;

const BASE64: Octets =
    Octets::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=");
const HEX: Octets = Octets::of(b"0123456789abcdefABCDEF :\\x,");
const BINARY: Octets = Octets::of(b"01 \n");
/// The octets of all signs; some other characters are made of these too.
const MORSE: Octets = Octets::of(".-/ \u{b7}\u{2022}\u{2013}\u{2212}".as_bytes());

/// Passages with numbered characters, as HTML has them; in plain text nobody reads those.
pub(super) fn entities(text: &str) -> Vec<Decoded> {
    let marks = text.match_indices('&').map(|it| it.0);
    let marks = marks.filter(|it| text[*it..].starts_with("&#"));
    let passages = super::passages(text, marks).into_iter();
    let many = passages.filter(|it| it.count >= MIN_ENTITIES);
    many.map(|it| Decoded {
        how: How::Entities,
        text: unnumbered(&text[it.span.clone()]),
        span: it.span,
    })
    .collect()
}

fn unnumbered(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#") {
        read.push_str(before);
        let end = after.bytes().take(9).position(|it| it == b';');
        match end.and_then(|it| numbered(&after[..it]).zip(Some(it))) {
            Some((it, end)) => {
                read.push(it);
                rest = &after[end + 1..];
            }
            None => {
                read.push_str("&#");
                rest = after;
            }
        }
    }
    read.push_str(rest);
    read
}

fn numbered(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

/// Runs of base64 digits that decode to text.
pub(super) fn base64(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut encoding = None;
    for span in runs(text, &BASE64, MIN_BASE64) {
        let digits = text[span.clone()].trim_end_matches('=');
        let encoding = encoding.get_or_insert_with(lenient_base64);
        let decoded = encoding.decode(digits.as_bytes()).unwrap_or_default();
        if let Some(text) = as_text(decoded) {
            found.push(Decoded { how: How::Base64, span, text });
        }
    }
    found
}

fn lenient_base64() -> Encoding {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    specification.check_trailing_bits = false;
    specification.encoding().expect("the specification is valid")
}

/// Runs of hex digits, in pairs that may be set apart by spaces, colons or `\\x`.
pub(super) fn hex(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    for span in runs(text, &HEX, MIN_HEX) {
        let run = text[span.clone()].replace("0x", "").replace("\\x", "");
        for word in hex_words(&run) {
            let decoded = HEXLOWER_PERMISSIVE.decode(word.as_bytes()).unwrap_or_default();
            if let Some(text) = as_text(decoded) {
                found.push(Decoded { how: How::Hex, span: span.clone(), text });
            }
        }
    }
    found
}

/// Long words as they are, and pairs set apart as one.
fn hex_words(run: &str) -> Vec<String> {
    let words: Vec<&str> =
        run.split([' ', ':', ',', '\\', 'x']).filter(|it| !it.is_empty()).collect();
    let long = words.iter().filter(|it| it.len() >= MIN_HEX).map(|it| (*it).to_owned());
    let mut all: Vec<String> = long.collect();
    if words.iter().all(|it| it.len() == 2) && words.len() * 2 >= MIN_HEX {
        all.push(words.concat());
    }
    all
}

/// Runs of octets in ones and zeros.
pub(super) fn binary(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    for span in runs(text, &BINARY, MIN_LETTERS * 8) {
        let digits =
            text[span.clone()].bytes().filter(|it| matches!(it, b'0' | b'1')).map(|it| it & 1);
        let digits: Vec<u8> = digits.collect();
        let octets = digits.chunks_exact(8).map(|it| it.iter().fold(0, |all, it| all << 1 | it));
        if let Some(text) = as_text(octets.collect()).filter(|it| is_wordy(it)) {
            found.push(Decoded { how: How::Binary, span, text });
        }
    }
    found
}

/// A text with octets written as `%41` or `=41`, where so many are that nobody reads it.
pub(super) fn escapes(text: &str) -> Vec<Decoded> {
    [('%', How::Percent), ('=', How::QuotedPrintable)]
        .into_iter()
        .flat_map(|(sign, how)| words_with(text, sign, how))
        .collect()
}

/// Words that hold escapes, or lines of quoted-printable.
fn words_with(text: &str, sign: char, how: How) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut start = 0;
    if !text.contains(sign) {
        return found;
    }
    for piece in text.split_inclusive('\n') {
        let span = start..start + piece.len();
        start = span.end;
        let decoded = unescaped(piece, sign);
        if let Some((octets, count)) = decoded
            && count >= MIN_ESCAPES
            && let Some(text) = as_text(octets)
        {
            found.push(Decoded { how, span, text });
        }
    }
    found
}

/// The octets, and how many of ASCII were escaped without need.
fn unescaped(text: &str, sign: char) -> Option<(Vec<u8>, usize)> {
    let octets = text.as_bytes();
    if octets.iter().filter(|it| **it == sign as u8).count() < MIN_ESCAPES {
        return None;
    }
    let mut read = Vec::with_capacity(octets.len());
    let mut count = 0;
    let mut at = 0;
    while at < octets.len() {
        let pair = octets.get(at + 1..at + 3).filter(|_| octets[at] == sign as u8);
        match pair.and_then(|it| HEXLOWER_PERMISSIVE.decode(it).ok()) {
            Some(octet) => {
                count += usize::from(octet[0].is_ascii_alphabetic() || octet[0] == b' ');
                read.extend(octet);
                at += 3;
            }
            None => {
                read.push(octets[at]);
                at += 1;
            }
        }
    }
    Some((read, count))
}

/// Runs of dots and dashes.
pub(super) fn morse(text: &str) -> Vec<Decoded> {
    let mut found = Vec::new();
    let sign = |it: char| {
        matches!(it, '.' | '-' | '/' | ' ' | '\u{b7}' | '\u{2022}' | '\u{2013}' | '\u{2212}')
    };
    let runs = runs(text, &MORSE, MIN_MORSE * 2).flat_map(|run| {
        let mut start = run.start;
        text[run].split(move |it: char| !sign(it)).map(move |piece| {
            let span = start..start + piece.len();
            start = span.end + text[span.end..].chars().next().map_or(0, char::len_utf8);
            (span, piece)
        })
    });
    for (span, run) in runs.filter(|it| it.1.len() >= MIN_MORSE * 2) {
        let words =
            run.split('/').map(|word| word.split(' ').filter_map(letter).collect::<String>());
        let text = words.collect::<Vec<_>>().join(" ");
        if text.chars().filter(|it| it.is_alphabetic()).count() >= MIN_MORSE && is_wordy(&text) {
            found.push(Decoded { how: How::Morse, span, text });
        }
    }
    found
}

/// Not one letter over and over, as a ruler of dots and dashes would be.
fn is_wordy(text: &str) -> bool {
    let mut letters: Vec<char> = text.chars().filter(|it| it.is_alphabetic()).collect();
    letters.sort_unstable();
    letters.dedup();
    letters.len() >= 5
}

/// ITU-R M.1677.
fn letter(signs: &str) -> Option<char> {
    const LETTERS: [&str; 26] = [
        ".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--",
        "-.", "---", ".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--",
        "--..",
    ];
    const DIGITS: [&str; 10] =
        ["-----", ".----", "..---", "...--", "....-", ".....", "-....", "--...", "---..", "----."];
    let plain: String = signs
        .chars()
        .map(|it| match it {
            '.' | '\u{b7}' | '\u{2022}' => '.',
            _ => '-',
        })
        .collect();
    let of = |list: &[&str], first: char| {
        let at = list.iter().position(|it| *it == plain)?;
        char::from_u32(first as u32 + at as u32)
    };
    match plain.as_str() {
        "" => None,
        ".-.-.-" => Some('.'),
        ".--.-." => Some('@'),
        _ => of(&LETTERS, 'a').or_else(|| of(&DIGITS, '0')),
    }
}

/// Octets that are UTF-8 and look like words.
fn as_text(octets: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(octets).ok()?;
    let all = text.chars().count();
    let control = text.chars().any(|it| it.is_control() && !it.is_whitespace());
    let letters = text.chars().filter(|it| it.is_alphabetic() || *it == ' ').count();
    (!control && letters >= MIN_LETTERS && (letters * 10 >= all * 8 || is_digits(&text)))
        .then_some(text)
}

/// Another code in turn.
fn is_digits(text: &str) -> bool {
    text.len() >= MIN_BASE64 && text.trim_end().bytes().all(|it| BASE64.has(it))
}
