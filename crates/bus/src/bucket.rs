//! A key-value bucket: what replicas share and no event carries.

use std::sync::Arc;

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    kv::{self, CreateErrorKind, DeleteErrorKind},
};
use bytes::Bytes;
use tokio::sync::OnceCell;

/// Cloning shares it.
#[derive(Clone)]
pub struct Bucket {
    jetstream: jetstream::Context,
    name: &'static str,
    store: Arc<OnceCell<kv::Store>>,
}

impl Bucket {
    pub(crate) fn new(jetstream: jetstream::Context, name: &'static str) -> Bucket {
        Bucket { jetstream, name, store: Arc::default() }
    }

    /// What was put last under a key: letters, digits, `-`, `_`, `=` and, in between, dots.
    pub async fn get(&self, key: &str) -> anyhow::Result<Option<Bytes>> {
        let found = self.store().await?.get(key).await;
        found.with_context(|| format!("look up in {}", self.name))
    }

    /// Durable when it returns.
    pub async fn put(&self, key: &str, value: Bytes) -> anyhow::Result<()> {
        let put = self.store().await?.put(key, value).await;
        put.map(drop).with_context(|| format!("write to {}", self.name))
    }

    /// Puts a value where there is none, for whoever comes first; durable when it returns. Says whether it is
    /// this value that is there: an answer that was lost does not count against who asks again.
    pub async fn claim(&self, key: &str, value: Bytes) -> anyhow::Result<bool> {
        match self.store().await?.create(key, value.clone()).await {
            Ok(_) => Ok(true),
            Err(err) if err.kind() == CreateErrorKind::AlreadyExists => {
                Ok(self.get(key).await?.is_some_and(|it| it == value))
            }
            Err(err) => Err(err).with_context(|| format!("write to {}", self.name)),
        }
    }

    pub async fn remove(&self, key: &str) -> anyhow::Result<()> {
        match self.store().await?.delete(key).await {
            Err(err) if err.kind() != DeleteErrorKind::InvalidKey => {
                Err(err).with_context(|| format!("remove from {}", self.name))
            }
            _ => Ok(()),
        }
    }

    /// Opened when first needed, because NATS may be away before.
    async fn store(&self) -> anyhow::Result<&kv::Store> {
        self.store
            .get_or_try_init(|| self.jetstream.get_key_value(self.name))
            .await
            .with_context(|| format!("open {}", self.name))
    }
}
