//! What stands below what was written: signatures, footers of lists, disclaimers.

use crate::{
    line::{Line, Mark},
    words::{DISCLAIMERS, SENT_FROM},
};

/// A signature has no more lines than this.
const MOST_LINES: usize = 15;
/// Nor longer ones, in characters.
const MAX_LINE: usize = 120;

/// A letter that an extension of Gmail leaves behind.
const GMAIL_MARK: char = '\u{1427}';

/// Where what was written ends: `lines` below are none of it.
pub(super) fn end(lines: &[Line], is_code: &[bool]) -> usize {
    let mut end = lines.len();
    let mut has_text = false;
    for at in 0..lines.len() {
        if has_text && !is_code[at] && begins_end(lines, at) {
            end = at;
            break;
        }
        has_text |= !lines[at].is_blank();
    }
    trim(lines, end)
}

fn begins_end(lines: &[Line], at: usize) -> bool {
    let line = &lines[at];
    if line.is_quoted() {
        return false;
    }
    let text = line.text.trim();
    line.mark == Mark::Signature
        || is_sent_from(lines, at)
        || (is_delimiter(text) && is_short(&lines[at + 1..]))
}

/// "-- " of Usenet (RFC 3676 section 4.3), whose space many programs lose; also the dashes and lines
/// that people draw themselves.
fn is_delimiter(text: &str) -> bool {
    let all = |of: fn(char) -> bool| !text.is_empty() && text.chars().all(of);
    text == "--"
        || all(|it| matches!(it, '—' | '–' | '―'))
        || (text.len() >= 2 && all(|it| it == '_'))
}

/// What is below is small enough for a signature.
fn is_short(lines: &[Line]) -> bool {
    let filled = lines.iter().filter(|it| !it.is_blank()).take(MOST_LINES + 1);
    let filled: Vec<&Line> = filled.collect();
    filled.len() <= MOST_LINES && filled.iter().all(|it| it.text.chars().count() <= MAX_LINE)
}

/// A line of its own that a telephone writes. What is below it is no reply: those programs put what
/// is answered there, often without any mark.
fn is_sent_from(lines: &[Line], at: usize) -> bool {
    let text = lines[at].text.trim();
    if text.chars().count() > 90 {
        return false;
    }
    let alone = at == 0 || lines[at - 1].is_blank();
    let lower =
        text.trim_matches(|it: char| matches!(it, '-' | '*' | '_' | '[' | ' ')).to_lowercase();
    let is_sentence = lower.ends_with(['?', '!']) || (lower.ends_with('.') && lower.contains(", "));
    alone
        && !is_sentence
        && SENT_FROM.iter().any(|it| lower.starts_with(it) || lower.ends_with(it) && !it.is_ascii())
}

/// Takes off, from the end: empty lines, lines of punctuation, disclaimers.
fn trim(lines: &[Line], mut end: usize) -> usize {
    while end > 0 {
        let line = &lines[end - 1];
        let text = line.text.trim();
        let has_words =
            text.chars().any(|it| (it.is_alphanumeric() && it != GMAIL_MARK) || is_picture(it));
        if !line.is_quoted() && has_words && !is_disclaimer(&lines[..end]) {
            break;
        }
        if line.is_quoted() && has_words {
            break;
        }
        if has_words {
            // The whole paragraph goes.
            let start = lines[..end].iter().rposition(Line::is_blank).map_or(0, |it| it + 1);
            if start == 0 {
                break;
            }
            end = start;
        } else {
            end -= 1;
        }
    }
    end
}

/// An answer may be nothing but a smile.
fn is_picture(it: char) -> bool {
    matches!(it, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
        || matches!(it, ')' | '(' | '`' | '>')
}

fn is_disclaimer(lines: &[Line]) -> bool {
    let start = lines.iter().rposition(Line::is_blank).map_or(0, |it| it + 1);
    let paragraph: String =
        lines[start..].iter().take(30).map(|it| it.text.to_lowercase() + " ").collect();
    paragraph.len() >= 120 && DISCLAIMERS.iter().filter(|it| paragraph.contains(**it)).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::lines;

    #[track_caller]
    fn check(text: &str, kept: &str) {
        let lines = lines(text);
        let end = end(&lines, &vec![false; lines.len()]);
        let left: Vec<&str> = lines[..end].iter().map(|it| it.text.as_str()).collect();
        assert_eq!(left.join("\n"), kept, "{text}");
    }

    #[test]
    fn signatures_end_what_was_written() {
        check("a\n\n-- \nTom\nAcme", "a");
        check("a\n—————\nSarah", "a");
        check("a\n\nSent from my iPhone", "a");
        check("a\n\nGesendet von Outlook für Android<https://x.test>\n\nHi there!", "a");
        check("a\n\n从我的iPhone发送", "a");
        check("a\n_____\nlist@x.test\nhttp://x.test", "a");
        check("a\n\n---\n***\n~~~", "a");
        let legal = "This e-mail may contain confidential information and is intended solely for \
                     the use of the intended recipient. If you are not, delete it at once, please.";
        check(&format!("a\n\n{legal}"), "a");
    }

    #[test]
    fn what_looks_like_one_within_a_text_stays() {
        for text in [
            "The notice was sent from my iPhone app",
            "-- FOUR $100 gift certificates\n-- EIGHT $50",
            "## Key\n----\n\n1. one",
            ":)",
            "👍",
            "In confidence: the intended recipient is Tom.",
            "Sent from my iPhone",
            "Well\n\nSent from my desk, is much easier than my mobile phone.",
        ] {
            check(text, text);
        }
    }
}
