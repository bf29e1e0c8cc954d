//! When a delayed delivery is tried again. Pure.

use std::time::Duration;

use serde::Deserialize;

/// The retry schedule (RFC 5321 section 4.5.4.1).
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// The pauses after the first attempts; then the last one doubles each time.
    pub delays_seconds: Vec<u64>,
    /// No pause is longer.
    pub longest_seconds: u64,
    /// The pause after a first attempt that was answered 4yz at RCPT, as greylisting does: servers
    /// want to wait for at least this long (RFC 6647).
    pub greylisted_seconds: u64,
    /// From acceptance on; the last attempt is made then, and what is still delayed has failed.
    pub expire_after_seconds: u64,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries {
            delays_seconds: vec![60, 5 * 60, 10 * 60, 20 * 60, 40 * 60],
            longest_seconds: 4 * 60 * 60,
            greylisted_seconds: 5 * 60,
            expire_after_seconds: 5 * 24 * 60 * 60,
        }
    }
}

/// No pause differs from the schedule by more than a tenth, so that mails delayed together do not
/// come back together.
const JITTER: f64 = 0.1;

impl Retries {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.delays_seconds.is_empty() || self.delays_seconds.contains(&0) {
            return Err("retries.delays_seconds needs at least one pause, each at least 1".into());
        }
        if self.longest_seconds == 0 || self.greylisted_seconds == 0 {
            return Err(
                "retries.longest_seconds and retries.greylisted_seconds are at least 1".into()
            );
        }
        Ok(())
    }

    /// When to try again after attempt `attempt` (1 for the first), or `None` to give up. Times are
    /// microseconds since 1970, `chance` is 0 to 1.
    pub(crate) fn next(
        &self,
        attempt: u32,
        greylisted: bool,
        accepted_at: i64,
        now: i64,
        chance: f64,
    ) -> Option<i64> {
        let expires_at = accepted_at.saturating_add(micros(self.expire_after_seconds));
        if now >= expires_at {
            return None;
        }
        let pause =
            if attempt <= 1 && greylisted { self.greylisted_seconds } else { self.pause(attempt) };
        let jittered = pause as f64 * (1.0 + JITTER * (2.0 * chance - 1.0));
        let pause = Duration::from_secs_f64(jittered).as_micros();
        let at = now.saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
        Some(at.min(expires_at))
    }

    /// When a mail is given up, by the schedule or by its own limit (0: none).
    pub(crate) fn deadline(&self, accepted_at: i64, expires_at: i64) -> i64 {
        let deadline = accepted_at.saturating_add(micros(self.expire_after_seconds));
        if expires_at > 0 { deadline.min(expires_at) } else { deadline }
    }

    fn pause(&self, attempt: u32) -> u64 {
        let step = attempt.saturating_sub(1) as usize;
        let last = self.delays_seconds.last().copied().unwrap_or(self.longest_seconds);
        let pause = match self.delays_seconds.get(step) {
            Some(pause) => *pause,
            None => {
                let doublings = (step + 1 - self.delays_seconds.len()).min(32);
                last.saturating_mul(1 << doublings)
            }
        };
        pause.min(self.longest_seconds)
    }
}

/// A moment that comes round a little late is not missed, in microseconds.
const LATE: i64 = 60 * 1_000_000;

/// The most that a mail waits for its turn the first time it is put off.
const FIRST_TURN: Duration = Duration::from_secs(4);

/// The next attempt of a mail that is given up at `expires_at` (0: never): the last one is made then.
pub(crate) fn within(next: Option<i64>, expires_at: i64, now: i64) -> Option<i64> {
    match next {
        Some(_) if expires_at > 0 && now >= expires_at => None,
        Some(at) if expires_at > 0 => Some(at.min(expires_at)),
        next => next,
    }
}

/// How long a mail waits that is put off. `turn` is a guess, made of how it goes at the moment: it is
/// trusted for no longer than the mail has waited already, more or less, so that a moment in which nothing
/// went costs no minutes.
pub(crate) fn pause(least: Duration, turn: Duration, deferrals: u32) -> Duration {
    let trusted = FIRST_TURN.saturating_mul(2_u32.saturating_pow(deferrals));
    least.saturating_add(turn.min(trusted))
}

