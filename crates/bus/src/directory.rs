//! Who takes mail, and whose tokens are good: a key-value bucket that intake resolves recipients and
//! checks logins with, so that it needs no database. Written whenever an inbox or an account is made
//! or an inbox deleted, before anybody hears of it, and put right from the database by storage.

use std::sync::Arc;

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    kv::{self, DeleteErrorKind},
};
use aws_lc_rs::digest::{SHA256, digest};
use contract::topology::DIRECTORY;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use tokio::sync::OnceCell;

/// What an address means.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    Inbox {
        account_id: String,
        inbox_id: String,
    },
    /// The domain is served here, the address is not.
    UnknownRecipient,
    /// The domain is not served here.
    UnknownDomain,
}

#[derive(Clone)]
pub struct Directory {
    jetstream: jetstream::Context,
    bucket: Arc<OnceCell<kv::Store>>,
}

impl Directory {
    pub(crate) fn new(jetstream: jetstream::Context) -> Directory {
        Directory { jetstream, bucket: Arc::default() }
    }

    /// `canonical` as of `mail::Address::canonical`, `domain` in lower-case A-labels.
    pub async fn resolve(&self, canonical: &str, domain: &str) -> anyhow::Result<Resolution> {
        if let Some((account_id, inbox_id)) = self.inbox(canonical).await? {
            return Ok(Resolution::Inbox { account_id, inbox_id });
        }
        match self.get(domain_key(domain)).await? {
            Some(_) => Ok(Resolution::UnknownRecipient),
            None => Ok(Resolution::UnknownDomain),
        }
    }

    /// From when this returns, every intake takes mail for the address.
    pub async fn add_inbox(
        &self,
        canonical: &str,
        account_id: &str,
        inbox_id: &str,
    ) -> anyhow::Result<()> {
        let wanted = (account_id.to_owned(), inbox_id.to_owned());
        if self.inbox(canonical).await? == Some(wanted) {
            return Ok(());
        }
        self.put(address_key(canonical), format!("{account_id} {inbox_id}")).await
    }

    /// From when this returns, no intake takes mail for the address.
    pub async fn remove_inbox(&self, canonical: &str) -> anyhow::Result<()> {
        self.remove(address_key(canonical)).await
    }

    pub async fn add_domain(&self, domain: &str) -> anyhow::Result<()> {
        let key = domain_key(domain);
        if self.get(key.clone()).await?.is_some() {
            return Ok(());
        }
        self.put(key, domain.to_owned()).await
    }

    /// From when this returns, strangers hear that the domain is not served here.
    pub async fn remove_domain(&self, domain: &str) -> anyhow::Result<()> {
        self.remove(domain_key(domain)).await
    }

    /// Whose token has this hash.
    pub async fn account_of_token(&self, token_hash: &str) -> anyhow::Result<Option<String>> {
        self.get(token_key(token_hash)).await
    }

    /// From when this returns, every intake lets the account in with the token.
    pub async fn add_token(&self, token_hash: &str, account_id: &str) -> anyhow::Result<()> {
        if self.account_of_token(token_hash).await?.as_deref() == Some(account_id) {
            return Ok(());
        }
        self.put(token_key(token_hash), account_id.to_owned()).await
    }

    /// From when this returns, no intake lets anybody in with the token.
    pub async fn remove_token(&self, token_hash: &str) -> anyhow::Result<()> {
        match self.account_of_token(token_hash).await? {
            Some(_) => self.remove(token_key(token_hash)).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, key: String) -> anyhow::Result<()> {
        match self.bucket().await?.delete(key).await {
            Err(err) if err.kind() != DeleteErrorKind::InvalidKey => {
                Err(err).context("remove from the directory")
            }
            _ => Ok(()),
        }
    }

    async fn inbox(&self, canonical: &str) -> anyhow::Result<Option<(String, String)>> {
        let Some(entry) = self.get(address_key(canonical)).await? else { return Ok(None) };
        let (account_id, inbox_id) =
            entry.split_once(' ').with_context(|| format!("read directory entry {entry:?}"))?;
        Ok(Some((account_id.to_owned(), inbox_id.to_owned())))
    }

    async fn get(&self, key: String) -> anyhow::Result<Option<String>> {
        let entry = self.bucket().await?.get(key).await.context("look up in the directory")?;
        entry.map(|it| String::from_utf8(it.into()).context("read directory entry")).transpose()
    }

    async fn put(&self, key: String, value: String) -> anyhow::Result<()> {
        self.bucket().await?.put(key, value.into()).await.context("write to the directory")?;
        Ok(())
    }

    /// Opened when first needed, because NATS may be away before.
    async fn bucket(&self) -> anyhow::Result<&kv::Store> {
        self.bucket
            .get_or_try_init(|| self.jetstream.get_key_value(DIRECTORY))
            .await
            .context("open the directory")
    }
}

/// Keys take few characters, local parts many.
fn address_key(canonical: &str) -> String {
    format!("address.{}", BASE64URL_NOPAD.encode(canonical.as_bytes()))
}

fn token_key(hash: &str) -> String {
    format!("token.{hash}")
}

/// What is kept of a token: SHA-256 in hexadecimal. It needs no salt and no stretching, because nobody
/// can guess 256 random bits.
pub fn token_hash(token: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, token.as_bytes()).as_ref())
}

fn domain_key(domain: &str) -> String {
    format!("domain.{}", BASE64URL_NOPAD.encode(domain.as_bytes()))
}
