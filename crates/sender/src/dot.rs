//! A note for all senders that a delivery may have reached its end of data.
//!
//! Whoever dies between the remote server's 250 and his report leaves a delivery behind that looks as if
//! nothing had happened. For most mail that is right: it is sent again, with the same Message-ID. Where
//! the agent wants no mail twice (`onUnknown: "hold"`), the note tells the next sender. It costs a synced
//! write for each delivery, which is why other mail goes without.

use std::{fmt, sync::Arc};

use bus::{Bucket, Bus};
use bytes::Bytes;
use contract::{DeliveryDue, OnUnknown, topology::DOTS};
use data_encoding::BASE64URL_NOPAD;

pub(crate) struct Dots(Bucket);

/// That of one attempt.
pub(crate) struct Dot {
    bucket: Bucket,
    key: String,
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
        is_held.then(|| Arc::new(Dot { bucket: self.0.clone(), key }))
    }
}

impl Dot {
    /// Durable when it returns.
    pub(crate) async fn note(&self) -> anyhow::Result<()> {
        self.bucket.put(&self.key, Bytes::new()).await
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
