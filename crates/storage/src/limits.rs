//! The limits that an operator sets, and what the store makes of them.

use serde::{Deserialize, Deserializer};
use store::{DAILY_EMAIL_LIMITS, LimitOverrides, LimitPolicy, Limits, WarmUp};

use crate::Config;

/// What an inbox may send, by the tier of its account. A key that is left out keeps its tier's
/// default; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TierLimits {
    #[serde(deserialize_with = "over::<1, _>")]
    pub free_verified: Limits,
    #[serde(deserialize_with = "over::<2, _>")]
    pub builder: Limits,
    #[serde(deserialize_with = "over::<3, _>")]
    pub pro: Limits,
    /// The operator's own.
    #[serde(deserialize_with = "over::<4, _>")]
    pub scale: Limits,
}

/// By tier; the lowest only receives.
const DEFAULTS: [Limits; 5] = [
    limits(0, 0, 0, 0),
    limits(2, 10, 10, 10),
    limits(10, 100, 500, 100),
    limits(30, 300, 1_000, 250),
    limits(0, 0, 0, 0),
];

const fn limits(per_minute: i64, per_hour: i64, per_day: i64, new: i64) -> Limits {
    Limits { per_minute, per_hour, per_day, new_recipients_per_day: new }
}

fn over<'de, const TIER: usize, D: Deserializer<'de>>(from: D) -> Result<Limits, D::Error> {
    Ok(DEFAULTS[TIER].with(LimitOverrides::deserialize(from)?))
}

impl Default for TierLimits {
    fn default() -> TierLimits {
        let [_, free_verified, builder, pro, scale] = DEFAULTS;
        TierLimits { free_verified, builder, pro, scale }
    }
}

impl TierLimits {
    pub(crate) fn check(&self) -> Result<(), String> {
        let tiers = [
            ("free_verified", self.free_verified),
            ("builder", self.builder),
            ("pro", self.pro),
            ("scale", self.scale),
        ];
        for (tier, it) in tiers {
            let values = [
                ("per_minute", it.per_minute),
                ("per_hour", it.per_hour),
                ("per_day", it.per_day),
                ("new_recipients_per_day", it.new_recipients_per_day),
            ];
            if let Some((key, value)) = values.into_iter().find(|(_, value)| *value < 0) {
                return Err(format!("limits.{tier}.{key} = {value}: 0 is for no limit"));
            }
        }
        Ok(())
    }
}

/// How a new inbox works its way up to its limit of a day.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct WarmUpConfig {
    /// Mails in the first day; 0 for no warm-up.
    pub first_day: i64,
    /// Each day has as many times the day before.
    pub factor: f64,
}

impl Default for WarmUpConfig {
    fn default() -> WarmUpConfig {
        WarmUpConfig { first_day: 50, factor: 2.0 }
    }
}

impl WarmUpConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        let WarmUpConfig { first_day, factor } = self;
        if *first_day < 0 {
            return Err(format!("warm_up.first_day = {first_day}: 0 is for no warm-up"));
        }
        // Not so small that a day's limit never comes, nor NaN.
        if !(1.01..=100.0).contains(factor) {
            return Err(format!("warm_up.factor = {factor} is not from 1.01 to 100"));
        }
        Ok(())
    }
}

pub(crate) fn policy(config: &Config) -> LimitPolicy {
    let TierLimits { free_verified, builder, pro, scale } = config.limits;
    let WarmUpConfig { first_day, factor } = config.warm_up;
    let [anonymous, first, second, third] = DAILY_EMAIL_LIMITS.map(Some);
    LimitPolicy {
        inbox: [DEFAULTS[0], free_verified, builder, pro, scale],
        warm_up: WarmUp { first_day, factor },
        account_day: [anonymous, first, second, third, Some(config.daily_email_limit)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_tiers_default() {
        let given: TierLimits = toml::from_str("pro = { per_hour = 7 }").expect("read");
        let pro = Limits { per_hour: 7, ..DEFAULTS[3] };
        assert_eq!(given, TierLimits { pro, ..TierLimits::default() });
        let typo = toml::from_str::<TierLimits>("pro = { per_hours = 7 }").expect_err("refuse");
        assert!(typo.to_string().contains("per_hours"), "{typo}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let mut limits = TierLimits::default();
        limits.builder.per_day = -1;
        assert!(limits.check().expect_err("refuse").starts_with("limits.builder.per_day"));
        for factor in [1.0, f64::NAN, 1_000.0] {
            let warm_up = WarmUpConfig { factor, ..WarmUpConfig::default() };
            assert!(warm_up.check().expect_err("refuse").starts_with("warm_up.factor"));
        }
    }

    #[test]
    fn the_highest_tiers_day_is_configured() {
        let policy = policy(&Config { daily_email_limit: 3, ..Config::default() });
        assert!(policy.admit_to_day(4, 2).is_ok() && policy.admit_to_day(4, 3).is_err());
        assert!(policy.admit_to_day(1, 9).is_ok() && policy.admit_to_day(1, 10).is_err());
    }
}
