//! Takes out of a text what nobody sees.

use unicode_normalization::char::is_combining_mark;

/// So many marks on one letter are language; more are a picture.
const MOST_MARKS: usize = 4;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cleaned {
    pub(super) text: String,
    /// Characters that were taken out.
    pub(super) removed: usize,
    pub(super) truncated: bool,
}

/// A text of lines: every line end is "\n".
pub(super) fn clean_text(text: &str, limit: usize) -> Cleaned {
    clean(text, limit, '\n')
}

/// A text on one line.
pub(super) fn clean_field(text: &str, limit: usize) -> Cleaned {
    let cleaned = clean(text, limit, ' ');
    let text = cleaned.text.split_whitespace().collect::<Vec<_>>().join(" ");
    Cleaned { text, ..cleaned }
}

fn clean(text: &str, limit: usize, line_end: char) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut marks = 0;
    let mut count = 0;
    let mut chars = text.chars().peekable();
    while let Some(it) = chars.next() {
        if count == limit {
            cleaned.truncated = true;
            break;
        }
        marks = if is_combining_mark(it) { marks + 1 } else { 0 };
        let kept = match it {
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => line_end,
            '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
            it if is_invisible(it) || marks > MOST_MARKS => {
                cleaned.removed += 1;
                continue;
            }
            it => it,
        };
        cleaned.text.push(kept);
        count += 1;
    }
    cleaned
}

/// Controls, directions, joiners, tags, fillers, selectors, what has no meaning of its own. Line ends and tabs
/// are controls.
pub fn is_invisible(it: char) -> bool {
    it.is_control()
        || matches!(
            it,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_taken_out() {
        let cleaned = clean_text("a\u{200b}b\u{202e}c\u{e0041}d\0e\u{feff}", 100);
        assert_eq!((&*cleaned.text, cleaned.removed), ("abcde", 5));
        let zalgo = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(clean_text(&zalgo, 100).text.chars().count(), 6);
    }

    #[test]
    fn lines_end_in_one_way_and_a_field_has_one() {
        assert_eq!(clean_text("a\r\nb\rc\u{2028}d", 100).text, "a\nb\nc\nd");
        assert_eq!(clean_field("a\r\n b\u{2029}c", 100).text, "a b c");
        assert!(clean_field("abc", 2).truncated);
    }
}
