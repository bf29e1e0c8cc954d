//! The line above a quote: "On 1 May 2026 at 10:00, Tom <tom@example.org> wrote:".
//!
//! It is told by its shape first (a date, an address in brackets, a colon at its end) and by a verb
//! in one of many languages second.

use std::sync::LazyLock;

use regex::Regex;

use super::expression;
use crate::{
    line::Line,
    words::{OPENERS, WROTE},
};

/// Such a line may be broken into so many.
const MOST_LINES: usize = 5;
/// And is no longer than this, in octets.
const MAX_LENGTH: usize = 500;

static DATE: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"\b\d{1,2}[:.h]\d{2}\b|\b(19|20)\d\d\b|\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b|\d\s*[年月日時时]|\d\s*[년월일시]|[٠-٩۰-۹]{4}",
    )
});
/// An address in brackets; some programs write the brackets as entities or put "mailto:" in them.
static BRACKETED: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"(<|&lt;|\[|\()\s*(mailto:\s*)?[^<>\[\]()]{0,100}?[^\s<>@]{1,80}@[^\s<>@]{1,120}")
});
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| expression(r"[^\s<>@]@[^\s<>@]"));
static BEGINS_WITH_DATE: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"^\W{0,2}(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4})\b")
});
/// One that shares its line with what was written before it.
static WITHIN: LazyLock<Regex> =
    LazyLock::new(|| expression(r"-*\s*\bOn [^<>]{1,40}\d[^<>]{1,160}wrote:$"));

/// The lines from `start` up to the one at `end` are one attribution.
#[derive(Debug, PartialEq)]
pub(super) struct Attribution {
    pub(super) start: usize,
    /// Octets of the line at `start` that stand before it.
    pub(super) before: usize,
}

/// The attribution that ends on this line, if one does; it begins at `first` at the earliest.
pub(super) fn ending_at(lines: &[Line], end: usize, first: usize) -> Option<Attribution> {
    let last = lines[end].content();
    let quote_follows = quote_follows(lines, end);
    if !may_end(last, quote_follows) {
        return None;
    }
    let text = &lines[end].text;
    let may_share = quote_follows && text.len() <= MAX_LENGTH;
    if let Some(found) = may_share.then(|| WITHIN.find(text)).flatten()
        && found.start() > 0
    {
        return Some(Attribution { start: end, before: found.start() });
    }
    let depth = lines[end].depth;
    let mut joined = String::new();
    let mut without_date = None;
    for at in (first.max((end + 1).saturating_sub(MOST_LINES))..=end).rev() {
        let line = &lines[at];
        if line.depth != depth || (line.is_blank() && !spans_blank(lines, at, end)) {
            break;
        }
        joined = if joined.is_empty() {
            line.content().to_owned()
        } else {
            format!("{} {joined}", line.content())
        };
        if joined.len() > MAX_LENGTH {
            break;
        }
        match judge(&joined, quote_follows) {
            Shape::Whole => return Some(Attribution { start: at, before: 0 }),
            Shape::NoDate => without_date = without_date.or(Some(at)),
            Shape::None => (),
        }
    }
    without_date.map(|start| Attribution { start, before: 0 })
}

/// Some programs leave an empty line before the address.
fn spans_blank(lines: &[Line], at: usize, end: usize) -> bool {
    at < end && lines[at + 1].content().starts_with('<')
}

fn quote_follows(lines: &[Line], end: usize) -> bool {
    let next = lines[end + 1..].iter().take(3).find(|it| !it.text.trim().is_empty());
    next.is_some_and(|it| it.is_quoted() && it.depth > lines[end].depth)
        || next.is_some_and(|it| it.depth == 0 && it.is_quoted())
}

fn may_end(line: &str, quote_follows: bool) -> bool {
    let bare = bare_end(line);
    line.ends_with([':', '：']) || ends_with_verb(bare) || (quote_follows && line.ends_with('>'))
}

enum Shape {
    None,
    /// A verb and an address: the date may stand on the lines before.
    NoDate,
    Whole,
}

fn judge(text: &str, quote_follows: bool) -> Shape {
    let has_date = DATE.is_match(text);
    let has_colon = text.ends_with([':', '：']);
    let bare = bare_end(text);
    let ends_bracketed = bare.ends_with(['>', ')', ']']) || bare.ends_with("&gt;");
    let lower = text.to_lowercase();
    let opens = opens(&lower);
    if ends_with_verb(bare) {
        let has_address = ADDRESS.is_match(text);
        let is_dated = has_date && (has_colon || quote_follows || has_address);
        if is_dated || (opens && has_address && text.contains(|it: char| it.is_ascii_digit())) {
            return Shape::Whole;
        }
        let dashed = text.starts_with("--") && text.ends_with("--");
        let is_name = quote_follows && has_colon && text.len() < 100;
        if (has_address && (has_colon || quote_follows)) || dashed || is_name {
            return Shape::NoDate;
        }
        return Shape::None;
    }
    let addressed = BRACKETED.is_match(text);
    if has_date && has_colon && addressed && ends_bracketed {
        return Shape::Whole;
    }
    // "Am 1. Mai 2026 um 10:00 schrieb Tom:"
    if has_date && has_colon && (opens || addressed) && WROTE.iter().any(|it| has_word(&lower, it))
    {
        return Shape::Whole;
    }
    if quote_follows && addressed && ends_bracketed && BEGINS_WITH_DATE.is_match(text) {
        return Shape::Whole;
    }
    Shape::None
}

