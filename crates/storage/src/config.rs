use std::{fmt, net::SocketAddr};

use serde::Deserialize;
use service::{Configuration, LogFormat, TracesConfig};
use store::{Brakes, Breakers};

use crate::{
    limits::{TierLimits, WarmUpConfig},
    screening::ScreeningConfig,
};

/// With a token behind it, it has to fit in a line of a mail.
const MAX_URL: usize = 300;

#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server; several are separated by commas.
    pub nats: String,
    /// How to log in at NATS; not at all if it asks nobody.
    pub nats_login: bus::Login,
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
    /// The API's address as people outside see it, such as "https://mail.example.com": where those who
    /// get mail to a list unsubscribe. The same as the gateway's. Without it there is no such mail.
    pub public_url: Option<String>,
    /// Who sends, for Gmail's feedback loop: the last part of Feedback-ID. 5 to 15 letters, digits and
    /// "-", yours alone.
    pub feedback_sender: String,
    /// Where receivers may report complaints about mail of ours (CFBL-Address, RFC 9477): an address
    /// on a domain whose key signs. Nowhere if not set.
    pub cfbl_address: Option<String>,
    /// Whether `email.scan.complete`, `email.thread.new` and `email.thread.reply` are announced beside
    /// `email.received`. They tell of the same moment; without them there are two events less to store
    /// for every mail that comes.
    pub companion_events: bool,
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
    /// Where spans of traces go.
    pub traces: TracesConfig,
    /// When an inbox is warned, and when it is stopped.
    pub breakers: Breakers,
    /// What is refused as too much of the same.
    pub brakes: Brakes,
    /// What is done with received mail where accounts have set nothing.
    pub screening: ScreeningConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_login: bus::Login::default(),
            database: "sqlite:.posthouse/posthouse.db".to_owned(),
            domains: vec!["posthouse.localhost".to_owned()],
            complaint_reporters: ["yahoo.com", "hotmail.com", "senderscore.net", "mail.ru"]
                .map(str::to_owned)
                .to_vec(),
            complaints_for_all: 3,
            public_url: None,
            feedback_sender: "posthouse".to_owned(),
            cfbl_address: None,
            companion_events: true,
            purge_after_days: 7,
            daily_email_limit: 10_000,
            limits: TierLimits::default(),
            warm_up: WarmUpConfig::default(),
            admin: None,
            log: LogFormat::Human,
            traces: TracesConfig::default(),
            breakers: Breakers::default(),
            brakes: Brakes::default(),
            screening: ScreeningConfig::default(),
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
        if self.daily_email_limit < 0 {
            let limit = self.daily_email_limit;
            return Err(format!("daily_email_limit = {limit}: at least 0 is needed"));
        }
        self.limits.check()?;
        self.warm_up.check()?;
        self.breakers.check().map_err(|err| format!("breakers.{err}"))?;
        self.screening.check().map_err(|err| format!("screening.{err}"))?;
        self.check_lists()
    }
}

impl Config {
    fn check_lists(&self) -> Result<(), String> {
        if let Some(url) = &self.public_url
            && !is_reachable(url)
        {
            return Err(format!(
                "public_url = {url:?} is not an address to put paths after: give one like \
                 \"https://mail.example.com\"; http only for this machine (RFC 8058 section 3.1)"
            ));
        }
        let sender = &self.feedback_sender;
        let is_sound = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
        if !(5..=15).contains(&sender.len()) || !sender.bytes().all(is_sound) {
            return Err(format!(
                "feedback_sender = {sender:?}: give 5 to 15 letters, digits and \"-\""
            ));
        }
        if let Some(address) = &self.cfbl_address {
            let parsed = address.parse::<mail::Address>();
            parsed.map_err(|err| format!("cfbl_address = {address:?}: {err}"))?;
        }
        Ok(())
    }
}

/// HTTPS, as one-click unsubscription has to be; anything goes on the way to oneself.
fn is_reachable(url: &str) -> bool {
    let is_sound = |it: u8| it.is_ascii_graphic() && !b"<>?#\"".contains(&it);
    let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => rest,
        (_, Some(rest)) => {
            let local = ["localhost", "127.0.0.1", "[::1]"];
            let is_port = |it: &str| it.is_empty() || it.starts_with([':', '/']);
            if !local.iter().any(|it| rest.strip_prefix(it).is_some_and(is_port)) {
                return false;
            }
            rest
        }
        _ => return false,
    };
    !rest.is_empty() && url.len() <= MAX_URL && url.bytes().all(is_sound)
}

/// Without the passwords that URLs may carry.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("domains", &self.domains)
            .field("complaint_reporters", &self.complaint_reporters)
            .field("complaints_for_all", &self.complaints_for_all)
            .field("purge_after_days", &self.purge_after_days)
            .field("daily_email_limit", &self.daily_email_limit)
            .field("limits", &self.limits)
            .field("warm_up", &self.warm_up)
            .field("admin", &self.admin)
            .field("log", &self.log)
            .field("breakers", &self.breakers)
            .field("brakes", &self.brakes)
            .field("screening", &self.screening)
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
        let breakers = Breakers { bounce_stop: 10.0, ..Breakers::default() };
        let domain = |it: &str| Config { domains: vec![it.to_owned()], ..Config::default() };
        for (config, key) in [
            (Config { database: "mysql:x".to_owned(), ..Config::default() }, "database"),
            (Config { complaint_reporters: vec!["Yahoo.com".to_owned()], ..Config::default() }, {
                "complaint_reporters"
            }),
            (Config { breakers, ..Config::default() }, "breakers.bounce_stop"),
            (domain("a b"), "domains"),
            (domain("Example.com"), "domains"),
            (Config { daily_email_limit: -1, ..Config::default() }, "daily_email_limit"),
        ] {
            let err = config.check().expect_err(key);
            assert!(err.starts_with(key), "{err}");
        }
    }

    #[test]
    fn lists_need_an_address_that_everybody_reaches() {
        let url = |it: &str| Config { public_url: Some(it.to_owned()), ..Config::default() };
        for it in ["https://mail.example.com", "https://x.test/mail/", "http://127.0.0.1:4801"] {
            url(it).check().expect(it);
        }
        let long = format!("https://{}.test", "x".repeat(300));
        for it in ["http://mail.example.com", "http://localhost.example", "https://", &long, "x"] {
            assert!(url(it).check().expect_err(it).starts_with("public_url"), "{it}");
        }
        for it in ["abcd", "abcdefghijklmnop", "a b c", "über-uns"] {
            let config = Config { feedback_sender: it.to_owned(), ..Config::default() };
            assert!(config.check().expect_err(it).starts_with("feedback_sender"), "{it}");
        }
        let config = Config { cfbl_address: Some("fbl@".to_owned()), ..Config::default() };
        assert!(config.check().expect_err("refuse").starts_with("cfbl_address"));
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
