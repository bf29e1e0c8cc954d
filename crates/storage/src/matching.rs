//! Which mail and which of its recipients a report is about, and how well that is proven. Pure.
//!
//! A return path of ours proves it: only who had the mail, or was to have it, knows it. A Message-ID
//! proves nothing: everybody who sees an answer or an archive knows it.

use contract::{ForwardPath, MailScanned, Purpose};
use mail::{
    Address, Class, Report, ReportAction, ReportKind, ReportedRecipient, ReturnPathError,
    ReturnPathKeys,
};
use store::{Fate, Finding, Sent, Source};

/// A diagnostic is kept up to this length.
const MAX_DIAGNOSTIC: usize = 2_000;
const MAX_WORD: usize = 100;

/// What a content reports, and the return paths that stand in it.
pub(crate) struct Reading {
    pub(crate) report: Report,
    pub(crate) return_paths: Vec<Address>,
}

/// The mail that a report is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    pub(crate) mail_id: String,
    /// Of the recipient, where the return path names one.
    position: Option<usize>,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq)]
enum Proof {
    /// A return path that we made.
    ReturnPath,
    /// The Message-ID; and who reports it, if DMARC says that it is who it says.
    MessageId { reporter: Option<String> },
}

/// Why a report is not applied. A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dropped {
    /// An answer of a person or a machine.
    NoReport,
    /// Backscatter: a return path that we did not make.
    Forged,
    Expired,
    /// It names no mail of ours.
    UnknownMail,
    /// It names nobody, and the mail had several recipients.
    NoRecipient,
    /// It names somebody whom the mail was not for.
    UnknownRecipient,
    /// It would have to be proven, and is not.
    Unproven,
    /// It says nothing that matters, such as a failed signature.
    Irrelevant,
}

impl Dropped {
    pub(crate) const ALL: [Dropped; 8] = [
        Dropped::NoReport,
        Dropped::Forged,
        Dropped::Expired,
        Dropped::UnknownMail,
        Dropped::NoRecipient,
        Dropped::UnknownRecipient,
        Dropped::Unproven,
        Dropped::Irrelevant,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Dropped::NoReport => "no_report",
            Dropped::Forged => "forged",
            Dropped::Expired => "expired",
            Dropped::UnknownMail => "unknown_mail",
            Dropped::NoRecipient => "no_recipient",
            Dropped::UnknownRecipient => "unknown_recipient",
            Dropped::Unproven => "unproven",
            Dropped::Irrelevant => "irrelevant",
        }
    }
}

/// A finding, and why a recipient failed.
pub(crate) struct Matched {
    pub(crate) finding: Finding,
    pub(crate) class: Class,
}

/// Where a mail went that may be a report.
pub(crate) fn paths(mail: &MailScanned, purpose: Purpose) -> impl Iterator<Item = &ForwardPath> {
    let paths = mail.envelope.iter().flat_map(|it| &it.forward_paths);
    paths.filter(move |it| it.purpose() == purpose)
}

/// The mail that a report is about. What came to a return path is judged by that alone.
pub(crate) fn subject(
    mail: &MailScanned,
    reading: &Reading,
    keys: &ReturnPathKeys,
    now: i64,
) -> Result<Subject, Dropped> {
    let check = |address: &Address| keys.check(address, now);
    let proven = |it: mail::ReturnPath| Subject {
        mail_id: it.mail_id,
        position: it.position,
        proof: Proof::ReturnPath,
    };
    if let Some(path) = paths(mail, Purpose::ReturnPath).next() {
        let address: Address = path.address.parse().map_err(|_| Dropped::Forged)?;
        return check(&address).map(proven).map_err(|err| match err {
            ReturnPathError::Expired => Dropped::Expired,
            ReturnPathError::Forged | ReturnPathError::Malformed => Dropped::Forged,
        });
    }
    if let Some(it) = reading.return_paths.iter().find_map(|it| check(it).ok()) {
        return Ok(proven(it));
    }
    let mail_id = mail::mail_of_message_id(&reading.report.message_id);
    let authentication = mail.authentication.as_ref().filter(|it| it.dmarc == "pass");
    let reporter = authentication.map(|it| it.from_domain.to_lowercase());
    Ok(Subject {
        mail_id: mail_id.ok_or(Dropped::UnknownMail)?,
        position: None,
        proof: Proof::MessageId { reporter },
    })
}

