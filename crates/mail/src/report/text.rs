//! Bounces in free text: qmail, Exim, Gmail of old, Exchange, and whatever else never learned
//! RFC 3464.
//!
//! Nothing here knows a system by name. A bounce comes from a daemon or with the null reverse-path and
//! says that something was not delivered; it names the recipient at the beginning of a line or in the
//! RCPT command it repeats; the mail it is about begins where trace fields do.

use super::{
    Notification, Report, ReportAction, ReportKind, ReportedRecipient,
    fields::{Group, addresses},
    machine::original_recipients,
};
use crate::{
    auto_reply::says_absent,
    classify::{enhanced_code, folded},
};

/// Who sends bounces.
const DAEMONS: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "mail-daemon",
    "maildaemon",
    "mailer daemon",
    "postmaster",
    "mail delivery",
    "mail deliver",
    "mail administrator",
    "mail system",
    "delivery system",
    "delivery subsystem",
    "system administrator",
    "<>",
];

/// What they say has happened.
const FAILURES: &[&str] = &[
    "undeliver",
    "non-deliver",
    "nondeliver",
    "not delivered",
    "not be delivered",
    "wasn't delivered",
    "couldn't be delivered",
    "delivery fail",
    "delivery has failed",
    "delivery error",
    "delivery status",
    "delivery problem",
    "delivery report",
    "delivery notification",
    "delivery to the following",
    "delivery errors",
    "failed delivery",
    "failure notice",
    "failure notification",
    "mail failure",
    "returned mail",
    "returned to sender",
    "returned message",
    "unable to deliver",
    "able to deliver",
    "cannot deliver",
    "could not deliver",
    "couldn't deliver",
    "did not reach",
    "could not be reached",
    "could not send",
    "error delivering",
    "rejected by",
    "unzustellbar",
    "nicht zugestellt",
    "non remis",
    "non distribu",
    "échec de la remise",
    "no se pudo entregar",
    "no se ha podido entregar",
    "no entregado",
    "não foi possível entregar",
    "não pôde ser entregue",
    "não entregue",
    "mancata consegna",
    "impossibile recapitare",
    "niet bezorgd",
    "onbestelbaar",
    "niedostarcz",
    "nie dostarczono",
    "не доставлено",
    "недоставлен",
    "配信不能",
    "配信できません",
    "送信できません",
    "届けることができません",
    "退信",
    "kunde inte levereras",
    "kunne ikke leveres",
    "teslim edilemedi",
    "doručení se nezdařilo",
    "не удалось доставить",
    "nepodařilo doručit",
    "无法投递",
    "無法傳送",
    "반송",
];

const DELAYS: &[&str] = &[
    "will be retried",
    "will retry",
    "has been delayed",
    "warning message only",
    "do not need to resend",
    "delivery attempts will continue",
    "will continue trying",
    "will keep trying",
    "delivery is delayed",
    "delivery delayed",
    "delayed mail",
    "still undelivered",
    "not yet been delivered",
];

/// A line with these begins what was sent, not what is said about it.
const ENCLOSED: &[&str] =
    &["received:", "return-path:", "dkim-signature:", "message-id:", "x-mailer:", "mime-version:"];

/// So does a ruled line that announces a copy.
const COPIES: &[&str] = &[
    "copy",
    "original message",
    "unsent message",
    "returned message",
    "message follows",
    "header",
];

pub(super) fn report(notification: &Notification) -> Option<Report> {
    if !is_bounce(notification) {
        return None;
    }
    let sections = sections(notification);
    let recipients = failed_recipients(notification, &sections);
    (!recipients.is_empty()).then(|| Report {
        kind: ReportKind::Delivery,
        recipients,
        reporting_host: host(&notification.header.text("from")),
        envelope_id: String::new(),
        message_id: notification.message_id(sections.original(notification)),
    })
}

/// A bounce in words that nobody here knows, which has a code of RFC 3463 at least.
pub(super) fn report_on_nobody(notification: &Notification) -> Option<Report> {
    let subject = &notification.subject;
    let code = enhanced_code(&notification.text).filter(|it| it.starts_with(['4', '5']));
    let is_report = is_bounce(notification)
        || is_from_daemon(notification) && !says_absent(subject) && code.is_some();
    is_report.then(|| {
        let sections = sections(notification);
        Report {
            kind: ReportKind::Delivery,
            recipients: vec![recipient(String::new(), true, notification, &sections)],
            reporting_host: host(&notification.header.text("from")),
            envelope_id: String::new(),
            message_id: notification.message_id(sections.original(notification)),
        }
    })
}

