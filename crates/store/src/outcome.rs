//! What is known of a recipient beside what the attempts came to, and what it makes of the mail.
//!
//! A host that takes a mail may still send it back, say that it arrived, or that its reader complains.
//! Failure is the last word on delivery: whoever sends on to several may report some of each. A
//! complaint stands whatever else is reported.

use crate::delivery::State;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// What the attempts came to is all.
    #[default]
    Nothing,
    Delivered,
    Failed,
    Complained,
    /// No mail went out.
    Suppressed,
}

impl Known {
    const ALL: [Known; 5] =
        [Known::Nothing, Known::Delivered, Known::Failed, Known::Complained, Known::Suppressed];

    /// As the database has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Known::Nothing => "",
            Known::Delivered => "delivered",
            Known::Failed => "failed",
            Known::Complained => "complained",
            Known::Suppressed => "suppressed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Known> {
        Known::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Takes in what is reported; says whether it is news.
    pub(crate) fn learn(&mut self, news: Known) -> bool {
        let is_news = match (*self, news) {
            (known, news) if known == news => false,
            (_, Known::Complained) => true,
            (Known::Nothing, _) | (Known::Delivered, Known::Failed) => true,
            _ => false,
        };
        if is_news {
            *self = news;
        }
        is_news
    }
}

/// The status of a mail, from the one that its attempts give it and what is known of its recipients.
pub(crate) fn refined(status: &'static str, recipients: &[(State, Known)]) -> &'static str {
    let mut taken = recipients.iter().filter(|it| it.0 == State::Delivered).peekable();
    let is_closed = matches!(status, "sent" | "bounced");
    if is_closed && recipients.iter().any(|it| it.1 == Known::Complained) {
        "complained"
    } else if status == "bounced" && recipients.iter().all(|it| it.1 == Known::Suppressed) {
        "suppressed"
    } else if status == "sent" && taken.peek().is_some() && taken.all(|it| it.1 == Known::Delivered)
    {
        "delivered"
    } else {
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_the_last_word_but_for_a_complaint() {
        use Known::{Complained, Delivered, Failed, Nothing, Suppressed};
        for (known, news, expected) in [
            (Nothing, Delivered, true),
            (Nothing, Failed, true),
            (Delivered, Failed, true),
            (Failed, Delivered, false),
            (Failed, Failed, false),
            (Failed, Complained, true),
            (Complained, Failed, false),
            (Complained, Delivered, false),
            (Suppressed, Failed, false),
        ] {
            let mut it = known;
            assert_eq!(it.learn(news), expected, "{known:?} {news:?}");
            assert_eq!(it, if expected { news } else { known });
        }
    }

    #[test]
    fn what_is_known_refines_the_status() {
        use Known::{Complained, Failed, Nothing, Suppressed};
        let (sent, failed) = (State::Delivered, State::Failed);
        for (status, recipients, expected) in [
            ("sent", &[(sent, Nothing)][..], "sent"),
            ("sent", &[(sent, Known::Delivered)], "delivered"),
            ("sent", &[(sent, Known::Delivered), (sent, Nothing)], "sent"),
            ("sent", &[(sent, Known::Delivered), (failed, Failed)], "delivered"),
            ("sent", &[(sent, Complained), (sent, Nothing)], "complained"),
            ("deferred", &[(sent, Complained), (State::Delayed, Nothing)], "deferred"),
            ("bounced", &[(failed, Suppressed)], "suppressed"),
            ("bounced", &[(failed, Suppressed), (failed, Nothing)], "bounced"),
            ("bounced", &[(failed, Failed)], "bounced"),
            ("queued", &[(failed, Suppressed), (State::Open, Nothing)], "queued"),
        ] {
            assert_eq!(refined(status, recipients), expected, "{recipients:?}");
        }
    }

    #[test]
    fn it_comes_back_from_the_database() {
        for known in Known::ALL {
            assert_eq!(Known::parse(known.as_str()), Some(known));
        }
        assert_eq!(Known::parse("delayed"), None);
    }
}
