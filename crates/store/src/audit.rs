//! Who decided what, and why.

/// Stands for whoever runs the service where a token would stand.
pub const OPERATOR: &str = "operator";

/// Somebody who decides, and his reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actor {
    /// Names the token that was used.
    pub id: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditEntry {
    pub id: String,
    pub account_id: String,
    /// `None` for what is about the whole account.
    pub inbox_id: Option<String>,
    /// Of a decision on a mail.
    pub email_id: Option<String>,
    /// "email.released", "email.refused", "policy.changed", "sender.listed", "sender.unlisted",
    /// "token.created", "token.revoked".
    pub action: String,
    pub actor: Actor,
    /// JSON: what was set, or the entry of the list.
    pub details: String,
    pub at: i64,
}

/// Which entries of an account to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub inbox_id: Option<String>,
    pub email_id: Option<String>,
    pub action: Option<String>,
    /// `at > since`.
    pub since: Option<i64>,
    /// `at <= until`.
    pub until: Option<i64>,
    pub limit: i64,
    pub cursor: Option<String>,
}
