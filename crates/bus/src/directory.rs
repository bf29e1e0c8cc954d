//! Who takes mail: a key-value bucket that intake resolves recipients with, so that it needs no
//! database. Written whenever an inbox is made or deleted, before anybody hears of it, and put right
//! from the database by storage.

/// What an address means.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    Inbox { account_id: String, inbox_id: String },
    /// The domain is served here, the address is not.
    UnknownRecipient,
    /// The domain is not served here.
    UnknownDomain,
}

#[derive(Clone)]
pub struct Directory {}

impl Directory {
    /// `canonical` as of `mail::Address::canonical`, `domain` in lower-case A-labels.
    pub async fn resolve(&self, canonical: &str, domain: &str) -> anyhow::Result<Resolution> {
        unimplemented!()
    }

    /// From when this returns, every intake takes mail for the address.
    pub async fn add_inbox(
        &self,
        canonical: &str,
        account_id: &str,
        inbox_id: &str,
    ) -> anyhow::Result<()> {
        unimplemented!()
    }

    pub async fn remove_inbox(&self, canonical: &str) -> anyhow::Result<()> {
        unimplemented!()
    }

    pub async fn add_domain(&self, domain: &str) -> anyhow::Result<()> {
        unimplemented!()
    }
}