fn opens(lower: &str) -> bool {
    let text = lower.trim_start_matches(['-', '*', ' ']);
    OPENERS
        .iter()
        .any(|it| text.strip_prefix(it).is_some_and(|rest| rest.starts_with([' ', '\u{a0}'])))
}

/// Without the colon, dashes and stars at the end.
fn bare_end(text: &str) -> &str {
    text.trim_end_matches(|it: char| {
        matches!(it, ':' | '：' | '-' | '*' | '_') || it.is_whitespace()
    })
}

fn ends_with_verb(bare: &str) -> bool {
    let tail_from = bare.len().saturating_sub(48);
    let tail = bare[bare.ceil_char_boundary(tail_from)..].to_lowercase();
    WROTE.iter().any(|verb| {
        tail.strip_suffix(verb).is_some_and(|before| {
            // Scripts without spaces have no word boundaries either.
            !before.ends_with(char::is_alphanumeric) || !verb.is_ascii() && is_spaceless(verb)
        })
    })
}

fn is_spaceless(word: &str) -> bool {
    word.chars().any(|it| matches!(it, '\u{0e00}'..='\u{0e7f}' | '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}'))
}

fn has_word(lower: &str, word: &str) -> bool {
    lower.match_indices(word).any(|(at, _)| {
        !lower[..at].ends_with(char::is_alphanumeric)
            && !lower[at + word.len()..].starts_with(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::lines;

    /// The text ends with an attribution that begins on this line.
    #[track_caller]
    fn check(text: &str, expected: Option<usize>) {
        let mut lines = lines(text);
        let end = lines.iter().rposition(|it| it.depth == 0).expect("a line");
        lines.extend(crate::line::lines(""));
        assert_eq!(ending_at(&lines, end, 0).map(|it| it.start), expected, "{text}");
    }

    #[test]
    fn in_many_languages() {
        for line in [
            "On Mon, Apr 2, 2012 at 6:26 PM, Megan One <xxx@example.com> wrote:",
            "Am 13.12.2017 um 21:11 schrieb Max Muster:",
            "Am Di., 3. März 2026 um 09:12 Uhr schrieb Eva <eva@example.de>:",
            "Le lun. 15 nov. 2021 à 19:42, John <john@example.com> a écrit :",
            "El jueves, 21 de noviembre de 2013, codinghorror escribió:",
            "Il giovedì 8 dicembre 2016, Ufficio <u@example.it> ha scritto:",
            "Em 10 de julho de 2017 às 16:32:35, John (c@example.com) escreveu:",
            "Op 17-feb.-2015, om 13:18 heeft Julius <p@example.com> het volgende geschreven:",
            "Den tors 2 apr. 2026 kl 10:00 skrev Åsa <a@example.se>:",
            "pe 20. lokakuuta 2017 klo 17.50 John Coe <s@example.com> kirjoitti:",
            "W dniu 2017-01-09 11:59:39 użytkownik X <q@example.com> napisał:",
            "Dne út 3. 3. 2026 v 10:00 odesílatel Jan <j@example.cz> napsal:",
            "ср, 30 апр. 2025 г. в 15:19, John Doe <doe@example.com>:",
            "2026. márc. 3. 10:00 ezt írta (Éva <e@example.hu>):",
            "3 Mar 2026 Sal, 10:00 tarihinde Ali <a@example.tr> şunu yazdı:",
            "Στις Τρί, 3 Μαρ 2026 στις 10:00 π.μ., ο χρήστης Νίκος <n@example.gr> έγραψε:",
            "Vào 14:24 8 tháng 6, 2017, Hùng <h@example.com> đã viết:",
            "在 2016年12月12日，下午8:45，Erlend <meta@example.com> 写道：",
            "2026年3月3日(火) 10:00 山田 <y@example.jp>:",
            "2026년 3월 3일 (화) 오전 10:00, 김 <k@example.kr>님이 작성:",
            "في الثلاثاء، 3 مارس 2026 10:00 كتب علي <a@example.com>:",
            "בתאריך יום ג׳, 3 במרץ 2026 ב-10:00 מאת דן <d@example.co.il>:",
            "Pada tanggal 3 Mar 2026 10.00, Budi <b@example.id> menulis:",
            "---- John Smith wrote ----",
            "Some One <info@example.org> wrote:",
            "Eva <e@example.de> schrieb am Do., 19. Nov. 2015 um 10:10 Uhr:",
        ] {
            check(&format!("text\n\n{line}"), Some(2));
        }
    }

    #[test]
    fn over_several_lines_from_its_true_beginning() {
        check(
            "text\n\nOn Mon, Aug 26, 2019 at 4:37 PM The Engine <\na-long@example.com> wrote:",
            Some(2),
        );
        check("text\n\nOn Wed, Dec 9, Mister Example\n<m@example.com>\nwrote:\n> x", Some(2));
        check("text\n2017-02-05 13:29 GMT+02:00 Very long <\nn@example.local>:", Some(1));
    }

    #[test]
    fn a_name_is_enough_above_a_quote() {
        check("text\n\nTom wrote:\n> x", Some(2));
        check("text\n\nTom wrote:\nx", None);
    }

    #[test]
    fn prose_is_none() {
        check("Please write to bob@example.com before 5:30 on 2024-01-02:", None);
        check("These are the dates of 2026:", None);
        check("On this day I wrote", None);
        check("On the other hand:", None);
        check("http://example.com/on-date-someone-wrote:", None);
    }
}
