//! What an operator has done with received mail where accounts have set nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use store::{FLAGS, ScreeningAction, ScreeningPolicy, Threshold};

/// See `store::ScreeningPolicy`. A flag that is left out keeps its default.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ScreeningConfig {
    pub warn_at: Threshold,
    pub quarantine_at: Threshold,
    pub first_contact: ScreeningAction,
    pub unauthenticated: ScreeningAction,
    pub flags: BTreeMap<String, ScreeningAction>,
}

impl Default for ScreeningConfig {
    fn default() -> ScreeningConfig {
        let ScreeningPolicy { warn_at, quarantine_at, first_contact, unauthenticated, flags } =
            ScreeningPolicy::default();
        ScreeningConfig { warn_at, quarantine_at, first_contact, unauthenticated, flags }
    }
}

impl ScreeningConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.flags.keys().find(|it| !FLAGS.contains(&it.as_str())) {
            None => Ok(()),
            Some(flag) => {
                Err(format!("flags: there is no flag {flag:?}; give some of {}", FLAGS.join(", ")))
            }
        }
    }

    pub(crate) fn policy(&self) -> ScreeningPolicy {
        let mut flags = ScreeningPolicy::default().flags;
        flags.extend(self.flags.clone());
        ScreeningPolicy {
            warn_at: self.warn_at,
            quarantine_at: self.quarantine_at,
            first_contact: self.first_contact,
            unauthenticated: self.unauthenticated,
            flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let config: ScreeningConfig =
            toml::from_str("quarantine_at = 0.95\nflags.not_scanned = 'quarantine'").expect("read");
        config.check().expect("valid");
        let policy = config.policy();
        assert_eq!(policy.quarantine_at, Threshold::At(0.95));
        assert_eq!(policy.flags["not_scanned"], ScreeningAction::Quarantine);
        assert_eq!(policy.flags["phishing_url"], ScreeningAction::Warn);
        assert_eq!(ScreeningConfig::default().policy(), ScreeningPolicy::default());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in ["warn_at = 2.0", "warn_at = 'x'", "drop = 1", "flags.phishing_url = 'drop'"] {
            toml::from_str::<ScreeningConfig>(text).expect_err(text);
        }
        let config: ScreeningConfig = toml::from_str("flags.phishing = 'warn'").expect("read");
        assert!(config.check().expect_err("refuse").contains("phishing_url"));
    }
}
