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
            .or_else(|| by_words(&classify::code(&status, notice), notice, said))
            .unwrap_or(Class::Undetermined)
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
    let notification = Notification::read(content, &tree);
    let mut report = machine::report(&notification, &tree)
        .or_else(|| passed_on(&notification, &tree))
        .or_else(|| text::report(&notification))?;
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
