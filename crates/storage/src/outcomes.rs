//! What became of recipients, counted: of these figures bounce and complaint rates are made.

use anyhow::Context as _;
use contract::{Action, RecipientReport};
use mail::{Class, Suppression};
use prometheus::{IntCounterVec, Opts, Registry};
use store::{Fate, Found};

use crate::reporter;

const OUTCOMES: [&str; 7] =
    ["delivered", "deferred", "bounced", "refused", "unknown", "suppressed", "complained"];

#[derive(Clone)]
pub(crate) struct OutcomeMetrics(IntCounterVec);

impl OutcomeMetrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<OutcomeMetrics> {
        let recipients = IntCounterVec::new(
            Opts::new(
                "mail_storage_recipients_total",
                "Recipients, by what an attempt or a report said of them.",
            ),
            &["outcome"],
        )?;
        OUTCOMES.iter().for_each(|it| _ = recipients.with_label_values(&[it]));
        registry.register(Box::new(recipients.clone())).context("register metric")?;
        Ok(OutcomeMetrics(recipients))
    }

    /// What an attempt said of a recipient.
    pub(crate) fn note_attempted(&self, recipient: &RecipientReport) {
        self.0.with_label_values(&[attempted(recipient)]).inc();
    }

    /// What a report said that came later as mail: other than failures and complaints, attempts said it.
    pub(crate) fn note_reported(&self, found: &Found, class: Class) {
        if let (false, Some(outcome)) = (found.repeated, reported(&found.finding.fate, class)) {
            self.0.with_label_values(&[outcome]).inc();
        }
    }
}

fn attempted(recipient: &RecipientReport) -> &'static str {
    match recipient.action() {
        _ if recipient.suppressed => "suppressed",
        Action::Delivered => "delivered",
        Action::Failed if reporter::is_bounce(&recipient.status, &recipient.diagnostic) => {
            "bounced"
        }
        Action::Failed => "refused",
        Action::Unknown => "unknown",
        Action::Delayed | Action::Unspecified => "deferred",
    }
}

fn reported(fate: &Fate, class: Class) -> Option<&'static str> {
    match fate {
        Fate::Failed if class.suppression() == Suppression::Never => Some("refused"),
        Fate::Failed => Some("bounced"),
        Fate::Complained => Some("complained"),
        Fate::Delayed | Fate::Delivered | Fate::Read(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(action: Action, diagnostic: &str, suppressed: bool, expected: &str) {
        let recipient = RecipientReport {
            action: action.into(),
            status: diagnostic[4..9].to_owned(),
            diagnostic: diagnostic.to_owned(),
            suppressed,
            ..RecipientReport::default()
        };
        assert_eq!(attempted(&recipient), expected, "{recipient:?}");
    }

    #[test]
    fn tells_a_wrong_address_from_a_refusal() {
        check(Action::Delivered, "250 2.0.0 OK", false, "delivered");
        check(Action::Delayed, "451 4.7.1 greylisted", false, "deferred");
        check(Action::Failed, "550 5.1.1 no such user", false, "bounced");
        check(Action::Failed, "554 5.7.1 rejected as spam", false, "refused");
        check(Action::Failed, "550 5.1.1 no such user", true, "suppressed");
        check(Action::Unknown, "000 4.4.2 lost", false, "unknown");
    }

    #[test]
    fn a_late_report_counts_where_attempts_did_not_say_it() {
        assert_eq!(
            reported(&Fate::Failed, mail::classify("5.1.1", "no such user")),
            Some("bounced")
        );
        assert_eq!(reported(&Fate::Failed, mail::classify("5.7.1", "spam")), Some("refused"));
        assert_eq!(reported(&Fate::Complained, Class::Complaint), Some("complained"));
        assert_eq!(reported(&Fate::Delivered, Class::Complaint), None);
    }
}
