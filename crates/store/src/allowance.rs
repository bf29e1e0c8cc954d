//! How many mails an inbox may send now; and of one that has to wait, for what and until when. Pure.
//!
//! A mail counts against a limit from when it is released until a period after its first attempt was
//! recorded. Whatever happens in between, and however many senders there are, the attempts of no
//! period of that length are more than the limit, wherever the period begins.

use contract::Rejection;
use serde::Deserialize;

use crate::moment::{DAY, SECOND};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The mails accepted of an account in a day (UTC), by tiers from 0. That of the highest, the
/// operator's own, is configured.
pub const DAILY_EMAIL_LIMITS: [i64; 4] = [0, 10, 500, 1_000];

/// The code of a request that is refused because of a limit.
pub const RATE_LIMITED: &str = "rate_limited";

/// What an inbox may send; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    pub per_minute: i64,
    pub per_hour: i64,
    /// In 24 hours, as the others: no calendar day.
    pub per_day: i64,
    /// Addresses that the inbox never wrote to before.
    pub new_recipients_per_day: i64,
}

/// Limits that are set in place of others; `None` leaves the other.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    pub per_minute: Option<i64>,
    pub per_hour: Option<i64>,
    pub per_day: Option<i64>,
    pub new_recipients_per_day: Option<i64>,
}

impl Limits {
    pub fn with(self, overrides: LimitOverrides) -> Limits {
        Limits {
            per_minute: overrides.per_minute.unwrap_or(self.per_minute),
            per_hour: overrides.per_hour.unwrap_or(self.per_hour),
            per_day: overrides.per_day.unwrap_or(self.per_day),
            new_recipients_per_day: overrides
                .new_recipients_per_day
                .unwrap_or(self.new_recipients_per_day),
        }
    }
}

/// How a new inbox works its way up: receivers distrust much mail from where none came before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WarmUp {
    /// Mails in the first day; 0 for no warm-up.
    pub first_day: i64,
    /// Each day has as many times the day before.
    pub factor: f64,
}

impl WarmUp {
    /// The most mails in the day that it is now.
    fn limit(self, first_sent_at: Option<i64>, now: i64) -> Option<i64> {
        if self.first_day <= 0 {
            return None;
        }
        let days = first_sent_at.map_or(0, |it| now.saturating_sub(it).max(0) / DAY);
        let growth = self.factor.powi(i32::try_from(days).unwrap_or(i32::MAX));
        // A float beyond the range becomes the end of the range.
        Some((self.first_day as f64 * growth) as i64)
    }
}

/// What the ledger and the outbox go by. The default limits nothing.
#[derive(Clone, Debug, Default)]
pub struct LimitPolicy {
    /// Of an inbox, by the tier of its account.
    pub inbox: [Limits; 5],
    pub warm_up: WarmUp,
    /// The mails accepted of an account in a day (UTC), by its tier; no limit if `None`.
    pub account_day: [Option<i64>; 5],
}

impl LimitPolicy {
    /// Whether an account of this tier that had so many submissions accepted today may have another.
    pub fn admit_to_day(&self, tier: i64, accepted: i64) -> Result<(), Rejection> {
        match LimitPolicy::tier(&self.account_day, tier) {
            Some(most) if accepted >= most => {
                let message = format!("this account may send {most} mails a day (UTC), and has");
                Err(Rejection { code: RATE_LIMITED.to_owned(), message })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn tier<T: Copy>(of: &[T; 5], number: i64) -> T {
        of[number.clamp(0, 4) as usize]
    }
}

/// Which limit a mail waits for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Limit {
    Minute,
    Hour,
    Day,
    WarmUp,
    NewRecipients,
}

impl Limit {
    pub const ALL: [Limit; 5] =
        [Limit::Minute, Limit::Hour, Limit::Day, Limit::WarmUp, Limit::NewRecipients];

    /// A stable name, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Minute => "minute",
            Limit::Hour => "hour",
            Limit::Day => "day",
            Limit::WarmUp => "warm_up",
            Limit::NewRecipients => "new_recipients",
        }
    }

