//! Transfer encodings (RFC 2045 section 6) and charsets, as mail-parser reads them, and what is made
//! of those that are broken.

use mail_parser::{
    decoders::{base64::base64_decode, charsets::map::charset_decoder},
    parsers::MessageStream,
};

pub(crate) fn decode_base64(octets: &[u8]) -> Vec<u8> {
    base64_decode(octets).unwrap_or_else(|| {
        // What is outside of the alphabet is to be ignored (RFC 2045 section 6.8).
        let is_digit = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'=');
        let digits: Vec<u8> = octets.iter().copied().filter(is_digit).collect();
        base64_decode(&digits).unwrap_or_default()
    })
}

pub(crate) fn decode_quoted_printable(octets: &[u8]) -> Vec<u8> {
    quoted_printable(octets).unwrap_or_else(|| {
        // Lines that are broken stay as they are (RFC 2045 section 6.7, notes).
        let lines = octets.split_inclusive(|it| *it == b'\n');
        lines.flat_map(|it| quoted_printable(it).unwrap_or_else(|| it.to_vec())).collect()
    })
}

fn quoted_printable(octets: &[u8]) -> Option<Vec<u8>> {
    let (end, decoded) = MessageStream::new(octets).decode_quoted_printable_mime(b"");
    (end != usize::MAX).then(|| decoded.into_owned())
}

/// What is not decodable becomes U+FFFD.
pub(crate) fn decode_charset(octets: Vec<u8>, charset: Option<&str>) -> String {
    // Much mail that claims ASCII, or nothing, is UTF-8.
    let claims_little = charset.is_none_or(|it| {
        let it = it.to_ascii_lowercase();
        it == "us-ascii" || it == "utf-8" || charset_decoder(it.as_bytes()).is_none()
    });
    let octets = match String::from_utf8(octets) {
        Ok(text) if claims_little || text.is_ascii() && !is_stateful(charset) => return text,
        Ok(text) => text.into_bytes(),
        Err(err) => err.into_bytes(),
    };
    match charset.and_then(|it| charset_decoder(it.as_bytes())) {
        Some(decode) => decode(&octets),
        None => String::from_utf8_lossy(&octets).into_owned(),
    }
}

/// Whether a charset writes other than ASCII in octets below 128.
fn is_stateful(charset: Option<&str>) -> bool {
    charset.is_some_and(|it| {
        let it = it.to_ascii_lowercase();
        it.contains("2022") || it.contains("utf-7") || it.contains("utf-16") || it.starts_with("hz")
    })
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
            ("a \t\r\nb\r\n", "a\r\nb\r\n"),
            ("a=XYb", "a=XYb"),
            ("a==\r\n=41=\r\nb", "a==\r\nAb"),
            ("=C3=A9", "é"),
        ] {
            assert_eq!(decode_quoted_printable(encoded.as_bytes()), decoded.as_bytes());
        }
    }
}
