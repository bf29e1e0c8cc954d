use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;
use service::{Configuration, LogFormat, TracesConfig};

use crate::opinion::OpinionConfig;

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server; several are separated by commas.
    pub nats: String,
    /// How to log in at NATS; not at all if it asks nobody.
    pub nats_login: bus::Login,
    /// Where /healthz, /readyz and /metrics are served; nowhere if not set.
    pub admin: Option<SocketAddr>,
    /// "human" or "json".
    pub log: LogFormat,
    /// Where spans of traces go.
    pub traces: TracesConfig,
    /// How far scanning steps back for the other processes of the machine, 0 (not) to 19. Where there
    /// is too little processor's time for all, mail is accepted first, and scanned afterwards.
    pub nice: u8,
    /// Who answers for the results in Authentication-Results fields (RFC 8601 calls it authserv-id).
    pub hostname: String,
    /// Name servers to ask; those of the system if empty.
    pub dns: Vec<SocketAddr>,
    /// How long SPF, DKIM and DMARC of one mail may take. What is not known by then is "temperror".
    pub authentication_seconds: u64,
    /// How long the search for injections in one mail may take. A mail that takes longer is marked
    /// "not_scanned".
    pub scan_seconds: u64,
    /// The program that reads attached documents when it is called with the one word "extract"; this
    /// one if not set. It runs in processes of its own, which may die without harm.
    pub document_reader: Option<PathBuf>,
    /// How many such processes may run at once. They start when they are needed.
    pub document_readers: usize,
    /// How long reading one document may take, and three times that all of a mail. What takes longer
    /// is marked "not_scanned".
    pub document_seconds: u64,
    /// The memory in MiB (address space, RLIMIT_AS) that such a process may take.
    pub document_memory_mib: u64,
    /// The second opinion of a local transformer.
    pub opinion: OpinionConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_login: bus::Login::default(),
            admin: None,
            log: LogFormat::Human,
            traces: TracesConfig::default(),
            nice: 10,
            hostname: "posthouse.localhost".to_owned(),
            dns: Vec::new(),
            authentication_seconds: 5,
            scan_seconds: 10,
            document_reader: None,
            document_readers: 2,
            document_seconds: 10,
            document_memory_mib: 512,
            opinion: OpinionConfig::default(),
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

    fn nice(&self) -> u8 {
        self.nice
    }

    fn check(&self) -> Result<(), String> {
        self.nats_login.check()?;
        if self.nice > 19 {
            return Err(format!("nice: {} is not from 0 to 19", self.nice));
        }
        let sound = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-');
        if self.hostname.is_empty() || !self.hostname.chars().all(sound) {
            return Err(format!("hostname: {:?} is no host name", self.hostname));
        }
        for (key, seconds) in [
            ("authentication_seconds", self.authentication_seconds),
            ("scan_seconds", self.scan_seconds),
            ("document_seconds", self.document_seconds),
        ] {
            // The runner's heartbeats keep a mail in hand, but not for ever.
            if !(1..=60).contains(&seconds) {
                return Err(format!("{key}: {seconds} is not between 1 and 60"));
            }
        }
        if self.document_readers == 0 {
            return Err("document_readers: 0 read nothing".to_owned());
        }
        // The program itself and its threads' stacks count too.
        if self.document_memory_mib < 192 {
            return Err(format!("document_memory_mib: {} is below 192", self.document_memory_mib));
        }
        self.opinion.check().map_err(|err| format!("opinion.{err}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../deploy/config/posthouse-scanner.toml");

    #[test]
    fn the_sample_shows_the_defaults() {
        assert_eq!(toml::from_str::<Config>(SAMPLE).expect("read"), Config::default());
        Config::default().check().expect("valid");
    }

    #[test]
    fn the_sample_shows_every_other_key() {
        let lines = SAMPLE.lines().map(|it| it.strip_prefix("#: ").unwrap_or(it));
        let config: Config = toml::from_str(&lines.collect::<Vec<_>>().join("\n")).expect("read");
        config.check().expect("valid");
        assert!(config.admin.is_some() && config.opinion.model.is_some());
    }

    #[test]
    fn what_cannot_work_is_named() {
        let opinion = |opinion| Config { opinion, ..Config::default() };
        let default = OpinionConfig::default;
        for (config, key) in [
            (Config { hostname: "a b".to_owned(), ..Config::default() }, "hostname"),
            (Config { authentication_seconds: 0, ..Config::default() }, "authentication_seconds"),
            (Config { scan_seconds: 600, ..Config::default() }, "scan_seconds"),
            (Config { document_seconds: 0, ..Config::default() }, "document_seconds"),
            (Config { nice: 20, ..Config::default() }, "nice"),
            (Config { document_readers: 0, ..Config::default() }, "document_readers"),
            (Config { document_memory_mib: 8, ..Config::default() }, "document_memory_mib"),
            (opinion(OpinionConfig { from: 0.9, ..default() }), "opinion.from"),
            (opinion(OpinionConfig { to: 1.5, ..default() }), "opinion.to"),
            (opinion(OpinionConfig { budget_ms: 0, ..default() }), "opinion.budget_ms"),
            (opinion(OpinionConfig { threads: 0, ..default() }), "opinion.threads"),
        ] {
            let err = config.check().expect_err(key);
            assert!(err.starts_with(key), "{err}");
        }
    }
}
