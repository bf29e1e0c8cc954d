//! What stands above a mail that is answered or passed on: its header fields printed out, or words
//! between dashes.

use std::sync::LazyLock;

use regex::Regex;

use super::expression;
use crate::{
    line::Line,
    words::{FORWARDED, FROM, ORIGINAL, SENT, SUBJECT, TO},
};

/// Fields are looked for on so many lines, folded and empty ones among them.
const MOST_LINES: usize = 12;

static VALUED: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"@|\b\d{1,2}[:.]\d{2}\b|\b(19|20)\d\d\b|\d\s*[年月日]|\d\s*[년월일]")
});

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Heading {
    /// Of a mail that is answered, or that cannot be told apart.
    Original,
    Forwarded,
}

/// The heading that begins on this line.
pub(super) fn at(lines: &[Line], at: usize) -> Option<Heading> {
    let content = lines[at].content();
    let lower = undecorated(content).to_lowercase();
    if is_dashed(content) {
        let words = lower.trim_matches(|it: char| it == '-' || it == '=' || it == ' ');
        if FORWARDED.contains(&words) {
            return Some(Heading::Forwarded);
        }
        if ORIGINAL.contains(&words) {
            return Some(Heading::Original);
        }
    }
    if FORWARDED.iter().any(|it| lower.trim_end_matches(':') == *it) && fields_follow(lines, at + 1)
    {
        return Some(Heading::Forwarded);
    }
    let rule = is_rule(content) || is_dashed(content);
    if (rule && fields_follow(lines, at + 1)) || begins_fields(lines, at) {
        return Some(Heading::Original);
    }
    None
}

/// At least three dashes or the like on both sides of a few words.
fn is_dashed(content: &str) -> bool {
    let dashes = |it: char| matches!(it, '-' | '=' | '_' | '*' | ' ');
    let inner = content.trim_matches(dashes);
    let around = content.len() - inner.len();
    !inner.is_empty()
        && inner.len() < 80
        && around >= 4
        && content.starts_with(['-', '=', '_', '*'])
}

/// A line of dashes or the like.
fn is_rule(content: &str) -> bool {
    content.len() >= 4 && content.chars().all(|it| matches!(it, '-' | '_' | '=' | '*'))
}

fn fields_follow(lines: &[Line], from: usize) -> bool {
    let next = (from..lines.len()).take(3).find(|it| !lines[*it].is_blank());
    next.is_some_and(|it| begins_fields(lines, it))
}

/// Header fields are printed from this line on: enough of different ones, beginning with who or when.
fn begins_fields(lines: &[Line], at: usize) -> bool {
    let Some(first) = field(lines[at].content()) else { return false };
    if !matches!(first, Field::From | Field::Sent | Field::Other) {
        return false;
    }
    // By field; the last counts the lines that are none.
    let mut seen = [0_usize; 6];
    let (mut has_value, mut has_address, mut has_sent) = (false, false, false);
    for line in lines[at..].iter().take(MOST_LINES) {
        let content = line.content();
        let Some(field) = field(content) else {
            // A blank line ends them, as does a text; a value may be folded.
            if content.is_empty() || seen[5] > 1 {
                break;
            }
            seen[5] += 1;
            continue;
        };
        seen[field as usize] += 1;
        has_value |= VALUED.is_match(content);
        has_address |= content.contains('@');
        has_sent |= field == Field::Sent && !names_date(content);
    }
    let known = seen[..4].iter().filter(|it| **it > 0).count();
    // "From: Berlin, To: Munich, Date: Monday" is a journey.
    let is_mail = has_address || seen[Field::Subject as usize] > 0 || (known == 3 && has_sent);
    let printed = first != Field::Other && known >= 2 && is_mail;
    let on_one_line = known == 1 && has_more_fields(lines[at].content());
    // In a language that is not known, three lines of that shape with what belongs there.
    let unknown = seen[Field::Other as usize] >= 3 && is_printed_block(lines, at);
    has_value && (printed || on_one_line) || unknown
}

/// The field says when, not that something was sent.
fn names_date(content: &str) -> bool {
    let lower = undecorated(content).to_lowercase();
    ["dat", "dát", "fecha", "дата", "tarih", "日"].iter().any(|it| lower.starts_with(it))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    From,
    Sent,
    To,
    Subject,
    Other,
}

