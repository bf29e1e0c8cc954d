//! Who takes mail, and whose tokens are good: a key-value bucket that intake resolves recipients and
//! checks logins with, so that it needs no database. Written whenever an inbox or an account is made
//! or an inbox deleted, before anybody hears of it, and put right from the database by storage.

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use contract::Grant;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use crate::Bucket;

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

/// A token that lets its account in.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownToken {
    pub account_id: String,
    pub grant: Grant,
}

#[derive(Clone)]
pub struct Directory {
    bucket: Bucket,
}

impl Directory {
    pub(crate) fn new(bucket: Bucket) -> Directory {
        Directory { bucket }
    }

    /// `canonical` as of `mail::Address::canonical`, `domain` in lower-case A-labels.
    pub async fn resolve(&self, canonical: &str, domain: &str) -> anyhow::Result<Resolution> {
        if let Some((account_id, inbox_id)) = self.inbox(canonical).await? {
            return Ok(Resolution::Inbox { account_id, inbox_id });
        }
        match self.get(&domain_key(domain)).await? {
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
        self.put(&address_key(canonical), format!("{account_id} {inbox_id}")).await
    }

    /// From when this returns, no intake takes mail for the address.
    pub async fn remove_inbox(&self, canonical: &str) -> anyhow::Result<()> {
        self.bucket.remove(&address_key(canonical)).await
    }

    pub async fn add_domain(&self, domain: &str) -> anyhow::Result<()> {
        let key = domain_key(domain);
        if self.get(&key).await?.is_some() {
            return Ok(());
        }
        self.put(&key, domain.to_owned()).await
    }

    /// From when this returns, strangers hear that the domain is not served here.
    pub async fn remove_domain(&self, domain: &str) -> anyhow::Result<()> {
        self.bucket.remove(&domain_key(domain)).await
    }

    /// Whose token has this hash, and what it may do. Whoever asks looks whether it has expired.
    pub async fn token(&self, token_hash: &str) -> anyhow::Result<Option<KnownToken>> {
        let Some(entry) = self.get(&token_key(token_hash)).await? else { return Ok(None) };
        let (account_id, grant) = match entry.split_once(' ') {
            Some((account_id, grant)) => {
                (account_id, serde_json::from_str(grant).context("read what a token may do")?)
            }
            None => (&*entry, Grant::default()),
        };
        Ok(Some(KnownToken { account_id: account_id.to_owned(), grant }))
    }

    /// From when this returns, every intake lets the account in with the token.
    pub async fn add_token(
        &self,
        token_hash: &str,
        account_id: &str,
        grant: &Grant,
    ) -> anyhow::Result<()> {
        let entry = if *grant == Grant::default() {
            account_id.to_owned()
        } else {
            let grant = serde_json::to_string(grant).context("write what a token may do")?;
            format!("{account_id} {grant}")
        };
        let key = token_key(token_hash);
        if self.get(&key).await?.as_ref() == Some(&entry) {
            return Ok(());
        }
        self.put(&key, entry).await
    }

    /// From when this returns, no intake lets anybody in with the token.
    pub async fn remove_token(&self, token_hash: &str) -> anyhow::Result<()> {
        let key = token_key(token_hash);
        match self.get(&key).await? {
            Some(_) => self.bucket.remove(&key).await,
            None => Ok(()),
        }
    }

    async fn inbox(&self, canonical: &str) -> anyhow::Result<Option<(String, String)>> {
        let Some(entry) = self.get(&address_key(canonical)).await? else { return Ok(None) };
        let (account_id, inbox_id) =
            entry.split_once(' ').with_context(|| format!("read directory entry {entry:?}"))?;
        Ok(Some((account_id.to_owned(), inbox_id.to_owned())))
    }

    async fn get(&self, key: &str) -> anyhow::Result<Option<String>> {
        let entry = self.bucket.get(key).await?;
        entry.map(|it| String::from_utf8(it.into()).context("read directory entry")).transpose()
    }

    async fn put(&self, key: &str, value: String) -> anyhow::Result<()> {
        self.bucket.put(key, value.into()).await
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
