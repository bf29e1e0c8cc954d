//! What operators do and see by `posthouse …`: their record, what they suspend, a mail's whole life.

/// Something an operator did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorAct {
    pub id: String,
    pub at: i64,
    /// The user of the operating system and the host: "ann@bastion-1".
    pub who: String,
    pub command: String,
    pub target: String,
    pub reason: String,
    /// "begun" until it ended, then "done" or "failed".
    pub outcome: String,
    pub detail: String,
}

/// Whose mail is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuspensionScope {
    Account,
    Inbox,
    /// Of recipients.
    Domain,
}

impl SuspensionScope {
    const ALL: [SuspensionScope; 3] =
        [SuspensionScope::Account, SuspensionScope::Inbox, SuspensionScope::Domain];

    pub fn as_str(self) -> &'static str {
        match self {
            SuspensionScope::Account => "account",
            SuspensionScope::Inbox => "inbox",
            SuspensionScope::Domain => "domain",
        }
    }

    pub(crate) fn of(text: &str) -> Option<SuspensionScope> {
        SuspensionScope::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// Mail that does not go out for a while. It waits; none is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspension {
    pub scope: SuspensionScope,
    /// An id, or a domain in lower case and A-labels.
    pub target: String,
    pub since: i64,
    /// `None`: until it is resumed.
    pub until: Option<i64>,
    pub who: String,
    pub reason: String,
}

/// A mail that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedMail {
    pub email_id: String,
    pub mail_id: String,
    pub account_id: String,
    pub inbox_id: String,
    /// Of the inbox.
    pub address: String,
    /// "inbound" or "outbound".
    pub direction: String,
    pub status: String,
    pub from: String,
    pub reverse_path: String,
    pub message_id: Option<String>,
    /// When it became readable: of a sent mail, when it was entered into the ledger.
    pub created_at: i64,
    /// Of a received mail: when intake had it.
    pub received_at: Option<i64>,
    /// The verdict (`contract::EmailSecurity`), as JSON.
    pub security: String,
    /// Of a received mail: what its inbox's policy made of it, as JSON.
    pub screening: Option<String>,
    pub request: Option<TracedRequest>,
}

/// What was asked of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedRequest {
    pub idempotency_key: String,
    pub requested_at: i64,
    pub entered_at: i64,
    pub send_at: Option<i64>,
    /// Code and message.
    pub rejection: Option<(String, String)>,
}

/// A mail that somebody had to approve.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedHold {
    pub state: String,
    /// `contract::HoldReason`s, as JSON.
    pub reasons: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub decided_at: Option<i64>,
    pub decided_by: Option<String>,
    pub note: Option<String>,
}

/// Where a mail is in the outbox; of one that was tried, for a day.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedTurn {
    pub state: String,
    pub due_at: i64,
    pub held_reason: Option<String>,
    pub held_until: Option<i64>,
    pub released_at: Option<i64>,
}

/// What is known of a recipient now.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedRecipient {
    pub address: String,
    /// Empty before the first attempt.
    pub action: String,
    pub status: String,
    pub diagnostic: String,
    pub remote_host: String,
    pub attempt: i64,
    /// "delivered", "failed" or "complained" by a report, "suppressed" if no mail went out; else empty.
    pub reported: String,
}

/// A call of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedCall {
    pub webhook_id: String,
    pub event_id: String,
    pub event: String,
    pub attempt: i64,
    pub outcome: String,
    pub status: i64,
    pub error: String,
    pub attempted_at: i64,
    pub next_attempt_at: Option<i64>,
}

/// Of a mail, everything the database knows beside its attempts and what people decided on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    pub mail: TracedMail,
    pub hold: Option<TracedHold>,
    pub turn: Option<TracedTurn>,
    pub recipients: Vec<TracedRecipient>,
}

/// Which waiting mail is meant; what is `None` is any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueFilter {
    pub account_id: Option<String>,
    pub inbox_id: Option<String>,
    pub email_id: Option<String>,
    /// Of a recipient.
    pub domain: Option<String>,
}

/// A mail in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedMail {
    pub email_id: String,
    pub account_id: String,
    pub inbox_id: String,
    /// "waiting", "approval", "releasing" or "released".
    pub state: String,
    pub due_at: i64,
    pub expires_at: i64,
    pub held_reason: Option<String>,
    pub held_until: Option<i64>,
    pub forward_paths: Vec<String>,
}

impl QueuedMail {
    /// Of each recipient once, in lower case and A-labels where it can be.
    pub fn domains(&self) -> Vec<String> {
        let domain = |path: &String| Some(path.rsplit_once('@')?.1.to_lowercase());
        let mut domains: Vec<String> = self.forward_paths.iter().filter_map(domain).collect();
        domains.sort();
        domains.dedup();
        domains
    }
}
