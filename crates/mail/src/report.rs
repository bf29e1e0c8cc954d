//! Reports about mail that was sent, read as data: delivery status notifications (RFC 3464) and the
//! free-text bounces of systems that have not heard of them, feedback reports (RFC 5965) and read
//! receipts (RFC 8098). What they say about a recipient is a claim: who believes it has to know that
//! the mail was his own.

pub(crate) mod fields;
mod machine;
mod text;

use self::fields::Group;
use crate::{
    Class,
    classify::{self, by_code, by_words},
    mime::Tree,
};

/// Beyond these a report is not read on.
const MAX_RECIPIENTS: usize = 200;
const MAX_TEXT: usize = 64 * 1024;

/// What holds the mail that is reported on, or its header section.
const ENCLOSED: &[&str] = &[
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
];

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub kind: ReportKind,
    pub recipients: Vec<ReportedRecipient>,
    /// The host that reports, as it names itself.
    pub reporting_host: String,
    /// Original-Envelope-Id: the ENVID of RFC 3461.
    pub envelope_id: String,
    /// Of the mail that is reported on, without angle brackets; empty if it is not enclosed.
    pub message_id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReportKind {
    /// RFC 3464, or free text that says the same.
    Delivery,
    /// RFC 5965. The type in lower case, such as "abuse".
    Feedback { feedback_type: String },
    /// RFC 8098. What became of the mail, in lower case, such as "displayed".
    Disposition { disposition: String },
}

/// What became of one recipient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportedRecipient {
    /// The address that failed in the end, after any forwarding.
    pub address: String,
    /// The address the mail was sent to, where the report tells both.
    pub original_address: String,
    pub action: ReportAction,
    /// RFC 3463; may be empty.
    pub status: String,
    pub diagnostic: String,
    pub remote_host: String,
    /// What the text for people says about this recipient.
    pub notice: String,
}

/// RFC 3464 section 2.3.3; what was relayed or expanded is out of the sender's hands like what was
/// delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportAction {
    #[default]
    Failed,
    Delayed,
    Delivered,
}

impl Report {
    /// Why this recipient is reported on.
    pub fn class(&self, recipient: &ReportedRecipient) -> Class {
        match &self.kind {
            ReportKind::Delivery => recipient.class(),
            ReportKind::Disposition { .. } => Class::Delivered,
            ReportKind::Feedback { feedback_type } => match feedback_type.as_str() {
                "auth-failure" => Class::AuthFailure,
                "not-spam" => Class::Delivered,
                _ => Class::Complaint,
            },
        }
    }
}

impl ReportedRecipient {
    fn class(&self) -> Class {
        if self.action == ReportAction::Delivered {
            return Class::Delivered;
        }
        // The words of the host come before its code, and both before what a stranger's system makes
        // of them for people.
        let status = classify::code(&self.status, &self.diagnostic);
        let (said, notice) = (self.diagnostic.as_str(), self.notice.as_str());
        by_words(&status, said, notice)
            .or_else(|| Some(by_code(&status)).filter(|it| *it != Class::Undetermined))
            .or_else(|| match self.is_found_by_itself() {
                // Its own users, not the contents of a mail, are what a host looks up.
                true => by_words(classify::ABOUT_RECIPIENT, notice, said),
                false => by_words(&classify::code(&status, notice), notice, said),
            })
            .unwrap_or(Class::Undetermined)
    }

    /// Whether the host that reports has found out itself: no other host is named and no reply quoted.
    fn is_found_by_itself(&self) -> bool {
        let is_reply = |it: &str| {
            it.len() >= 3
                && it.starts_with(['4', '5'])
                && it[..3].bytes().all(|it| it.is_ascii_digit())
        };
        !self.notice.is_empty()
            && self.diagnostic.is_empty()
            && self.remote_host.is_empty()
            && !self.status.starts_with('4')
            && !self.notice.split(|it: char| !it.is_ascii_alphanumeric()).any(is_reply)
    }

    /// What this report does to mail to come: a delay is no failure, whatever its reason.
    pub fn is_final(&self) -> bool {
        self.action != ReportAction::Delayed
    }
}

/// What a content reports, if it is a report; `None` for all other mail, answers of people and
/// machines included.
pub fn report(content: &[u8]) -> Option<Report> {
    let tree = Tree::read(content);
    read(&Notification::read(content, &tree), &tree)
}

