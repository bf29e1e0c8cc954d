//! How fast a content has to come.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, PartialEq)]
pub(crate) struct TooSlow;

pub(crate) struct Pace {
    /// When the content has to be there, however fast it comes.
    ends_at: Instant,
    window: Duration,
    /// What has to come in a window.
    least: u64,
    window_ends_at: Instant,
    octets: u64,
}

impl Pace {
    pub(crate) fn new(now: Instant, total: Duration, window: Duration, per_second: u64) -> Pace {
        Pace {
            ends_at: now + total,
            window,
            least: per_second.saturating_mul(window.as_secs()),
            window_ends_at: now + window,
            octets: 0,
        }
    }

    /// When to look again, even if nothing comes.
    pub(crate) fn due_at(&self) -> Instant {
        self.ends_at.min(self.window_ends_at)
    }

    pub(crate) fn came(&mut self, octets: usize, now: Instant) -> Result<(), TooSlow> {
        self.octets += octets as u64;
        if now >= self.ends_at {
            return Err(TooSlow);
        }
        if now >= self.window_ends_at {
            if self.octets < self.least {
                return Err(TooSlow);
            }
            self.octets = 0;
            self.window_ends_at = now + self.window;
        }
        Ok(())
    }

    /// Time that passed for our reasons is not held against the client.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.ends_at += time;
        self.window_ends_at += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Octets that come at these seconds, at 100 per second over 10 s and for at most 60 s.
    fn check(octets: &[(u32, usize)], expected: Result<(), TooSlow>) {
        let start = Instant::now();
        let mut pace = Pace::new(start, 60 * SECOND, 10 * SECOND, 100);
        let outcome = octets.iter().try_for_each(|(at, n)| pace.came(*n, start + *at * SECOND));
        assert_eq!(outcome, expected, "{octets:?}");
    }

    #[test]
    fn too_little_in_a_window_is_too_slow() {
        check(&[(1, 0), (9, 999), (10, 1)], Ok(()));
        check(&[(1, 0), (9, 999), (10, 0)], Err(TooSlow));
        check(&[(10, 5000), (20, 10)], Err(TooSlow));
    }

    #[test]
    fn too_long_is_too_slow_at_any_speed() {
        let steady: Vec<_> = (1..60).map(|at| (at, 5000)).collect();
        check(&steady, Ok(()));
        check(&[&steady[..], &[(60, 5000)]].concat(), Err(TooSlow));
    }

    #[test]
    fn our_own_time_does_not_count() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 60 * SECOND, 10 * SECOND, 100);
        pace.pause(5 * SECOND);
        assert_eq!(pace.due_at(), start + 15 * SECOND);
        assert_eq!(pace.came(0, start + 14 * SECOND), Ok(()));
        assert_eq!(pace.came(999, start + 15 * SECOND), Err(TooSlow));
    }
}
