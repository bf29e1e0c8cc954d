//! Where the links of a mail lead.

use std::collections::HashSet;

use injection::{Kind, Part};

/// More hosts of one mail are not looked at, nor links beyond this much of its text.
const MOST_HOSTS: usize = 100;
const TEXT_LIMIT: usize = 512 * 1024;

/// The hosts that the links of a mail lead to, in lower-case A-labels, each once, as they come. Those
/// in plain text count as well; addresses in numbers do not.
pub fn link_hosts(parts: &[Part]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut hosts = Vec::new();
    let mut left = TEXT_LIMIT;
    let counts = [Kind::Link, Kind::Text, Kind::Html];
    for part in parts.iter().filter(|it| counts.contains(&it.kind)) {
        let text = &part.text[..part.text.floor_char_boundary(left)];
        left -= text.len();
        for host in hosts_in(text) {
            if hosts.len() == MOST_HOSTS {
                return hosts;
            }
            if seen.insert(host.clone()) {
                hosts.push(host);
            }
        }
    }
    hosts
}

/// Of everything that begins `http://` or `https://`.
fn hosts_in(text: &str) -> impl Iterator<Item = String> {
    text.match_indices("://").filter_map(|(at, mark)| {
        let scheme = text[..at].rsplit(|it: char| !it.is_ascii_alphabetic()).next()?;
        if !["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) {
            return None;
        }
        host(&text[at + mark.len()..])
    })
}

/// Of what follows the scheme (RFC 3986 section 3.2).
fn host(rest: &str) -> Option<String> {
    let ends = |it: char| it.is_whitespace() || "/?#\\<>\"'()[]{}".contains(it);
    let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |it| it.1);
    let host = host.split_once(':').map_or(host, |it| it.0).trim_matches(['.', ',', ';', '!']);
    let host = idna::domain_to_ascii(host).ok()?;
    let is_name = host.contains('.') && !host.ends_with(|it: char| it.is_ascii_digit());
    is_name.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surfaces;
    use injection::Sample;

    #[track_caller]
    fn check(content: &str, expected: &[&str]) {
        assert_eq!(link_hosts(&Sample::from(surfaces(content.as_bytes(), 10_000)).parts), expected);
    }

    #[test]
    fn links_of_text_and_html_are_found() {
        check(
            "\nSee https://Example.com/a, (http://b.example:8080/?x=https://c.example) and \
             https://user@d.example.\nhttps://example.com again, mailto:x@e.example\n",
            &["example.com", "b.example", "c.example", "d.example"],
        );
        check(
            "Content-Type: text/html\n\n<a href='https://m\u{fc}nchen.example/x'>https://shown.example</a>",
            &["shown.example", "xn--mnchen-3ya.example"],
        );
    }

    #[test]
    fn what_is_no_name_is_left_out() {
        check(
            "\nhttps://192.0.2.1/ https://localhost/ ftp://x.example/ ://y https:// http://..\n",
            &[],
        );
    }

    #[test]
    fn many_are_bounded() {
        let text: String = (0..1_000).map(|it| format!("https://h{it}.example/ ")).collect();
        assert_eq!(link_hosts(&[Part { kind: Kind::Text, text }]).len(), MOST_HOSTS);
    }
}
