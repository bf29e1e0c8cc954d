//! Facts in what somebody wrote: people, dates, amounts, meetings, and what is asked for. By rules.

mod amounts;
mod calendar;
mod contacts;
mod dates;

use time::OffsetDateTime;

use crate::{Purpose, Reading, line::Line, links::links};

/// The name of these rules, in place of a model's.
pub const RULES: &str = "rules-1";

/// So many of each kind.
const MOST: usize = 50;
/// Lines that are looked at, and octets of each.
const MOST_LINES: usize = 2000;
const MAX_LINE: usize = 2000;
/// Characters of a label.
const MAX_LABEL: usize = 160;

/// What is known of a mail beside its words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The display name and the address in From.
    pub from: (&'a str, &'a str),
    /// When it was sent, in microseconds since 1970: "tomorrow" counts from there.
    pub date_micros: i64,
    /// Its calendar entry (RFC 5545); empty when there is none.
    pub calendar: &'a str,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extraction {
    pub contacts: Vec<Contact>,
    pub dates: Vec<Moment>,
    pub amounts: Vec<Amount>,
    pub scheduling: Vec<Scheduled>,
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    /// "sender" for who wrote the mail.
    pub role: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// "2026-05-01", or "2026-05-01T10:00:00", in the writer's own time.
    pub value: String,
    /// The sentence it stands in.
    pub label: String,
    /// It was reckoned from a word such as "tomorrow", or read one way of two.
    pub is_estimate: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    pub value: f64,
    /// ISO 4217.
    pub currency: &'static str,
    pub label: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduled {
    /// "event" of a calendar entry; "meeting", "call", "appointment" or "deadline" of words.
    pub event_type: &'static str,
    pub start: Option<String>,
    pub end: Option<String>,
    pub location: Option<String>,
    pub attendees: Vec<String>,
    pub summary: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// "verify", "login", "reset", "invite", "pay", "sign", "review", "confirm" or "reply".
    pub kind: &'static str,
    pub description: String,
    pub url: Option<String>,
    pub deadline: Option<String>,
}

/// The facts of a mail, from what its sender wrote.
pub fn extract(reading: &Reading<'_>, facts: Facts<'_>) -> Extraction {
    let sentences = sentences(reading);
    let sent = OffsetDateTime::from_unix_timestamp_nanos(i128::from(facts.date_micros) * 1000);
    // Near the ends of time there is no tomorrow.
    let sent = sent.ok().filter(|it| (1970..=9000).contains(&it.year()));
    let sent = sent.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut found = Extraction::default();
    let mut scheduled = calendar::events(facts.calendar);
    for sentence in &sentences {
        let dates = dates::dates(sentence, sent.date());
        found.amounts.extend(amounts::amounts(sentence));
        let lower = sentence.to_lowercase();
        if let (Some(kind), Some(first)) = (meeting(&lower), dates.first()) {
            scheduled.push(Scheduled {
                event_type: kind,
                start: Some(first.value.clone()),
                summary: label(sentence),
                ..Scheduled::default()
            });
        }
        if let Some(kind) = asked(&lower) {
            let deadline = dates.first().map(|it| it.value.clone());
            found.actions.push(Action { kind, description: label(sentence), url: None, deadline });
        }
        found.dates.extend(dates);
    }
    found.scheduling = scheduled;
    found.contacts = contacts::contacts(&sentences, facts.from);
    found.actions.splice(0..0, linked(reading));
    found.dates.truncate(MOST);
    found.amounts.truncate(MOST);
    found.scheduling.truncate(MOST);
    found.actions.truncate(MOST);
    found
}

/// What following a link of the mail does.
fn linked(reading: &Reading<'_>) -> Vec<Action> {
    let action = |link: crate::Link| {
        let kind = match link.purpose {
            Purpose::Verify => "verify",
            Purpose::Login => "login",
            Purpose::Reset => "reset",
            Purpose::Invite => "invite",
            Purpose::Other | Purpose::Unsubscribe => return None,
        };
        let description = if link.text.is_empty() { link.host } else { link.text };
        Some(Action { kind, description, url: Some(link.url), deadline: None })
    };
    links(reading).into_iter().filter_map(action).take(5).collect()
}

/// The sentences of what was written; of two bodies that of the text.
fn sentences(reading: &Reading<'_>) -> Vec<String> {
    let [page, text] = reading.written();
    let lines = if text.iter().all(Line::is_blank) { page } else { text };
    let mut sentences = Vec::new();
    for line in lines.iter().filter(|it| !it.is_quoted()).take(MOST_LINES) {
        let line = &line.text[..line.text.floor_char_boundary(MAX_LINE)];
        let mut start = 0;
        for (at, _) in line.match_indices(['!', '?', '.']) {
            let ends = line[at + 1..].starts_with(' ')
                && line[at + 1..].trim_start().starts_with(char::is_uppercase)
                // "Fri. 1 May", "Mr. X"
                && at - start > 12;
            if ends {
                sentences.push(line[start..=at].trim().to_owned());
                start = at + 1;
            }
        }
        sentences.push(line[start..].trim().to_owned());
    }
    sentences.retain(|it| !it.is_empty());
    sentences
}

