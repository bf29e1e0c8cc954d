//! What an account may do: the contract's five tiers.

use store::DAILY_EMAIL_LIMITS;

use crate::Config;

/// A tier's name and limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tier {
    pub(crate) name: &'static str,
    /// Active inboxes; no limit if `None`.
    pub(crate) max_inboxes: Option<i64>,
    /// Mails sent in a day (UTC).
    pub(crate) daily_email_limit: i64,
    /// Domains of its own; no limit if `None`.
    pub(crate) max_domains: Option<i64>,
}

impl Tier {
    pub(crate) fn can_send(&self) -> bool {
        self.daily_email_limit > 0
    }
}

/// The tiers, lowest first. Cloning copies them.
#[derive(Clone)]
pub(crate) struct Tiers([Tier; 5]);

impl Tiers {
    /// The highest is the operator's own, and has the limits of the configuration.
    pub(crate) fn new(config: &Config) -> Tiers {
        let tier = |name, max_inboxes, daily_email_limit, max_domains| Tier {
            name,
            max_inboxes,
            daily_email_limit,
            max_domains,
        };
        let [anonymous, free_verified, builder, pro] = DAILY_EMAIL_LIMITS;
        Tiers([
            tier("anonymous", Some(5), anonymous, Some(0)),
            tier("free_verified", Some(5), free_verified, Some(0)),
            tier("builder", Some(10), builder, Some(3)),
            tier("pro", Some(20), pro, Some(5)),
            tier("scale", config.max_inboxes, config.daily_email_limit, config.max_domains),
        ])
    }

    /// A number that is no tier has the limits of the nearest one.
    pub(crate) fn of(&self, number: i64) -> Tier {
        self.0[number.clamp(0, 4) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lowest_cannot_send() {
        let tiers = Tiers::new(&Config::default());
        assert!(!tiers.of(0).can_send());
        assert!((1..=4).all(|it| tiers.of(it).can_send()));
    }

    #[test]
    fn the_highest_is_the_operators() {
        let config = Config { max_inboxes: Some(7), ..Config::default() };
        assert_eq!(Tiers::new(&config).of(4).max_inboxes, Some(7));
        assert_eq!(Tiers::new(&config).of(3).max_inboxes, Some(20));
        assert_eq!(Tiers::new(&Config::default()).of(4).max_inboxes, None);
        assert_eq!(Tiers::new(&config).of(-1).name, "anonymous");
    }
}
