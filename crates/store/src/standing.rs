//! How an inbox stands with those it writes to: what is counted of its recipients, when that warns or
//! stops it, and the figures people see. Pure.

use std::ops::AddAssign;

use contract::{Figures, Rejection};
use serde::{Deserialize, Serialize};

use crate::{
    delivery::State,
    moment::{DAY, rfc3339},
};

/// A warning is lifted when its rate is down to this part of what warns, so that a rate at the edge
/// does not warn again and again.
const LIFTED_AT: f64 = 0.8;

/// When a sender is warned and stopped.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breakers {
    /// How many days count, the current one (UTC) included.
    pub window_days: u32,
    /// The part of recipients that may bounce before the inbox is warned; 1 is never.
    pub bounce_warn: f64,
    /// The part that may bounce before it is stopped; 1 is never.
    pub bounce_stop: f64,
    /// No judgement on bounces before so many recipients were delivered to or failed.
    pub bounce_min_recipients: u32,
    /// And none before so many bounced.
    pub bounce_min: u32,
    /// The part of delivered mail that may be complained of before the inbox is warned; 1 is never.
    pub complaint_warn: f64,
    /// The part that may be complained of before it is stopped; 1 is never.
    pub complaint_stop: f64,
    /// No judgement on complaints before so many recipients were delivered to.
    pub complaint_min_delivered: u32,
    /// And none before so many complained.
    pub complaint_min: u32,
}

impl Default for Breakers {
    fn default() -> Breakers {
        Breakers {
            window_days: 7,
            bounce_warn: 0.05,
            bounce_stop: 0.10,
            bounce_min_recipients: 50,
            bounce_min: 3,
            complaint_warn: 0.001,
            complaint_stop: 0.003,
            complaint_min_delivered: 300,
            complaint_min: 2,
        }
    }
}

impl Breakers {
    /// What cannot be meant, beginning with the key.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=60).contains(&self.window_days) {
            return Err(format!("window_days = {}: 1 to 60 are possible", self.window_days));
        }
        for (key, warn, stop) in [
            ("bounce", self.bounce_warn, self.bounce_stop),
            ("complaint", self.complaint_warn, self.complaint_stop),
        ] {
            for (key, rate) in [(format!("{key}_warn"), warn), (format!("{key}_stop"), stop)] {
                if !(rate > 0.0 && rate <= 1.0) {
                    return Err(format!("{key} = {rate}: a part of one is needed, such as 0.05"));
                }
            }
            if warn > stop {
                return Err(format!("{key}_warn = {warn}: more than {key}_stop = {stop}"));
            }
        }
        Ok(())
    }

    /// The first day that counts today.
    pub(crate) fn first_day(&self, now: i64) -> i64 {
        now.div_euclid(DAY) + 1 - i64::from(self.window_days)
    }

    /// What a state comes to with these numbers. A stop stays.
    pub(crate) fn judge(&self, tally: &Tally, now: &Finding) -> Finding {
        if now.state == InboxState::Stopped {
            return *now;
        }
        let was_warned_for = now.reason.filter(|_| now.state == InboxState::Warned);
        let grade = |reason| {
            let limit = self.limit(reason);
            let (rate, has_sample) = limit.sample(tally);
            let warn_at = if was_warned_for == Some(reason) { LIFTED_AT } else { 1.0 } * limit.warn;
            match () {
                () if !has_sample => InboxState::Good,
                () if rate > limit.stop => InboxState::Stopped,
                () if rate > warn_at => InboxState::Warned,
                () => InboxState::Good,
            }
        };
        let [bounces, complaints] = [Reason::Bounces, Reason::Complaints].map(grade);
        let (state, reason) = if complaints > bounces
            || complaints == bounces && was_warned_for == Some(Reason::Complaints)
        {
            (complaints, Reason::Complaints)
        } else {
            (bounces, Reason::Bounces)
        };
        Finding { state, reason: Some(reason).filter(|_| state != InboxState::Good) }
    }

    fn limit(&self, reason: Reason) -> Limit {
        match reason {
            Reason::Complaints => Limit {
                warn: self.complaint_warn,
                stop: self.complaint_stop,
                min_sample: self.complaint_min_delivered,
                min: self.complaint_min,
                of: |it| (it.complained, it.delivered),
            },
            Reason::Bounces | Reason::Operator => Limit {
                warn: self.bounce_warn,
                stop: self.bounce_stop,
                min_sample: self.bounce_min_recipients,
                min: self.bounce_min,
                of: |it| (it.bounced, it.settled()),
            },
        }
    }

    /// A finding of `judge` in words, with its numbers.
    pub(crate) fn explain(&self, reason: Reason, tally: &Tally) -> String {
        let limit = self.limit(reason);
        let (count, sample) = (limit.of)(tally);
        let what = match reason {
            Reason::Complaints => "delivered mails were complained of as spam",
            Reason::Bounces | Reason::Operator => "recipients bounced",
        };
        format!(
            "{count} of {sample} {what} ({}) within {} days; over {} is a warning, over {} a stop",
            percent(rate(count, sample)),
            self.window_days,
            percent(limit.warn),
            percent(limit.stop)
        )
    }

    /// 100 × (1 − b/B) × (1 − c/C) × (1 − r/2), where B and C are the rates that stop, and b, c and r
    /// those of bounces, complaints and refusals as if before them as many recipients as a judgement
    /// takes had been delivered to: who has sent little has a good score, but for what speaks against
    /// him. At least 0.
    pub(crate) fn score(&self, tally: &Tally) -> u32 {
        let settled = tally.settled() + i64::from(self.bounce_min_recipients);
        let delivered = tally.delivered + i64::from(self.complaint_min_delivered);
        let left = |count, sample, most: f64| (1.0 - rate(count, sample) / most).max(0.0);
        let score = 100.0
            * left(tally.bounced, settled, self.bounce_stop)
            * left(tally.complained, delivered, self.complaint_stop)
            * left(tally.refused, settled, 2.0);
        // From 0 to 100.
        score.round() as u32
    }

    /// As agents see them.
    pub fn figures(&self, tally: &Tally) -> Figures {
        let count = |it: i64| u32::try_from(it.max(0)).unwrap_or(u32::MAX);
        Figures {
            attempted: count(tally.attempted),
            delivered: count(tally.delivered),
            deferred: count(tally.deferred),
            bounced: count(tally.bounced),
            refused: count(tally.refused),
            complained: count(tally.complained),
            suppressed: count(tally.suppressed),
            bounce_rate: rate(tally.bounced, tally.settled()),
            complaint_rate: rate(tally.complained, tally.delivered),
            score: self.score(tally),
        }
    }
}

