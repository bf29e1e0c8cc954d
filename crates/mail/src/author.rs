//! The one address of a From or Sender field, read so strictly that nobody can read another.

/// The addr-spec of `name <addr-spec>` or `addr-spec`, with comments (RFC 5322 sections 3.2.2 and 3.4).
pub(crate) fn addr_spec(value: &str) -> Option<String> {
    let (mut outside, mut inside) = (String::new(), None::<String>);
    let (mut quoted, mut escaped, mut comment, mut closed) = (false, false, 0_u32, false);
    for c in value.chars().filter(|it| !matches!(it, '\r' | '\n')) {
        let is_escaped = std::mem::take(&mut escaped);
        escaped = !is_escaped && c == '\\' && (quoted || comment > 0);
        match c {
            '(' if !quoted && !is_escaped => comment += 1,
            ')' if comment > 0 && !is_escaped => comment -= 1,
            _ if comment > 0 => (),
            '"' if !is_escaped => {
                quoted = !quoted;
                inside.as_mut().unwrap_or(&mut outside).push(c);
            }
            _ if quoted => inside.as_mut().unwrap_or(&mut outside).push(c),
            '<' if inside.is_none() => inside = Some(String::new()),
            '>' if inside.is_some() && !closed => closed = true,
            '<' | '>' | ',' | ';' | ':' | ')' | '\\' => return None,
            c if closed && !matches!(c, ' ' | '\t') => return None,
            c => inside.as_mut().unwrap_or(&mut outside).push(c),
        }
    }
    let is_whole = !quoted && comment == 0 && inside.is_some() == closed;
    match inside {
        _ if !is_whole => None,
        Some(address) => (!unquoted(&outside).contains('@')).then(|| address.trim().to_owned()),
        None => Some(outside.trim().to_owned()),
    }
}

/// What stands outside quotes.
fn unquoted(text: &str) -> String {
    text.split('"').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(addr_spec(value).as_deref(), expected, "{value:?}");
    }

    #[test]
    fn names_and_comments_are_left_out() {
        for value in [
            " ada@x.test\r\n",
            " Ada <ada@x.test>\r\n",
            "\"boss@y.test, x\" <ada@x.test>",
            "=?utf-8?q?Ad=C3=A1?=\r\n <ada@x.test>",
            "ada@x.test (Ada (the) \\) first, boss@y.test)",
            "\"a\\\"b\" <ada@x.test>",
            "< ada@x.test >",
        ] {
            check(value, Some("ada@x.test"));
        }
        check("\"a b\"@x.test", Some("\"a b\"@x.test"));
        check("", Some(""));
        check("Ada", Some("Ada"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_nobody() {
        for value in [
            "ada@x.test, boss@y.test",
            "boss@y.test <ada@x.test>",
            "<boss@y.test> <ada@x.test>",
            "<ada@x.test> boss@y.test",
            "Us: ada@x.test;",
            "\"boss@y.test <ada@x.test>",
            "(boss@y.test <ada@x.test>",
            "boss@y.test) <ada@x.test>",
            "ada@x.test\\",
            "Ada <ada@x.test",
            "Ada ada@x.test>",
        ] {
            check(value, None);
        }
    }
}