/// As `report`, of what came to a return path that names its recipient: it need not name him itself.
/// Whom nobody names has no address.
pub fn report_to_return_path(content: &[u8]) -> Option<Report> {
    let tree = Tree::read(content);
    let notification = Notification::read(content, &tree);
    read(&notification, &tree).or_else(|| text::report_on_nobody(&notification))
}

fn read(notification: &Notification, tree: &Tree<'_>) -> Option<Report> {
    let mut report = machine::report(notification, tree)
        .or_else(|| passed_on(notification, tree))
        .or_else(|| text::report(notification))?;
    report.recipients.truncate(MAX_RECIPIENTS);
    Some(report)
}

/// A report within a report: some gateways enclose what they were told.
fn passed_on(outer: &Notification, tree: &Tree<'_>) -> Option<Report> {
    if !text::is_bounce(outer) {
        return None;
    }
    let enclosed = tree.leaves().into_iter().find(|it| tree.entities[*it].is("message/rfc822"))?;
    let content = tree.entities[enclosed].octets();
    let tree = Tree::read(&content);
    machine::report(&Notification::read(&content, &tree), &tree)
}

/// The parts of a report.
struct Notification {
    /// The header section of the report itself.
    header: Group,
    subject: String,
    /// What is written for people.
    text: String,
    /// The header section of the mail reported on; empty if it is not enclosed as a part.
    original: Group,
}

impl Notification {
    fn read(content: &[u8], tree: &Tree<'_>) -> Notification {
        let section = &content[..content.len().min(MAX_TEXT)];
        let section = String::from_utf8_lossy(section);
        let lines = section.lines().skip_while(|it| it.trim().is_empty());
        let header = Group::read(lines.take_while(|it| !it.trim().is_empty()));
        let mut text = String::new();
        let mut original = Group::default();
        for at in tree.leaves() {
            let entity = &tree.entities[at];
            let media_type = entity.media_type();
            if ENCLOSED.contains(&media_type.as_str()) {
                if original.is_empty() {
                    original = enclosed(&entity.text());
                }
            } else if entity.is_inline_text() && text.len() < MAX_TEXT {
                text.push_str(&entity.readable(MAX_TEXT));
                text.push_str("\n\n");
            }
        }
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        let subject = tree.root().fields.text("subject").unwrap_or_default();
        Notification { header, subject, text, original }
    }

    /// Of the mail reported on.
    fn message_id(&self, original: &Group) -> String {
        let id = original.text("message-id");
        id.trim_matches(['<', '>', ' ']).to_owned()
    }
}