/// What a report says of the recipients of the mail. `reporters` are the domains whose complaints count
/// without a return path.
pub(crate) fn findings(
    mail: &MailScanned,
    report: &Report,
    subject: &Subject,
    sent: &Sent,
    reporters: &[String],
) -> Result<Vec<Matched>, Dropped> {
    let mut matched = Vec::new();
    let mut dropped = None;
    for (path, recipient) in recipients(report, subject, sent)? {
        let proven = fate(report, &recipient).and_then(|(source, fate)| {
            let is_own = paths(mail, Purpose::Unspecified).any(|it| it.inbox_id == sent.inbox_id);
            Ok((proven(subject, is_own, source, &fate, &path, reporters)?, fate))
        });
        match proven {
            Ok(what) => {
                let class = report.class(&recipient);
                let finding = finding(mail, report, subject, path, &recipient, what);
                matched.push(Matched { finding, class });
            }
            Err(why) => dropped = Some(why),
        }
    }
    match dropped {
        Some(why) if matched.is_empty() => Err(why),
        _ => Ok(matched),
    }
}

/// The recipients of the mail whom a report is about: the one that the return path names, else those
/// that the report names.
fn recipients(
    report: &Report,
    subject: &Subject,
    sent: &Sent,
) -> Result<Vec<(String, ReportedRecipient)>, Dropped> {
    let named = |path: &str| report.recipients.iter().find(|it| is_about(it, path)).cloned();
    let only = match (subject.position, &sent.forward_paths[..]) {
        (Some(position), paths) => Some(paths.get(position).ok_or(Dropped::UnknownRecipient)?),
        // Redacted.
        (None, [only]) if report.recipients.is_empty() => Some(only),
        _ => None,
    };
    if let Some(path) = only {
        // The report may name what an alias became; of several, some of whom got it, it is delivered.
        let mildest = || report.recipients.iter().max_by_key(|it| mildness(it.action)).cloned();
        let recipient = named(path).or_else(mildest).unwrap_or_default();
        return Ok(vec![(path.clone(), recipient)]);
    }
    let known = sent.forward_paths.iter().filter_map(|path| Some((path.clone(), named(path)?)));
    let known: Vec<_> = known.collect();
    let names_nobody = report.recipients.iter().all(|it| it.address.is_empty());
    match (names_nobody, known.is_empty()) {
        (true, _) => Err(Dropped::NoRecipient),
        (_, true) => Err(Dropped::UnknownRecipient),
        _ => Ok(known),
    }
}

fn mildness(action: ReportAction) -> u8 {
    match action {
        ReportAction::Failed => 0,
        ReportAction::Delayed => 1,
        ReportAction::Delivered => 2,
    }
}

fn is_about(recipient: &ReportedRecipient, path: &str) -> bool {
    let same = |address: &str| match (address.parse::<Address>(), path.parse::<Address>()) {
        (Ok(one), Ok(other)) => one.to_string().eq_ignore_ascii_case(&other.to_string()),
        _ => address.eq_ignore_ascii_case(path),
    };
    same(&recipient.address) || same(&recipient.original_address)
}

fn fate(report: &Report, recipient: &ReportedRecipient) -> Result<(Source, Fate), Dropped> {
    match &report.kind {
        ReportKind::Delivery => {
            let fate = match recipient.action {
                ReportAction::Failed => Fate::Failed,
                ReportAction::Delayed => Fate::Delayed,
                ReportAction::Delivered => Fate::Delivered,
            };
            Ok((Source::Notification, fate))
        }
        ReportKind::Feedback { .. } if report.class(recipient) == Class::Complaint => {
            Ok((Source::Complaint, Fate::Complained))
        }
        ReportKind::Feedback { .. } => Err(Dropped::Irrelevant),
        ReportKind::Disposition { disposition } => {
            let word = cut(disposition, MAX_WORD);
            Ok((Source::Receipt, Fate::Read(word)))
        }
    }
}

/// Without a return path, a failure and a receipt are told if they come to the inbox that sent the
/// mail (`is_own`), and no more; a complaint counts if it is known who makes it; nothing else does.
fn proven(
    subject: &Subject,
    is_own: bool,
    source: Source,
    fate: &Fate,
    path: &str,
    reporters: &[String],
) -> Result<Source, Dropped> {
    let Proof::MessageId { reporter } = &subject.proof else { return Ok(source) };
    match fate {
        Fate::Failed if is_own => Ok(Source::Claim),
        Fate::Read(_) if is_own => Ok(source),
        Fate::Complained if reporter.as_ref().is_some_and(|it| may_report(it, path, reporters)) => {
            Ok(source)
        }
        _ => Err(Dropped::Unproven),
    }
}

/// A provider speaks for its own readers, and the reporters of large ones for those of all its domains.
fn may_report(reporter: &str, path: &str, reporters: &[String]) -> bool {
    let domain = path.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
    let is_within = |domain: &str| {
        !domain.is_empty()
            && (reporter == domain
                || reporter.strip_suffix(domain).is_some_and(|it| it.ends_with('.')))
    };
    is_within(&domain) || reporters.iter().any(|it| is_within(it))
}

