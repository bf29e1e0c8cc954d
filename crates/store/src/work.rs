//! Mail as work: leases, and what is to be known of an inbox that workers share.

use contract::Rejection;
use sqlx::{Row as _, any::AnyRow};

use crate::moment::{DAY, rfc3339};

/// The name of a refusal because of a lease.
pub const LEASE_LOST: &str = "lease_lost";

/// So often a mail is handed out where nothing else is set.
pub const MAX_ATTEMPTS: i64 = 5;

/// For so long it is known what became of a lease.
pub(crate) const LEASES_KEPT: i64 = 7 * DAY;

/// A claim on mail of an inbox.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub account_id: &'a str,
    pub inbox_id: &'a str,
    /// So many mails, if there are.
    pub most: i64,
    /// For so many microseconds.
    pub lease: i64,
    /// The worker's own name for itself.
    pub worker: &'a str,
    /// Of this worker: asked again with the same key, a claim is given what it was given, as far as those
    /// leases still live.
    pub key: Option<&'a str>,
}

/// What a claim came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claimed {
    /// The oldest mail first.
    pub leases: Vec<Lease>,
    /// There is mail that was not looked at: ask again.
    pub has_more: bool,
    /// They were handed out before, for a claim with the same key.
    pub is_repeat: bool,
    pub swept: Swept,
}

/// How many leases ended by themselves, and how many mails were set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Swept {
    pub expired: u64,
    pub set_aside: u64,
}

impl Swept {
    pub(crate) fn add(&mut self, other: Swept) {
        self.expired += other.expired;
        self.set_aside += other.set_aside;
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeaseState {
    Active,
    Acked,
    Nacked,
    Expired,
    /// The inbox is deleted.
    Revoked,
}

impl LeaseState {
    pub fn as_str(self) -> &'static str {
        match self {
            LeaseState::Active => "active",
            LeaseState::Acked => "acked",
            LeaseState::Nacked => "nacked",
            LeaseState::Expired => "expired",
            LeaseState::Revoked => "revoked",
        }
    }

    fn of(text: &str) -> LeaseState {
        match text {
            "active" => LeaseState::Active,
            "acked" => LeaseState::Acked,
            "nacked" => LeaseState::Nacked,
            "expired" => LeaseState::Expired,
            _ => LeaseState::Revoked,
        }
    }
}

/// That a worker has a mail in hand, or had. Once it has ended it is never active again.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub id: String,
    pub account_id: String,
    pub inbox_id: String,
    pub email_id: String,
    pub thread_id: Option<String>,
    pub worker: String,
    /// 1 for the first time that the mail is handed out.
    pub attempt: i64,
    /// As it is now, also where nobody has noted yet that its time is over.
    pub state: LeaseState,
    pub claimed_at: i64,
    pub expires_at: i64,
    pub ended_at: Option<i64>,
    pub reason: String,
}

impl Lease {
    /// Why nothing can be done under it; `None` while it is active.
    pub fn lost(&self) -> Option<Rejection> {
        let ended = rfc3339(self.ended_at.unwrap_or(self.expires_at));
        let why = match self.state {
            LeaseState::Active => return None,
            LeaseState::Acked => format!("acked at {ended}: the mail is done with"),
            LeaseState::Nacked => format!("given back at {ended}"),
            LeaseState::Expired => format!("expired at {ended}: the mail may be in other hands"),
            LeaseState::Revoked => "revoked: the inbox is deleted".to_owned(),
        };
        Some(lost(format!("lease {} is {why}", self.id)))
    }
}

/// The refusal of a lease that the inbox does not have, or no more.
pub(crate) fn unknown_lease(lease_id: &str) -> Rejection {
    lost(format!("the inbox has no lease {lease_id:?}; what has ended is forgotten after 7 days"))
}

fn lost(message: String) -> Rejection {
    Rejection { code: LEASE_LOST.to_owned(), message }
}

/// What a worker says of the mail it has in hand.
#[derive(Clone, Copy, Debug)]
pub enum Settlement<'a> {
    Ack,
    /// The mail is to be handed out again, after so many microseconds.
    Nack {
        delay: i64,
        reason: &'a str,
    },
    /// The lease lasts for so many microseconds from now.
    Extend {
        lease: i64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Now or by an earlier call.
    Done { lease: Lease, is_repeat: bool, set_aside: bool },
    /// It has ended otherwise.
    Lost(Lease),
    /// The account has no such lease.
    Unknown,
}

/// What became of a mail that was to go back among the work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Requeued {
    /// Now or by an earlier call.
    Done,
    /// It is done with.
    Acked,
    /// The account has received no such email.
    Unknown,
}

/// How an inbox's work stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkQueue {
    pub max_attempts: i64,
    /// To be handed out, or behind another mail of their thread.
    pub ready: i64,
    pub leased: i64,
    pub delayed: i64,
    pub set_aside: i64,
    pub acked: i64,
}

/// Whether a claim would find anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outlook {
    /// It is likely to.
    Work,
    /// Not before something happens, or so many microseconds have passed.
    Nothing { next: Option<i64> },
}

/// Of `leases l JOIN inboxes i JOIN emails e`; `clock` is an expression for the time.
pub(crate) fn lease_columns(clock: &str) -> String {
    format!(
        "l.id, l.account_id, l.inbox_id, l.email_id, e.thread_id, l.worker, l.attempt, \
         CASE WHEN l.state <> 'active' THEN l.state WHEN i.deleted_at IS NOT NULL THEN 'revoked' \
         WHEN l.expires_at <= {clock} THEN 'expired' ELSE l.state END AS state, \
         l.claimed_at, l.expires_at, l.ended_at, l.reason"
    )
}

pub(crate) const LEASE_TABLES: &str =
    "leases l JOIN inboxes i ON i.id = l.inbox_id JOIN emails e ON e.id = l.email_id";

/// Of a claim's inbox, key, worker and account: the leases that it was given and that nobody has ended.
pub(crate) const HELD_FOR_A_KEY: &str = "l.inbox_id = $1 AND l.claim_key = $2 AND l.worker = $3 \
                                         AND l.account_id = $4 AND l.state = 'active'";

pub(crate) fn lease(row: &AnyRow) -> sqlx::Result<Lease> {
    Ok(Lease {
        id: row.try_get("id")?,
        account_id: row.try_get("account_id")?,
        inbox_id: row.try_get("inbox_id")?,
        email_id: row.try_get("email_id")?,
        thread_id: row.try_get("thread_id")?,
        worker: row.try_get("worker")?,
        attempt: row.try_get("attempt")?,
        state: LeaseState::of(&row.try_get::<String, _>("state")?),
        claimed_at: row.try_get("claimed_at")?,
        expires_at: row.try_get("expires_at")?,
        ended_at: row.try_get("ended_at")?,
        reason: row.try_get("reason")?,
    })
}