/// The field that a line prints, if it looks like one.
fn field(content: &str) -> Option<Field> {
    let (name, value) = undecorated(content).split_once([':', '：'])?;
    let name = undecorated(name).trim().to_lowercase();
    if name.is_empty() || name.len() > 40 || value.starts_with("//") {
        return None;
    }
    let is = |names: &[&str]| names.contains(&name.as_str());
    Some(if is(FROM) {
        Field::From
    } else if is(SENT) {
        Field::Sent
    } else if is(SUBJECT) {
        Field::Subject
    } else if is(TO) {
        Field::To
    } else {
        Field::Other
    })
}

/// "From: a@b Date: Monday" on one line.
fn has_more_fields(content: &str) -> bool {
    let words: Vec<&str> = content.split_whitespace().skip(1).collect();
    words.iter().filter_map(|it| it.strip_suffix(':')).any(|it| {
        let it = it.trim_matches('*').to_lowercase();
        SENT.contains(&&*it) || SUBJECT.contains(&&*it)
    })
}

/// Short names with values, one of them with an address and another with a date.
fn is_printed_block(lines: &[Line], at: usize) -> bool {
    let block: Vec<&str> = lines[at..]
        .iter()
        .take(6)
        .map(Line::content)
        .take_while(|it| field(it).is_some())
        .collect();
    let short = block.iter().all(|it| it.find([':', '：']).is_some_and(|at| at <= 32));
    let addressed = block.iter().position(|it| it.contains('@') && it.contains(['<', '[']));
    let dated = block.iter().position(|it| !it.contains('@') && VALUED.is_match(it));
    block.len() >= 3 && short && addressed.is_some_and(|it| it < 2) && dated.is_some()
}

fn undecorated(text: &str) -> &str {
    text.trim_matches(|it: char| {
        matches!(it, '*' | '|' | '\u{200e}' | '\u{200f}') || it.is_whitespace()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::lines;

    #[track_caller]
    fn check(text: &str, expected: Option<Heading>) {
        assert_eq!(at(&lines(text), 0), expected, "{text}");
    }

    #[test]
    fn printed_fields_in_many_languages() {
        for text in [
            "From: a@example.org\nSent: March-19-11 5:42 PM\nTo: B\nSubject: x",
            "*From:* A <a@example.org>\n*Date:* 1 May 2026\n*To:* b",
            "Von: A <a@example.org>\nGesendet: Montag, 2. März 2026 17:11\nAn: b\nBetreff: x",
            "De : A [mailto:a@example.org]\nEnvoyé : vendredi 23 janvier 2015 16:39\nÀ : b",
            "Från: A <a@example.org>\nSkickat: den 5 juni 2017 12:22\nTill: b\nÄmne: x",
            "От: A <a@example.org>\nОтправлено: 5 июня 2017 г. 12:22\nКому: b\nТема: x",
            "差出人: A <a@example.org>\n送信日時: 2026年3月2日\n宛先: b\n件名: x",
            "Date: Wed, 16 May 2012 00:15:02 -0600\nTo: k@example.com",
            "________________________________\nFrom: A <a@x.test>\nSent: 1 May 2026\nTo: b",
            "==== \n\nMessage du : 12/12/2016 13:20\nDe : \"C\" <q@x.test>\nA : m@x.test",
            "-----Original Message-----",
            "*-------- Original Message --------*",
            "----- Ursprüngliche Nachricht -----",
            // A language that is in none of the lists.
            "Xyz: A <a@example.org>\nAbc: 2026-03-02 10:00\nDef: b@example.org\nGhi: x",
        ] {
            check(text, Some(Heading::Original));
        }
        check("---------- Forwarded message ---------\nFrom: a", Some(Heading::Forwarded));
        check(
            "Begin forwarded message:\n\nFrom: A <a@x.test>\nDate: 1 May 2026",
            Some(Heading::Forwarded),
        );
    }

    #[test]
    fn prose_with_colons_is_none() {
        check("From: the hills\nwe came down", None);
        check("Note: this\nTime: 10:30\nPlace: here", None);
        check("To: do\nDate: unknown", None);
        check("From: Berlin 10:30\nTo: Munich 14:40\nDate: 15 May 2026\n\nSee you", None);
        check("----\n\n1. one", None);
        check("---------- what a day ----------", None);
        check("https://example.org/a", None);
    }
}
