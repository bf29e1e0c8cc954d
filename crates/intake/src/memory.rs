//! A bound on the memory of all contents being received at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What is handed out at a time.
const UNIT: usize = 64 * 1024;

/// The memory there is. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
}

/// The part of it that one content has, given back when dropped.
pub(crate) struct Share {
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(crate) fn new(octets: usize) -> Memory {
        Memory { units: Arc::new(Semaphore::new(octets / UNIT)) }
    }

    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), held: None }
    }
}

impl Share {
    /// Makes the share cover so many octets; waits a while for others to give theirs back.
    pub(crate) async fn cover(&mut self, octets: usize, patience: Duration) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = octets.div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let Ok(missing) = u32::try_from(missing) else { return false };
        let permits = Arc::clone(&self.memory.units).acquire_many_owned(missing);
        let Ok(Ok(permits)) = timeout(patience, permits).await else { return false };
        match &mut self.held {
            Some(held) => held.merge(permits),
            None => self.held = Some(permits),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_share_grows_with_its_content_and_is_given_back() {
        let memory = Memory::new(4 * UNIT);
        let mut first = memory.share();
        assert!(first.cover(UNIT, SOON).await && first.cover(UNIT + 1, SOON).await);
        assert_eq!(memory.units.available_permits(), 2);
        let mut second = memory.share();
        assert!(!second.cover(3 * UNIT, SOON).await);
        drop(first);
        assert!(second.cover(3 * UNIT, SOON).await);
    }
}
