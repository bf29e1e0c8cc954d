//! What an inbox's policy makes of received mail: deliver it, deliver it with a warning, or keep it in
//! quarantine. Nothing is ever dropped.

use std::collections::BTreeMap;

use contract::{EmailDecision, EmailSecurity, RISK_THRESHOLD, SecurityReason};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SenderList;

/// The flags that a policy can name.
pub const FLAGS: [&str; 10] = [
    "encoded_payload",
    "exfiltration_link",
    "fence_escape",
    "hidden_text",
    NOT_SCANNED,
    "phishing_url",
    "prompt_injection",
    "social_engineering",
    "spoofed_sender",
    "unicode_smuggling",
];

const NOT_SCANNED: &str = "not_scanned";

/// No allow list silences these. Nobody writes the first two by accident, a known sender's account can be
/// taken over, and of the third nobody knows what it says.
const NEVER_SILENCED: [&str; 3] = ["fence_escape", "unicode_smuggling", NOT_SCANNED];

/// What is done with a mail; the later, the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScreeningAction {
    #[default]
    Deliver,
    Warn,
    Quarantine,
}

/// The score from which something is done.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Threshold {
    At(f64),
    Never,
}

impl Threshold {
    fn is_reached(self, score: f64) -> bool {
        matches!(self, Threshold::At(from) if score >= from)
    }
}

impl TryFrom<Value> for Threshold {
    type Error = String;

    fn try_from(value: Value) -> Result<Threshold, String> {
        match (value.as_f64(), value.as_str()) {
            (Some(from), _) if (0.0..=1.0).contains(&from) => Ok(Threshold::At(from)),
            (_, Some("never")) => Ok(Threshold::Never),
            _ => Err(format!("{value} is not accepted: give a number from 0 to 1, or \"never\"")),
        }
    }
}

impl From<Threshold> for Value {
    fn from(threshold: Threshold) -> Value {
        match threshold {
            Threshold::At(from) => from.into(),
            Threshold::Never => "never".into(),
        }
    }
}

/// What an account or an inbox has set. What is not set is inherited: from the account, and there from the
/// operator.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScreeningSettings {
    pub warn_at: Option<Threshold>,
    pub quarantine_at: Option<Threshold>,
    pub first_contact: Option<ScreeningAction>,
    pub unauthenticated: Option<ScreeningAction>,
    /// By flag.
    pub flags: BTreeMap<String, Option<ScreeningAction>>,
}

impl ScreeningSettings {
    /// Whether all it names exists, or what does not.
    pub fn check(&self) -> Result<(), String> {
        match self.flags.keys().find(|it| !FLAGS.contains(&it.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(format!(
                "flags: there is no flag {unknown:?}; give some of {}",
                FLAGS.join(", ")
            )),
        }
    }
}

/// A policy in which everything is set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScreeningPolicy {
    /// The injection risk score from which a mail is delivered with a warning.
    pub warn_at: Threshold,
    /// The one from which it is quarantined.
    pub quarantine_at: Threshold,
    /// Mail of senders that the inbox neither heard from nor wrote to.
    pub first_contact: ScreeningAction,
    /// Mail whose From domain does not stand for it.
    pub unauthenticated: ScreeningAction,
    /// By flag; one that is not named is delivered.
    pub flags: BTreeMap<String, ScreeningAction>,
}

impl Default for ScreeningPolicy {
    fn default() -> ScreeningPolicy {
        let warned = [NOT_SCANNED, "phishing_url", "spoofed_sender"];
        let action = |flag: &str| match warned.contains(&flag) {
            true => ScreeningAction::Warn,
            false => ScreeningAction::Deliver,
        };
        ScreeningPolicy {
            warn_at: Threshold::At(RISK_THRESHOLD),
            quarantine_at: Threshold::Never,
            first_contact: ScreeningAction::Deliver,
            unauthenticated: ScreeningAction::Deliver,
            flags: FLAGS.iter().map(|it| ((*it).to_owned(), action(it))).collect(),
        }
    }
}

impl ScreeningPolicy {
    /// With what is set there.
    pub fn with(mut self, settings: &ScreeningSettings) -> ScreeningPolicy {
        self.warn_at = settings.warn_at.unwrap_or(self.warn_at);
        self.quarantine_at = settings.quarantine_at.unwrap_or(self.quarantine_at);
        self.first_contact = settings.first_contact.unwrap_or(self.first_contact);
        self.unauthenticated = settings.unauthenticated.unwrap_or(self.unauthenticated);
        for (flag, action) in &settings.flags {
            if let Some(action) = action {
                self.flags.insert(flag.clone(), *action);
            }
        }
        self
    }
}

