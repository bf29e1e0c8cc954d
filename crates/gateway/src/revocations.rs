//! Requests and sockets that last, and what ends them: their token is revoked, or expires.
//!
//! Every gateway asks the database once a second which tokens were revoked, however many wait with how
//! many tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use store::Reader;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::time::now_micros;

/// How long a revocation somewhere else goes unnoticed.
const ROUND: Duration = Duration::from_secs(1);

/// Each round looks back so far: the clocks of those who revoke differ, their transactions take time, and
/// so does what came between looking a token up and waiting with it.
const OVERLAP_MICROS: i64 = 30 * 1_000_000;

/// The most that is slept at once for a token that expires.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Revocations {
    held: Arc<Mutex<HashMap<String, Held>>>,
}

struct Held {
    revoked: CancellationToken,
    holders: usize,
}

/// Somebody is here with a token. Dropping it is leaving.
pub(crate) struct Stay {
    token_hash: String,
    revoked: CancellationToken,
    revocations: Revocations,
}

impl Revocations {
    /// Register first, then look the token up: what is revoked in between is noticed.
    pub(crate) fn register(&self, token_hash: &str) -> Stay {
        let mut held = self.lock();
        let entry = held
            .entry(token_hash.to_owned())
            .or_insert_with(|| Held { revoked: CancellationToken::new(), holders: 0 });
        entry.holders += 1;
        Stay {
            token_hash: token_hash.to_owned(),
            revoked: entry.revoked.clone(),
            revocations: self.clone(),
        }
    }

    /// Ends whatever is here with the token.
    pub(crate) fn revoke(&self, token_hash: &str) {
        if let Some(held) = self.lock().get(token_hash) {
            held.revoked.cancel();
        }
    }

    /// Hears of revocations until told to stop. While the database is away nobody can revoke, and who is
    /// in stays in.
    pub(crate) async fn follow(&self, reader: &Reader, stop: &CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since = now_micros();
        loop {
            tokio::select! {
                _ = rounds.tick() => (),
                () = stop.cancelled() => return,
            }
            let began = now_micros();
            // An outage is what `start::watch_database` tells of.
            if let Ok(revoked) = reader.revoked_since(since - OVERLAP_MICROS).await {
                revoked.iter().for_each(|it| self.revoke(it));
                since = began;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stay {
    /// Returns when the token is revoked, or expires at this moment (microseconds since 1970).
    pub(crate) async fn over(&self, expires_at: Option<i64>) {
        tokio::select! {
            () = self.revoked.cancelled() => (),
            () = reached(expires_at) => (),
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut held = self.revocations.lock();
        if let Some(entry) = held.get_mut(&self.token_hash) {
            entry.holders -= 1;
            if entry.holders == 0 {
                held.remove(&self.token_hash);
            }
        }
    }
}

/// By the clock on the wall, which is looked at again and again: it may be set.
async fn reached(moment: Option<i64>) {
    let Some(moment) = moment else { return std::future::pending().await };
    loop {
        let left = moment.saturating_sub(now_micros());
        let Ok(left @ 1..) = u64::try_from(left) else { return };
        sleep(Duration::from_micros(left).min(LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn all_with_the_token_hear_of_it_and_nobody_else() {
        let revocations = Revocations::default();
        let (one, two) = (revocations.register("a"), revocations.register("a"));
        let other = revocations.register("b");
        revocations.revoke("a");
        assert!(one.over(None).now_or_never().is_some());
        assert!(two.over(None).now_or_never().is_some());
        assert!(other.over(None).now_or_never().is_none());
        revocations.revoke("never seen");
    }

    #[tokio::test]
    async fn who_leaves_is_forgotten() {
        let revocations = Revocations::default();
        let (one, two) = (revocations.register("a"), revocations.register("a"));
        drop(one);
        assert_eq!(revocations.lock().len(), 1);
        revocations.revoke("a");
        assert!(two.over(None).now_or_never().is_some(), "it was still there");
        drop(two);
        assert!(revocations.lock().is_empty());
    }

    #[tokio::test]
    async fn ends_at_its_time() {
        let revocations = Revocations::default();
        let stay = revocations.register("a");
        assert!(stay.over(Some(now_micros() - 1)).now_or_never().is_some());
        assert!(stay.over(Some(now_micros() + 60_000_000)).now_or_never().is_none());
        assert!(stay.over(Some(i64::MAX)).now_or_never().is_none());
        stay.over(Some(now_micros() + 10_000)).await;
    }
}
