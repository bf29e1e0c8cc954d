//! What has the shape of a code.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

use crate::reply::expression;

/// Longer lines are prose, of which no more is looked at.
const MAX_LINE: usize = 2000;
const MOST: usize = 40;

/// Digits, also in groups; groups of letters and digits; either with a letter and a hyphen before.
static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    expression(concat!(
        r"[A-Z]{1,3}-\d{4,8}|",
        r"\d{2,4}[ -]\d{2,4}(?:[ -]\d{2,4})?|",
        r"\d{4,10}|",
        r"[A-Za-z0-9]{2,6}(?:-[A-Za-z0-9]{2,6}){1,4}|",
        r"[A-Za-z0-9]{4,12}",
    ))
});

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    start: usize,
    end: usize,
    /// As it is handed out.
    pub(super) printed: String,
    /// Without hyphens, to be compared.
    pub(super) normal: String,
}

/// A line with its digits in ASCII, compatible letters made plain and invisible ones taken out.
pub(super) fn plain(line: &str) -> String {
    let line = &line[..line.floor_char_boundary(MAX_LINE)];
    let kept = line.nfkc().filter(|it| !is_invisible(*it)).map(ascii_digit);
    kept.collect::<String>().trim().to_owned()
}

fn is_invisible(it: char) -> bool {
    matches!(it, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Decimal digits come in runs of ten in every script.
fn ascii_digit(it: char) -> char {
    const ZEROS: [u32; 14] = [
        0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6,
        0x0d66, 0x0e50, 0x17e0,
    ];
    let value = ZEROS.iter().find_map(|zero| (it as u32).checked_sub(*zero).filter(|it| *it < 10));
    value.and_then(|it| char::from_digit(it, 10)).unwrap_or(it)
}

/// The candidates of a line.
pub(super) fn find(line: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    let line = plain(line);
    let mut at = 0;
    while let Some(it) = SHAPE.find_at(&line, at).filter(|_| found.len() < MOST) {
        at = it.end();
        let (before, after) = (&line[..it.start()], &line[it.end()..]);
        // Part of a word, of a number with a point, of a link, an address or a path.
        if is_inside(before, after) {
            at = it.end() + after.find(|it: char| it.is_whitespace()).unwrap_or(after.len());
            continue;
        }
        if has_shape(it.as_str()) {
            let printed = it.as_str().replace(' ', "");
            let normal = printed.replace('-', "");
            found.push(Candidate { start: it.start(), end: it.end(), printed, normal });
        }
    }
    found
}

fn is_inside(before: &str, after: &str) -> bool {
    let joins_before = |it: char| {
        it.is_ascii_alphanumeric()
            || (it.is_alphanumeric() && !is_spaceless(it))
            || matches!(
                it,
                '/' | '@' | '_' | '+' | '$' | '€' | '£' | '¥' | '₹' | '=' | '&' | '%' | '-' | '#'
            )
    };
    let joins_after = |it: char| {
        it.is_ascii_alphanumeric()
            || (it.is_alphanumeric() && !is_spaceless(it))
            || matches!(it, '/' | '@' | '_' | '%' | '€' | '$' | '=' | '-')
    };
    let mut rest = after.chars();
    let (next, second) = (rest.next(), rest.next());
    let mut back = before.chars().rev();
    let (last, last_but_one) = (back.next(), back.next());
    let number_goes_on =
        matches!(next, Some('.' | ',' | ':' | ' ')) && second.is_some_and(|it| it.is_ascii_digit());
    let number_came = matches!(last, Some('.' | ',' | ':' | ' ' | ')'))
        && last_but_one.is_some_and(|it| it.is_ascii_digit());
    let in_url = before.rsplit(char::is_whitespace).next().is_some_and(|it| it.contains("://"));
    last.is_some_and(joins_before)
        || next.is_some_and(joins_after)
        || number_goes_on
        || number_came
        || in_url
}

/// Scripts that put no spaces between words.
fn is_spaceless(it: char) -> bool {
    matches!(it, '\u{0e00}'..='\u{0eff}' | '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}')
}

fn has_shape(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let upper = text.bytes().filter(u8::is_ascii_uppercase).count();
    let is_grouped = text.contains(['-', ' ']);
    match (digits, letters) {
        (4..=10, 0) => true,
        // Words have no digits in them, and are not written in capitals.
        (1.., 1..) => (5..=24).contains(&(digits + letters)) && (upper == 0 || upper == letters),
        (0, 5..=12) if upper == letters => true,
        (0, 5..=30) => is_grouped && upper == 0 && is_made_up(text),
        _ => false,
    }
}

/// Hyphens also join words. Those have vowels, and seldom the same length three times.
fn is_made_up(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let same_length = groups.iter().all(|it| it.len() == groups[0].len() && it.len() >= 4);
    let vowels = text.bytes().filter(|it| b"aeiouy".contains(it)).count();
    same_length && (vowels * 5 <= text.len() || groups.len() >= 3)
}

impl Candidate {
    pub(super) fn shape_score(&self) -> i32 {
        let digits = self.normal.bytes().filter(u8::is_ascii_digit).count();
        let letters = self.normal.len() - digits;
        match (digits, letters) {
            (6, 0) => 3,
            (4, 0) if self.normal.starts_with("19") || self.normal.starts_with("20") => 0,
            (4..=8, 0) => 2,
            (_, 0) => 0,
            // A word in capitals, or letters that nobody can speak.
            (0, _) if self.vowels() * 4 > letters && !self.printed.contains('-') => -2,
            (0, _) => 1,
            _ => 2,
        }
    }

    fn vowels(&self) -> usize {
        self.normal.bytes().filter(|it| b"aeiouAEIOU".contains(it)).count()
    }

    /// Nothing else stands on its line but signs.
    pub(super) fn is_alone(&self, line: &str) -> bool {
        let rest = [&line[..self.start], &line[self.end..]];
        rest.iter().all(|it| !it.contains(char::is_alphanumeric))
    }

    /// The sentence it stands in.
    pub(super) fn sentence<'a>(&self, line: &'a str) -> &'a str {
        let ends = |it: char| matches!(it, '.' | '!' | '?' | '。' | '！' | '？' | '|' | ';');
        let start = line[..self.start].rfind(ends).map_or(0, |at| line.ceil_char_boundary(at + 1));
        let end = line[self.end..].find(ends).map_or(line.len(), |at| self.end + at);
        &line[start..end]
    }

    /// "code: 1234", "code is 1234".
    pub(super) fn follows_label(&self, line: &str) -> bool {
        let before = line[..self.start]
            .trim_end_matches(|it: char| it.is_whitespace() || "*_\"'«“".contains(it));
        before.ends_with([':', '：', '=']) || before.ends_with(" is") || before.ends_with(" lautet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let found: Vec<String> = find(line).into_iter().map(|it| it.printed).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn shapes() {
        check("123456", &["123456"]);
        check("code 957 911.", &["957911"]);
        check("962-839", &["962-839"]);
        check(
            "HCQ-JFC tt226-5398x fzmxk-6sckn crzdh-fjhk3",
            &["HCQ-JFC", "tt226-5398x", "fzmxk-6sckn", "crzdh-fjhk3"],
        );
        check("コード１２３９８４です", &["123984"]);
        check("G-482913", &["G-482913"]);
        check("sparo-ndigo-amurt-secan", &["sparo-ndigo-amurt-secan"]);
    }

    #[test]
    fn what_is_part_of_something_else_is_none() {
        for line in [
            "+1 415 555 1395",
            "23.90.134.114",
            "2025-02-13 09:27",
            "https://x.test/123456",
            "a123456@x.test",
            "$1234",
            "1,234.50",
            "20244127-862351",
            "well-known words Only",
            "#482913",
        ] {
            check(line, &[]);
        }
    }
}
