//! The sender works on so many mails at once, and no site has them all. Pure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How many mails each of a sender's two stages works on at the same time. Most of them wait for the
/// other side.
pub(crate) const HANDS: usize = 64;

/// One site has no more than this, waiting mails included, unless it is quick.
const MOST: usize = HANDS / 4;

/// Mail at a quick site waits no longer than this for its turn.
const QUICK: Duration = Duration::from_millis(250);

/// When so many are busy in both, the rest is for sites that have fewer than `FEW`.
const CROWDED: usize = HANDS * 3 / 4;

const FEW: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct Hands(Arc<AtomicUsize>);

/// One that is busy.
#[derive(Debug)]
pub(crate) struct Hand(Arc<AtomicUsize>);

impl Hands {
    /// One for a site that has so many, where it is the next mail's turn after that time.
    pub(crate) fn take(&self, at_site: usize, turn: Duration) -> Option<Hand> {
        let is_crowded = self.0.load(Ordering::Relaxed) >= CROWDED;
        let most = if is_crowded { FEW } else { MOST };
        (at_site < most || turn <= QUICK).then(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            Hand(Arc::clone(&self.0))
        })
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_one_for_a_new_site() {
        let hands = Hands::default();
        let mut taken = Vec::new();
        for _ in 0..30 {
            let mut at_site = 0;
            while let Some(hand) = hands.take(at_site, Duration::from_secs(1)) {
                taken.push(hand);
                at_site += 1;
            }
            assert!((FEW..=MOST).contains(&at_site), "{at_site}");
        }
        assert!(taken.len() > CROWDED && hands.take(0, Duration::from_secs(1)).is_some());
        taken.clear();
        assert!(hands.take(MOST, Duration::from_secs(1)).is_none());
    }

    #[test]
    fn a_quick_site_may_have_more() {
        let hands = Hands::default();
        assert!(hands.take(HANDS, QUICK).is_some());
        assert!(hands.take(HANDS, QUICK * 2).is_none());
    }
}
