//! Rates, and keeping to them. Pure.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// So many in any stretch of time of this length, written "100/min". The units are s, min, h and d.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) per: Duration,
}

const UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

/// This part of a rate's count may go at once; the rest goes at even intervals.
const BURST: u32 = 10;

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Rate, String> {
        let refuse = || format!("{text:?} is no rate: write \"100/min\" (s, min, h or d)");
        let (count, unit) = text.split_once('/').ok_or_else(refuse)?;
        let count = count.parse().ok().filter(|it| *it > 0).ok_or_else(refuse)?;
        let seconds = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?.1;
        Ok(Rate { count, per: Duration::from_secs(seconds) })
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, seconds)| self.per.as_secs() == *seconds);
        write!(f, "{}/{}", self.count, unit.map_or("?", |(name, _)| *name))
    }
}

impl Rate {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }

    pub(crate) fn slower(self, other: Option<Rate>) -> Rate {
        other.filter(|it| it.per_second() < self.per_second()).unwrap_or(self)
    }

    /// How many may go at once, by all of so many replicas together: if it can be, each has one.
    pub(crate) fn burst(&self, replicas: u32) -> u32 {
        (self.count / BURST).max(replicas.min(self.count / 2)).max(1)
    }

    /// The part of a replica that has so much of all replicas' burst; `None` if it has nothing.
    ///
    /// Were n the count, b the burst: with intervals of per / (n - b + 1) for all together, no stretch
    /// of time of this length sees more than n, wherever it begins. A replica's intervals are longer
    /// in proportion.
    pub(crate) fn part(&self, burst: u32, of: u32) -> Option<Part> {
        let steady = self.count - of + 1;
        let interval = self.per.as_secs_f64() / f64::from(steady);
        let longer = f64::from(of) / f64::from(burst);
        (burst > 0).then(|| Part { burst, interval: Duration::from_secs_f64(interval * longer) })
    }
}

/// What one replica may do of what a rate allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    burst: u32,
    interval: Duration,
}

impl Part {
    pub(crate) fn per_second(&self) -> f64 {
        self.interval.as_secs_f64().recip()
    }
}

/// What was taken of a part, by the generic cell rate algorithm (ITU-T I.371).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    /// When all would be as if nothing had been taken.
    rested_at: Instant,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Meter {
        Meter { rested_at: now }
    }

    /// How long to wait for the next one; zero if it can be taken now.
    pub(crate) fn wait(&self, part: &Part, now: Instant) -> Duration {
        let ahead = part.interval * (part.burst - 1);
        self.rested_at.saturating_duration_since(now).saturating_sub(ahead)
    }

    /// All is as if nothing had been taken.
    pub(crate) fn is_rested(&self, now: Instant) -> bool {
        self.rested_at <= now
    }

    pub(crate) fn take(&mut self, part: &Part, now: Instant) {
        self.rested_at = self.rested_at.max(now) + part.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.to_owned().try_into().expect("rate")
    }

    #[test]
    fn a_rate_reads_as_it_is_written() {
        for text in ["100/min", "1/s", "2/h", "50/d"] {
            assert_eq!(rate(text).to_string(), text);
        }
        for text in ["", "100", "0/min", "-1/s", "1/year", "1.5/s", "1/"] {
            Rate::try_from(text.to_owned()).expect_err(text);
        }
    }

    #[test]
    fn the_slower_one_counts() {
        assert_eq!(rate("100/s").slower(Some(rate("10/min"))), rate("10/min"));
        assert_eq!(rate("1/min").slower(Some(rate("10/min"))), rate("1/min"));
        assert_eq!(rate("1/min").slower(None), rate("1/min"));
    }

    /// Replicas that take whenever they can; returns the most that any window saw, and all.
    fn greedy(rate: Rate, bursts: &[u32]) -> (usize, usize) {
        let start = Instant::now();
        let all = bursts.iter().sum();
        let parts: Vec<_> = bursts.iter().map(|it| rate.part(*it, all)).collect();
        let mut meters = vec![Meter::new(start); parts.len()];
        let tick = rate.per / 1_000;
        let mut taken = Vec::new();
        for n in 0..5_000 {
            let now = start + tick * n;
            for (part, meter) in parts.iter().zip(&mut meters) {
                let Some(part) = part else { continue };
                while meter.wait(part, now).is_zero() {
                    meter.take(part, now);
                    taken.push(now);
                }
            }
        }
        let within = |from: Instant| {
            let window = from..from + rate.per;
            taken.iter().filter(|it| window.contains(*it)).count()
        };
        (taken.iter().map(|from| within(*from)).max().unwrap_or(0), taken.len())
    }

    #[test]
    fn no_stretch_of_time_sees_more_than_the_rate() {
        for (text, bursts) in [
            ("100/min", &[10][..]),
            ("100/min", &[3, 3, 2, 2]),
            ("1/min", &[0, 1, 0]),
            ("7/s", &[1]),
            ("25/s", &[1, 1]),
            ("12/s", &[1, 1, 1, 1]),
            ("2/h", &[1, 0, 0, 0]),
        ] {
            let rate = rate(text);
            let replicas = u32::try_from(bursts.len()).expect("few");
            assert_eq!(bursts.iter().sum::<u32>(), rate.burst(replicas));
            let (most, all) = greedy(rate, bursts);
            assert!(most <= rate.count as usize, "{text} {bursts:?}: {most}");
            // And it is made use of.
            assert!(all as f64 >= f64::from(rate.count) * 3.5, "{text} {bursts:?}: {all}");
        }
    }
}
