//! Transfer encodings (RFC 2045 section 6), read as tolerantly as mail programs do.

use data_encoding::{Encoding, Specification};

/// Everything outside of the alphabet is skipped, and padding may stand in the middle, where two
/// encoded pieces were joined.
pub(crate) fn decode_base64(octets: &[u8]) -> Vec<u8> {
    let lenient = lenient_base64();
    let mut decoded = Vec::with_capacity(octets.len() / 4 * 3);
    for piece in octets.split(|it| *it == b'=') {
        let mut digits: Vec<u8> = piece
            .iter()
            .copied()
            .filter(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/'))
            .collect();
        // A lone digit holds no octet.
        if digits.len() % 4 == 1 {
            digits.pop();
        }
        decoded.extend(lenient.decode(&digits).unwrap_or_default());
    }
    decoded
}

fn lenient_base64() -> Encoding {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    specification.check_trailing_bits = false;
    specification.encoding().expect("the specification is valid")
}

/// What is no valid escape stays as it is (RFC 2045 section 6.7, notes).
pub(crate) fn decode_quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|it| *it == b'\n') {
        let text = line.trim_ascii_end();
        let soft = text.ends_with(b"=");
        let text = if soft { &text[..text.len() - 1] } else { text };
        decode_escapes(text, &mut decoded);
        if !soft {
            let ended = line.ends_with(b"\n");
            let end: &[u8] = if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
            decoded.extend(if ended { end } else { b"" });
        }
    }
    decoded
}

fn decode_escapes(mut text: &[u8], decoded: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'=', text) {
        decoded.extend(&text[..at]);
        let octet = match text[at + 1..] {
            [high, low, ..] => hex_digit(high).zip(hex_digit(low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        decoded.push(octet.unwrap_or(b'='));
        text = &text[at + if octet.is_some() { 3 } else { 1 }..];
    }
    decoded.extend(text);
}

fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|it| it as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_tolerant() {
        for encoded in ["aGVsbG8=", "aGVs\r\nbG8=", "aGVsbG8", "a!GVs bG8=\n--", "aA==ZWxsbw=="] {
            assert_eq!(decode_base64(encoded.as_bytes()), b"hello", "{encoded}");
        }
        assert_eq!(decode_base64(b""), b"");
    }

    #[test]
    fn quoted_printable_is_tolerant() {
        for (encoded, decoded) in [
            ("a=3Db", "a=b"),
            ("a=3db=", "a=b"),
            ("a =\r\nb", "a b"),
            ("a= \nb", "ab"),
            ("a \t\r\nb\n", "a\r\nb\n"),
            ("a=XYb=4", "a=XYb=4"),
            ("=C3=A9", "é"),
        ] {
            assert_eq!(decode_quoted_printable(encoded.as_bytes()), decoded.as_bytes());
        }
    }
}