    pub(crate) fn period(self) -> i64 {
        match self {
            Limit::Minute => MINUTE,
            Limit::Hour => HOUR,
            Limit::Day | Limit::WarmUp | Limit::NewRecipients => DAY,
        }
    }

    /// For people.
    pub(crate) fn explain(self, most: i64) -> String {
        match self {
            Limit::Minute => format!("this inbox may send {most} mails a minute"),
            Limit::Hour => format!("this inbox may send {most} mails an hour"),
            Limit::Day => format!("this inbox may send {most} mails in 24 hours"),
            Limit::WarmUp => format!(
                "this inbox is new and may send {most} mails in 24 hours for now; more each day"
            ),
            Limit::NewRecipients => {
                format!("this inbox may write to {most} new recipients in 24 hours")
            }
        }
    }
}

/// The limits on the number of mails that hold now, the shortest period first.
pub(crate) fn limits(
    limits: Limits,
    warm_up: WarmUp,
    first_sent_at: Option<i64>,
    now: i64,
) -> Vec<(Limit, i64)> {
    let some = |limit, most: i64| (most > 0).then_some((limit, most));
    let warm = warm_up.limit(first_sent_at, now).map(|it| (Limit::WarmUp, it));
    let day = some(Limit::Day, limits.per_day);
    // The lower one says all that the other one would.
    let day = match (day, warm) {
        (Some(day), Some(warm)) if warm.1 < day.1 => Some(warm),
        (None, warm) => warm,
        (day, _) => day,
    };
    let shorter = [some(Limit::Minute, limits.per_minute), some(Limit::Hour, limits.per_hour)];
    shorter.into_iter().chain([day]).flatten().collect()
}

/// A limit and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) limit: Limit,
    pub(crate) most: i64,
    /// Released and not yet attempted, or attempted within the period.
    pub(crate) used: i64,
    /// When less is used than now at the earliest, if that is known.
    pub(crate) frees_at: Option<i64>,
}

impl Window {
    fn room(&self) -> i64 {
        (self.most - self.used).max(0)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// At the earliest. What is attempted from now on counts for a whole period.
    fn frees_at(&self, now: i64) -> i64 {
        self.frees_at.unwrap_or(now + self.limit.period())
    }

    /// When a mail is expected to go that has so many before it; `None` for at once.
    pub(crate) fn wait(&self, ahead: i64, now: i64) -> Option<i64> {
        let beyond = self.used + ahead - self.most;
        if beyond < 0 {
            return None;
        }
        let ahead = if self.is_full() { ahead } else { beyond };
        let periods = ahead / self.most.max(1);
        Some(self.frees_at(now).saturating_add(self.limit.period().saturating_mul(periods)))
    }
}

/// How many mails may be released now.
pub(crate) fn room(windows: &[Window]) -> i64 {
    windows.iter().map(Window::room).min().unwrap_or(i64::MAX)
}

/// When there may be room again, if there is none.
pub(crate) fn full_until(windows: &[Window], now: i64) -> Option<i64> {
    windows.iter().filter(|it| it.is_full()).map(|it| it.frees_at(now)).max()
}

/// Why a mail waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) limit: Limit,
    pub(crate) reason: String,
    pub(crate) until: i64,
}

impl Held {
    pub(crate) fn by(window: &Window, until: i64) -> Held {
        Held { limit: window.limit, reason: window.limit.explain(window.most), until }
    }
}

