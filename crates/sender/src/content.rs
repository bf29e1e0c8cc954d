//! The octets that go out: what is signed is what the wire carries. Pure.

use std::borrow::Cow;

/// Content with CRLF as its only line end, and with one at its end.
///
/// A bare LF or CR on the wire is how one mail becomes two at a lenient server (SMTP smuggling), and
/// a relay that mends it breaks the signature.
pub(crate) fn canonical(content: &[u8]) -> Cow<'_, [u8]> {
    if is_canonical(content) {
        return Cow::Borrowed(content);
    }
    let mut canonical = Vec::with_capacity(content.len() + content.len() / 32 + 2);
    let mut octets = content.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&b'\n');
                canonical.extend(b"\r\n");
            }
            b'\n' => canonical.extend(b"\r\n"),
            octet => canonical.push(octet),
        }
    }
    if !canonical.ends_with(b"\r\n") {
        canonical.extend(b"\r\n");
    }
    Cow::Owned(canonical)
}

fn is_canonical(content: &[u8]) -> bool {
    let mut after_cr = false;
    for &octet in content {
        if after_cr != (octet == b'\n') {
            return false;
        }
        after_cr = octet == b'\r';
    }
    content.ends_with(b"\r\n")
}

/// The header section, up to the empty line.
pub(crate) fn header_section(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|it| it == b"\r\n\r\n").map(|it| it + 2);
    &content[..end.unwrap_or(content.len())]
}

/// The domain of the From field: whose keys sign. Empty if there is none.
pub(crate) fn from_domain(header_section: &[u8]) -> String {
    let from = mail::parse(header_section, 0).from.into_iter().next().unwrap_or_default();
    from.address.parse().map(|it: mail::Address| it.domain().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8], expected: &[u8]) {
        assert_eq!(canonical(content).as_ref(), expected);
        assert_eq!(canonical(expected).as_ref(), expected);
    }

    #[test]
    fn every_line_end_becomes_crlf() {
        check(b"a\nb\rc\r\nd\r\r\n", b"a\r\nb\r\nc\r\nd\r\n\r\n");
        check(b"a\r\n.\nMAIL FROM:<x>\n", b"a\r\n.\r\nMAIL FROM:<x>\r\n");
        check(b"a", b"a\r\n");
        check(b"a\r", b"a\r\n");
        check(b"", b"\r\n");
    }

    #[test]
    fn what_is_right_is_not_copied() {
        assert!(matches!(canonical(b"a\r\n\r\nb\r\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_header_section_ends_at_the_empty_line() {
        assert_eq!(header_section(b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n"), b"A: 1\r\nB: 2\r\n");
        assert_eq!(header_section(b"A: 1\r\n"), b"A: 1\r\n");
    }
}