fn label(sentence: &str) -> String {
    sentence.chars().take(MAX_LABEL).collect()
}

fn meeting(lower: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &[&str])] = &[
        (
            "deadline",
            &[
                "deadline",
                "due ",
                "no later than",
                "spätestens",
                "fällig",
                "échéance",
                "vence",
                "scadenza",
            ],
        ),
        ("call", &["call", "zoom", "telefonat", "anruf", "appel", "llamada"]),
        (
            "appointment",
            &["appointment", "termin", "rendez-vous", "cita", "appuntamento", "afspraak"],
        ),
        (
            "meeting",
            &[
                "meet",
                "besprechung",
                "treffen",
                "réunion",
                "reunión",
                "reunião",
                "riunione",
                "vergadering",
            ],
        ),
    ];
    KINDS
        .iter()
        .find_map(|(kind, words)| words.iter().any(|it| lower.contains(it)).then_some(*kind))
}

/// What a sentence asks the reader to do.
fn asked(lower: &str) -> Option<&'static str> {
    const ASKING: &[&str] = &[
        "please",
        "could you",
        "can you",
        "would you",
        "kindly",
        "need you to",
        "must ",
        "bitte",
        "könnten sie",
        "merci de",
        "veuillez",
        "pouvez-vous",
        "por favor",
        "podrías",
        "per favore",
        "alstublieft",
        "graag",
    ];
    const KINDS: &[(&str, &[&str])] = &[
        (
            "pay",
            &[
                "pay",
                "transfer",
                "settle",
                "zahl",
                "überweis",
                "payer",
                "régler",
                "pagar",
                "pagare",
                "betal",
            ],
        ),
        ("sign", &["sign ", "signature", "unterschr", "signer", "firmar", "firmare", "teken"]),
        (
            "review",
            &[
                "review",
                "check",
                "look at",
                "look over",
                "prüf",
                "vérifi",
                "revis",
                "controll",
                "bekijk",
            ],
        ),
        ("confirm", &["confirm", "bestätig", "confirmer", "confirmar", "confermare", "bevestig"]),
        (
            "reply",
            &[
                "reply",
                "respond",
                "let me know",
                "let us know",
                "answer",
                "send ",
                "antwort",
                "répond",
                "respond",
                "rispond",
                "antwoord",
            ],
        ),
    ];
    if !ASKING.iter().any(|it| lower.contains(it)) {
        return None;
    }
    let kind = KINDS.iter().find(|(_, words)| words.iter().any(|it| lower.contains(it)));
    kind.map(|(kind, _)| *kind).or(lower.ends_with('?').then_some("reply"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mail;

    #[test]
    fn facts_of_a_mail() {
        let text = "Hi Tom,\n\nthe invoice of €1,250.50 is due on 15 May 2026. Please pay it by then.\n\
            Shall we meet on 2026-05-04 at 14:30? Call me on +44 20 7946 0958 or write to eva@acme.test.\n\n\
            On 1 May 2026, Tom <t@x.test> wrote:\n> It was $99 on 2020-01-01.";
        let mail = Mail { text, from: "sam@acme.test", has_plain_text: true, ..Mail::default() };
        let facts = Facts { from: ("Sam Low", "sam@acme.test"), ..Facts::default() };
        let found = extract(&Reading::of(mail), facts);
        let amounts: Vec<_> = found.amounts.iter().map(|it| (it.value, it.currency)).collect();
        assert_eq!(amounts, [(1250.5, "EUR")]);
        let dates: Vec<_> = found.dates.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(dates, ["2026-05-15", "2026-05-04T14:30:00"]);
        let contacts: Vec<_> =
            found.contacts.iter().map(|it| (it.email.as_deref(), it.phone.as_deref())).collect();
        assert_eq!(
            contacts,
            [(Some("sam@acme.test"), Some("+442079460958")), (Some("eva@acme.test"), None)]
        );
        let kinds: Vec<_> = found.scheduling.iter().map(|it| it.event_type).collect();
        assert_eq!(kinds, ["deadline", "meeting"]);
        assert_eq!(found.actions[0].kind, "pay");
    }

    #[test]
    fn all_is_bounded() {
        let text = "Please pay $1 on 2026-05-04. ".repeat(20_000);
        let mail = Mail { text: &text, has_plain_text: true, ..Mail::default() };
        let found = extract(&Reading::of(mail), Facts::default());
        assert!(
            found.dates.len() <= MOST && found.amounts.len() <= MOST && found.actions.len() <= MOST
        );
    }
}
