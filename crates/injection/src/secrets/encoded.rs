//! Base64, hexadecimal digits and percent signs that decode to anything printable. The decoding that the search for
//! orders uses wants words; a key has none.

use std::ops::Range;

use data_encoding::{Encoding, HEXLOWER_PERMISSIVE, Specification};

/// Octets of the shortest secret, encoded.
const MIN_RUN: usize = 16;
/// A line that is as long may go on in the next one.
const MIN_LINE: usize = 60;
const MIN_PERCENT: usize = 4;
const MAX_FOUND: usize = 64;

/// What decodes, and where it stands; twice encoded, twice decoded.
pub(super) fn decode(text: &str) -> Vec<(Range<usize>, String)> {
    let mut found = once(text);
    let mut nested = Vec::new();
    for (span, inner) in &found {
        nested.extend(once(inner).into_iter().map(|(_, it)| (span.clone(), it)));
    }
    found.extend(nested);
    found.truncate(MAX_FOUND);
    found
}

fn once(text: &str) -> Vec<(Range<usize>, String)> {
    let encoding = lenient();
    let mut found = Vec::new();
    for span in runs(text) {
        let run: String = text[span.clone()].chars().filter(|it| !it.is_whitespace()).collect();
        let hex = HEXLOWER_PERMISSIVE.decode(run.as_bytes());
        let digits = run.replace('-', "+").replace('_', "/");
        let base64 = encoding.decode(digits.as_bytes());
        let decoded = [hex, base64].into_iter().flatten().find_map(printable);
        found.extend(decoded.map(|it| (span, it)));
        if found.len() >= MAX_FOUND {
            break;
        }
    }
    found.extend(percent(text).map(|it| (0..text.len(), it)));
    found
}

/// The text with its percent signs undone (RFC 3986 section 2.1), if it has some.
fn percent(text: &str) -> Option<String> {
    if text.matches('%').take(MIN_PERCENT).count() < MIN_PERCENT {
        return None;
    }
    let octets = text.as_bytes();
    let digit = |at: usize| octets.get(at).and_then(|it| char::from(*it).to_digit(16));
    let mut decoded = Vec::with_capacity(octets.len());
    let mut at = 0;
    while let Some(it) = octets.get(at) {
        let value = (*it == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?)).flatten();
        decoded.push(value.and_then(|it| u8::try_from(it).ok()).unwrap_or(*it));
        at += if value.is_some() { 3 } else { 1 };
    }
    Some(String::from_utf8_lossy(&decoded).into_owned()).filter(|it| it != text)
}

fn runs(text: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for word in line.split_inclusive(|it: char| !is_digit(it)) {
            let digits = word.trim_end_matches(|it: char| !is_digit(it));
            let span = start..start + digits.len();
            start += word.len();
            if digits.is_empty() {
                continue;
            }
            // White space alone is between the two.
            match runs.last_mut() {
                Some(last) if goes_on(text, last, span.start) => last.end = span.end,
                _ => runs.push(span),
            }
        }
    }
    runs.retain(|it| it.len() >= MIN_RUN);
    runs
}

fn goes_on(text: &str, run: &Range<usize>, next: usize) -> bool {
    let line = text[run.clone()].rfind('\n').map_or(run.len(), |at| run.len() - at - 1);
    line >= MIN_LINE && matches!(&text[run.end..next], "\n" | "\r\n")
}

fn is_digit(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '+' | '/' | '-' | '_')
}

fn printable(octets: Vec<u8>) -> Option<String> {
    let is_shown = |it: &u8| it.is_ascii_graphic() || it.is_ascii_whitespace();
    String::from_utf8(octets).ok().filter(|it| it.len() >= 8 && it.as_bytes().iter().all(is_shown))
}

fn lenient() -> Encoding {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    specification.check_trailing_bits = false;
    specification.encoding().expect("the specification is valid")
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD, HEXUPPER};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = decode(text);
        assert!(found.iter().any(|(_, it)| it == expected), "{text}: {found:?}");
    }

    #[test]
    fn keys_without_words_are_decoded() {
        let key = "sk_l1ve?q2Jx8Zp0>Vb7nTf4Yk1Rw9Hs6~~~";
        check(&format!("x={} y", BASE64.encode(key.as_bytes())), key);
        check(&format!("?x={}&y", BASE64URL_NOPAD.encode(key.as_bytes())), key);
        check(&HEXUPPER.encode(key.as_bytes()), key);
        check(&key.bytes().map(|it| format!("%{it:02x}")).collect::<String>(), key);
        check(&BASE64.encode(BASE64.encode(key.as_bytes()).as_bytes()), key);
    }

    #[test]
    fn lines_go_on() {
        let key = "q2Jx8Zp0Vb7nTf4Yk1Rw9Hs6Lc3Md5Ge".repeat(4);
        let encoded = BASE64.encode(key.as_bytes());
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(76)
            .map(|it| std::str::from_utf8(it).expect("ASCII"))
            .collect();
        check(&lines.join("\r\n"), &key);
    }

    #[test]
    fn prose_is_none() {
        assert_eq!(decode("Internationalization and extraordinarily-long-words are fine."), []);
        assert_eq!(decode("4fd1a9c07be21f00aa93c5d8e7b6a4f3c2d1e0f9"), []);
    }
}
