//! How an inbox stands with those it writes to, and what is counted of its recipients. Pure; `breakers`
//! judges.

use std::ops::AddAssign;

use contract::{Figures, Rejection};

use crate::{delivery::State, moment::rfc3339};

/// What became of recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub attempted: i64,
    pub delivered: i64,
    /// At their first attempt.
    pub deferred: i64,
    /// Failed by a fact about the recipient.
    pub bounced: i64,
    /// Failed for another reason.
    pub refused: i64,
    pub complained: i64,
    pub suppressed: i64,
}

/// Why a recipient failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// He is unknown, moved, full and the like.
    Bounced,
    Refused,
    /// Nobody tried.
    Suppressed,
}

impl Tally {
    /// Those whom no more attempt is made for.
    pub(crate) fn settled(&self) -> i64 {
        self.delivered + self.bounced + self.refused
    }

    /// A recipient comes from one state to another.
    pub(crate) fn count(&mut self, before: State, after: State, failing: Failing) {
        if after == State::Failed && failing == Failing::Suppressed {
            self.suppressed += 1;
            return;
        }
        self.attempted += i64::from(before == State::Open);
        self.deferred += i64::from(before == State::Open && after == State::Delayed);
        // The host took it and found out later.
        self.delivered -= i64::from(before == State::Delivered);
        match after {
            State::Delivered => self.delivered += 1,
            State::Failed if failing == Failing::Bounced => self.bounced += 1,
            State::Failed => self.refused += 1,
            _ => (),
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.attempted += other.attempted;
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.bounced += other.bounced;
        self.refused += other.refused;
        self.complained += other.complained;
        self.suppressed += other.suppressed;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InboxState {
    Good,
    Warned,
    Stopped,
}

impl InboxState {
    pub fn as_str(self) -> &'static str {
        match self {
            InboxState::Good => "good",
            InboxState::Warned => "warned",
            InboxState::Stopped => "stopped",
        }
    }

    pub(crate) fn of(text: &str) -> Option<InboxState> {
        [InboxState::Good, InboxState::Warned, InboxState::Stopped]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

/// Why an inbox is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Bounces,
    Complaints,
    Operator,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Bounces => "bounces",
            Reason::Complaints => "complaints",
            Reason::Operator => "operator",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Reason> {
        [Reason::Bounces, Reason::Complaints, Reason::Operator]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

/// A state and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) state: InboxState,
    pub(crate) reason: Option<Reason>,
}

/// How an inbox stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub state: InboxState,
    pub reason: Option<Reason>,
    /// The reason in words; empty for a good one.
    pub explanation: String,
    pub since: i64,
    /// When it was resumed last, or 0; what was counted before counts no more.
    pub counted_from: i64,
}

impl Standing {
    /// As agents see it.
    pub fn shown(&self, figures: Figures) -> contract::Standing {
        contract::Standing {
            state: self.state.as_str().to_owned(),
            reason: self.reason.map(|it| it.as_str().to_owned()),
            explanation: Some(self.explanation.clone()).filter(|it| !it.is_empty()),
            since: rfc3339(self.since),
            counted_from: Some(self.counted_from).filter(|it| *it > 0).map(rfc3339),
            figures: Some(figures),
        }
    }

    /// Why it sends nothing, if that is so.
    pub fn refusal(&self, inbox_id: &str) -> Option<Rejection> {
        if self.state != InboxState::Stopped {
            return None;
        }
        let (since, why) = (rfc3339(self.since), &self.explanation);
        let cause = match self.reason {
            Some(Reason::Operator) => "by the operator: ",
            _ => "",
        };
        let message = format!(
            "inbox {inbox_id} is stopped since {since}, {cause}{why}. It still receives. Take the \
             cause away, such as old addresses; then the operator of this service lets it send \
             again (posthouse inbox resume {inbox_id}). What is refused now is to be asked for \
             again, with another idempotency key"
        );
        Some(Rejection { code: "inbox_stopped".to_owned(), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_counts_once() {
        use {Failing::*, State::*};
        let count = |steps: &[(State, State, Failing)]| {
            let mut tally = Tally::default();
            steps.iter().for_each(|(before, after, why)| tally.count(*before, *after, *why));
            tally
        };
        let one = Tally { attempted: 1, ..Tally::default() };
        let delivered = Tally { delivered: 1, ..one };
        assert_eq!(count(&[(Open, Delivered, Refused)]), delivered);
        let later = [(Open, Delayed, Refused), (Delayed, Delayed, Refused)];
        assert_eq!(count(&later), Tally { deferred: 1, ..one });
        let failed = [(Open, Delayed, Refused), (Delayed, Failed, Bounced)];
        assert_eq!(count(&failed), Tally { deferred: 1, bounced: 1, ..one });
        assert_eq!(count(&[(Open, Failed, Refused)]), Tally { refused: 1, ..one });
        let suppressed = Tally { suppressed: 1, ..Tally::default() };
        assert_eq!(count(&[(Open, Failed, Suppressed)]), suppressed);
        let bounced_later = [(Open, Delivered, Refused), (Delivered, Failed, Bounced)];
        assert_eq!(count(&bounced_later), Tally { bounced: 1, ..one });
    }

    #[test]
    fn only_a_stopped_inbox_is_refused() {
        let standing = |state| Standing {
            state,
            reason: Some(Reason::Bounces),
            explanation: "12 of 100".to_owned(),
            since: 0,
            counted_from: 0,
        };
        assert_eq!(standing(InboxState::Warned).refusal("ibx_1"), None);
        let refusal = standing(InboxState::Stopped).refusal("ibx_1").expect("refused");
        assert_eq!(refusal.code, "inbox_stopped");
        for part in ["12 of 100", "posthouse inbox resume ibx_1", "1970-01-01"] {
            assert!(refusal.message.contains(part), "{}", refusal.message);
        }
    }
}
