use std::{fmt, net::SocketAddr};

use serde::Deserialize;
use service::{Configuration, LogFormat};

use crate::limits::{TierLimits, WarmUpConfig};

#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server; several are separated by commas.
    pub nats: String,
    /// The database: "sqlite:FILE" or "postgres://…".
    pub database: String,
    /// The domains served here. Each has the addresses postmaster@ and abuse@ (RFC 2142).
    pub domains: Vec<String>,
    /// How many days a deleted inbox and its mail are kept.
    pub purge_after_days: u32,
    /// The most mails that an account of tier 4 may send in a day (UTC). Give gateway and storage the
    /// same.
    pub daily_email_limit: i64,
    /// What an inbox may send, by the tier of its account.
    pub limits: TierLimits,
    /// How a new inbox works its way up.
    pub warm_up: WarmUpConfig,
    /// Where /healthz, /readyz and /metrics are served; nowhere if not set.
    pub admin: Option<SocketAddr>,
    /// "human" or "json".
    pub log: LogFormat,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nats: "nats://127.0.0.1:4222".to_owned(),
            database: "sqlite:.posthouse/posthouse.db".to_owned(),
            domains: vec!["posthouse.localhost".to_owned()],
            purge_after_days: 7,
            daily_email_limit: 10_000,
            limits: TierLimits::default(),
            warm_up: WarmUpConfig::default(),
            admin: None,
            log: LogFormat::Human,
        }
    }
}

impl Configuration for Config {
    fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    fn log(&self) -> LogFormat {
        self.log
    }

    fn check(&self) -> Result<(), String> {
        store::check_url(&self.database).map_err(|err| format!("database: {err}"))?;
        for domain in &self.domains {
            let address: mail::Address = format!("postmaster@{domain}")
                .parse()
                .map_err(|err| format!("domains: {domain:?} is not a domain: {err}"))?;
            if address.domain() != domain {
                let wanted = address.domain();
                return Err(format!("domains: write {domain:?} as {wanted:?}"));
            }
        }
        if self.daily_email_limit < 0 {
            let limit = self.daily_email_limit;
            return Err(format!("daily_email_limit = {limit}: at least 0 is needed"));
        }
        self.limits.check()?;
        self.warm_up.check()
    }
}

/// Without the passwords that URLs may carry.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("domains", &self.domains)
            .field("purge_after_days", &self.purge_after_days)
            .field("daily_email_limit", &self.daily_email_limit)
            .field("limits", &self.limits)
            .field("warm_up", &self.warm_up)
            .field("admin", &self.admin)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../deploy/config/posthouse-storage.toml");

    #[test]
    fn the_sample_shows_the_defaults() {
        assert!(toml::from_str::<Config>(SAMPLE).expect("read") == Config::default());
        Config::default().check().expect("valid");
    }

    #[test]
    fn the_sample_shows_every_other_key() {
        let lines = SAMPLE.lines().map(|it| it.strip_prefix("#: ").unwrap_or(it));
        let config: Config = toml::from_str(&lines.collect::<Vec<_>>().join("\n")).expect("read");
        config.check().expect("valid");
        assert!(config.admin.is_some());
    }

    #[test]
    fn what_cannot_work_is_named() {
        let domain = |it: &str| Config { domains: vec![it.to_owned()], ..Config::default() };
        for (config, key) in [
            (Config { database: "mysql:x".to_owned(), ..Config::default() }, "database"),
            (domain("a b"), "domains"),
            (domain("Example.com"), "domains"),
            (Config { daily_email_limit: -1, ..Config::default() }, "daily_email_limit"),
        ] {
            let err = config.check().expect_err(key);
            assert!(err.starts_with(key), "{err}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = Config {
            nats: "nats://user:hunter2@127.0.0.1".to_owned(),
            database: "postgres://user:hunter2@127.0.0.1/d".to_owned(),
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
