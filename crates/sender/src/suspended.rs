//! What operators have suspended, as this replica knows it: looked up every second, so that every replica
//! goes by it within two.
//!
//! A delivery that is suspended is put off, like one for which a provider leaves no room: it counts as no
//! attempt, waits in JetStream, and goes by itself when the suspension is over.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use contract::DeliveryDue;
use store::{Reader, Suspension, SuspensionScope};
use tokio::time::sleep;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// A delivery is put off for no longer, so that what is resumed early goes soon.
const LONGEST: i64 = 60 * 1_000_000;

#[derive(Clone, Default)]
pub(crate) struct Suspended {
    known: Arc<RwLock<Vec<Suspension>>>,
}

impl Suspended {
    /// As the database has it now.
    pub(crate) async fn load(&self, reader: &Reader) -> Result<(), store::Error> {
        let found = reader.suspensions().await?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// Looks until it is dropped. While the database is away, what was known last holds.
    pub(crate) async fn follow(&self, reader: &Reader) {
        loop {
            sleep(EVERY).await;
            if let Err(err) = self.load(reader).await {
                tracing::warn!("look for suspensions: {:#}", anyhow::Error::new(err));
            }
        }
    }

    /// When a delivery may be tried that is suspended now. `chance` is 0 to 1: what is suspended together
    /// does not come back all at once.
    pub(crate) fn put_off(&self, due: &DeliveryDue, now: i64, chance: f64) -> Option<i64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |it: &&Suspension| {
            let target = match it.scope {
                SuspensionScope::Account => &due.account_id,
                SuspensionScope::Inbox => &due.inbox_id,
                SuspensionScope::Domain => &due.domain,
            };
            it.target == *target && it.until.is_none_or(|until| until > now)
        };
        let until = known.iter().filter(is_meant).map(|it| it.until.unwrap_or(i64::MAX)).max()?;
        let wait = (until - now).min(LONGEST);
        Some(now + wait + (wait as f64 * chance / 10.0) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn check(scope: SuspensionScope, target: &str, until: Option<i64>, expected: Option<i64>) {
        let suspended = Suspended::default();
        let suspension = Suspension {
            scope,
            target: target.to_owned(),
            since: 0,
            until,
            who: String::new(),
            reason: String::new(),
        };
        suspended.known.write().expect("not poisoned").push(suspension);
        let due = DeliveryDue {
            account_id: "acct_1".to_owned(),
            inbox_id: "ibx_1".to_owned(),
            domain: "example.org".to_owned(),
            ..DeliveryDue::default()
        };
        assert_eq!(suspended.put_off(&due, NOW, 0.0), expected, "{scope:?} {target} {until:?}");
    }

    #[test]
    fn what_is_suspended_is_put_off() {
        use SuspensionScope::{Account, Domain, Inbox};
        let soon = NOW + 5_000_000;
        for (scope, target) in [(Account, "acct_1"), (Inbox, "ibx_1"), (Domain, "example.org")] {
            check(scope, target, Some(soon), Some(soon));
            check(scope, target, None, Some(NOW + LONGEST));
            check(scope, target, Some(NOW), None);
        }
        for (scope, target) in [(Account, "ibx_1"), (Domain, "mx.example.org"), (Inbox, "")] {
            check(scope, target, Some(soon), None);
        }
    }
}
