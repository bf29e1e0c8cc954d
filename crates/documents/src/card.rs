//! Calendars (RFC 5545) and visiting cards (RFC 6350).

use calcard::{
    Entry, Parser,
    icalendar::{ICalendar, ICalendarParameterName, ICalendarProperty, ICalendarValue},
    vcard::{VCard, VCardProperty, VCardValue},
};

use crate::{Kind, Unreadable, collect::Collected};

/// More than any calendar that somebody sends.
const MAX_ENTRIES: usize = 10_000;

pub(crate) fn read(octets: &[u8], collected: &mut Collected) -> Result<(), Unreadable> {
    let text = String::from_utf8_lossy(octets);
    let mut parser = Parser::new(&text);
    let mut read = 0;
    for _ in 0..MAX_ENTRIES {
        match parser.entry() {
            Entry::ICalendar(calendar) => {
                calendar_entry(&calendar, collected);
                read += 1;
            }
            Entry::VCard(card) => {
                card_entry(&card, collected);
                read += 1;
            }
            Entry::Eof => return if read > 0 { Ok(()) } else { Err(Unreadable::Broken) },
            // What stands between the entries is not shown to anybody, and read all the same.
            Entry::InvalidLine(line) => collected.line(Kind::Hidden, &line),
            _ => collected.missed(Unreadable::Broken),
        }
        if collected.is_full() {
            return Ok(());
        }
    }
    collected.missed(Unreadable::TooLarge);
    Ok(())
}

fn calendar_entry(calendar: &ICalendar, collected: &mut Collected) {
    for entry in calendar.components.iter().flat_map(|it| &it.entries) {
        let Some(kind) = calendar_kind(&entry.name) else { continue };
        for parameter in &entry.params {
            if parameter.name == ICalendarParameterName::Cn {
                let name = parameter.value.as_text().unwrap_or_default();
                collected.line(Kind::Metadata, name);
            }
        }
        let values = entry.values.iter().filter_map(|value| match value {
            ICalendarValue::Text(text) => Some(text.as_str()),
            // Of people the name counts, which stands in CN.
            ICalendarValue::Uri(uri) if kind == Kind::Link => uri.as_str(),
            _ => None,
        });
        collected.line(kind, &values.collect::<Vec<_>>().join(" "));
    }
}

/// What people and assistants read of an entry.
fn calendar_kind(property: &ICalendarProperty) -> Option<Kind> {
    Some(match property {
        ICalendarProperty::Summary
        | ICalendarProperty::Description
        | ICalendarProperty::Location
        | ICalendarProperty::Name => Kind::Text,
        ICalendarProperty::Comment | ICalendarProperty::Contact => Kind::Comment,
        ICalendarProperty::Categories
        | ICalendarProperty::Resources
        | ICalendarProperty::Organizer
        | ICalendarProperty::Attendee
        | ICalendarProperty::RequestStatus => Kind::Metadata,
        ICalendarProperty::Url | ICalendarProperty::Attach | ICalendarProperty::Conference => {
            Kind::Link
        }
        // Calendars show none of their own, such as X-ALT-DESC.
        ICalendarProperty::Other(_) => Kind::Hidden,
        _ => return None,
    })
}

fn card_entry(card: &VCard, collected: &mut Collected) {
    for entry in &card.entries {
        let kind = match entry.name {
            VCardProperty::Fn
            | VCardProperty::N
            | VCardProperty::Nickname
            | VCardProperty::Org
            | VCardProperty::Title
            | VCardProperty::Role
            | VCardProperty::Adr
            | VCardProperty::Note => Kind::Text,
            VCardProperty::Categories
            | VCardProperty::Expertise
            | VCardProperty::Hobby
            | VCardProperty::Interest => Kind::Metadata,
            VCardProperty::Url | VCardProperty::ContactUri => Kind::Link,
            VCardProperty::Other(_) => Kind::Hidden,
            _ => continue,
        };
        let mut words: Vec<&str> = Vec::new();
        for value in &entry.values {
            match value {
                VCardValue::Text(text) => words.push(text),
                VCardValue::Component(parts) => words.extend(parts.iter().map(String::as_str)),
                _ => (),
            }
        }
        words.retain(|it| !it.is_empty());
        collected.line(kind, &words.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Limits, extract};

    #[track_caller]
    fn check(text: &str, expected: &[(Kind, &str)]) {
        let text = text.replace('\n', "\r\n");
        let found = extract(Format::Card, text.as_bytes(), &Limits::default()).expect("read");
        let found: Vec<(Kind, &str)> =
            found.pieces.iter().map(|it| (it.kind, it.text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_calendar() {
        check(
            "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:1\n\
             SUMMARY:Lunch\\, with Anna\nDESCRIPTION:At the usu\n al place\\nat noon\n\
             LOCATION:Corner\nCOMMENT:Late\nORGANIZER;CN=Bo:mailto:bo@x.test\n\
             URL:https://x.test/\nX-NOTE:unseen\nEND:VEVENT\nEND:VCALENDAR\n",
            &[
                (Kind::Text, "Lunch, with Anna\nAt the usual place\nat noon\nCorner"),
                (Kind::Hidden, "unseen"),
                (Kind::Metadata, "Bo"),
                (Kind::Comment, "Late"),
                (Kind::Link, "https://x.test/"),
            ],
        );
    }

    #[test]
    fn a_card() {
        check(
            "BEGIN:VCARD\nVERSION:4.0\nFN:Anna\nN:A;Anna;;;\nORG:Bakery;Shop\nNOTE:Open\\, always\n\
             TEL:1\nEND:VCARD\n",
            &[(Kind::Text, "Anna\nA Anna\nBakery Shop\nOpen, always")],
        );
    }

    #[test]
    fn what_is_none_is_broken() {
        let found = extract(Format::Card, b"no card", &Limits::default());
        assert_eq!(found, Err(Unreadable::Broken));
    }
}
