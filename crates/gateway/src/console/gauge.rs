//! How fast stages go: what they had done a moment ago, and what they have now.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bus::Standing;

/// Over so long a throughput is taken.
const WINDOW: Duration = Duration::from_secs(60);

/// Looks that are kept: of many people who watch, most see the same.
const MOST: usize = 120;

/// Closer together they would say nothing.
const APART: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Gauge {
    looks: Mutex<VecDeque<Look>>,
}

struct Look {
    at: Instant,
    done: Vec<u64>,
}

impl Gauge {
    /// Messages a second that each stage was done with since the oldest look that is kept; `None` at the
    /// first.
    pub(super) fn rates(&self, standings: &[Standing], now: Instant) -> Vec<Option<f64>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        while looks.front().is_some_and(|it| now.duration_since(it.at) > WINDOW) {
            looks.pop_front();
        }
        let oldest = looks.front().filter(|it| now.duration_since(it.at) >= APART);
        let rate = |(at, it): (usize, &Standing)| {
            let oldest = oldest?;
            // A consumer that was made anew begins at nothing.
            let done = it.done.saturating_sub(*oldest.done.get(at)?);
            Some(done as f64 / now.duration_since(oldest.at).as_secs_f64())
        };
        let rates = standings.iter().enumerate().map(rate).collect();
        if looks.len() < MOST && looks.back().is_none_or(|it| now.duration_since(it.at) >= APART) {
            let done = standings.iter().map(|it| it.done).collect();
            looks.push_back(Look { at: now, done });
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(done: u64) -> Standing {
        Standing {
            durable: "scanner",
            stream: "INBOUND",
            waiting: 0,
            in_hand: 0,
            again: 0,
            pulls: 1,
            done,
            is_paused: false,
        }
    }

    #[test]
    fn a_rate_is_taken_over_a_minute_at_most() {
        let (gauge, start) = (Gauge::default(), Instant::now());
        let rate = |done: u64, seconds: u64| {
            gauge.rates(&[standing(done)], start + Duration::from_secs(seconds))[0]
        };
        assert_eq!(rate(100, 0), None);
        assert_eq!(rate(100, 0), None, "too close");
        assert_eq!(rate(120, 10), Some(2.0));
        assert_eq!(rate(720, 70), Some(10.0), "since the look at 10 s");
        assert_eq!(rate(5, 80), Some(0.0), "made anew");
    }
}
