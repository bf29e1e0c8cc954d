use std::{fmt, net::SocketAddr};

use serde::Deserialize;
use service::{Configuration, LogFormat, TracesConfig};

/// A webhook is one replica's alone for a minute at a time, which has to be longer than an attempt.
const LONGEST_TIMEOUT: u64 = 30;

/// The settings of `posthouse-webhooks`, each with its default.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server.
    pub nats: String,
    /// How to log in at NATS; not at all if it asks nobody.
    pub nats_login: bus::Login,
    /// The database, `sqlite:` or `postgres:`.
    pub database: String,
    /// How long an attempt may take, from looking the name up to the end of the answer.
    pub timeout_seconds: u64,
    /// The waits before each further attempt, in seconds, each by up to a fifth shorter or longer. After the
    /// last one an event is given up.
    pub retry_seconds: Vec<u64>,
    /// A webhook of which nothing has been taken for so long is disabled, in seconds.
    pub disable_after_seconds: u64,
    /// Whether webhooks may be at private, loopback and link-local addresses, and at http:// URLs.
    pub allow_private_targets: bool,
    /// Name servers to ask for the hosts of webhooks; those of the system if empty.
    pub dns: Vec<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served; nowhere if not set.
    pub admin: Option<SocketAddr>,
    /// "human" or "json".
    pub log: LogFormat,
    /// Where spans of traces go.
    pub traces: TracesConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_login: bus::Login::default(),
            database: "sqlite:.posthouse/posthouse.db".to_owned(),
            timeout_seconds: 10,
            retry_seconds: vec![5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 36_000],
            disable_after_seconds: 24 * 60 * 60,
            allow_private_targets: false,
            dns: Vec::new(),
            admin: None,
            log: LogFormat::Human,
            traces: TracesConfig::default(),
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

    fn traces(&self) -> &TracesConfig {
        &self.traces
    }

    fn check(&self) -> Result<(), String> {
        self.nats_login.check()?;
        if !(1..=LONGEST_TIMEOUT).contains(&self.timeout_seconds) {
            return Err(format!(
                "timeout_seconds = {}: 1 to {LONGEST_TIMEOUT} are taken",
                self.timeout_seconds
            ));
        }
        if self.retry_seconds.len() > 100 || self.retry_seconds.contains(&0) {
            return Err("retry_seconds: at most 100 waits of at least 1".to_owned());
        }
        store::check_url(&self.database).map_err(|err| format!("database: {err}"))
    }
}

/// Without the passwords that URLs may carry.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("timeout_seconds", &self.timeout_seconds)
            .field("retry_seconds", &self.retry_seconds)
            .field("disable_after_seconds", &self.disable_after_seconds)
            .field("allow_private_targets", &self.allow_private_targets)
            .field("dns", &self.dns)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../deploy/config/posthouse-webhooks.toml");

    #[test]
    fn the_sample_file_shows_the_defaults() {
        let sample: Config = toml::from_str(SAMPLE).expect("parse");
        assert!(sample == Config::default(), "{sample:?}");
        sample.check().expect("they work");
    }

    #[test]
    fn the_sample_file_names_every_key() {
        // The names, from serde's own list: an unknown key's error message has them.
        let err = toml::from_str::<Config>("x = 1").expect_err("refuse").to_string();
        let keys: Vec<&str> = err.split('`').skip(3).step_by(2).collect();
        for key in &keys {
            let is_there = SAMPLE
                .lines()
                .any(|it| it.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(is_there, "{key} is not in the sample file");
        }
        assert_eq!(keys.len(), 11, "{err}");
    }

    #[test]
    fn refuses_what_cannot_work() {
        let refused = |config: Config| config.check().expect_err("refuse");
        let of = Config::default;
        assert!(refused(Config { timeout_seconds: 31, ..of() }).contains("1 to 30"));
        assert!(refused(Config { timeout_seconds: 0, ..of() }).contains("timeout_seconds"));
        assert!(refused(Config { retry_seconds: vec![0], ..of() }).contains("retry_seconds"));
        assert!(refused(Config { database: "mysql:x".to_owned(), ..of() }).contains("database"));
    }
}
