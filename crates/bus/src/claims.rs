//! Content too large for an event waits in an object-store bucket; the event carries the key.

use anyhow::Context as _;
use bytes::Bytes;
use contract::Content;

/// Content of up to this many octets travels in the event.
pub const INLINE_LIMIT: usize = 256 * 1024;

#[derive(Clone)]
pub struct Claims {}

impl Claims {
    /// Keeps the octets in the event if they are few, else in the bucket under `key`. Durable when it
    /// returns.
    pub async fn put(&self, key: &str, octets: Bytes) -> anyhow::Result<Content> {
        unimplemented!()
    }

    /// The octets a content stands for. `None` if its claim is gone: everybody who needed it is done.
    pub async fn get(&self, content: &Content) -> anyhow::Result<Option<Bytes>> {
        unimplemented!()
    }

    /// Removes a claim that nobody needs any more. Nothing happens to inline content.
    pub async fn remove(&self, content: &Content) -> anyhow::Result<()> {
        unimplemented!()
    }
}
