//! What a report says of one recipient of a mail that was sent.

use contract::Email;

/// Where a finding comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A delivery status notification, or a bounce in free text.
    Notification,
    /// A complaint (RFC 5965).
    Complaint,
    /// A receipt (RFC 8098).
    Receipt,
    /// A report that does not prove that it is about this mail.
    Claim,
}

impl Source {
    pub(crate) const ALL: [Source; 4] =
        [Source::Notification, Source::Complaint, Source::Receipt, Source::Claim];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Source::Notification => "dsn",
            Source::Complaint => "arf",
            Source::Receipt => "mdn",
            Source::Claim => "claim",
        }
    }
}

/// What is found of the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Failed,
    Delayed,
    Delivered,
    Complained,
    /// What a reader did with the mail, in RFC 8098's words, such as "displayed". Changes nothing.
    Read(String),
}

impl Fate {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Fate::Failed => "failed",
            Fate::Delayed => "delayed",
            Fate::Delivered => "delivered",
            Fate::Complained => "complained",
            Fate::Read(disposition) => disposition,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub mail_id: String,
    /// As the mail's recipient is written.
    pub forward_path: String,
    pub source: Source,
    pub fate: Fate,
    /// RFC 3463; may be empty.
    pub status: String,
    pub diagnostic: String,
    /// The host that answered, or the one that reports.
    pub remote_host: String,
    /// The mail that brought it.
    pub report_id: String,
    pub reported_at: i64,
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub finding: Finding,
    pub account_id: String,
    /// With what the finding changed.
    pub email: Email,
    /// It is to be announced: it changed something, now or when the same report came before.
    pub is_news: bool,
    /// It was recorded already, by this report or by another that says the same.
    pub repeated: bool,
}

/// A mail that was sent, as far as reports have to be matched with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub account_id: String,
    pub inbox_id: String,
    /// In the order of the request.
    pub forward_paths: Vec<String>,
}