/// What may be of one kind.
struct Limit {
    warn: f64,
    stop: f64,
    min_sample: u32,
    min: u32,
    /// How many there are, and of how many.
    of: fn(&Tally) -> (i64, i64),
}

impl Limit {
    /// The rate, and whether it can be judged.
    fn sample(&self, tally: &Tally) -> (f64, bool) {
        let (count, sample) = (self.of)(tally);
        let is_enough = sample >= i64::from(self.min_sample) && count >= i64::from(self.min);
        (rate(count, sample), is_enough)
    }
}

fn rate(count: i64, sample: i64) -> f64 {
    if count <= 0 || sample <= 0 { 0.0 } else { count as f64 / sample as f64 }
}

/// `0.3 %`, with two places at most.
fn percent(rate: f64) -> String {
    let text = format!("{:.2}", rate * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

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

    fn good() -> Finding {
        Finding { state: InboxState::Good, reason: None }
    }

    fn is(state: InboxState, reason: Reason) -> Finding {
        Finding { state, reason: Some(reason) }
    }

    fn tally(delivered: i64, bounced: i64, refused: i64, complained: i64) -> Tally {
        Tally { delivered, bounced, refused, complained, ..Tally::default() }
    }

    #[track_caller]
    fn check(now: Finding, numbers: [i64; 4], expected: Finding) {
        let [delivered, bounced, refused, complained] = numbers;
        let tally = tally(delivered, bounced, refused, complained);
        assert_eq!(Breakers::default().judge(&tally, &now), expected, "{now:?} {numbers:?}");
    }

    #[test]
    fn what_is_over_the_line_warns_or_stops() {
        use {InboxState::*, Reason::*};
        check(good(), [95, 5, 0, 0], good());
        check(good(), [94, 6, 0, 0], is(Warned, Bounces));
        check(good(), [90, 10, 0, 0], is(Warned, Bounces));
        check(good(), [89, 11, 0, 0], is(Stopped, Bounces));
        check(good(), [2_000, 0, 0, 2], good());
        check(good(), [1_900, 0, 0, 2], is(Warned, Complaints));
        check(good(), [1_000, 0, 0, 3], is(Warned, Complaints));
        check(good(), [1_000, 0, 0, 4], is(Stopped, Complaints));
        check(good(), [900, 60, 0, 4], is(Stopped, Complaints));
        check(good(), [900, 110, 0, 2], is(Stopped, Bounces));
    }

    #[test]
    fn refusals_for_other_reasons_stop_nobody() {
        check(good(), [0, 0, 1_000, 0], good());
        check(good(), [30, 5, 65, 0], good());
    }

    #[test]
    fn a_small_sample_says_nothing() {
        use {InboxState::*, Reason::*};
        check(good(), [0, 49, 0, 0], good());
        check(good(), [0, 50, 0, 0], is(Stopped, Bounces));
        check(good(), [299, 0, 0, 20], good());
        check(good(), [300, 0, 0, 1], good());
        check(good(), [300, 0, 0, 2], is(Stopped, Complaints));
        let breakers = Breakers { bounce_min_recipients: 1, ..Breakers::default() };
        assert_eq!(breakers.judge(&tally(0, 2, 0, 0), &good()), good(), "two are none");
    }

    #[test]
    fn a_warning_is_lifted_below_its_line_and_a_stop_is_not() {
        use {InboxState::*, Reason::*};
        let warned = is(Warned, Bounces);
        check(warned, [955, 45, 0, 0], warned);
        check(warned, [961, 39, 0, 0], good());
        check(warned, [0, 0, 0, 0], good());
        check(is(Warned, Complaints), [955, 45, 0, 0], good());
        check(is(Warned, Complaints), [1_000, 60, 0, 2], is(Warned, Complaints));
        check(is(Warned, Complaints), [3_000, 180, 0, 2], is(Warned, Bounces));
        check(warned, [800, 200, 0, 0], is(Stopped, Bounces));
        for reason in [Bounces, Complaints, Operator] {
            check(is(Stopped, reason), [10_000, 0, 0, 0], is(Stopped, reason));
        }
    }

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

    #[track_caller]
    fn check_score(numbers: [i64; 4], expected: u32) {
        let [delivered, bounced, refused, complained] = numbers;
        let tally = tally(delivered, bounced, refused, complained);
        assert_eq!(Breakers::default().score(&tally), expected, "{numbers:?}");
    }

    #[test]
    fn the_score_falls_from_100_to_0() {
        check_score([0, 0, 0, 0], 100);
        check_score([100_000, 0, 0, 0], 100);
        check_score([0, 1, 0, 0], 80);
        check_score([950, 0, 0, 0], 100);
        check_score([900, 50, 0, 0], 50);
        check_score([850, 100, 0, 0], 0);
        check_score([0, 1_000, 0, 0], 0);
        check_score([850, 0, 100, 0], 95);
        check_score([700, 0, 0, 1], 67);
        check_score([700, 0, 0, 3], 0);
    }

    #[test]
    fn figures_are_never_negative() {
        let figures = Breakers::default().figures(&tally(-1, 1, 0, 1));
        assert_eq!((figures.delivered, figures.bounce_rate), (0, 0.0));
        assert_eq!((figures.complaint_rate, figures.score), (0.0, 0));
    }

    #[test]
    fn numbers_are_in_the_words() {
        let breakers = Breakers::default();
        let said = breakers.explain(Reason::Bounces, &tally(88, 12, 0, 0));
        assert!(said.starts_with("12 of 100 recipients bounced (12 %) within 7 days"), "{said}");
        let said = breakers.explain(Reason::Complaints, &tally(1_000, 0, 0, 2));
        assert!(said.contains("(0.2 %)") && said.ends_with("over 0.3 % a stop"), "{said}");
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

    #[track_caller]
    fn check_wrong(breakers: Breakers, key: &str) {
        let err = breakers.check().expect_err(key);
        assert!(err.starts_with(key), "{err}");
    }

    #[test]
    fn breakers_that_cannot_be_meant_are_named() {
        Breakers::default().check().expect("valid");
        let breakers = Breakers::default;
        check_wrong(Breakers { window_days: 0, ..breakers() }, "window_days");
        check_wrong(Breakers { bounce_warn: 0.2, ..breakers() }, "bounce_warn");
        check_wrong(Breakers { bounce_stop: 5.0, ..breakers() }, "bounce_stop");
        check_wrong(Breakers { complaint_stop: f64::NAN, ..breakers() }, "complaint_stop");
        check_wrong(Breakers { complaint_warn: 0.0, ..breakers() }, "complaint_warn");
    }
}
