//! Links of Markdown and bare ones, which a program that shows the text would follow, become the
//! names of their hosts.

use std::sync::LazyLock;

use linkify::{LinkFinder, LinkKind};
use regex::{Captures, Regex};

use crate::{links::host_of, reply::expression};

/// `![alt](url)`, `[text](url)`, `[text][id]`.
static INLINE: LazyLock<Regex> = LazyLock::new(|| {
    expression(r#"!?\[([^\[\]\n]*)\]\(\s*<?([^()<>\s]+)>?(?:\s+["'(][^\n]{0,200}?["')])?\s*\)"#)
});
/// `[id]: url` at the beginning of a line, and the use of one.
static DEFINED: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?m)^( {0,3})\[([^\[\]\n]+)\]:\s*<?(\S+?)>?(\s.*)?$"));
static USED: LazyLock<Regex> = LazyLock::new(|| expression(r"!?\[([^\[\]\n]*)\]\[[^\[\]\n]*\]"));
/// An image or a link in HTML that was written as text.
static TAG: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?i)<(?:img|a|iframe|script|link|form)\b[^<>\n]*>"));

pub(super) fn name_links(text: &str) -> String {
    let text = INLINE.replace_all(text, |it: &Captures<'_>| match host_of(&it[2]) {
        Some(host) => format!("{} [{host}]", &it[1]),
        None => format!("{} ({})", &it[1], it[2].replace("//", "")),
    });
    let text = DEFINED.replace_all(&text, |it: &Captures<'_>| match host_of(&it[3]) {
        Some(host) => format!("{}{}: [{host}]", &it[1], &it[2]),
        None => it[0].to_owned(),
    });
    let text = USED.replace_all(&text, "$1");
    let text = TAG.replace_all(&text, "[tag]");
    bare(&text)
}

fn bare(text: &str) -> String {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let mut named = String::with_capacity(text.len());
    for span in finder.spans(text) {
        match span.kind().and_then(|_| host_of(span.as_str())) {
            Some(host) => named.push_str(&format!("[{host}]")),
            None => named.push_str(span.as_str()),
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_names() {
        for (text, expected) in [
            ("![x](https://t.test/a.gif?q=secret)", "x [t.test]"),
            ("[a](<https://t.test/b> \"title\")", "a [t.test]"),
            ("[a][1]\n\n[1]: https://t.test/c", "a\n\n1: [t.test]"),
            ("go to https://t.test/d?e=f now", "go to [t.test] now"),
            ("<img src=https://t.test/g>", "[tag]"),
            ("[1] is a footnote", "[1] is a footnote"),
            ("[a](relative)", "a (relative)"),
        ] {
            assert_eq!(name_links(text), expected);
        }
    }
}
