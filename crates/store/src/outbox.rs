//! What the outbox hands out. Mail waits there, in the database, until its inbox may send it.
//!
//! Whatever changes a waiting mail locks its inbox first, as the ledger does. So of two processes that
//! would release the last mail a limit allows, the second sees what the first did.

use contract::{Email, SubmissionAccepted, Trace};
use prost::Message as _;

use crate::{Limit, dialect::Dialect};

/// The queues that may be served, of `queues q`. Whatever keeps all mail of an inbox back, for longer
/// than to a known moment, is to be excluded here: both the release and the look whether anything is
/// due go by it. New requests are another matter, decided where they are judged.
pub(crate) fn served(dialect: Dialect) -> String {
    format!(
        "q.next_release IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM standings s WHERE s.inbox_id = q.inbox_id AND s.state = 'stopped') \
         AND NOT {}",
        suspended(dialect, "q.inbox_id")
    )
}

/// Whether an operator has suspended this inbox or its account.
pub(crate) fn suspended(dialect: Dialect, inbox_id: &str) -> String {
    let now = dialect.clock();
    format!(
        "EXISTS (SELECT 1 FROM suspensions x WHERE (x.until IS NULL OR x.until > {now}) \
         AND (x.scope = 'inbox' AND x.target = {inbox_id} OR x.scope = 'account' AND x.target = \
         (SELECT xi.account_id FROM inboxes xi WHERE xi.id = {inbox_id})))"
    )
}

/// RFC 3463 for what was given up because its time was over: delivery time expired.
pub const GIVEN_UP: &str = "4.4.7";

/// Mail that was released, to be published and then confirmed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Released {
    pub mails: Vec<SubmissionAccepted>,
    /// One for each mail of which it turned out that it has to wait for a limit.
    pub held: Vec<Limit>,
}

/// What the outbox has to do and when, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutboxAgenda {
    /// A queue is to be served.
    pub next_release: Option<i64>,
    /// A waiting mail is to be given up.
    pub next_expiry: Option<i64>,
    /// Since when the oldest mail is released and not confirmed.
    pub unconfirmed_since: Option<i64>,
    /// Something happened that nobody has announced.
    pub has_news: bool,
}

/// Something that happened to a waiting mail and has yet to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The name of the event.
    pub event: String,
    pub account_id: String,
    pub email: Email,
    /// That of its request.
    pub trace: Option<Trace>,
}

/// Where the mail of this handover stands in a trace.
pub(crate) fn trace_of(handover: &[u8]) -> Option<Trace> {
    SubmissionAccepted::decode(handover).ok()?.trace
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    pub waiting: i64,
    /// Since when the oldest of those could have gone; `None` if none could.
    pub oldest_due_at: Option<i64>,
}

/// What cancelling a mail came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancelled {
    /// It does not go out, now or by an earlier call.
    Done,
    /// It has this status and cannot be called back.
    TooLate(String),
    /// The account sent no such email.
    Unknown,
}
