use std::borrow::Cow;

/// RFC 6376 section 6.1 leaves it to the verifier how many signatures it looks at. Each may have the
/// whole body hashed in its own way.
const MAX_SIGNATURES: usize = 10;

const NAME: &[u8] = b"DKIM-Signature";

/// The content without the signatures that are too many: those at the bottom, which are the oldest.
pub(crate) fn with_few_signatures(content: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Vec::new();
    let mut seen = 0;
    let mut at = 0;
    let mut from = 0;
    while at < content.len() {
        let end = field_end(content, at);
        let field = &content[at..end];
        if matches!(field, b"\r\n" | b"\n") {
            break;
        }
        if is_signature(field) {
            seen += 1;
            if seen > MAX_SIGNATURES {
                kept.extend(&content[from..at]);
                from = end;
            }
        }
        at = end;
    }
    if from == 0 {
        return content.into();
    }
    kept.extend(&content[from..]);
    kept.into()
}

fn field_end(content: &[u8], mut at: usize) -> usize {
    loop {
        at = memchr::memchr(b'\n', &content[at..]).map_or(content.len(), |it| at + it + 1);
        if !matches!(content.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

fn is_signature(field: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', field) else { return false };
    field[..colon].trim_ascii().eq_ignore_ascii_case(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ten_are_kept() {
        let signatures: String =
            (0..50).map(|it| format!("DKIM-Signature: n={it};\r\n\tb=x\r\nA: {it}\r\n")).collect();
        let content = format!("{signatures}\r\nDKIM-Signature: body\r\n");
        let kept =
            String::from_utf8(with_few_signatures(content.as_bytes()).into_owned()).expect("UTF-8");
        assert_eq!(kept.matches("DKIM-Signature: n=").count(), 10);
        assert!(kept.contains("n=9;") && !kept.contains("n=10;"));
        assert_eq!(kept.matches("A: ").count(), 50);
        assert!(kept.ends_with("\r\n\r\nDKIM-Signature: body\r\n"));
    }

    #[test]
    fn others_stay_as_they_are() {
        for content in ["", "\r\n", "A: b\r\n\r\nc", "DKIM-Signature: a\r\n\r\n"] {
            assert!(matches!(with_few_signatures(content.as_bytes()), Cow::Borrowed(_)));
        }
    }
}
