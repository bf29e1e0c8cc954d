//! The database: accounts, inboxes, mail, threads and the ledger of what was asked to be sent.
//!
//! One `Reader` and one `Writer` over SQLite and PostgreSQL, chosen by URL. Nothing here knows NATS
//! or HTTP. Every reading function that takes an account sees that account's rows only.
//!
//! Each statement is written once, for both: the schema has only texts, 64-bit integers and octets,
//! the types `sqlx::Any` carries faithfully. What must differ is in `dialect`.

mod allowance;
mod announcement;
mod audit;
mod brakes;
mod breakers;
mod carried;
mod console;
mod continuations;
mod cursor;
mod database;
mod delivery;
mod dialect;
mod domain;
mod email;
mod error;
mod expectation;
mod finding;
mod hold;
mod labels;
mod ledger;
mod migrations;
mod model;
mod moment;
mod operator;
mod outbox;
mod outcome;
mod policy;
mod reader;
mod screening;
mod sender_rule;
mod sight;
mod sql;
mod standing;
mod suppression;
mod threading;
mod token;
mod unsubscribe;
mod vault;
mod verdict;
mod wait;
mod webhook;
mod words;
mod work;
mod writer;

use contract::Email;

use crate::database::{Database, Target};
pub use crate::{
    allowance::{
        DAILY_EMAIL_LIMITS, Limit, LimitOverrides, LimitPolicy, Limits, RATE_LIMITED, WarmUp,
    },
    announcement::Announcement,
    audit::{Actor, AuditEntry, AuditFilter, OPERATOR},
    brakes::{Brakes, Manner},
    breakers::Breakers,
    carried::{Earlier, Joiner, Together},
    console::{AccountInfo, ConsoleSession, OperatorToken},
    domain::*,
    error::Error,
    expectation::{
        Expectation, ExpectationKind, ExpectationState, Expected, MAX_WAITING, NewExpectation,
        Offer,
    },
    finding::{Fate, Finding, Found, Sent, Source},
    hold::{
        Allowance, Canary, Decided, Decision, HoldFilter, MENTIONED_FOR, Measure, Mentioned,
        Mentions, NewHold, OutboundPolicy, OutboundRules, RulesOf, Scrutiny,
    },
    labels::{Change, Changed, MAX_LABEL, MAX_LABELS, MAX_LABELS_OF_EMAIL},
    ledger::request_digest,
    migrations::migrate,
    model::*,
    moment::rfc3339,
    operator::{
        Life, OperatorAct, QueueFilter, QueuedMail, Suspension, SuspensionScope, TracedCall,
        TracedHold, TracedMail, TracedRecipient, TracedRequest, TracedTurn,
    },
    outbox::{Backlog, Cancelled, GIVEN_UP, News, OutboxAgenda, Released},
    policy::Policy,
    reader::{
        Reader,
        screening::{QuarantineFilter, Screened, Settings},
        standings::{StandingChange, Whose},
    },
    screening::{
        FLAGS, ScreeningAction, ScreeningPolicy, ScreeningSettings, Threshold, is_silenced,
    },
    sender_rule::{SenderList, SenderRule, sender_entry},
    standing::{InboxState, Reason, Standing, Tally},
    suppression::{Evidence, Noted, Scope, Suppression, Weight, email_of},
    token::{
        Bearer, INSUFFICIENT_SCOPE, NewToken, TOKEN_LIMIT, TOKEN_RECIPIENT, TOKEN_REVOKED, Token,
    },
    unsubscribe::{ALL_LISTS, Subscription, UNSUBSCRIBED, UnsubscribeTokens, Unsubscription},
    vault::Vault,
    verdict::{
        JudgedMail, Rejudged, ReplayFilter, VerdictAt, is_same_judgement, is_same_verdict, rejudged,
    },
    wait::Schema,
    webhook::*,
    work::{
        Claim, Claimed, LEASE_LOST, Lease, LeaseState, MAX_ATTEMPTS, Outlook, Requeued, Settled,
        Settlement, Swept, WorkQueue,
    },
    writer::{Reviewed, Switched, Writer},
};

/// A connected database whose schema is current.
#[derive(Clone)]
pub struct Store {
    pub reader: Reader,
    pub writer: Writer,
}

impl Store {
    /// Has the ledger and the outbox go by this; without it nothing is limited.
    pub fn under(self, limits: LimitPolicy) -> Store {
        Store { writer: self.writer.under(limits), ..self }
    }

    /// Connects, and checks that the schema is current.
    pub async fn open(url: &str) -> Result<Store, Error> {
        let database = Database::connect(url).await?;
        migrations::check(&database).await?;
        Ok(Store { reader: Reader::new(database.clone()), writer: Writer::new(database) })
    }

    /// Closes the connections once nobody uses them.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Whether this is a database URL at all, without a look at the database.
pub fn check_url(url: &str) -> Result<(), Error> {
    Target::of(url).map(drop)
}

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub cursor: Option<String>,
}

pub type Emails = Page<Email>;
