//! What received mails say, kept because it may add up with what comes after them.

use std::sync::Arc;

use contract::SecurityReason;

use crate::moment::DAY;

/// How long a mail counts.
pub(crate) const CARRIED_FOR: i64 = 7 * DAY;

/// The mails of a thread, and those of a sender, that are looked at: the last ones.
pub(crate) const MOST_EARLIER: usize = 4;

/// A mail that came to the same inbox before, in the same thread or from the same sender.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier {
    pub email_id: String,
    /// As `Arrival::carried`.
    pub text: String,
    /// The injection risk score of the mail alone.
    pub score: f64,
    pub at: i64,
}

/// What mails say together that none of them says alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Together {
    /// The injection risk score of the later mail.
    pub score: f64,
    pub reason: SecurityReason,
}

/// Judges what a mail carries, whose own score is given, behind what the earlier ones carry, oldest first.
/// Pure, and quick: it is asked in the transaction that stores the mail.
pub type Joiner = Arc<dyn Fn(&[Earlier], &str, f64) -> Option<Together> + Send + Sync>;
