//! Who signs in at the console, and what whoever runs the service sees of accounts there.

/// A token of whoever runs the service. It is of no account and opens no account's mail.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorToken {
    /// SHA-256 in hexadecimal.
    pub hash: String,
    pub label: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

impl OperatorToken {
    /// Names it where people see it.
    pub fn id(&self) -> &str {
        contract::token_id(&self.hash)
    }
}

/// Somebody is signed in.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleSession {
    /// SHA-256 of the cookie, in hexadecimal.
    pub hash: String,
    /// Of the token that was signed in with, which has to be good still.
    pub token_hash: String,
    /// The token is one of `OperatorToken`, not of an account.
    pub is_operator: bool,
    pub expires_at: i64,
}

/// An account from outside: how much it has, not what.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountInfo {
    pub id: String,
    pub tier: i64,
    pub created_at: i64,
    pub last_active_at: i64,
    /// Active ones.
    pub inboxes: i64,
    /// Of those, whose reputation warned of them.
    pub warned: i64,
    /// And stopped them.
    pub stopped: i64,
}