/// When a mail is looked at again that is put off without an attempt; `None` if its time is over.
pub(crate) fn postponed(pause: Duration, deadline: i64, now: i64) -> Option<i64> {
    let pause = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    (now < deadline).then(|| now.saturating_add(pause).min(deadline))
}

/// Nobody wants the mail any more.
pub(crate) fn is_over(expires_at: i64, now: i64) -> bool {
    expires_at > 0 && now > expires_at.saturating_add(LATE)
}

fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_trusted_more_each_time() {
        let (least, turn) = (Duration::from_secs(7), Duration::from_secs(60));
        let seconds = |deferrals| pause(least, turn, deferrals).as_secs();
        assert_eq!([0, 1, 3, 4, 100].map(seconds), [7 + 4, 7 + 8, 7 + 32, 7 + 60, 7 + 60]);
        assert_eq!(pause(least, Duration::from_secs(1), 0).as_secs(), 7 + 1);
    }

    const MIDDLE: f64 = 0.5;
    const MINUTE: i64 = 60_000_000;

    fn pauses(retries: &Retries, attempts: u32) -> Vec<i64> {
        (1..=attempts)
            .map(|it| retries.next(it, false, 0, 0, MIDDLE).expect("not expired") / MINUTE)
            .collect()
    }

    #[test]
    fn the_pauses_grow_to_four_hours() {
        assert_eq!(pauses(&Retries::default(), 9), [1, 5, 10, 20, 40, 80, 160, 240, 240]);
    }

    #[test]
    fn a_late_attempt_overflows_nothing() {
        assert_eq!(
            Retries::default().next(u32::MAX, false, 0, 0, MIDDLE).expect("not expired"),
            240 * MINUTE
        );
    }

    #[test]
    fn the_jitter_is_a_tenth() {
        let retries = Retries::default();
        assert_eq!(retries.next(1, false, 0, 0, 0.0), Some(54_000_000));
        assert_eq!(retries.next(1, false, 0, 0, 1.0), Some(66_000_000));
    }

    #[test]
    fn greylisting_waits_longer_the_first_time_only() {
        let retries = Retries::default();
        assert_eq!(retries.next(1, true, 0, 0, MIDDLE), Some(5 * MINUTE));
        assert_eq!(retries.next(2, true, 0, 0, MIDDLE), Some(5 * MINUTE));
        assert_eq!(retries.next(3, true, 0, 0, MIDDLE), Some(10 * MINUTE));
    }

    #[test]
    fn a_mails_own_limit_comes_first() {
        assert_eq!(within(Some(90), 0, 10), Some(90));
        assert_eq!(within(Some(90), 60, 10), Some(60));
        assert_eq!(within(Some(90), 100, 10), Some(90));
        assert_eq!(within(Some(90), 60, 60), None);
        assert_eq!(within(None, 60, 10), None);
        assert!(!is_over(0, i64::MAX) && !is_over(5, 5 + LATE) && is_over(5, 6 + LATE));
    }

    #[test]
    fn what_is_put_off_comes_back_before_it_is_given_up() {
        let retries = Retries { expire_after_seconds: 90, ..Retries::default() };
        assert_eq!(retries.deadline(5, 0), 90_000_005);
        assert_eq!(retries.deadline(5, 60), 60);
        let pause = Duration::from_micros(40);
        assert_eq!(postponed(pause, 100, 10), Some(50));
        assert_eq!(postponed(pause, 100, 90), Some(100));
        assert_eq!(postponed(pause, 100, 100), None);
    }

    #[test]
    fn the_last_attempt_is_at_the_deadline() {
        let retries = Retries { expire_after_seconds: 90, ..Retries::default() };
        let now = 60_000_000;
        assert_eq!(retries.next(2, false, 0, now, MIDDLE), Some(90_000_000));
        assert_eq!(retries.next(3, false, 0, 90_000_000, MIDDLE), None);
    }
}
