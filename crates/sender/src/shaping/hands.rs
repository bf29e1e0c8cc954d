//! The sender works on so many mails at once, and no site has them all. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many mails a sender works on at the same time. Most of them wait for the other side.
pub(crate) const HANDS: usize = 128;

/// One site has no more than this, waiting mails included.
const MOST: usize = HANDS / 4;

/// When so many are busy, the rest is for sites that have fewer than `FEW`.
const CROWDED: usize = HANDS * 3 / 4;

const FEW: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct Hands(Arc<AtomicUsize>);

/// One that is busy.
#[derive(Debug)]
pub(crate) struct Hand(Arc<AtomicUsize>);

impl Hands {
    /// One for a site that has so many.
    pub(crate) fn take(&self, at_site: usize) -> Option<Hand> {
        let is_crowded = self.0.load(Ordering::Relaxed) >= CROWDED;
        let most = if is_crowded { FEW } else { MOST };
        (at_site < most).then(|| {
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
            while let Some(hand) = hands.take(at_site) {
                taken.push(hand);
                at_site += 1;
            }
            assert!((FEW..=MOST).contains(&at_site), "{at_site}");
        }
        assert!(taken.len() > CROWDED && hands.take(0).is_some());
        taken.clear();
        assert!(hands.take(MOST - 1).is_some() && hands.take(MOST).is_none());
    }
}
