//! Hosts that are left alone for a while, because they cannot be reached or do not want to talk.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{file::RouteRule, seconds};

/// What is shared about one host's address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Deferral {
    /// Microseconds since 1970.
    pub(crate) until_micros: i64,
    /// In a row.
    failures: u32,
    /// The last one, as of an outcome.
    pub(crate) status: String,
    pub(crate) diagnostic: String,
}

#[derive(Default)]
pub(crate) struct Routes {
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    deferral: Deferral,
    /// One mail of this replica finds out how things are now.
    probed_at: Option<Instant>,
}

/// Whether a host may be tried.
#[derive(Debug, PartialEq)]
pub(crate) enum Pass {
    Go,
    Wait(Duration, Deferral),
}

/// A probe that has come to nothing by then is followed by another.
const PROBE: Duration = Duration::from_secs(60);

/// While another mail finds out.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

const CAPACITY: usize = 10_000;

/// Hosts deferred together are tried apart.
const JITTER: f64 = 0.1;

impl Routes {
    pub(crate) fn pass(&self, address: &str, now_micros: i64) -> Pass {
        let mut known = self.lock();
        let Some(known) = known.get_mut(address) else { return Pass::Go };
        let left = known.deferral.until_micros.saturating_sub(now_micros);
        if let Ok(left @ 1..) = u64::try_from(left) {
            return Pass::Wait(Duration::from_micros(left), known.deferral.clone());
        }
        match known.probed_at {
            Some(at) if at.elapsed() < PROBE => Pass::Wait(PROBE_PAUSE, known.deferral.clone()),
            _ => {
                known.probed_at = Some(Instant::now());
                Pass::Go
            }
        }
    }

    /// The mail that was to find out has not: the next one does.
    pub(crate) fn not_probed(&self, address: &str) {
        if let Some(known) = self.lock().get_mut(address) {
            known.probed_at = None;
        }
    }

    pub(crate) fn is_known(&self, address: &str) -> bool {
        self.lock().contains_key(address)
    }

    /// `None` if the host talks to us.
    pub(crate) fn learn(&self, address: &str, deferral: Option<Deferral>) {
        let mut known = self.lock();
        match deferral {
            None => {
                known.remove(address);
            }
            Some(deferral) if known.len() < CAPACITY || known.contains_key(address) => {
                known.insert(address.to_owned(), Known { deferral, probed_at: None });
            }
            Some(_) => (),
        }
    }

    /// Forgets what says nothing any more.
    pub(crate) fn tidy(&self, rule: &RouteRule, now_micros: i64) {
        self.lock().retain(|_, it| !it.deferral.is_stale(rule, now_micros));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deferral {
    /// After a further failure. `None` if somebody has found out already: mails that were on their
    /// way together are one failure. `chance` is 0 to 1.
    pub(crate) fn after(
        found: Option<&Deferral>,
        rule: &RouteRule,
        (status, diagnostic): (&str, &str),
        now_micros: i64,
        chance: f64,
    ) -> Option<Deferral> {
        let found = found.filter(|it| !it.is_stale(rule, now_micros));
        if found.is_some_and(|it| it.until_micros > now_micros) {
            return None;
        }
        let failures = found.map_or(0, |it| it.failures).saturating_add(1);
        let doubled = rule.first_pause_seconds.saturating_mul(1 << (failures - 1).min(32));
        let pause = doubled.min(rule.longest_pause_seconds) as f64;
        let pause = pause * (1.0 + JITTER * (2.0 * chance - 1.0));
        Some(Deferral {
            until_micros: now_micros.saturating_add((pause * 1e6) as i64),
            failures,
            status: status.to_owned(),
            diagnostic: diagnostic.to_owned(),
        })
    }

    /// So long ago that it is no longer one row of failures.
    fn is_stale(&self, rule: &RouteRule, now_micros: i64) -> bool {
        let memory = seconds(rule.longest_pause_seconds.saturating_mul(2));
        self.until_micros.saturating_add(memory) < now_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RouteRule = RouteRule { first_pause_seconds: 30, longest_pause_seconds: 100 };
    const WHY: (&str, &str) = ("4.3.2", "421 busy");
    const SECOND: i64 = 1_000_000;

    fn fail(found: Option<&Deferral>, now: i64) -> Option<Deferral> {
        Deferral::after(found, &RULE, WHY, now, 0.5)
    }

    #[test]
    fn the_pause_doubles_with_each_failure() {
        let (mut found, mut now) = (None, 0);
        for pause in [30, 60, 100, 100] {
            let next = fail(found.as_ref(), now).expect("a further failure");
            assert_eq!(next.until_micros - now, pause * SECOND);
            now = next.until_micros;
            found = Some(next);
        }
    }

    #[test]
    fn failures_at_the_same_time_are_one() {
        let first = fail(None, 0);
        assert_eq!(fail(first.as_ref(), 29 * SECOND), None);
    }

    #[test]
    fn an_old_failure_is_forgotten() {
        let first = fail(None, 0);
        let again = fail(first.as_ref(), 1_000 * SECOND).expect("a failure");
        assert_eq!(again.failures, 1);
        let routes = Routes::default();
        routes.learn("a", first);
        routes.tidy(&RULE, 200 * SECOND);
        assert!(routes.is_known("a"));
        routes.tidy(&RULE, 1_000 * SECOND);
        assert!(!routes.is_known("a"));
    }

    #[test]
    fn one_mail_finds_out_for_the_others() {
        let routes = Routes::default();
        assert_eq!(routes.pass("a", 0), Pass::Go);
        let deferral = fail(None, 0).expect("a failure");
        routes.learn("a", Some(deferral.clone()));
        let wait = |it| Pass::Wait(Duration::from_secs(it), deferral.clone());
        assert_eq!(routes.pass("a", 10 * SECOND), wait(20));
        assert_eq!(routes.pass("a", 30 * SECOND), Pass::Go);
        assert_eq!(routes.pass("a", 30 * SECOND), wait(2));
        routes.not_probed("a");
        assert_eq!(routes.pass("a", 30 * SECOND), Pass::Go);
        routes.learn("a", None);
        assert_eq!(routes.pass("a", 30 * SECOND), Pass::Go);
    }
}
