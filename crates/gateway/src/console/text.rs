//! Texts of strangers on a page: escaped, set apart from what is around them, and with nothing in them that
//! nobody sees.

use maud::{Markup, Render, html};
use url::form_urlencoded;

use crate::time::parse_rfc3339;

/// A text on one line. Characters that nobody sees, or that turn the line around, are shown by their number.
pub(super) fn line(text: &str) -> Markup {
    html! { bdi { (pieces(text, false)) } }
}

/// A text of several lines.
pub(super) fn block(text: &str) -> Markup {
    pieces(text, true)
}

fn pieces(text: &str, has_lines: bool) -> Markup {
    let mut shown = String::new();
    let mut plain = 0;
    for (at, it) in text.char_indices() {
        let is_layout = has_lines && matches!(it, '\n' | '\r' | '\t');
        if is_layout || !(reading::is_invisible(it) || it == '\u{2028}' || it == '\u{2029}') {
            continue;
        }
        text[plain..at].render_to(&mut shown);
        unseen(it).render_to(&mut shown);
        plain = at + it.len_utf8();
    }
    text[plain..].render_to(&mut shown);
    maud::PreEscaped(shown)
}

fn unseen(it: char) -> Markup {
    let number = format!("U+{:04X}", u32::from(it));
    html! { span.unseen title="A character that nobody sees" { (number) } }
}

/// A moment as people read it; all times are UTC.
pub(super) fn moment(rfc3339: &str) -> Markup {
    let Some(micros) = parse_rfc3339(rfc3339) else { return html! { (rfc3339) } };
    let shown = store::rfc3339(micros);
    let (day, time) = shown.split_once('T').unwrap_or((&shown, ""));
    html! { time datetime=(shown) { (day) " " (time.get(..5).unwrap_or_default()) } }
}

pub(super) fn octets(size: u64) -> String {
    match size {
        0..1_024 => format!("{size} B"),
        1_024..1_048_576 => format!("{:.1} KiB", size as f64 / 1_024.0),
        _ => format!("{:.1} MiB", size as f64 / 1_048_576.0),
    }
}

/// A value in the query of a link.
pub(super) fn query_value(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A segment of a path, whatever is in it.
pub(super) fn segment(text: &str) -> String {
    text.bytes()
        .map(|it| match it {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(it).to_string(),
            _ => format!("%{it:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_markup_and_hides_nothing() {
        let shown = line("<b>a\u{202e}txt.exe\u{200b}").into_string();
        assert!(shown.starts_with("<bdi>&lt;b&gt;a<span"), "{shown}");
        assert!(shown.contains(">U+202E</span>txt.exe<span"), "{shown}");
        assert!(shown.ends_with(">U+200B</span></bdi>"), "{shown}");
        assert!(!shown.contains('\u{202e}') && !shown.contains('\u{200b}'));
        assert!(line("a\nb").into_string().contains("U+000A"));
        assert_eq!(block("a\n\tb\u{0}").into_string().matches("U+").count(), 1);
    }

    #[test]
    fn a_moment_is_short_and_whole() {
        let shown = moment("2026-11-24T18:02:03.456Z").into_string();
        let expected = "<time datetime=\"2026-11-24T18:02:03.456Z\">2026-11-24 18:02</time>";
        assert_eq!(shown, expected);
        assert_eq!(moment("<x>").into_string(), "&lt;x&gt;");
    }

    #[test]
    fn what_goes_into_a_path_stays_one_segment() {
        assert_eq!(segment("eml_1"), "eml_1");
        assert_eq!(segment("../a?b#c%"), "%2E%2E%2Fa%3Fb%23c%25");
        assert_eq!(query_value("/a?b=c&d"), "%2Fa%3Fb%3Dc%26d");
        assert_eq!(
            (octets(5), octets(2048), octets(5 << 20)),
            ("5 B".into(), "2.0 KiB".into(), "5.0 MiB".into())
        );
    }
}
