//! The events of a calendar entry (RFC 5545), as far as an invitation has them.

use super::Scheduled;

/// Events of an entry, attendees of an event.
const MOST_EVENTS: usize = 20;
const MOST_ATTENDEES: usize = 100;
const MOST_LINES: usize = 5000;

pub(super) fn events(calendar: &str) -> Vec<Scheduled> {
    let mut events = Vec::new();
    let mut event: Option<Scheduled> = None;
    for line in unfolded(calendar) {
        let Some((name, value)) = property(&line) else { continue };
        match (&*name, &mut event) {
            ("BEGIN", None) if value == "VEVENT" => {
                event = Some(Scheduled { event_type: "event", ..Scheduled::default() });
            }
            ("END", _) if value == "VEVENT" => events.extend(event.take()),
            ("SUMMARY", Some(it)) => it.summary = text(value),
            ("LOCATION", Some(it)) => it.location = Some(text(value)).filter(|it| !it.is_empty()),
            ("DTSTART", Some(it)) => it.start = moment(value),
            ("DTEND", Some(it)) => it.end = moment(value),
            ("ATTENDEE", Some(it)) if it.attendees.len() < MOST_ATTENDEES => {
                let prefix = value.get(..7).filter(|it| it.eq_ignore_ascii_case("mailto:"));
                it.attendees.extend(prefix.map(|it| value[it.len()..].to_owned()));
            }
            _ => (),
        }
        if events.len() == MOST_EVENTS {
            break;
        }
    }
    events
}

/// Section 3.1: a line that begins with a blank goes on with the one before.
fn unfolded(calendar: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in calendar.lines().take(MOST_LINES) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some(last)) => last.push_str(more),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Name and value, parameters left out; a colon within quotes belongs to a parameter.
fn property(line: &str) -> Option<(String, &str)> {
    let mut quoted = false;
    let colon = line.bytes().position(|it| {
        quoted ^= it == b'"';
        it == b':' && !quoted
    })?;
    let (head, value) = (&line[..colon], line[colon + 1..].trim());
    let name = head.split(';').next().unwrap_or(head);
    Some((name.to_ascii_uppercase(), value))
}

/// "20260515T100000Z" as RFC 3339 writes it; without "Z" it is the time at some place.
fn moment(value: &str) -> Option<String> {
    let digits = |from: usize, to: usize| {
        value.get(from..to).filter(|it| it.bytes().all(|it| it.is_ascii_digit()))
    };
    let date = format!("{}-{}-{}", digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let time = value
        .get(8..9)
        .filter(|it| *it == "T")
        .and_then(|_| Some(format!("T{}:{}:{}", digits(9, 11)?, digits(11, 13)?, digits(13, 15)?)));
    let zone = if value.ends_with('Z') { "Z" } else { "" };
    Some(time.map_or(date.clone(), |time| format!("{date}{time}{zone}")))
}

/// Section 3.3.11.
fn text(value: &str) -> String {
    let text = value.replace("\\n", " ").replace("\\N", " ").replace("\\,", ",");
    let text = text.replace("\\;", ";").replace("\\\\", "\\");
    crate::safe::plain_field(&text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation() {
        let entry = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Plan\\, and\r\n  act\r\n\
            DTSTART;TZID=\"Europe:x\":20260515T100000\r\nDTEND:20260515T110000Z\r\nLOCATION:Room 1\r\n\
            ATTENDEE;CN=\"A: B\":MAILTO:a@x.test\r\nEND:VEVENT\r\nEND:VCALENDAR";
        let found = events(entry);
        assert_eq!(
            found,
            [Scheduled {
                event_type: "event",
                start: Some("2026-05-15T10:00:00".to_owned()),
                end: Some("2026-05-15T11:00:00Z".to_owned()),
                location: Some("Room 1".to_owned()),
                attendees: vec!["a@x.test".to_owned()],
                summary: "Plan, and act".to_owned(),
            }]
        );
        assert!(events("BEGIN:VEVENT\nDTSTART:x\n").is_empty());
    }
}