fn finding(
    mail: &MailScanned,
    report: &Report,
    subject: &Subject,
    forward_path: String,
    recipient: &ReportedRecipient,
    (source, fate): (Source, Fate),
) -> Finding {
    let said = [&recipient.diagnostic, &recipient.notice].into_iter().find(|it| !it.is_empty());
    let host = [&recipient.remote_host, &report.reporting_host];
    let host = host.into_iter().find(|it| !it.is_empty()).cloned().unwrap_or_default();
    let diagnostic = match &report.kind {
        ReportKind::Feedback { feedback_type } => format!("feedback report: {feedback_type}"),
        _ => said.cloned().unwrap_or_default(),
    };
    Finding {
        mail_id: subject.mail_id.clone(),
        forward_path,
        source,
        fate,
        status: cut(&recipient.status, MAX_WORD),
        diagnostic: cut(&diagnostic, MAX_DIAGNOSTIC),
        remote_host: cut(&host, 255),
        report_id: mail.mail_id.clone(),
        reported_at: mail.received_at_micros,
    }
}

fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(address: &str, action: ReportAction) -> ReportedRecipient {
        ReportedRecipient { address: address.to_owned(), action, ..ReportedRecipient::default() }
    }

    fn report(recipients: &[ReportedRecipient]) -> Report {
        Report {
            kind: ReportKind::Delivery,
            recipients: recipients.to_vec(),
            reporting_host: String::new(),
            envelope_id: String::new(),
            message_id: String::new(),
        }
    }

    fn subject(position: Option<usize>) -> Subject {
        Subject { mail_id: "eml_1".to_owned(), position, proof: Proof::ReturnPath }
    }

    /// Whom a report is about, and what it says of him.
    fn check(
        position: Option<usize>,
        reported: &[ReportedRecipient],
        sent: &[&str],
        expected: Result<&[(&str, ReportAction)], Dropped>,
    ) {
        let sent = Sent {
            account_id: String::new(),
            inbox_id: String::new(),
            forward_paths: sent.iter().map(|it| (*it).to_owned()).collect(),
        };
        let found = recipients(&report(reported), &subject(position), &sent);
        let found = found.map(|it| it.into_iter().map(|(path, it)| (path, it.action)).collect());
        let owned = |it: &[(&str, ReportAction)]| -> Vec<(String, ReportAction)> {
            it.iter().map(|(path, action)| ((*path).to_owned(), *action)).collect()
        };
        assert_eq!(found, expected.map(owned));
    }

    #[test]
    fn the_return_path_says_whom_it_is_about() {
        use ReportAction::{Delivered, Failed};
        let (bob, carol) = ("bob@x.test", "carol@x.test");
        let robert = reported("robert@y.test", Failed);
        check(Some(1), std::slice::from_ref(&robert), &[bob, carol], Ok(&[(carol, Failed)]));
        // An alias of several, one of whom got it.
        let other = reported("bobby@y.test", Delivered);
        check(Some(0), &[robert.clone(), other.clone()], &[bob], Ok(&[(bob, Delivered)]));
        let named = reported("BOB@X.test", Failed);
        check(Some(0), &[other, named], &[bob], Ok(&[(bob, Failed)]));
        check(Some(2), &[robert], &[bob, carol], Err(Dropped::UnknownRecipient));
    }

    #[test]
    fn else_the_report_does() {
        use ReportAction::Failed;
        let (bob, carol) = ("bob@x.test", "carol@x.test");
        let both = [reported(carol, Failed), reported("Bob@x.test", Failed)];
        check(None, &both, &[bob, carol], Ok(&[(bob, Failed), (carol, Failed)]));
        let mallory = [reported("mallory@x.test", Failed)];
        check(None, &mallory, &[bob, carol], Err(Dropped::UnknownRecipient));
        check(None, &[], &[bob, carol], Err(Dropped::NoRecipient));
        check(None, &[reported("", Failed)], &[bob, carol], Err(Dropped::NoRecipient));
        check(None, &[], &[bob], Ok(&[(bob, ReportAction::default())]));
        let forwarded = ReportedRecipient {
            original_address: bob.to_owned(),
            ..reported("robert@y.test", Failed)
        };
        check(None, &[forwarded], &[bob, carol], Ok(&[(bob, Failed)]));
    }

    #[test]
    fn a_provider_speaks_for_its_own() {
        let reporters = ["yahoo.com".to_owned()];
        let check = |reporter: &str, path: &str, expected: bool| {
            assert_eq!(may_report(reporter, path, &reporters), expected, "{reporter} {path}");
        };
        check("x.test", "bob@X.test", true);
        check("fbl.x.test", "bob@x.test", true);
        check("arf.mail.yahoo.com", "bob@aol.com", true);
        check("notx.test", "bob@x.test", false);
        check("test", "bob@x.test", false);
        check("notyahoo.com", "bob@aol.com", false);
        check("", "bob@x.test", false);
        check("x.test", "nobody", false);
    }
}
