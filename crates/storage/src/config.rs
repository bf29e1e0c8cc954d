use std::{fmt, net::SocketAddr};

use serde::Deserialize;
use service::{Configuration, LogFormat};

#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server; several are separated by commas.
    pub nats: String,
    /// The database: "sqlite:FILE" or "postgres://…".
    pub database: String,
    /// The domains served here. Each has the addresses postmaster@ and abuse@ (RFC 2142).
    pub domains: Vec<String>,
    /// The domains of those who pass on complaints of readers elsewhere, or of several domains. What
    /// DMARC proves to come from them counts without our return path (RFC 5965).
    pub complaint_reporters: Vec<String>,
    /// An address that complained about mail of so many accounts gets no mail from anybody; 0 for
    /// never.
    pub complaints_for_all: u32,
    /// How many days a deleted inbox and its mail are kept.
    pub purge_after_days: u32,
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
            complaint_reporters: ["yahoo.com", "hotmail.com", "senderscore.net", "mail.ru"]
                .map(str::to_owned)
                .to_vec(),
            complaints_for_all: 3,
            purge_after_days: 7,
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
        for domain in &self.complaint_reporters {
            let address = format!("fbl@{domain}").parse::<mail::Address>();
            if !address.is_ok_and(|it| it.domain() == domain) {
                return Err(format!("complaint_reporters: {domain:?} is no domain in lower case"));
            }
        }
        Ok(())
    }
}

/// Without the passwords that URLs may carry.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("domains", &self.domains)
            .field("complaint_reporters", &self.complaint_reporters)
            .field("complaints_for_all", &self.complaints_for_all)
            .field("purge_after_days", &self.purge_after_days)
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
            (Config { complaint_reporters: vec!["Yahoo.com".to_owned()], ..Config::default() }, {
                "complaint_reporters"
            }),
            (domain("a b"), "domains"),
            (domain("Example.com"), "domains"),
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
