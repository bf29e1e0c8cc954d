//! The keys of customers' domains, from the database.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use store::{Reader, Store, Vault};

use crate::{memory::Memory, sign::Keys};

/// How long a domain that was deleted meanwhile may still be signed for.
const LIFETIME: Duration = Duration::from_secs(60);

const CAPACITY: usize = 10_000;

pub(crate) struct DomainKeys {
    reader: Reader,
    vault: Vault,
    known: Memory<Arc<Keys>>,
}

impl DomainKeys {
    /// `file` has the key they are sealed with, if the database has not.
    pub(crate) async fn open(store: &Store, file: Option<&Path>) -> anyhow::Result<DomainKeys> {
        let vault = match file {
            None => {
                let key = store.writer.secret("domain-keys").await.context("read a secret")?;
                Vault::new(&key)?
            }
            Some(file) => {
                let failed = || format!("read domain_keys_file {}", file.display());
                let key = tokio::fs::read_to_string(file).await.with_context(failed)?;
                Vault::from_hex(&key).with_context(failed)?
            }
        };
        let reader = store.reader.clone();
        Ok(DomainKeys { reader, vault, known: Memory::new(LIFETIME, CAPACITY) })
    }

    /// None if nobody has the domain verified.
    pub(crate) async fn of(&self, domain: &str) -> anyhow::Result<Arc<Keys>> {
        if let Some(keys) = self.known.recall(domain) {
            return Ok(keys);
        }
        let found = self.reader.signing_keys(domain, &self.vault).await?;
        let keys = found.as_ref().map(Keys::of_domain).transpose().context("read a DKIM key")?;
        let keys = Arc::new(keys.unwrap_or_default());
        self.known.learn(domain, Arc::clone(&keys));
        Ok(keys)
    }
}
