//! What the store hands out and takes in. Times are microseconds since 1970, UTC.
//! An email is `contract::Email`, the shape agents see; see `Reader`.

use std::collections::BTreeMap;

use contract::{DeliveryReported, Email, MailScanned, Message, SubmissionAccepted, Verdict};

use crate::{Limit, Manner, Offer, Scrutiny};

#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub id: String,
    /// 0 to 4, as in the contract: what an account may do.
    pub tier: i64,
    pub created_at: i64,
    pub last_active_at: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Active inboxes.
    pub inboxes: i64,
    /// Mails received by all inboxes, deleted ones included.
    pub emails_received: i64,
    /// Submissions accepted since midnight UTC.
    pub emails_sent_today: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Inbox {
    pub id: String,
    pub account_id: String,
    pub address: String,
    pub display_name: Option<String>,
    pub domain: String,
    /// False once deleted; the row and its mail go after the grace period.
    pub is_active: bool,
    /// Mails received.
    pub email_count: i64,
    pub expires_at: Option<i64>,
    pub created_at: i64,
    pub deleted_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct NewInbox {
    pub id: String,
    pub account_id: String,
    /// As shown; `canonical` is what collides.
    pub address: String,
    pub canonical: String,
    pub domain: String,
    pub display_name: Option<String>,
    pub expires_at: Option<i64>,
    /// The most active inboxes the account may have; no limit if `None`.
    pub max_inboxes: Option<i64>,
}

/// What creating an inbox came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    Inbox(Inbox),
    /// The canonical address is taken, by anybody, or was by an inbox still in its grace period.
    AddressCollision,
    LimitReached,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// Which emails of an inbox to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct EmailFilter {
    pub limit: i64,
    /// Only what became readable after this moment (`created_at > since`). The `created_at` that
    /// agents see is exact: it is in whole milliseconds, and a later transaction on the same inbox
    /// has a later one.
    pub since: Option<i64>,
    pub direction: Option<Direction>,
    /// What is in quarantine as well.
    pub include_quarantined: bool,
    /// Only what has this label.
    pub label: Option<String>,
    /// Only what has been read, or has not.
    pub is_read: Option<bool>,
    /// Only what is in these threads.
    pub thread_ids: Option<Vec<String>>,
    pub cursor: Option<String>,
}

/// Which inbound emails of an inbox a long-poll waits for. Newest first, at most 50.
#[derive(Clone, Debug, Default)]
pub struct ArrivalFilter {
    /// `created_at > since`.
    pub since: i64,
    /// The From address must equal this, octet by octet.
    pub from: Option<String>,
    /// The subject must contain this, octet by octet.
    pub subject: Option<String>,
    /// Only what is in these threads.
    pub thread_ids: Option<Vec<String>>,
}

/// Full-text search over an account's emails, newest first.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// Words that must all occur in subject, addresses or body; empty matches everything.
    pub words: String,
    pub inbox_id: Option<String>,
    /// Only what is in these inboxes.
    pub inbox_ids: Option<Vec<String>>,
    /// Only what is in these threads.
    pub thread_ids: Option<Vec<String>>,
    pub direction: Option<Direction>,
    /// Part of the From address, case-insensitive.
    pub from: Option<String>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub has_attachments: Option<bool>,
    pub limit: i64,
    pub cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    pub id: String,
    pub inbox_id: String,
    pub subject: String,
    pub email_count: i64,
    pub last_email_at: i64,
    pub created_at: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ThreadDetail {
    pub thread: Thread,
    /// Oldest first, bodies not loaded.
    pub emails: Vec<Email>,
}

/// The original of an email, for downloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Original {
    pub mail_id: String,
    /// Our header lines, then what was received or sent, octet for octet.
    pub octets: Vec<u8>,
}

/// What one delivery attempt came to for one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub recipient: String,
    /// The destination: a domain in lower-case A-label form.
    pub domain: String,
    /// 1 for the first; 0 for a report.
    pub attempt: i64,
    /// Of a report: when it came.
    pub attempted_at: i64,
    /// "session", or where a later report came from: "dsn", "arf", "mdn", or "claim", which proves
    /// nothing.
    pub source: String,
    /// Of a session "delivered", "delayed", "failed" or "unknown"; of reports also "complained", or what
    /// a reader did with it.
    pub action: String,
    /// Enhanced status code (RFC 3463).
    pub status: String,
    /// The reply, or what went wrong before there was one.
    pub diagnostic: String,
    /// Empty when no host answered.
    pub remote_host: String,
    /// The TLS version; empty without TLS.
    pub tls: String,
    /// When this recipient is tried again.
    pub next_attempt_at: Option<i64>,
}

/// A request in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// The email it became.
    pub email_id: String,
    pub account_id: String,
    pub inbox_id: String,
    pub idempotency_key: String,
    /// `request_digest` of the request: SHA-256 in hexadecimal.
    pub request_digest: String,
    /// "scheduled", "held", "queued", "sent", "deferred", "delivered", "unknown", "bounced", "expired",
    /// "cancelled", "declined", "complained", "suppressed" or "rejected".
    pub status: String,
    pub rejection: Option<contract::Rejection>,
    pub requested_at: i64,
    /// The state of its hold, if somebody has, or had, to approve it.
    pub hold: Option<String>,
    /// The lease it came under, if any.
    pub lease_id: Option<String>,
}

