//! A note for all senders that a delivery may have reached its end of data.
//!
//! Whoever dies between the remote server's 250 and his report leaves a delivery behind that looks as if
//! nothing had happened. For most mail that is right: it is sent again, with the same Message-ID. Where
//! the agent wants no mail twice (`onUnknown: "hold"`), the note tells the next sender. Two may have one
//! delivery in hand, when NATS was away for longer than it waits for an ack: only who notes first goes on. It
//! costs a synced write for each delivery, which is why other mail goes without.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::ensure;
use bus::{Bucket, Bus};
use bytes::Bytes;
use contract::{DeliveryDue, OnUnknown, topology::DOTS};
use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;

pub(crate) struct Dots(Bucket);

/// That of one attempt.
pub(crate) struct Dot {
    bucket: Bucket,
    key: String,
    /// Whose note it is.
    name: Bytes,
    is_missing: AtomicBool,
}

impl Dots {
    pub(crate) fn new(bus: &Bus) -> Dots {
        Dots(bus.bucket(DOTS))
    }

    /// `None` for mail that is sent again.
    pub(crate) fn of(&self, due: &DeliveryDue) -> Option<Arc<Dot>> {
        let domain = BASE64URL_NOPAD.encode(due.domain.as_bytes());
        let key = format!("{}.{domain}.{}", due.mail_id, due.attempt);
        let is_held = due.on_unknown() == OnUnknown::Hold;
        let dot = || Dot {
            bucket: self.0.clone(),
            key,
            name: Uuid::now_v7().as_bytes().to_vec().into(),
            is_missing: AtomicBool::new(false),
        };
        is_held.then(|| Arc::new(dot()))
    }
}

impl Dot {
    /// Durable when it returns. Whoever hears of an error must not send the end of data.
    pub(crate) async fn note(&self) -> anyhow::Result<()> {
        let claimed = self.bucket.claim(&self.key, self.name.clone()).await;
        self.is_missing.store(!matches!(claimed, Ok(true)), Ordering::Relaxed);
        ensure!(claimed?, "another sender is at it");
        Ok(())
    }

    /// It could not be noted, or somebody else was first. What he found out counts, or the same attempt is
    /// made again: another number would be another note.
    pub(crate) fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Relaxed)
    }

    pub(crate) async fn is_noted(&self) -> anyhow::Result<bool> {
        Ok(self.bucket.get(&self.key).await?.is_some())
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dot").field(&self.key).finish()
    }
}