fn says(phrases: &[&str], text: &str) -> bool {
    phrases.iter().any(|it| text.contains(it))
}

pub(super) fn is_bounce(notification: &Notification) -> bool {
    let subject = folded(&notification.subject);
    is_from_daemon(notification)
        && (says(FAILURES, &subject)
            || says(DELAYS, &subject)
            || says(FAILURES, &folded(&notification.text))
            || notification.header.get("x-failed-recipients").is_some())
}

/// Whether a mail system sent it, and no person or machine that answers.
fn is_from_daemon(notification: &Notification) -> bool {
    let header = &notification.header;
    let subject = folded(&notification.subject);
    let path = header.text("return-path");
    let from_daemon = says(DAEMONS, &folded(&header.text("from")))
        || path.trim() == "<>"
        || says(&DAEMONS[..1], &folded(&path))
        || header.get("x-failed-recipients").is_some();
    // A person answers a bounce with its subject; a bounce answers nobody.
    let is_answer = subject.trim_start().starts_with("re:");
    let is_automatic = header.text("auto-submitted").to_ascii_lowercase().contains("vacation");
    from_daemon && !is_answer && !is_automatic
}

/// What a notification says about each address.
pub(super) struct Sections {
    pub(super) list: Vec<Section>,
    /// All that is said, without what was sent.
    pub(super) text: String,
    /// The header section of the mail, where it follows in the text.
    enclosed: Group,
}

pub(super) struct Section {
    address: String,
    place: Place,
    pub(super) text: String,
}

/// Where an address stands, the more telling the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Begins a line.
    Line,
    /// In a RCPT command.
    Command,
    Within,
}

impl Section {
    pub(super) fn is_about(&self, recipient: &ReportedRecipient) -> bool {
        let is = |it: &str| self.address.eq_ignore_ascii_case(it);
        is(&recipient.address) || is(&recipient.original_address)
    }
}

impl Sections {
    pub(super) fn original<'a>(&'a self, notification: &'a Notification) -> &'a Group {
        if notification.original.is_empty() { &self.enclosed } else { &notification.original }
    }
}

pub(super) fn sections(notification: &Notification) -> Sections {
    let lines: Vec<&str> = notification.text.lines().collect();
    let end = lines.iter().position(|it| begins_copy(it)).unwrap_or(lines.len());
    let rest = lines[end..].iter().skip_while(|it| !is_field(it)).copied();
    let enclosed = Group::read(rest.take_while(|it| !it.trim().is_empty()));
    let mut list: Vec<Section> = Vec::new();
    for line in &lines[..end] {
        let mut found = false;
        for (at, address) in addresses(line) {
            let place = place(&line[..at]);
            found |= place == Place::Line;
            if list.len() < super::MAX_RECIPIENTS {
                let (address, text) = (address.to_owned(), (*line).to_owned());
                list.push(Section { address, place, text });
            }
        }
        // What follows a line that names an address is about that address; replies stand alone.
        let is_reply = line.trim_start().starts_with(|it: char| it.is_ascii_digit());
        if !found
            && !is_reply
            && let Some(last) = list.iter_mut().rfind(|it| it.place == Place::Line)
        {
            last.text.push('\n');
            last.text.push_str(line);
        }
    }
    Sections { list, text: lines[..end].join("\n"), enclosed }
}

fn begins_copy(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let is_ruled = line.starts_with("--") || line.ends_with("--");
    ENCLOSED.iter().any(|it| line.starts_with(it))
        || is_ruled && COPIES.iter().any(|it| line.contains(it))
        || line.contains("copy of the message header")
        || line == "message headers follow."
        || line == "message headers follow:"
}

fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| !name.is_empty() && !name.contains(' '))
}

fn place(before: &str) -> Place {
    let before = before.to_ascii_lowercase();
    let label = before.trim().trim_end_matches(['<', '"', '[', '(', '{']).trim_end();
    let label = label.trim_start_matches(['*', '-', '>', '.', ' ']);
    if label.ends_with("rcpt to:") {
        return Place::Command;
    }
    let is_label = ["recipient:", "recipients:", "address:", "original address:", "failed:"];
    let is_code = !label.is_empty()
        && label.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b' ' | b'-' | b'#'));
    if label.is_empty() || is_code || is_label.contains(&label) {
        Place::Line
    } else {
        Place::Within
    }
}

