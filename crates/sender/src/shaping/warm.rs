//! The first days of an address at a provider. Pure.

use serde::{Deserialize, Serialize};

use super::file::WarmUp;

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Of a day's messages a replica takes this part at once, so that it seldom has to ask.
const PORTION: u32 = 20;

/// Shared about one site.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Course {
    /// Days since 1970, in UTC.
    day: i64,
    /// How many days went well.
    step: u32,
    /// Of this day's messages, taken by replicas.
    taken: u32,
    /// Of this day's recipients, as far as replicas have told.
    attempted: u32,
    deferred: u32,
}

/// What a replica has in hand of it.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    day: i64,
    left: u32,
    /// There is no limit any more.
    is_done: bool,
    /// There are no more messages on this day.
    is_spent: bool,
    pub(crate) counts: Counts,
}

/// Recipients that nobody has been told of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) attempted: u32,
    pub(crate) deferred: u32,
}

impl Course {
    /// The course as it is on this day.
    fn on(self, rule: &WarmUp, today: i64) -> Course {
        if self.day == today {
            return self;
        }
        // A day that was hardly made use of has shown nobody anything.
        let was_used = rule.messages(self.step).is_none_or(|it| self.taken >= it / 2);
        let percent = f64::from(self.deferred) * 100.0 / f64::from(self.attempted.max(1));
        let went_well = self.day > 0 && was_used && percent <= rule.max_deferred_percent;
        Course { day: today, step: self.step + u32::from(went_well), ..Course::default() }
    }

    /// Takes what a replica has counted.
    pub(crate) fn count(&mut self, counts: Counts) {
        self.attempted = self.attempted.saturating_add(counts.attempted);
        self.deferred = self.deferred.saturating_add(counts.deferred);
    }

    /// Hands out a portion.
    pub(crate) fn hand_out(self, rule: &WarmUp, now_micros: i64) -> (Course, Portion) {
        let day = now_micros.div_euclid(DAY);
        let mut course = self.on(rule, day);
        let mut portion = Portion { day, ..Portion::default() };
        match rule.messages(course.step) {
            None => portion.is_done = true,
            Some(messages) => {
                portion.left =
                    (messages / PORTION).max(1).min(messages.saturating_sub(course.taken));
                portion.is_spent = portion.left == 0;
                course.taken += portion.left;
            }
        }
        (course, portion)
    }
}

impl WarmUp {
    /// The messages of a day after so many that went well; `None` for no limit.
    fn messages(&self, step: u32) -> Option<u32> {
        let messages = f64::from(self.first_day) * self.factor.powi(step.min(1_000) as i32);
        (messages < f64::from(self.done_at)).then_some(messages as u32)
    }
}

impl Portion {
    pub(crate) fn is_open(&self, now_micros: i64) -> bool {
        self.day == now_micros.div_euclid(DAY) && (self.is_done || self.left > 0)
    }

    /// Whether it is known that there is nothing to be had before tomorrow.
    pub(crate) fn is_spent(&self, now_micros: i64) -> bool {
        self.day == now_micros.div_euclid(DAY) && self.is_spent
    }

    /// What another portion brings. What was counted here stays until it is told.
    pub(crate) fn add(&mut self, more: Portion) {
        let left = if self.day == more.day { self.left } else { 0 };
        let left = left.saturating_add(more.left);
        *self = Portion { left, counts: self.counts, ..more };
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.left > 0 || self.has_counted()
    }

    /// Something that nobody has been told of.
    pub(crate) fn has_counted(&self) -> bool {
        self.counts != Counts::default()
    }

    pub(crate) fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Microseconds until the next day has messages again.
    pub(crate) fn until_tomorrow(now_micros: i64) -> i64 {
        DAY - now_micros.rem_euclid(DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: WarmUp =
        WarmUp { first_day: 50, factor: 2.0, max_deferred_percent: 5.0, done_at: 300 };

    /// Takes up to `wanted` messages of a day; how many there were.
    fn spend(course: &mut Course, day: i64, wanted: u32) -> u32 {
        let (mut spent, mut portion) = (0, Portion::default());
        while spent < wanted {
            let (next, more) = course.clone().hand_out(&RULE, day * DAY);
            *course = next;
            portion.add(more);
            if !portion.is_open(day * DAY) {
                assert!(portion.is_spent(day * DAY) && !portion.is_spent((day + 1) * DAY));
                break;
            }
            while portion.is_open(day * DAY) && spent < wanted {
                portion.take();
                spent += 1;
            }
        }
        spent
    }

    #[test]
    fn each_good_day_has_twice_as_many() {
        let mut course = Course::default();
        let days: Vec<_> = (1..=4).map(|day| spend(&mut course, day, 1_000)).collect();
        assert_eq!(days, [50, 100, 200, 1_000]);
    }

    #[test]
    fn a_day_with_many_deferred_is_repeated() {
        let mut course = Course::default();
        assert_eq!(spend(&mut course, 1, 1_000), 50);
        course.count(Counts { attempted: 50, deferred: 3 });
        assert_eq!(spend(&mut course, 2, 1_000), 50);
        course.count(Counts { attempted: 50, deferred: 2 });
        assert_eq!(spend(&mut course, 3, 1_000), 100);
    }

    #[test]
    fn a_day_without_mail_is_repeated() {
        let mut course = Course::default();
        assert_eq!(spend(&mut course, 1, 3), 3);
        assert_eq!(spend(&mut course, 2, 1_000), 50);
        assert_eq!(spend(&mut course, 9, 1_000), 100);
    }

    #[test]
    fn tomorrow_is_at_midnight() {
        assert_eq!(Portion::until_tomorrow(DAY - 1), 1);
        assert_eq!(Portion::until_tomorrow(DAY), DAY);
    }
}
