//! When mail comes back that found no room. Pure.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// What a site has put off and is still to come back. It comes back at about the pace the site takes
/// mail: a long queue neither turns in circles nor leaves the site idle.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    times: BinaryHeap<Reverse<Instant>>,
}

const SHORTEST: Duration = Duration::from_secs(1);

/// Beyond whatever has to pass first. Nobody knows the pace for longer.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// What is beyond is put off for the longest time all the same; it is just not counted.
const CAPACITY: usize = 100_000;

/// Mail comes back a little faster than it goes out, so that the site is never idle for an estimate.
const HASTE: f64 = 1.25;

/// Mails put off together come back apart.
const JITTER: f64 = 0.2;

impl Backlog {
    /// How long the next one is put off: `least` has to pass in any case, then `per_second` can go.
    /// `chance` is 0 to 1.
    pub(crate) fn put_off(
        &mut self,
        now: Instant,
        least: Duration,
        per_second: f64,
        chance: f64,
    ) -> Duration {
        self.forget(now);
        let ahead = (self.times.len() + 1) as f64;
        let turn = ahead / (per_second * HASTE).max(f64::MIN_POSITIVE);
        let turn = turn.clamp(SHORTEST.as_secs_f64(), LONGEST.as_secs_f64());
        let jittered = turn * (1.0 + JITTER * (2.0 * chance - 1.0));
        let pause = least + Duration::from_secs_f64(jittered);
        if self.times.len() < CAPACITY {
            self.times.push(Reverse(now + pause));
        }
        pause
    }

    pub(crate) fn is_empty(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.times.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        while self.times.peek().is_some_and(|it| it.0 <= now) {
            self.times.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn the_pause_grows_with_the_queue() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        let pauses: Vec<_> =
            (0..1_000).map(|_| backlog.put_off(now, Duration::ZERO, 8.0, MIDDLE)).collect();
        assert_eq!(pauses[0], SHORTEST);
        assert_eq!(pauses[99], Duration::from_secs(10));
        assert_eq!(pauses[999], Duration::from_secs(100));
    }

    #[test]
    fn the_pause_is_bounded_both_ways() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        assert_eq!(backlog.put_off(now, Duration::ZERO, 1e9, MIDDLE), SHORTEST);
        assert_eq!(backlog.put_off(now, Duration::ZERO, 0.0, MIDDLE), LONGEST);
        let least = Duration::from_secs(7_200);
        assert_eq!(backlog.put_off(now, least, 1e9, MIDDLE), least + SHORTEST);
    }

    #[test]
    fn what_has_come_back_is_no_longer_ahead() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        for _ in 0..1_000 {
            backlog.put_off(now, Duration::ZERO, 8.0, MIDDLE);
        }
        let later = now + Duration::from_secs(101);
        assert_eq!(backlog.put_off(later, Duration::ZERO, 8.0, MIDDLE), SHORTEST);
    }
}