/// What a policy goes by.
pub(crate) struct Evidence<'a> {
    pub(crate) score: f64,
    pub(crate) flags: Vec<&'a str>,
    pub(crate) is_first_contact: bool,
    pub(crate) is_authenticated: bool,
    /// The list that the sender is on, and by which entry. On one to allow only if he is authenticated.
    pub(crate) listed: Option<(SenderList, &'a str)>,
}

/// Whether a sender who is allowed is believed in spite of these flags.
pub fn is_silenced<'a>(mut flags: impl Iterator<Item = &'a str>) -> bool {
    flags.all(|it| !NEVER_SILENCED.contains(&it))
}

/// What is done, and by which rules: those of the strictest action.
pub(crate) fn decide(
    policy: &ScreeningPolicy,
    evidence: &Evidence<'_>,
) -> (ScreeningAction, Vec<String>) {
    use ScreeningAction::{Deliver, Quarantine, Warn};
    let mut rules: Vec<(ScreeningAction, String)> = Vec::new();
    for (action, threshold, rule) in
        [(Warn, policy.warn_at, "warnAt"), (Quarantine, policy.quarantine_at, "quarantineAt")]
    {
        if threshold.is_reached(evidence.score) {
            rules.push((action, rule.to_owned()));
        }
    }
    for flag in &evidence.flags {
        let action = policy.flags.get(*flag).copied().unwrap_or_default();
        rules.push((action, format!("flags.{flag}")));
    }
    if evidence.is_first_contact {
        rules.push((policy.first_contact, "firstContact".to_owned()));
    }
    if !evidence.is_authenticated {
        rules.push((policy.unauthenticated, "unauthenticated".to_owned()));
    }
    match evidence.listed {
        Some((SenderList::Block, entry)) => rules.push((Quarantine, format!("block:{entry}"))),
        Some((SenderList::Allow, entry)) if is_silenced(evidence.flags.iter().copied()) => {
            return (Deliver, vec![format!("allow:{entry}")]);
        }
        _ => (),
    }
    let action = rules.iter().map(|it| it.0).max().unwrap_or_default();
    rules.retain(|it| it.0 == action && action > Deliver);
    (action, rules.into_iter().map(|it| it.1).collect())
}

/// What became of a copy of a mail, as it is kept with it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Screening {
    pub(crate) action: ScreeningAction,
    pub(crate) rules: Vec<String>,
    pub(crate) is_first_contact: bool,
    pub(crate) is_authenticated: bool,
    /// What the inbox itself has against the mail, besides the scanner's verdict.
    pub(crate) reasons: Vec<SecurityReason>,
    /// The score that it has together with mails before it.
    pub(crate) raised_to: Option<f64>,
    pub(crate) decision: Option<EmailDecision>,
}

impl Screening {
    pub(crate) fn is_hidden(&self) -> bool {
        self.action == ScreeningAction::Quarantine
    }

    /// Adds what is of this copy only to the verdict on the mail.
    pub(crate) fn show(&self, security: &mut EmailSecurity) {
        for reason in &self.reasons {
            if !security.flags.contains(&reason.flag) {
                security.flags.push(reason.flag.clone());
            }
        }
        security.reasons.extend(self.reasons.iter().cloned());
        let score = security.injection_risk_score;
        security.injection_risk_score = self.raised_to.map_or(score, |it| it.max(score));
        security.action = Some(
            match self.action {
                ScreeningAction::Deliver => "delivered",
                ScreeningAction::Warn => "warned",
                ScreeningAction::Quarantine => "quarantined",
            }
            .to_owned(),
        );
        security.rules.clone_from(&self.rules);
        security.first_contact = Some(self.is_first_contact);
    }
}

#[cfg(test)]
mod tests {
    use ScreeningAction::{Deliver, Quarantine, Warn};

    use super::*;

