//! Content too large for an event waits in an object-store bucket; the event carries the key.

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    object_store::{self, ObjectMetadata},
};
use bytes::Bytes;
use contract::{Content, content::Place, topology::CLAIMS};
use tokio::io::AsyncReadExt as _;

/// Content of up to this many octets travels in the event.
pub const INLINE_LIMIT: usize = 256 * 1024;

/// No claim is larger; what is, was not put there by us.
const CLAIM_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Clone)]
pub struct Claims {
    jetstream: jetstream::Context,
}

impl Claims {
    pub(crate) fn new(jetstream: jetstream::Context) -> Claims {
        Claims { jetstream }
    }

    /// Keeps the octets in the event if they are few, else in the bucket under `key`. Durable when it
    /// returns.
    pub async fn put(&self, key: &str, octets: Bytes) -> anyhow::Result<Content> {
        let size_bytes = octets.len() as u64;
        let place = if octets.len() <= INLINE_LIMIT {
            Place::Inline(octets)
        } else {
            let metadata = ObjectMetadata {
                name: key.to_owned(),
                chunk_size: Some(512 * 1024),
                ..Default::default()
            };
            let bucket = self.bucket().await?;
            bucket.put(metadata, &mut octets.as_ref()).await.context("store claim")?;
            Place::Claim(key.to_owned())
        };
        Ok(Content { size_bytes, place: Some(place) })
    }

    /// The octets a content stands for. `None` if its claim is gone: everybody who needed it is done.
    pub async fn get(&self, content: &Content) -> anyhow::Result<Option<Bytes>> {
        let key = match &content.place {
            Some(Place::Inline(octets)) => return Ok(Some(octets.clone())),
            Some(Place::Claim(key)) => key,
            None => return Ok(None),
        };
        let object = match self.bucket().await?.get(key).await {
            Ok(object) => object,
            Err(err) if err.kind() == object_store::GetErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).context("find claim"),
        };
        let size = object.info().size as u64;
        anyhow::ensure!(size <= CLAIM_LIMIT_BYTES, "claim {key} has {size} octets");
        let mut octets = Vec::with_capacity(object.info().size);
        object.take(CLAIM_LIMIT_BYTES).read_to_end(&mut octets).await.context("read claim")?;
        Ok(Some(octets.into()))
    }

    /// Removes a claim that nobody needs any more. Nothing happens to inline content.
    pub async fn remove(&self, content: &Content) -> anyhow::Result<()> {
        let Some(Place::Claim(key)) = &content.place else { return Ok(()) };
        match self.bucket().await?.delete(key).await {
            Err(err) if err.kind() != object_store::DeleteErrorKind::NotFound => {
                Err(err).context("delete claim")
            }
            _ => Ok(()),
        }
    }

    async fn bucket(&self) -> anyhow::Result<object_store::ObjectStore> {
        self.jetstream.get_object_store(CLAIMS).await.context("open claims")
    }
}
