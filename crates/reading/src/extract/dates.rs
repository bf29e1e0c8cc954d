//! Dates and times of day, as people write them.

use std::sync::LazyLock;

use regex::Regex;
use time::{Date, Duration, Month, Time, Weekday};

use super::{MOST, Moment, label};
use crate::reply::expression;

static ISO: LazyLock<Regex> =
    LazyLock::new(|| expression(r"\b((?:19|20)\d\d)[-/.](\d{1,2})[-/.](\d{1,2})\b"));
/// 15.05.2026, 15/05/2026, 5/15/2026.
static NUMERIC: LazyLock<Regex> =
    LazyLock::new(|| expression(r"\b(\d{1,2})([./-])(\d{1,2})[./-]((?:19|20)\d\d)\b"));
/// 15 May 2026, 15. Mai, 15 de mayo de 2026.
static DAY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"\b(\d{1,2})(?:st|nd|rd|th|er|º|\.)?\s+(?:of\s+|de\s+|d')?([^\W\d_]{3,12})\.?,?(?:\s+(?:de\s+)?((?:19|20)\d\d))?",
    )
});
static MONTH_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"\b([^\W\d_]{3,12})\.?\s+(\d{1,2})(?:st|nd|rd|th)?\b(?:,?\s+((?:19|20)\d\d)\b)?")
});
static CJK: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"((?:19|20)\d\d)\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]")
});
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(?i)\b(\d{1,2})(?:[:.h](\d{2}))?\s?(am|pm|a\.m\.|p\.m\.|uhr)\b|\b(\d{1,2})[:h](\d{2})\b",
    )
});

/// A date, where it stands, and whether it is a guess.
struct Found {
    start: usize,
    end: usize,
    date: Date,
    is_estimate: bool,
}

/// The dates of a sentence; a time of day belongs to the date it follows, or to the only one.
pub(super) fn dates(sentence: &str, sent: Date) -> Vec<Moment> {
    let mut found: Vec<Found> = Vec::new();
    for (kind, regex) in [&ISO, &CJK, &NUMERIC, &DAY_FIRST, &MONTH_FIRST].into_iter().enumerate() {
        for it in regex.captures_iter(sentence).take(MOST) {
            let (start, end) = it.get(0).map_or((0, 0), |it| (it.start(), it.end()));
            let parts: Vec<&str> =
                it.iter().skip(1).map(|it| it.map_or("", |it| it.as_str())).collect();
            let overlaps = found.iter().any(|it| start < it.end && it.start < end);
            if let Some((date, is_estimate)) = read(kind, &parts, sent).filter(|_| !overlaps) {
                found.push(Found { start, end, date, is_estimate });
            }
        }
    }
    found.extend(relative(sentence, sent));
    found.sort_by_key(|it| it.start);
    let mut moments = Vec::new();
    for (n, it) in found.iter().enumerate() {
        let next = found.get(n + 1).map_or(sentence.len(), |it| it.start);
        let after = clock(&sentence[it.end..next.max(it.end)]);
        let clock = after.or_else(|| (n == 0).then(|| clock(&sentence[..it.start])).flatten());
        let value = match clock {
            Some(time) => format!("{}T{:02}:{:02}:00", iso(it.date), time.hour(), time.minute()),
            None => iso(it.date),
        };
        moments.push(Moment { value, label: label(sentence), is_estimate: it.is_estimate });
    }
    moments
}

/// The date that the parts of a match give.
fn read(kind: usize, parts: &[&str], sent: Date) -> Option<(Date, bool)> {
    let number = |n: usize| parts[n].parse::<i32>().ok();
    let date = |year: i32, month: i32, day: i32| {
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()
    };
    match kind {
        0 | 1 => Some((date(number(0)?, number(1)?, number(2)?)?, false)),
        2 => {
            let (first, second, year) = (number(0)?, number(2)?, number(3)?);
            match parts[1] {
                "/" if second > 12 => Some((date(year, first, second)?, false)),
                // The day may be either of the two.
                "/" => Some((date(year, second, first)?, first <= 12 && first != second)),
                _ => Some((date(year, second, first)?, false)),
            }
        }
        _ => {
            let (day, name) =
                if kind == 3 { (number(0)?, parts[1]) } else { (number(1)?, parts[0]) };
            let month = month(name)?;
            match number(2) {
                Some(year) => Some((date(year, month, day)?, false)),
                // The next one from the day of the mail on.
                None => {
                    let near = date(sent.year(), month, day)?;
                    let past = near < sent - Duration::days(30);
                    Some((if past { date(sent.year() + 1, month, day)? } else { near }, true))
                }
            }
        }
    }
}

/// By its name or the abbreviation of it: English, German, French, Spanish, Italian, Portuguese, Dutch,
/// Nordic and Russian.
fn month(name: &str) -> Option<i32> {
    const MONTHS: [&str; 12] = [
        "jan january januar jänner janvier janv enero ene gennaio gen janeiro januari tammikuuta января",
        "feb february februar février févr fév febrero febbraio fevereiro fev februari helmikuuta февраля",
        "mar march märz mrz mars marzo março maart mrt maaliskuuta марта",
        "apr april avril avr abril abr aprile huhtikuuta апреля",
        "may mai mayo maggio mag maio mei maj toukokuuta мая",
        "jun june juni juin junio giugno giu junho kesäkuuta июня",
        "jul july juli juillet juil julio luglio lug julho heinäkuuta июля",
        "aug august août agosto ago augustus augusti elokuuta августа",
        "sep sept september septembre septiembre settembre setembro syyskuuta сентября",
        "oct october oktober okt octobre octubre ottobre outubro oktober lokakuuta октября",
        "nov november novembre noviembre novembro marraskuuta ноября",
        "dec december dezember dez décembre déc diciembre dic dicembre dezembro joulukuuta декабря",
    ];
    let name = name.to_lowercase();
    let found = MONTHS.iter().position(|names| names.split(' ').any(|it| it == name));
    found.and_then(|it| i32::try_from(it + 1).ok())
}

