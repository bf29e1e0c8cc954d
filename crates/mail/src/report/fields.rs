//! Groups of fields, as in the body parts of RFC 3464 section 2.1, and what stands in them.

/// What is beyond these is not looked at: no report is as long.
const MAX_GROUPS: usize = 1000;
const MAX_FIELDS: usize = 1000;
const MAX_VALUE: usize = 4 * 1024;

/// Fields between two empty lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    /// Names in lower case.
    fields: Vec<(String, String)>,
}

impl Group {
    /// The fields of a text up to an empty line; lines that are none are left out.
    pub(crate) fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Group {
        let mut group = Group::default();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = group.fields.last_mut()
                    && value.len() + line.len() < MAX_VALUE
                {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = name.trim_end();
            let is_name = !name.is_empty()
                && name.len() < 100
                && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'));
            if is_name && group.fields.len() < MAX_FIELDS {
                let value = &value[..value.floor_char_boundary(MAX_VALUE)];
                group.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        group
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// The groups of a text.
pub(crate) fn groups(text: &str) -> Vec<Group> {
    let lines: Vec<&str> = text.lines().collect();
    let groups = lines.split(|it| it.trim().is_empty());
    groups
        .map(|it| Group::read(it.iter().copied()))
        .filter(|it| !it.is_empty())
        .take(MAX_GROUPS)
        .collect()
}

/// A value without its type, as in `smtp; 550 no` (RFC 3464 section 2.1.2).
pub(crate) fn untyped(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, rest)) if !kind.contains([' ', '@', '<']) && kind.len() <= 20 => rest.trim(),
        _ => value.trim(),
    }
}

/// The address of a value such as `rfc822; <a@x.test>`; some systems leave the domain out.
pub(crate) fn address(value: &str) -> String {
    let value = untyped(value);
    match addresses(value).next() {
        Some((_, address)) => address.to_owned(),
        None => {
            let bare = value.trim_matches(['<', '>', ' ', '"']);
            let bare = bare.trim_start_matches('@');
            bare.split_whitespace().next().unwrap_or_default().to_owned()
        }
    }
}

/// The addresses in a text, and where each begins.
pub(crate) fn addresses(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices('@').filter_map(move |(at, _)| {
        let begins = local_begins(text, at)?;
        let domain = &text[at + 1..];
        let is_domain = |it: char| it.is_alphanumeric() || matches!(it, '-' | '.' | '_');
        let length = domain.find(|it: char| !is_domain(it)).unwrap_or(domain.len());
        let domain = domain[..length].trim_end_matches(['.', '-', '_']);
        let is_literal = text[at + 1..].starts_with('[');
        if domain.is_empty() || is_literal || begins == at || domain.len() > 253 {
            return None;
        }
        Some((begins, &text[begins..at + 1 + domain.len()]))
    })
}

/// Where the local part begins that ends at an "@".
fn local_begins(text: &str, at: usize) -> Option<usize> {
    let before = &text[..at];
    if let Some(quoted) = before.strip_suffix('"') {
        let quoted = &quoted[quoted.ceil_char_boundary(quoted.len().saturating_sub(64))..];
        let inside = quoted.rsplit('"').next().filter(|it| it.len() < quoted.len())?;
        return Some(at - inside.len() - 2);
    }
    let is_local = |it: char| it.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(it);
    // As long as a path may be (RFC 5321 section 4.5.3.1.3), so that a long line costs no more.
    let window = &before[before.ceil_char_boundary(before.len().saturating_sub(256))..];
    let local = window.len() - window.trim_end_matches(is_local).len();
    let local = before[at - local..].trim_start_matches(['\'', '.', '/', '|', '`']);
    (!local.is_empty()).then_some(at - local.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_parted_by_empty_lines() {
        let read = groups("Reporting-MTA: dns; x.test\n\nStatus : 5.1.1\nno field\n folded\n\n\n");
        assert_eq!(read.len(), 2);
        assert_eq!(untyped(&read[0].text("reporting-mta")), "x.test");
        assert_eq!(read[1].text("status"), "5.1.1 folded");
    }

    #[test]
    fn addresses_in_texts() {
        for (text, expected) in [
            ("to <a.b+c@x.test>: no", &["a.b+c@x.test"][..]),
            ("a@x.test, b@y.test.", &["a@x.test", "b@y.test"]),
            ("\"a b\"@x.test", &["\"a b\"@x.test"]),
            ("@ a@ @b 'c@x.test'", &["c@x.test"]),
            ("é@bücher.example", &["é@bücher.example"]),
            ("a@[192.0.2.1]", &[]),
        ] {
            let found: Vec<&str> = addresses(text).map(|it| it.1).collect();
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(address("rfc822;root"), "root");
    }
}
