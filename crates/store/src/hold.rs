//! Mail that waits for somebody's decision: policies, allowances, canaries, holds, and what mail named.

use aws_lc_rs::digest::{SHA256, digest};
use contract::HoldReason;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::moment::{DAY, SECOND};

/// What is known of received mail for the flow of information.
pub const MENTIONED_FOR: i64 = 7 * DAY;

/// What an inbox itself wrote is known for longer: agents come back to what they wrote.
pub(crate) const WRITTEN_FOR: i64 = 90 * DAY;

/// Which mail that is or was held to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct HoldFilter<'a> {
    /// Of the hold; all without.
    pub state: Option<&'a str>,
    /// Only of these; all without.
    pub inbox_ids: Option<&'a [String]>,
    pub limit: i64,
}

/// What is done about a kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// The mail waits for somebody's decision.
    Hold,
    /// It goes, and says so.
    Warn,
    /// Nothing.
    Off,
}

/// What an account or an inbox says of the mail it sends. What it says nothing of is the account's, or
/// the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundRules {
    pub secrets: Option<Measure>,
    pub information_flow: Option<Measure>,
    pub injection: Option<Measure>,
    pub injection_threshold: Option<f64>,
    pub not_scanned: Option<Measure>,
    /// Every mail is held.
    pub approval: Option<bool>,
    pub expires_after_seconds: Option<i64>,
}

/// What holds for an inbox. Canaries hold a mail in any case: that is what they are for.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundPolicy {
    pub secrets: Measure,
    pub information_flow: Measure,
    pub injection: Measure,
    /// 0 to 1: from this score on a mail counts as one.
    pub injection_threshold: f64,
    /// Mail of which something could not be searched.
    pub not_scanned: Measure,
    pub approval: bool,
    /// How long a mail waits for a decision.
    pub expires_after_seconds: i64,
}

impl Default for OutboundPolicy {
    fn default() -> OutboundPolicy {
        OutboundPolicy {
            secrets: Measure::Hold,
            information_flow: Measure::Hold,
            injection: Measure::Warn,
            injection_threshold: 0.8,
            not_scanned: Measure::Warn,
            approval: false,
            expires_after_seconds: 72 * 3_600,
        }
    }
}

impl OutboundPolicy {
    /// Each of the rules over what comes before it.
    #[must_use]
    pub fn under(self, rules: &OutboundRules) -> OutboundPolicy {
        OutboundPolicy {
            secrets: rules.secrets.unwrap_or(self.secrets),
            information_flow: rules.information_flow.unwrap_or(self.information_flow),
            injection: rules.injection.unwrap_or(self.injection),
            injection_threshold: rules.injection_threshold.unwrap_or(self.injection_threshold),
            not_scanned: rules.not_scanned.unwrap_or(self.not_scanned),
            approval: rules.approval.unwrap_or(self.approval),
            expires_after_seconds: rules
                .expires_after_seconds
                .unwrap_or(self.expires_after_seconds),
        }
    }

    pub fn expires_after(&self) -> i64 {
        self.expires_after_seconds.saturating_mul(SECOND)
    }
}

/// Whose rules.
#[derive(Clone, Copy, Debug)]
pub struct RulesOf<'a> {
    pub account_id: &'a str,
    /// `None` for what the account says of all its inboxes.
    pub inbox_id: Option<&'a str>,
}

/// That a recipient may be sent to although there is a reason of this kind to hold the mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowance {
    pub id: String,
    /// `None` for all inboxes of the account.
    pub inbox_id: Option<String>,
    /// An address or a domain, in lower case.
    pub recipient: String,
    /// `None` for every kind but canaries.
    pub kind: Option<String>,
    pub note: String,
    pub created_at: i64,
    /// The token it was made with.
    pub created_by: String,
}

impl Allowance {
    pub fn covers(&self, kind: &str, address: &str) -> bool {
        let address = address.to_lowercase();
        let domain = address.rsplit_once('@').map_or("", |(_, it)| it);
        self.kind.as_deref().is_none_or(|it| it == kind)
            && (self.recipient == address || self.recipient == domain)
    }
}

/// What must never be sent, and is there to be noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    pub id: String,
    pub kind: String,
    pub label: String,
    pub token: String,
    pub created_at: i64,
    /// Mails that were held because of it.
    pub hits: i64,
    pub last_hit_at: Option<i64>,
}

/// What was found out about a mail before it is entered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrutiny {
    /// It is not to go before somebody has approved it.
    pub hold: Option<NewHold>,
    /// Items it names, which are no news to its inbox from now on.
    pub items: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewHold {
    pub reasons: Vec<HoldReason>,
    /// From now on.
    pub expires_after: i64,
    /// The canaries among the reasons.
    pub canary_ids: Vec<String>,
}

/// Who decides on a held mail, and what he says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    pub by: String,
    pub note: Option<String>,
    /// What he has seen: another content is not what he decides on.
    pub sha256: Option<String>,
}

/// What a decision came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// Now or by an earlier call. The mail has this status.
    Done { status: String },
    /// It is in this state and nothing more can be decided.
    TooLate { state: String, status: String },
    /// The mail has another content, with this SHA-256.
    Differs { sha256: String },
    /// The mail was never held.
    NotHeld { status: String },
    /// The account sent no such email.
    Unknown,
}

/// What received mail named.
#[derive(Clone, Debug, PartialEq)]
pub struct Mentions {
    pub inbox_id: String,
    pub email_id: String,
    pub trusted: bool,
    pub suspicious: bool,
    /// `mail::Mention::item` of each.
    pub items: Vec<i64>,
}

/// One mail that named an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Mentioned {
    pub item: i64,
    pub email_id: String,
    pub trusted: bool,
    pub suspicious: bool,
    pub at: i64,
    /// The thread it is in now; empty for a mail that is gone or was sent.
    pub thread_id: String,
    pub from: String,
}

pub(crate) fn sha256(octets: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, octets).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_inbox_says_comes_before_what_its_account_says() {
        let account = OutboundRules {
            secrets: Some(Measure::Warn),
            approval: Some(true),
            ..OutboundRules::default()
        };
        let inbox = OutboundRules { approval: Some(false), ..OutboundRules::default() };
        let policy = OutboundPolicy::default().under(&account).under(&inbox);
        let expected = OutboundPolicy { secrets: Measure::Warn, ..OutboundPolicy::default() };
        assert_eq!(policy, expected);
    }

    #[test]
    fn an_allowance_is_for_a_kind_and_an_address_or_a_domain() {
        let allowance = |recipient: &str, kind: Option<&str>| Allowance {
            id: String::new(),
            inbox_id: None,
            recipient: recipient.to_owned(),
            kind: kind.map(str::to_owned),
            note: String::new(),
            created_at: 0,
            created_by: String::new(),
        };
        let of_domain = allowance("x.test", Some("secret"));
        assert!(of_domain.covers("secret", "Ada@X.test"));
        assert!(!of_domain.covers("secret", "ada@y.x.test"));
        assert!(!of_domain.covers("injection", "ada@x.test"));
        let of_address = allowance("ada@x.test", None);
        assert!(of_address.covers("injection", "ADA@x.test"));
        assert!(!of_address.covers("injection", "bob@x.test"));
    }
}