/// "tomorrow", "next Monday".
fn relative(sentence: &str, sent: Date) -> Vec<Found> {
    const DAYS: &[(&str, i64)] = &[
        ("the day after tomorrow", 2),
        ("tomorrow", 1),
        ("today", 0),
        ("tonight", 0),
        ("übermorgen", 2),
        ("morgen", 1),
        ("heute", 0),
        ("après-demain", 2),
        ("demain", 1),
        ("aujourd'hui", 0),
        ("mañana", 1),
        ("hoy", 0),
        ("domani", 1),
        ("oggi", 0),
        ("amanhã", 1),
        ("hoje", 0),
        ("vandaag", 0),
        ("明日", 1),
        ("明天", 1),
    ];
    const WEEKDAYS: &[(&str, Weekday)] = &[
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
        ("montag", Weekday::Monday),
        ("dienstag", Weekday::Tuesday),
        ("mittwoch", Weekday::Wednesday),
        ("donnerstag", Weekday::Thursday),
        ("freitag", Weekday::Friday),
        ("lundi", Weekday::Monday),
        ("mardi", Weekday::Tuesday),
        ("mercredi", Weekday::Wednesday),
        ("jeudi", Weekday::Thursday),
        ("vendredi", Weekday::Friday),
        ("lunes", Weekday::Monday),
        ("martes", Weekday::Tuesday),
        ("jueves", Weekday::Thursday),
        ("viernes", Weekday::Friday),
    ];
    // Lower case of the same length, so that what is found stands at the same place.
    let lower: String = sentence.chars().map(|it| it.to_lowercase().next().unwrap_or(it)).collect();
    if lower.len() != sentence.len() {
        return Vec::new();
    }
    let word_at = |word: &str| {
        let at = lower.find(word)?;
        let starts = !lower[..at].ends_with(char::is_alphanumeric) || !word.is_ascii();
        let ends = !lower[at + word.len()..].starts_with(char::is_alphanumeric) || !word.is_ascii();
        (starts && ends).then_some((at, at + word.len()))
    };
    let found =
        |(start, end): (usize, usize), date: Date| Found { start, end, date, is_estimate: true };
    let near = DAYS.iter().find_map(|(word, days)| Some((word_at(word)?, *days)));
    if let Some((place, days)) = near {
        return sent
            .checked_add(Duration::days(days))
            .map(|it| found(place, it))
            .into_iter()
            .collect();
    }
    let weekday = WEEKDAYS.iter().find_map(|(word, day)| Some((word_at(word)?, *day)));
    // "Friday, 15 May 2026" has its date already.
    let has_date = [&ISO, &NUMERIC, &DAY_FIRST, &MONTH_FIRST].iter().any(|it| {
        it.captures_iter(sentence).take(5).any(|it| {
            it.get(0).is_some_and(|it| it.as_str().contains(|it: char| it.is_ascii_digit()))
        })
    });
    match weekday.filter(|_| !has_date) {
        Some((place, day)) => vec![found(place, sent.next_occurrence(day))],
        None => Vec::new(),
    }
}

fn iso(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

fn clock(text: &str) -> Option<Time> {
    let it = CLOCK.captures(text)?;
    let number = |n: usize| it.get(n).and_then(|it| it.as_str().parse::<u8>().ok());
    if let (Some(hour), Some(minute)) = (number(4), number(5)) {
        return Time::from_hms(hour, minute, 0).ok();
    }
    let (hour, minute) = (number(1)?, number(2).unwrap_or(0));
    let half = it.get(3).map_or("", |it| it.as_str()).to_ascii_lowercase();
    let hour = match (half.as_bytes().first(), hour) {
        (Some(b'p'), 1..=11) => hour + 12,
        (Some(b'a'), 12) => 0,
        _ => hour,
    };
    Time::from_hms(hour, minute, 0).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, bool)]) {
        let found = dates(text, date!(2026 - 05 - 01));
        let found: Vec<_> = found.iter().map(|it| (it.value.as_str(), it.is_estimate)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn dates_in_many_notations() {
        check("on 2026-05-15 at 14:30", &[("2026-05-15T14:30:00", false)]);
        check("at 3 pm on May 15th, 2026", &[("2026-05-15T15:00:00", false)]);
        check("am 15. Mai 2026 um 9 Uhr", &[("2026-05-15T09:00:00", false)]);
        check("le 15 août 2026 à 14h30", &[("2026-08-15T14:30:00", false)]);
        check("el 15 de mayo de 2026", &[("2026-05-15", false)]);
        check("15.05.2026 and 5/15/2026", &[("2026-05-15", false), ("2026-05-15", false)]);
        check("3/4/2026", &[("2026-04-03", true)]);
        check("2026年5月15日", &[("2026-05-15", false)]);
        check("15 March", &[("2027-03-15", true)]);
    }

    #[test]
    fn words_count_from_the_day_of_the_mail() {
        check("Tomorrow at 10:00", &[("2026-05-02T10:00:00", true)]);
        check("See you on Monday", &[("2026-05-04", true)]);
        check("Friday, 15 May 2026", &[("2026-05-15", false)]);
    }

    #[test]
    fn what_is_no_date_is_none() {
        check("32 May 2026, 2026-13-01, version 1.2.26", &[]);
        check("5 people and 12 markers", &[]);
    }
}
