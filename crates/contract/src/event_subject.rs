//! `mail.v1.event.<account>.<inbox>.<type>`: whose event it is, and which.

use crate::{Decoded, Delivered, Input};

const PREFIX: &str = "mail.v1.event.";

/// Stands for the inbox in the subject of an event that is about none.
pub const NO_INBOX: &str = "-";

/// The types of events there are.
pub const EVENT_TYPES: &[&str] = &[
    "domain.failed",
    "domain.verified",
    "email.approved",
    "email.bounced",
    "email.cancelled",
    "email.complained",
    "email.declined",
    "email.deferred",
    "email.delivered",
    "email.expired",
    "email.held",
    "email.quarantined",
    "email.queued",
    "email.received",
    "email.refused",
    "email.rejected",
    "email.released",
    "email.scan.complete",
    "email.sent",
    "email.set_aside",
    "email.suppressed",
    "email.thread.new",
    "email.thread.reply",
    "email.unknown",
    "email.unsubscribed",
    "email.validated",
    "email.verdict.changed",
    "expectation.ambiguous",
    "expectation.expired",
    "expectation.matched",
    "inbox.cleared",
    "inbox.created",
    "inbox.deleted",
    "inbox.expired",
    "inbox.resumed",
    "inbox.stopped",
    "inbox.warned",
    "webhook.disabled",
    "webhook.ping",
];

/// What the subject of an event says.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSubject {
    pub account_id: String,
    /// Empty if it is about no inbox.
    pub inbox_id: String,
    /// One of `EVENT_TYPES`, as far as this version knows them.
    pub event: String,
}

impl EventSubject {
    pub fn parse(subject: &str) -> Option<EventSubject> {
        let mut parts = subject.strip_prefix(PREFIX)?.splitn(3, '.');
        let mut next = || parts.next().filter(|it| !it.is_empty()).map(str::to_owned);
        let (account_id, inbox_id, event) = (next()?, next()?, next()?);
        let inbox_id = if inbox_id == NO_INBOX { String::new() } else { inbox_id };
        Some(EventSubject { account_id, inbox_id, event })
    }

    /// It tells of something beside the mail of one inbox, so that who listens to some inboxes only has
    /// to hear of it too.
    pub fn is_of_the_account(&self) -> bool {
        self.inbox_id.is_empty() || self.event == "inbox.created"
    }
}

/// The subject of such events; `*` and, in the place of the type, `>` stand for any.
pub fn event_subject(account_id: &str, inbox_id: &str, event: &str) -> String {
    let inbox_id = if inbox_id.is_empty() { NO_INBOX } else { inbox_id };
    format!("{PREFIX}{account_id}.{inbox_id}.{event}")
}

/// That something happened, and where in the stream it is; not what.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    pub subject: EventSubject,
    pub sequence: u64,
}

impl Input for Happened {
    const SUBJECT: &'static str = "mail.v1.event.>";

    fn decode(delivered: Delivered<'_>) -> Decoded<Happened> {
        let subject =
            EventSubject::parse(delivered.subject).ok_or("not the subject of an event")?;
        Ok(Happened { subject, sequence: delivered.stream_sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_whose_event_it_is() {
        let parse = |subject: &str| {
            EventSubject::parse(subject).map(|it| [it.account_id, it.inbox_id, it.event])
        };
        let expected = ["acct_1", "ibx_1", "email.scan.complete"].map(str::to_owned);
        assert_eq!(parse("mail.v1.event.acct_1.ibx_1.email.scan.complete"), Some(expected));
        let expected = ["acct_1", "", "domain.verified"].map(str::to_owned);
        assert_eq!(parse(&event_subject("acct_1", "", "domain.verified")), Some(expected));
        for subject in ["mail.v1.event.a.b", "mail.v1.event.a..c", "mail.v1.send.a.b", ""] {
            assert_eq!(parse(subject), None, "{subject}");
        }
    }

    #[test]
    fn types_are_in_order_and_fit_into_subjects() {
        assert!(EVENT_TYPES.is_sorted());
        for it in EVENT_TYPES {
            assert!(it.split('.').all(|it| !it.is_empty()) && it.contains('.'), "{it}");
        }
    }
}