/// Whether a mail with so many before it has to wait for a limit. If for several, the one that takes
/// longest counts.
pub(crate) fn held(windows: &[Window], ahead: i64, now: i64) -> Option<Held> {
    let waits = windows.iter().filter_map(|it| Some((it, it.wait(ahead, now)?)));
    waits.max_by_key(|(_, until)| *until).map(|(window, until)| Held::by(window, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000 * DAY;

    fn window(limit: Limit, most: i64, used: i64, frees_at: Option<i64>) -> Window {
        Window { limit, most, used, frees_at }
    }

    #[test]
    fn overrides_replace_what_they_name() {
        let limits = Limits { per_minute: 1, per_hour: 2, per_day: 3, new_recipients_per_day: 4 };
        let overrides = LimitOverrides { per_hour: Some(0), ..LimitOverrides::default() };
        assert_eq!(limits.with(overrides), Limits { per_hour: 0, ..limits });
    }

    #[test]
    fn a_new_inbox_warms_up_until_its_limit() {
        let warm_up = WarmUp { first_day: 50, factor: 2.0 };
        let of = |per_day, days: Option<i64>| {
            let tier = Limits { per_day, ..Limits::default() };
            limits(tier, warm_up, days.map(|it| NOW - it * DAY), NOW)
        };
        assert_eq!(of(500, None), [(Limit::WarmUp, 50)]);
        assert_eq!(of(500, Some(0)), [(Limit::WarmUp, 50)]);
        assert_eq!(of(500, Some(3)), [(Limit::WarmUp, 400)]);
        assert_eq!(of(500, Some(4)), [(Limit::Day, 500)]);
        assert_eq!(of(20, None), [(Limit::Day, 20)]);
        assert_eq!(of(0, Some(1)), [(Limit::WarmUp, 100)]);
        assert_eq!(of(0, Some(100_000)), [(Limit::WarmUp, i64::MAX)]);
    }

    #[test]
    fn the_clock_may_go_back() {
        let warm_up = WarmUp { first_day: 50, factor: 2.0 };
        assert_eq!(warm_up.limit(Some(NOW + DAY), NOW), Some(50));
    }

    #[test]
    fn nothing_limits_without_limits() {
        assert_eq!(limits(Limits::default(), WarmUp::default(), None, NOW), []);
        assert_eq!(room(&[]), i64::MAX);
        assert_eq!((held(&[], 1_000_000, NOW), full_until(&[], NOW)), (None, None));
    }

    #[test]
    fn the_tightest_limit_counts() {
        let minute = window(Limit::Minute, 10, 4, None);
        let hour = window(Limit::Hour, 20, 18, None);
        assert_eq!(room(&[minute, hour]), 2);
        assert_eq!(full_until(&[minute, hour], NOW), None);
        let lowered = window(Limit::Day, 5, 9, Some(NOW + 7));
        assert_eq!(room(&[minute, lowered]), 0);
        assert_eq!(full_until(&[minute, lowered], NOW), Some(NOW + 7));
    }

    #[test]
    fn what_is_outstanding_frees_a_period_from_now_at_the_earliest() {
        let full = window(Limit::Minute, 10, 10, None);
        assert_eq!(full_until(&[full], NOW), Some(NOW + MINUTE));
    }

    #[test]
    fn who_is_further_behind_waits_longer() {
        let full = window(Limit::Minute, 10, 10, Some(NOW + 5));
        let wait = |ahead| held(&[full], ahead, NOW).map(|it| it.until);
        assert_eq!(wait(0), Some(NOW + 5));
        assert_eq!(wait(9), Some(NOW + 5));
        assert_eq!(wait(10), Some(NOW + 5 + MINUTE));
        let free = window(Limit::Minute, 10, 4, None);
        let wait = |ahead| held(&[free], ahead, NOW).map(|it| it.until);
        assert_eq!(wait(5), None);
        assert_eq!(wait(6), Some(NOW + MINUTE));
        assert_eq!(wait(16), Some(NOW + 2 * MINUTE));
    }

    #[test]
    fn the_longest_wait_is_named() {
        let minute = window(Limit::Minute, 10, 10, Some(NOW + 5));
        let day = window(Limit::Day, 20, 10, None);
        let held = |ahead| held(&[minute, day], ahead, NOW).expect("held");
        assert_eq!(held(5).limit, Limit::Minute);
        assert_eq!(held(5).reason, "this inbox may send 10 mails a minute");
        assert_eq!((held(10).limit, held(10).until), (Limit::Day, NOW + DAY));
    }
}
