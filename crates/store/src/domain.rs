//! A domain that an account brought with it, and the keys its mail is signed with.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rsa,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::{Error, Vault, moment::DAY};

/// How long the records of retired keys have to stay.
const RETIRED_FOR: i64 = 7 * DAY;

/// Behind the selector of the RSA key, for the other one: two keys under one name would be one too
/// many (RFC 6376 section 3.6.2.2).
const ED25519_SUFFIX: &str = "-ed25519";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DomainStatus {
    PendingVerification,
    Verified,
    /// It was not verified in time, or its ownership record is gone.
    Failed,
}

impl DomainStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            DomainStatus::PendingVerification => "pending_verification",
            DomainStatus::Verified => "verified",
            DomainStatus::Failed => "failed",
        }
    }

    pub(crate) fn of(text: &str) -> Option<DomainStatus> {
        [DomainStatus::PendingVerification, DomainStatus::Verified, DomainStatus::Failed]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    pub id: String,
    pub account_id: String,
    /// In lower case and A-labels.
    pub domain: String,
    pub status: DomainStatus,
    /// None before the first look.
    pub checks: Vec<RecordCheck>,
    pub dkim_selector: String,
    /// SubjectPublicKeyInfo, DER.
    pub rsa_public: Vec<u8>,
    /// The bare key, 32 octets (RFC 8463).
    pub ed25519_public: Vec<u8>,
    pub created_at: i64,
    pub verified_at: Option<i64>,
    pub checked_at: Option<i64>,
    /// How often in a row a verified domain's ownership record was gone.
    pub misses: i64,
    /// The keys that sign once their records are there. Loaded with one domain and with those of an
    /// account, as are `retired`.
    pub next_keys: Option<PublicKeys>,
    /// Those that signed before, oldest first, for some weeks.
    pub retired_keys: Vec<PublicKeys>,
}

impl Domain {
    /// The selectors and the texts of the two DKIM records: RSA, Ed25519.
    pub fn dkim_records(&self) -> [(String, String); 2] {
        dkim_records(&self.dkim_selector, &self.rsa_public, &self.ed25519_public)
    }
}

/// What receivers know of a pair of DKIM keys.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicKeys {
    pub selector: String,
    pub rsa_public: Vec<u8>,
    pub ed25519_public: Vec<u8>,
    /// Since when they are what they are: next, or retired.
    pub since: i64,
}

impl PublicKeys {
    /// As of a domain.
    pub fn dkim_records(&self) -> [(String, String); 2] {
        dkim_records(&self.selector, &self.rsa_public, &self.ed25519_public)
    }

    /// When the records of retired keys may go: mail that they signed is under way for up to five days
    /// (RFC 5321 section 4.5.4.1).
    pub fn removable_at(&self) -> i64 {
        self.since + RETIRED_FOR
    }
}

/// The selectors of a pair of keys: RSA, Ed25519.
pub fn dkim_selectors(selector: &str) -> [String; 2] {
    [selector.to_owned(), ed25519_selector(selector)]
}

fn dkim_records(selector: &str, rsa: &[u8], ed25519: &[u8]) -> [(String, String); 2] {
    let text = |kind, key: &[u8]| format!("v=DKIM1; k={kind}; p={}", BASE64.encode(key));
    let [of_rsa, of_ed25519] = dkim_selectors(selector);
    [(of_rsa, text("rsa", rsa)), (of_ed25519, text("ed25519", ed25519))]
}

/// What asking for new keys came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Rotation {
    /// They are its `next_keys`, or others are that were asked for before.
    Awaited(Box<Domain>),
    /// The selector's last keys are retired, but mail that they signed may still be under way.
    TooSoon(PublicKeys),
    /// The account has no such domain.
    Gone,
}

pub(crate) fn ed25519_selector(selector: &str) -> String {
    format!("{selector}{ED25519_SUFFIX}")
}

/// What a look at one DNS record found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RecordCheck {
    /// Which record.
    pub name: String,
    pub status: String,
    /// For people.
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct NewDomain {
    pub id: String,
    pub account_id: String,
    pub domain: String,
    pub dkim_selector: String,
    /// When to look at its records for the first time.
    pub next_check_at: i64,
    /// The most domains the account may have; no limit if `None`.
    pub max_domains: Option<i64>,
}

/// What adding a domain came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Added {
    Domain(Domain),
    /// The account had added it before.
    Known(Domain),
    /// It is verified, and another account's.
    Taken,
    LimitReached,
}

/// What a look at a domain's records came to.
#[derive(Clone, Debug)]
pub struct Checked {
    pub status: DomainStatus,
    pub checks: Vec<RecordCheck>,
    pub misses: i64,
    /// Not again by itself if `None`.
    pub next_check_at: Option<i64>,
}

/// What recording a look came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    Domain(Box<Domain>),
    /// It cannot become verified: it is, and another account's. Nothing changed.
    Taken,
    /// It was deleted meanwhile.
    Gone,
}

/// What mail of a domain is signed with; PKCS#8, in the clear.
#[derive(Clone)]
pub struct SigningKeys {
    pub domain: String,
    pub rsa_selector: String,
    pub rsa_pkcs8: Vec<u8>,
    pub ed25519_selector: String,
    pub ed25519_pkcs8: Vec<u8>,
}

/// A new pair of DKIM keys, RSA-2048 and Ed25519.
pub struct DomainKeys {
    rsa_pkcs8: Vec<u8>,
    rsa_public: Vec<u8>,
    ed25519_pkcs8: Vec<u8>,
    ed25519_public: Vec<u8>,
}

/// As they go into the database.
pub(crate) struct SealedKeys {
    pub(crate) rsa: Vec<u8>,
    pub(crate) rsa_public: Vec<u8>,
    pub(crate) ed25519: Vec<u8>,
    pub(crate) ed25519_public: Vec<u8>,
}

impl DomainKeys {
    /// Takes a good part of a second: not for a thread that serves others.
    pub fn generate() -> Result<DomainKeys, Error> {
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| Error::Keys)?;
        let rsa_pkcs8: Pkcs8V1Der<'_> = rsa.as_der().map_err(|_| Error::Keys)?;
        let rsa_public: PublicKeyX509Der<'_> =
            rsa.public_key().as_der().map_err(|_| Error::Keys)?;
        let ed25519 = Ed25519KeyPair::generate().map_err(|_| Error::Keys)?;
        let ed25519_pkcs8 = ed25519.to_pkcs8().map_err(|_| Error::Keys)?;
        Ok(DomainKeys {
            rsa_pkcs8: rsa_pkcs8.as_ref().to_vec(),
            rsa_public: rsa_public.as_ref().to_vec(),
            ed25519_pkcs8: ed25519_pkcs8.as_ref().to_vec(),
            ed25519_public: ed25519.public_key().as_ref().to_vec(),
        })
    }

    pub(crate) fn sealed(&self, vault: &Vault, domain_id: &str) -> Result<SealedKeys, Error> {
        Ok(SealedKeys {
            rsa: vault.seal(&rsa_name(domain_id), &self.rsa_pkcs8)?,
            rsa_public: self.rsa_public.clone(),
            ed25519: vault.seal(&ed25519_name(domain_id), &self.ed25519_pkcs8)?,
            ed25519_public: self.ed25519_public.clone(),
        })
    }
}

pub(crate) fn rsa_name(domain_id: &str) -> String {
    format!("{domain_id}/rsa")
}

pub(crate) fn ed25519_name(domain_id: &str) -> String {
    format!("{domain_id}/ed25519")
}
