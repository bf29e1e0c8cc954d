//! What keeps an account from sending to an address.

use std::collections::BTreeMap;

use sqlx::{Row as _, any::AnyRow};

use crate::{
    moment::{DAY, now},
    sql,
};

/// As many keep mail from an address.
pub(crate) const MOST_STRIKES: i64 = 3;

/// How long what may pass counts, such as a full mailbox.
const COUNTED_FOR: i64 = 14 * DAY;
/// Addresses and domains come back, too.
pub(crate) const SUPPRESSED_FOR: i64 = 180 * DAY;
/// As much of what a host said is kept.
const MAX_EVIDENCE: usize = 1_000;

/// The class of the mail crate that counts for everybody after repeats.
pub(crate) const COMPLAINT: &str = "complaint";

/// Whose mail is kept from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Account,
    /// Everybody's.
    Global,
}

impl Scope {
    /// As the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Account => "account",
            Scope::Global => "global",
        }
    }
}

/// How much a piece of evidence counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A fact about the address: it is suppressed for half a year.
    Fact,
    /// The third within two weeks suppresses, until the first of them is two weeks old.
    Strike,
    /// The wish of a person: until it is lifted.
    Wish,
}

/// Something that speaks against sending to an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub account_id: String,
    pub address: String,
    /// What it comes from: the identifier of a mail, with something after a "/" where the mail is the
    /// source of several, or that of a wish. The same again changes nothing, even if it has been
    /// lifted.
    pub source: String,
    /// A class of the mail crate, or "manual".
    pub reason: String,
    /// What was said.
    pub evidence: String,
    pub weight: Weight,
}

/// An address that gets no mail from an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Suppression {
    pub address: String,
    pub scope: Scope,
    pub reason: String,
    pub evidence: String,
    /// As `Evidence::source`; empty for a global one.
    pub source: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

/// A piece of evidence on record.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    pub reason: String,
    pub evidence: String,
    pub source: String,
    /// Of the three that suppress.
    pub strikes: i64,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub lifted_at: Option<i64>,
    /// An account, or "new inbox": the address came into being here.
    pub lifted_by: Option<String>,
}

/// The mail that a piece of evidence comes from.
pub fn email_of(source: &str) -> Option<&str> {
    source.split('/').next().filter(|it| it.starts_with("eml_"))
}

/// An address as suppressions name it. Only the account's own domains know more of what is the same.
pub(crate) fn key(address: &str) -> String {
    sql::text(&address.trim().to_lowercase())
}

impl Evidence {
    pub(crate) fn strikes(&self) -> i64 {
        if self.weight == Weight::Strike { 1 } else { MOST_STRIKES }
    }

    pub(crate) fn expires_at(&self) -> Option<i64> {
        match self.weight {
            Weight::Fact => Some(now() + SUPPRESSED_FOR),
            Weight::Strike => Some(now() + COUNTED_FOR),
            Weight::Wish => None,
        }
    }

    pub(crate) fn cut(&self) -> &str {
        &self.evidence[..self.evidence.floor_char_boundary(MAX_EVIDENCE)]
    }
}

/// The suppressed addresses among rows that are in force, each with its strongest evidence.
pub(crate) fn gather(rows: &[AnyRow]) -> sqlx::Result<Vec<Suppression>> {
    let mut found: BTreeMap<String, (i64, i64, Suppression)> = BTreeMap::new();
    for row in rows {
        let strikes: i64 = row.try_get("strikes")?;
        let it = Suppression {
            address: row.try_get("address")?,
            scope: Scope::Account,
            reason: row.try_get("reason")?,
            evidence: row.try_get("evidence")?,
            source: row.try_get("source")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
        };
        let known = found.entry(it.address.clone()).or_insert_with(|| (0, strikes, it.clone()));
        known.0 += strikes;
        if (strikes, it.created_at) > (known.1, known.2.created_at) {
            (known.1, known.2) = (strikes, it);
        }
    }
    let suppressed = found.into_values().filter(|it| it.0 >= MOST_STRIKES);
    Ok(suppressed.map(|(_, _, it)| it).collect())
}