fn enclosed(text: &str) -> Group {
    let lines = text.lines().skip_while(|it| it.trim().is_empty());
    Group::read(lines.take_while(|it| !it.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn only(content: &str) -> (Report, ReportedRecipient) {
        let report = report(content.as_bytes()).expect("a report");
        let [recipient] = report.recipients.as_slice() else { panic!("{report:?}") };
        let recipient = recipient.clone();
        (report, recipient)
    }

    const DSN: &str = "From: MAILER-DAEMON@mx.test\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
        --b\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\n\
        Reporting-MTA: dns; mx.test\nOriginal-Envelope-Id: e1\n\n\
        Original-Recipient: rfc822;bob@x.test\nFinal-Recipient: rfc822; bob@y.test\n\
        Action: failed\nStatus: 5.0.0\nRemote-MTA: dns; in.y.test\n\
        Diagnostic-Code: smtp; 550 5.1.1\n <bob@y.test>: user unknown\n\n--b\n\
        Content-Type: text/rfc822-headers\n\nMessage-ID: <m@a.test>\nTo: bob@x.test\n--b--\n";

    #[test]
    fn a_delivery_status_notification() {
        let (report, it) = only(DSN);
        assert_eq!((&*it.address, &*it.original_address), ("bob@y.test", "bob@x.test"));
        assert_eq!((&*report.reporting_host, &*report.envelope_id), ("mx.test", "e1"));
        assert_eq!((&*report.message_id, &*it.remote_host), ("m@a.test", "in.y.test"));
        assert_eq!(it.diagnostic, "550 5.1.1 <bob@y.test>: user unknown");
        assert_eq!(report.class(&it), Class::RecipientUnknown);
        let (report, it) = only(&DSN.replace("Action: failed", "Action: delayed"));
        assert!(!it.is_final() && report.kind == ReportKind::Delivery);
        let (report, it) = only(&DSN.replace("Action: failed", "Action: relayed"));
        assert_eq!(report.class(&it), Class::Delivered);
    }

    #[test]
    fn a_bounce_in_free_text() {
        let (report, it) = only(
            "From: MAILER-DAEMON@mx.test\nTo: agent@a.test\nSubject: failure notice\n\n\
             Hi. I wasn't able to deliver your message. Ask help@mx.test.\n\n<bob@x.test>:\n\
             192.0.2.1 does not like recipient.\nRemote host said: 550 no such user\n\n\
             --- Below this line is a copy of the message.\n\nReturn-Path: <agent@a.test>\n\
             Message-ID: <m@a.test>\nTo: bob@x.test, carol@x.test\n\nHello\n",
        );
        assert_eq!((&*it.address, &*report.message_id), ("bob@x.test", "m@a.test"));
        assert_eq!(report.class(&it), Class::RecipientUnknown);
    }

    #[test]
    fn a_complaint_and_a_receipt() {
        let (report, it) = only(
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\
             Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x\n\
             Original-Rcpt-To: <bob@x.test>\n\n--b\nContent-Type: message/rfc822\n\n\
             Message-ID: <m@a.test>\n\nHello\n--b--\n",
        );
        assert_eq!((&*it.address, &*report.message_id), ("bob@x.test", "m@a.test"));
        assert_eq!(report.class(&it), Class::Complaint);
        let (report, it) = only(
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n\
             --b\nContent-Type: message/disposition-notification\n\n\
             Final-Recipient: rfc822;bob@x.test\nOriginal-Message-ID: <m@a.test>\n\
             Disposition: manual-action/MDN-sent-manually; Displayed\n--b--\n",
        );
        assert_eq!(report.kind, ReportKind::Disposition { disposition: "displayed".to_owned() });
        assert_eq!((&*it.address, &*report.message_id), ("bob@x.test", "m@a.test"));
    }

    #[test]
    fn what_came_to_a_return_path_need_not_name_anybody() {
        let bounce =
            "From: MAILER-DAEMON@mx.test\nSubject: Oznameni\n\n550 5.1.1 Uzivatel neznamy\n";
        assert_eq!(report(bounce.as_bytes()), None);
        let found = report_to_return_path(bounce.as_bytes()).expect("a report");
        assert_eq!(found.recipients[0].address, "");
        assert_eq!(found.class(&found.recipients[0]), Class::RecipientUnknown);
        for answer in [
            "From: bob@x.test\nSubject: Hello\n\n550 5.1.1 is what I got\n",
            "Return-Path: <>\nFrom: bob@x.test\nSubject: Out of office\n\nBack at 5.1.27\n",
            "Return-Path: <>\nFrom: bob@x.test\nSubject: Hello\n\nI am away until Monday\n",
            "From: MAILER-DAEMON@mx.test\nSubject: Re: 550 5.1.1\n\n550 5.1.1\n",
        ] {
            assert_eq!(report_to_return_path(answer.as_bytes()), None, "{answer}");
        }
    }

    #[test]
    fn a_host_that_asks_no_other_knows_its_users() {
        let by = |more: &str| {
            let content = format!(
                "From: MAILER-DAEMON@mx.test\n\
                 Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
                 --b\n\nIt failed:\n\n  bob@x.test\n    Unknown user\n{more}\n--b\n\
                 Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.test\n\n\
                 Final-Recipient: rfc822;bob@x.test\nAction: failed\nStatus: 5.0.0\n--b--\n"
            );
            let (report, it) = only(&content);
            report.class(&it)
        };
        assert_eq!(by(""), Class::RecipientUnknown);
        let quoted = by("mx2.test said: 554 Unknown user (in reply to end of DATA command)");
        assert_eq!(quoted, Class::RecipientRefused);
    }

    #[test]
    fn people_who_speak_of_bounces_send_none() {
        for content in [
            "From: bob@x.test\nSubject: Undelivered mail?\n\nIt says <carol@x.test>: unknown user\n",
            "From: MAILER-DAEMON@x.test\nSubject: Re: failure notice\n\n<carol@x.test>: no\n",
            "From: postmaster@x.test\nSubject: Welcome\n\nWrite to carol@x.test\n",
            "",
        ] {
            assert_eq!(report(content.as_bytes()), None, "{content}");
        }
    }
}
