//! Records and policies of MTA-STS as texts (RFC 8461 section 3). Pure.

use mail_auth::{common::parse::TxtRecordParser as _, mta_sts::MtaSts};

/// A year (RFC 8461 section 3.2).
const LONGEST_MAX_AGE: u64 = 31_557_600;

/// More would be no policy that anybody wrote.
const MOST_PATTERNS: usize = 100;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) mode: Mode,
    /// "mx.example.org", or "*.example.org" for one label more; in lower case.
    pub(crate) mx: Vec<String>,
    pub(crate) max_age_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Enforce,
    Testing,
    None,
}

/// The `id` of the one record at `_mta-sts.<domain>`. `None` if there is none, or more than one
/// (section 3.1).
pub(crate) fn id<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut records = texts.into_iter().filter(|it| it.starts_with(b"v=STSv1;"));
    let (record, None) = (records.next()?, records.next()) else { return None };
    let id = MtaSts::parse(record).ok()?.id;
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric());
    is_id.then_some(id)
}

/// Reads a policy (section 3.2). Fields nobody knows are ignored, and all but the first of those that may
/// stand once only.
pub(crate) fn parse(text: &str) -> Option<Policy> {
    let (mut version, mut mode, mut max_age) = (None, None, None);
    let mut mx = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim_matches([' ', '\t', '\r']);
        match name {
            "version" => _ = version.get_or_insert(value),
            "mode" => _ = mode.get_or_insert(value),
            "max_age" => _ = max_age.get_or_insert(value),
            "mx" if mx.len() < MOST_PATTERNS => mx.push(pattern(value)?),
            _ => (),
        }
    }
    let mode = match mode? {
        "enforce" => Mode::Enforce,
        "testing" => Mode::Testing,
        "none" => Mode::None,
        _ => return None,
    };
    let max_age =
        max_age.filter(|it| it.len() <= 10 && it.bytes().all(|it| it.is_ascii_digit()))?;
    let is_complete = version == Some("STSv1") && (mode == Mode::None || !mx.is_empty());
    let max_age_seconds = max_age.parse::<u64>().ok()?.min(LONGEST_MAX_AGE);
    is_complete.then_some(Policy { mode, mx, max_age_seconds })
}

fn pattern(value: &str) -> Option<String> {
    let name = value.strip_prefix("*.").unwrap_or(value);
    let is_name = !name.is_empty()
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_'));
    is_name.then(|| value.to_ascii_lowercase())
}

impl Policy {
    /// Whether a mail exchanger is one of the policy's; a wildcard stands for one whole label
    /// (section 4.1).
    pub(crate) fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.mx.iter().any(|it| match it.strip_prefix("*.") {
            Some(suffix) => parent == Some(suffix),
            None => *it == host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\n\
        mx: *.Example.net\r\nmax_age: 604800\r\n";

    #[track_caller]
    fn check_id(texts: &[&str], expected: Option<&str>) {
        assert_eq!(id(texts.iter().map(|it| it.as_bytes())).as_deref(), expected, "{texts:?}");
    }

    #[test]
    fn one_record_has_the_id() {
        check_id(&["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z"));
        check_id(&["v=spf1 -all", "v=STSv1;id=a1"], Some("a1"));
        check_id(&["v=STSv1; id=a; extra=b;"], Some("a"));
        check_id(&[], None);
        check_id(&["v=STSv1; id=a;", "v=STSv1; id=b;"], None);
        check_id(&["v=STSv1; id=a-b;"], None);
        check_id(&["v=STSv1;"], None);
        check_id(&["v=STSv2; id=a;"], None);
    }

    #[test]
    fn a_policy_is_read() {
        let expected = Policy {
            mode: Mode::Enforce,
            mx: vec!["mx.example.org".to_owned(), "*.example.net".to_owned()],
            max_age_seconds: 604_800,
        };
        assert_eq!(parse(FULL), Some(expected.clone()));
        assert_eq!(parse(&FULL.replace("\r\n", "\n")), Some(expected.clone()));
        assert_eq!(parse(&format!("{FULL}mode: none\nfuture: x\nnonsense\n")), Some(expected));
        let none = parse("version: STSv1\nmode: none\nmax_age: 1\n").expect("a policy");
        assert_eq!((none.mode, none.mx.len()), (Mode::None, 0));
        let long = parse(&FULL.replace("604800", "9999999999")).expect("a policy");
        assert_eq!(long.max_age_seconds, LONGEST_MAX_AGE);
    }

    #[test]
    fn what_is_no_policy_is_none() {
        for (from, to) in [
            ("STSv1", "STSv2"),
            ("version: STSv1\r\n", ""),
            ("enforce", "maybe"),
            ("mode: enforce\r\n", ""),
            ("mx: mx.example.org\r\nmx: *.Example.net\r\n", ""),
            ("mx.example.org", "*.*.example.org"),
            ("mx.example.org", "a b"),
            ("604800", "-1"),
            ("604800", "99999999999"),
            ("max_age: 604800\r\n", ""),
        ] {
            assert_eq!(parse(&FULL.replace(from, to)), None, "{from} -> {to}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let policy = parse(FULL).expect("a policy");
        for host in ["mx.example.org", "MX.Example.ORG.", "a.example.net"] {
            assert!(policy.names(host), "{host}");
        }
        for host in ["example.net", "a.b.example.net", "mx.example.org.evil.test", "example.org"] {
            assert!(!policy.names(host), "{host}");
        }
    }
}