/// A scanned mail and its octets, ready to be stored.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub scanned: MailScanned,
    /// What `scanned.content` stands for, with our header lines on top.
    pub octets: Vec<u8>,
    /// The whole text where `scanned.message.text` was cut.
    pub whole_text: Option<String>,
    /// What its sender wrote, without what he quoted; cut. It is judged together with that of other mails.
    pub carried: String,
    /// By the email_id of a copy: why no machine may answer it (RFC 3834).
    pub no_auto_reply: BTreeMap<String, String>,
    /// For those who expect something; `None` where nobody waited when the mail was looked at.
    pub offer: Option<Offer>,
}

/// A copy of a mail that is in its inbox now.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub account_id: String,
    pub email: Email,
    /// It was there already: a redelivery.
    pub repeated: bool,
    /// Its thread had others when it came.
    pub continues_thread: bool,
}

/// A request that can be honoured, composed and ready for the ledger.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub mail_id: String,
    pub account_id: String,
    pub inbox_id: String,
    pub idempotency_key: String,
    pub request_digest: String,
    pub requested_at: i64,
    pub manner: Manner,
    pub outcome: Outcome,
    pub scrutiny: Scrutiny,
    /// Hashes of the tokens whose limits it counts for.
    pub counted_for: Vec<String>,
    /// The lease on the received mail that this one deals with.
    pub lease_id: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    Composed(Box<Composed>),
    Rejected(Box<Rejected>),
}

/// A request that cannot be honoured.
#[derive(Clone, Debug, Default)]
pub struct Rejected {
    pub rejection: contract::Rejection,
    /// Of the request, as far as they could be read.
    pub subject: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Composed {
    pub octets: Vec<u8>,
    pub message: Message,
    pub verdict: Verdict,
    pub reverse_path: String,
    /// Each once.
    pub forward_paths: Vec<String>,
    /// The thread the request names; otherwise the message identifiers lead to one.
    pub thread_id: Option<String>,
    /// When it is to go, if that is later; else 0.
    pub send_at: i64,
    /// What the sender is told once it may go.
    pub handover: SubmissionAccepted,
    /// What is to be notified of in the inbox: some of "failure", "delay", "success".
    pub notify: Vec<String>,
    /// The account's name for the list it goes to.
    pub list_id: Option<String>,
}

/// What the ledger says of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Entered {
    pub entry: LedgerEntry,
    /// The email of the request; for a rejected one, its status is "rejected" and nothing else is
    /// stored of it but subject and recipients.
    pub email: Email,
    /// The key was in the ledger already; nothing changed.
    pub repeated: bool,
    /// It has yet to be handed to the sender: new and free to go, or the same request once more, before
    /// anything is reported of it, because a storage process died before it could.
    pub to_send: bool,
    /// It waits, and for a limit: this one, as far as it was found now.
    pub held: Option<Limit>,
    /// False of a request that is rejected because its lease is lost: nothing of it is stored, and its key
    /// is free for who has the mail now.
    pub is_kept: bool,
}

/// What a report changed.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Without the recipients whose state it did not change, because it came too late.
    pub report: DeliveryReported,
    pub account_id: String,
    pub email: Email,
    pub idempotency_key: String,
    /// It was recorded already: a redelivery.
    pub repeated: bool,
}

/// What a delivery attempt needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub octets: Vec<u8>,
    /// The forward-paths nobody has delivered to or given up on yet.
    pub open: Vec<String>,
    /// Those of which nobody knows whether they were delivered to.
    pub unknown: Vec<String>,
    /// The account's name for the list it goes to.
    pub list_id: Option<String>,
}

/// What a decision on a mail of unknown outcome was about.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub account_id: String,
    pub email: Email,
    pub reverse_path: String,
    /// The forward-paths it was decided for, each with the number of its last attempt.
    pub recipients: Vec<(String, u32)>,
}

/// What a thread adds to a mail that continues it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ancestry {
    /// The Message-ID of the newest mail of the thread, without angle brackets.
    pub in_reply_to: Option<String>,
    /// Oldest first.
    pub references: Vec<String>,
}

/// An address that takes mail, as intake's directory knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectoryEntry {
    pub canonical: String,
    pub account_id: String,
    pub inbox_id: String,
}

/// A secret and the one it replaced.
#[derive(Clone)]
pub struct Secrets {
    pub current: Vec<u8>,
    pub previous: Option<Vec<u8>>,
}

/// What a notification for the sender of a mail is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Notifiable {
    pub email: Email,
    pub account_id: String,
    /// The inbox's.
    pub address: String,
    /// What is to be notified of: some of "failure", "delay", "success".
    pub notify: Vec<String>,
    pub octets: Vec<u8>,
    /// When the request was accepted.
    pub requested_at: i64,
}