/// Whom a notification says to have failed.
pub(super) fn failed_recipients(
    notification: &Notification,
    sections: &Sections,
) -> Vec<ReportedRecipient> {
    let mut seen: Vec<String> = Vec::new();
    for address in candidates(notification, sections) {
        let is_known = seen.iter().any(|it| it.eq_ignore_ascii_case(&address));
        if !is_known && seen.len() < super::MAX_RECIPIENTS {
            seen.push(address);
        }
    }
    let alone = seen.len() == 1;
    seen.into_iter().map(|it| recipient(it, alone, notification, sections)).collect()
}

/// The addresses found at the most telling place at which there are any.
fn candidates(notification: &Notification, sections: &Sections) -> Vec<String> {
    let header = &notification.header;
    let listed: Vec<&str> = header
        .all("x-failed-recipients")
        .flat_map(|it| addresses(it).map(|(_, address)| address).collect::<Vec<_>>())
        .collect();
    let own: Vec<&str> = ["to", "from", "delivered-to"]
        .into_iter()
        .flat_map(|name| header.all(name))
        .flat_map(|it| addresses(it).map(|(_, address)| address).collect::<Vec<_>>())
        .collect();
    let is_own = |it: &str| own.iter().any(|own| own.eq_ignore_ascii_case(it));
    let at = |place: Place| -> Vec<&str> {
        sections.list.iter().filter(|it| it.place == place).map(|it| it.address.as_str()).collect()
    };
    let enclosed = original_recipients(sections.original(notification));
    let others = |list: Vec<&str>| -> Vec<String> {
        list.into_iter().filter(|it| !is_own(it) && !is_service(it)).map(str::to_owned).collect()
    };
    // A named recipient of the mail is a better guess than any address in a sentence.
    let mentioned = at(Place::Within);
    let known: Vec<&str> = mentioned
        .iter()
        .copied()
        .filter(|it| enclosed.iter().any(|to| to.eq_ignore_ascii_case(it)))
        .collect();
    let first = mentioned.into_iter().find(|it| !is_own(it) && !is_service(it));
    // What is listed may be what an alias became; then a line may name the recipient itself.
    let is_known = |it: &String| enclosed.iter().any(|to| to.eq_ignore_ascii_case(it));
    let lines: Vec<String> = others(at(Place::Line));
    let listed = listed.into_iter().map(str::to_owned).collect::<Vec<String>>();
    let known_lines: Vec<String> = match listed.iter().any(is_known) {
        false if !listed.is_empty() => lines.iter().filter(|it| is_known(it)).cloned().collect(),
        _ => Vec::new(),
    };
    let own_lines = at(Place::Line).into_iter().map(str::to_owned).collect();
    [
        known_lines,
        listed,
        lines,
        others(at(Place::Command)),
        others(known),
        first.into_iter().map(str::to_owned).collect(),
        own_lines,
        enclosed,
    ]
    .into_iter()
    .find(|it| !it.is_empty())
    .unwrap_or_default()
}

fn recipient(
    address: String,
    alone: bool,
    notification: &Notification,
    sections: &Sections,
) -> ReportedRecipient {
    let own: Vec<&str> = sections
        .list
        .iter()
        .filter(|it| it.address.eq_ignore_ascii_case(&address))
        .map(|it| it.text.as_str())
        .collect();
    let diagnostic = if alone || own.is_empty() { sections.text.clone() } else { own.join("\n") };
    let said = folded(&format!("{} {diagnostic}", notification.subject));
    let is_delay = DELAYS.iter().any(|it| said.contains(it));
    ReportedRecipient {
        status: enhanced_code(&diagnostic).unwrap_or_default().to_owned(),
        action: if is_delay { ReportAction::Delayed } else { ReportAction::Failed },
        diagnostic: diagnostic.split_whitespace().collect::<Vec<_>>().join(" "),
        address,
        ..ReportedRecipient::default()
    }
}

/// Addresses that stand in bounces for people to ask.
fn is_service(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default().to_ascii_lowercase();
    [
        "mailer-daemon",
        "postmaster",
        "abuse",
        "support",
        "helpdesk",
        "hostmaster",
        "noc",
        "info-bounce",
    ]
    .contains(&local.as_str())
}

fn host(from: &str) -> String {
    let address = addresses(from).next().map(|it| it.1).unwrap_or_default();
    address.rsplit_once('@').map(|it| it.1.to_owned()).unwrap_or_default()
}
