//! A key-value bucket that all replicas of a service read and write: small things they have to agree on.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_nats::jetstream::{
    self,
    kv::{self, Operation, UpdateErrorKind},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::OnceCell;

/// So often an entry may change under one's hands before the change is given up.
const MAX_TRIES: usize = 20;

/// Every key.
const ALL: &str = ">";

#[derive(Clone)]
pub struct Board {
    jetstream: jetstream::Context,
    bucket: &'static str,
    store: Arc<OnceCell<kv::Store>>,
}

/// An entry as it is now; without a value it is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    pub key: String,
    pub value: Option<Bytes>,
    /// By the NATS server's clock.
    pub posted_at_micros: i64,
}

/// All entries, and then every change, in the order in which they were written.
pub struct Watch(kv::Watch);

impl Board {
    pub(crate) fn new(jetstream: jetstream::Context, bucket: &'static str) -> Board {
        Board { jetstream, bucket, store: Arc::default() }
    }

    pub async fn put(&self, key: &str, value: Vec<u8>) -> anyhow::Result<()> {
        let store = self.store().await?;
        store.put(key, value.into()).await.with_context(|| format!("write to {}", self.bucket))?;
        Ok(())
    }

    pub async fn remove(&self, key: &str) -> anyhow::Result<()> {
        let store = self.store().await?;
        store.purge(key).await.with_context(|| format!("remove from {}", self.bucket))
    }

    /// Changes an entry, whoever else does so at the same time: `change` is told what it is, and asked
    /// again if that is another meanwhile. `None` leaves it as it is. Returns what the entry is then.
    pub async fn amend(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> anyhow::Result<Option<Bytes>> {
        let store = self.store().await?;
        for _ in 0..MAX_TRIES {
            let entry = store.entry(key).await.with_context(|| format!("read {}", self.bucket))?;
            let revision = entry.as_ref().map_or(0, |it| it.revision);
            let found = entry.filter(|it| it.operation == Operation::Put).map(|it| it.value);
            let Some(value) = change(found.as_deref()) else { return Ok(found) };
            let value = Bytes::from(value);
            match store.update(key, value.clone(), revision).await {
                Ok(_) => return Ok(Some(value)),
                Err(err) if err.kind() == UpdateErrorKind::WrongLastRevision => (),
                Err(err) => return Err(err).with_context(|| format!("amend {}", self.bucket)),
            }
        }
        bail!("amend {}: the entry changes too fast", self.bucket)
    }

    /// Begins with the entries there are.
    pub async fn watch(&self) -> anyhow::Result<Watch> {
        let store = self.store().await?;
        let entries = store.watch_with_history(ALL).await;
        entries.map(Watch).with_context(|| format!("watch {}", self.bucket))
    }

    /// Opened when first needed, because NATS may be away before.
    async fn store(&self) -> anyhow::Result<&kv::Store> {
        self.store
            .get_or_try_init(|| self.jetstream.get_key_value(self.bucket))
            .await
            .with_context(|| format!("open {}", self.bucket))
    }
}

impl Watch {
    /// `None` if the watch has ended and has to be begun anew.
    pub async fn next(&mut self) -> Option<anyhow::Result<Posted>> {
        let entry = match self.0.next().await? {
            Ok(entry) => entry,
            Err(err) => return Some(Err(err).context("watch a bucket")),
        };
        let value = (entry.operation == Operation::Put).then_some(entry.value);
        let posted_at = entry.created.unix_timestamp_nanos() / 1_000;
        let posted_at_micros = i64::try_from(posted_at).unwrap_or(i64::MAX);
        Some(Ok(Posted { key: entry.key, value, posted_at_micros }))
    }
}
