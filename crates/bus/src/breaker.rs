//! Notices that every message fails, which is not the messages' fault.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// So many failures in a row are taken for an outage.
const THRESHOLD: u32 = 5;

const LONGEST_DELAY: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Breaker {
    failures: AtomicU32,
}

impl Breaker {
    pub(crate) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// How long to wait before the next attempt; `None` while all is well.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let over = self.failures.load(Ordering::Relaxed).checked_sub(THRESHOLD)?;
        Some(Duration::from_secs(1 << over.min(5)).min(LONGEST_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_while_all_fails_and_not_at_all_after() {
        let breaker = Breaker::default();
        (0..THRESHOLD - 1).for_each(|_| breaker.note_failure());
        assert_eq!(breaker.delay(), None);
        breaker.note_failure();
        assert_eq!(breaker.delay(), Some(Duration::from_secs(1)));
        (0..100).for_each(|_| breaker.note_failure());
        assert_eq!(breaker.delay(), Some(LONGEST_DELAY));
        breaker.close();
        assert_eq!(breaker.delay(), None);
    }
}