    fn evidence(score: f64, flags: &[&'static str]) -> Evidence<'static> {
        Evidence {
            score,
            flags: flags.to_vec(),
            is_first_contact: true,
            is_authenticated: false,
            listed: None,
        }
    }

    #[track_caller]
    fn check(
        policy: &ScreeningPolicy,
        evidence: &Evidence<'_>,
        action: ScreeningAction,
        rules: &[&str],
    ) {
        let decided = decide(policy, evidence);
        assert_eq!(decided, (action, rules.iter().map(|it| (*it).to_owned()).collect()));
    }

    #[test]
    fn by_default_risky_mail_is_warned_of_and_none_is_kept_back() {
        let policy = ScreeningPolicy::default();
        check(&policy, &evidence(0.49, &[]), Deliver, &[]);
        check(&policy, &evidence(0.5, &["prompt_injection"]), Warn, &["warnAt"]);
        check(&policy, &evidence(1.0, &["fence_escape"]), Warn, &["warnAt"]);
        check(&policy, &evidence(0.0, &["spoofed_sender"]), Warn, &["flags.spoofed_sender"]);
        let both = ["warnAt", "flags.not_scanned"];
        check(&policy, &evidence(0.5, &["not_scanned"]), Warn, &both);
    }

    #[test]
    fn the_strictest_rules_count() {
        let policy = ScreeningPolicy {
            quarantine_at: Threshold::At(0.8),
            unauthenticated: Quarantine,
            first_contact: Warn,
            ..ScreeningPolicy::default()
        };
        let all = ["quarantineAt", "unauthenticated"];
        check(&policy, &evidence(0.8, &["phishing_url"]), Quarantine, &all);
        let known = Evidence { is_authenticated: true, ..evidence(0.7, &[]) };
        check(&policy, &known, Warn, &["warnAt", "firstContact"]);
    }

    #[test]
    fn settings_override_what_they_name() {
        let settings = ScreeningSettings {
            quarantine_at: Some(Threshold::At(0.9)),
            flags: [("not_scanned".to_owned(), Some(Quarantine)), ("hidden_text".to_owned(), None)]
                .into(),
            ..ScreeningSettings::default()
        };
        let policy = ScreeningPolicy::default().with(&settings);
        assert_eq!(policy.warn_at, Threshold::At(0.5));
        assert_eq!(policy.flags["hidden_text"], Deliver);
        check(&policy, &evidence(0.5, &["not_scanned"]), Quarantine, &["flags.not_scanned"]);
    }

    #[test]
    fn a_list_overrules_the_policy() {
        let policy =
            ScreeningPolicy { quarantine_at: Threshold::At(0.8), ..ScreeningPolicy::default() };
        let listed = |list, score, flags: &[&'static str]| Evidence {
            listed: Some((list, "a.example")),
            ..evidence(score, flags)
        };
        let allowed = ["allow:a.example"];
        check(&policy, &listed(SenderList::Allow, 0.99, &["prompt_injection"]), Deliver, &allowed);
        for flag in NEVER_SILENCED {
            let (action, rules) = decide(&policy, &listed(SenderList::Allow, 0.99, &[flag]));
            assert_eq!((action, &*rules), (Quarantine, &["quarantineAt".to_owned()][..]), "{flag}");
        }
        check(&policy, &listed(SenderList::Block, 0.0, &[]), Quarantine, &["block:a.example"]);
    }

    #[test]
    fn what_is_no_threshold_is_named() {
        let read = |text: &str| serde_json::from_str::<ScreeningSettings>(text);
        let settings =
            read(r#"{"warnAt": 0, "quarantineAt": "never", "flags": {}}"#).expect("read");
        assert_eq!(settings.warn_at, Some(Threshold::At(0.0)));
        assert_eq!(settings.quarantine_at, Some(Threshold::Never));
        assert_eq!(read(r#"{"warnAt": null}"#).expect("read").warn_at, None);
        for text in [r#"{"warnAt": 1.1}"#, r#"{"warnAt": -1}"#, r#"{"warnAt": "0.5"}"#] {
            let err = read(text).expect_err(text).to_string();
            assert!(err.contains("a number from 0 to 1, or \"never\""), "{err}");
        }
        read(r#"{"warnat": 1}"#).expect_err("an unknown field");
        read(r#"{"flags": {"phishing_url": "drop"}}"#).expect_err("no such action");
        let settings = read(r#"{"flags": {"phishing": "warn"}}"#).expect("read");
        assert!(settings.check().expect_err("refuse").contains("phishing_url"));
    }
}
