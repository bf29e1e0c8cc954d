//! What reports make of recipients, and recipients of a mail.
//!
//! Delivered and failed are final: a report that comes late or twice changes nothing. An email is
//! `queued` until each recipient was tried, `deferred` while one waits for another attempt, `unknown`
//! while a remote server may have it, and when none is open, `sent` if any was delivered and `bounced`
//! if all failed.

use contract::Action;

use crate::outcome::Known;

/// One recipient of a sent mail.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recipient {
    pub(crate) forward_path: String,
    pub(crate) state: State,
    /// The attempt that led to the state; 0 before the first.
    pub(crate) attempt: i64,
    pub(crate) known: Known,
    /// If it failed: because its time was over.
    pub(crate) is_expired: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum State {
    /// Not tried yet.
    #[default]
    Open,
    Delayed,
    Delivered,
    Failed,
    /// All was sent, the reply was lost.
    Unknown,
}

impl State {
    const ALL: [State; 5] =
        [State::Open, State::Delayed, State::Delivered, State::Failed, State::Unknown];

    /// RFC 3464's word or "unknown", as the database has it; empty before the first attempt.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Open => "",
            State::Delayed => "delayed",
            State::Delivered => "delivered",
            State::Failed => "failed",
            State::Unknown => "unknown",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|it| it.as_str() == text)
    }

    pub(crate) fn is_final(self) -> bool {
        matches!(self, State::Delivered | State::Failed)
    }
}

impl From<Action> for State {
    fn from(action: Action) -> State {
        match action {
            Action::Unspecified => State::Open,
            Action::Delayed => State::Delayed,
            Action::Delivered => State::Delivered,
            Action::Failed => State::Failed,
            Action::Unknown => State::Unknown,
        }
    }
}

impl Recipient {
    /// Takes a report in; says whether it changed anything.
    pub(crate) fn apply(&mut self, reported: State, attempt: i64) -> bool {
        let is_news = match reported {
            State::Open => false,
            // Reports of two attempts may overtake each other.
            State::Delayed | State::Unknown => attempt > self.attempt,
            State::Delivered | State::Failed => true,
        };
        if self.state.is_final() || !is_news {
            return false;
        }
        self.state = reported;
        self.attempt = self.attempt.max(attempt);
        true
    }
}

/// The status of a mail with these recipients.
pub(crate) fn status(states: &[State]) -> &'static str {
    let any = |state| states.contains(&state);
    if any(State::Delayed) {
        "deferred"
    } else if any(State::Open) {
        "queued"
    } else if any(State::Unknown) {
        "unknown"
    } else if any(State::Delivered) {
        "sent"
    } else {
        "bounced"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_what_its_recipients_are() {
        use State::{Delayed, Delivered, Failed, Open, Unknown};
        assert_eq!(status(&[Open, Open]), "queued");
        assert_eq!(status(&[Open, Delivered]), "queued");
        assert_eq!(status(&[Open, Delayed]), "deferred");
        assert_eq!(status(&[Delayed, Delivered]), "deferred");
        assert_eq!(status(&[Failed, Delivered]), "sent");
        assert_eq!(status(&[Delivered]), "sent");
        assert_eq!(status(&[Failed, Failed]), "bounced");
        assert_eq!(status(&[Unknown, Delivered, Failed]), "unknown");
        assert_eq!(status(&[Unknown, Delayed]), "deferred");
        assert_eq!(status(&[Unknown, Open]), "queued");
    }

    #[test]
    fn what_is_final_stays() {
        let mut recipient = Recipient::default();
        assert!(recipient.apply(State::Delayed, 1));
        assert!(recipient.apply(State::Delivered, 2));
        assert!(!recipient.apply(State::Delayed, 3));
        assert!(!recipient.apply(State::Failed, 3));
        assert_eq!(recipient.state, State::Delivered);
    }

    #[test]
    fn an_older_delay_changes_nothing() {
        let mut recipient = Recipient::default();
        assert!(recipient.apply(State::Delayed, 2));
        assert!(!recipient.apply(State::Delayed, 1));
        assert!(!recipient.apply(State::Delayed, 2));
        assert_eq!(recipient.attempt, 2);
    }

    #[test]
    fn what_is_unknown_may_become_known() {
        let mut recipient = Recipient::default();
        assert!(recipient.apply(State::Unknown, 1));
        assert!(!recipient.apply(State::Unknown, 1));
        assert!(recipient.apply(State::Delayed, 2));
        assert!(recipient.apply(State::Unknown, 3));
        assert!(recipient.apply(State::Delivered, 3));
        assert!(!recipient.apply(State::Unknown, 4));
    }

    #[test]
    fn an_older_delivery_counts() {
        let mut recipient = Recipient::default();
        assert!(recipient.apply(State::Delayed, 2));
        assert!(recipient.apply(State::Delivered, 1));
        assert_eq!(recipient.attempt, 2);
    }

    #[test]
    fn states_come_back_from_the_database() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("relayed"), None);
    }
}
