//! What an operator can set.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use axum::http::Uri;
use serde::Deserialize;
use service::{Configuration, LogFormat, TracesConfig};

use crate::{console::ConsoleConfig, cors, nats::AgentLogins};

/// The settings of `posthouse-gateway`, each with its default.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the API is served, plain HTTP; TLS is a reverse proxy's task.
    pub listen: SocketAddr,
    /// The API's address as its clients see it, such as "https://mail.example.com"; links in
    /// answers begin with it. Taken from each request's Host field if `None`; there is no mail to lists
    /// then, whose recipients have to find here.
    pub public_url: Option<String>,
    /// The domains that inboxes can be made on. The first is used where a client names none.
    pub domains: Vec<String>,
    /// Anybody who reaches the API may make an account.
    pub signup_enabled: bool,
    /// The tier of a new account, 0 to 4. Who runs the service owns the machine: everything is
    /// allowed by default. With 0, accounts can only receive until they verify themselves.
    pub signup_tier: i64,
    /// The most sign-ups from one address (IPv4) or network (IPv6 /64) in a minute; 0 for no limit.
    pub signups_per_minute: u32,
    /// The reverse proxies whose `X-Forwarded-For` says who a client is.
    pub trusted_proxies: Vec<IpAddr>,
    /// The origins of web pages that may call the API and `/mcp` from a browser, such as
    /// "https://app.example.com"; none if empty.
    pub cors_origins: Vec<String>,
    /// The most active inboxes of an account of tier 4; no limit if `None`.
    pub max_inboxes: Option<i64>,
    /// The most mails that an account of tier 4 may send in a day (UTC).
    pub daily_email_limit: i64,
    /// The most domains of its own that an account of tier 4 may have; no limit if `None`.
    pub max_domains: Option<i64>,
    /// Where the MX records of customers' domains lead: a name of the intake. The first of `domains`
    /// if `None`.
    pub mx_host: Option<String>,
    /// What customers' SPF records include: a name with an SPF record of all addresses that mail
    /// leaves from. The first of `domains` if `None`.
    pub spf_host: Option<String>,
    /// Where customers' DKIM records are to be aliases: the zone that has the keys then, below this
    /// name. The keys are in their own records if `None`.
    pub dkim_cname_host: Option<String>,
    /// Name servers to ask for customers' records; those of the system if empty.
    pub dns: Vec<SocketAddr>,
    /// How often the records of a domain that is not verified yet are looked at, in seconds.
    pub domain_check_seconds: u64,
    /// A file with 64 hexadecimal digits: the key that the private DKIM keys in the database are
    /// sealed with. Sender and gateway need the same. A key that is in the database too if `None`.
    pub domain_keys_file: Option<PathBuf>,
    /// The largest request body, in octets. A mail's attachments are base64 in it: 36 MiB are a
    /// mail of about 25 MB.
    pub max_body_bytes: usize,
    /// How long a link to an attachment works, in seconds.
    pub attachment_link_seconds: u32,
    /// The most connections at once; more wait to be accepted. WebSockets are not among them.
    pub max_connections: usize,
    /// The most WebSockets at once; more are refused with 503.
    pub max_websockets: usize,
    /// A WebSocket client that takes nothing of what it is sent for so many seconds is let go of, with
    /// close code 4008.
    pub slow_client_seconds: u64,
    /// Whether webhooks may be at private, loopback and link-local addresses, and at http:// URLs. For one
    /// machine to try things on: who can make a webhook can then make posthouse-webhooks call anything
    /// it reaches.
    pub allow_private_webhooks: bool,
    /// The pages at `/console` for the people who watch over agents.
    pub console: ConsoleConfig,
    /// The NATS server.
    pub nats: String,
    /// How to log in at NATS; not at all if it asks nobody.
    pub nats_login: bus::Login,
    /// Agents log in at NATS with their tokens.
    pub agent_logins: AgentLogins,
    /// The database, `sqlite:` or `postgres:`.
    pub database: String,
    /// Where /healthz, /readyz and /metrics are served.
    pub admin: Option<SocketAddr>,
    /// The form of the log lines: "human" or "json".
    pub log: LogFormat,
    /// Where spans of traces go.
    pub traces: TracesConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4801)),
            public_url: None,
            domains: vec!["posthouse.localhost".to_owned()],
            signup_enabled: true,
            signup_tier: 4,
            signups_per_minute: 60,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            max_inboxes: None,
            daily_email_limit: 10_000,
            max_domains: None,
            mx_host: None,
            spf_host: None,
            dkim_cname_host: None,
            dns: Vec::new(),
            domain_check_seconds: 3 * 60,
            domain_keys_file: None,
            max_body_bytes: 36 * 1024 * 1024,
            attachment_link_seconds: 60 * 60,
            max_connections: 8192,
            max_websockets: 10_000,
            slow_client_seconds: 10,
            allow_private_webhooks: false,
            console: ConsoleConfig::default(),
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_login: bus::Login::default(),
            agent_logins: AgentLogins::default(),
            database: "sqlite:.posthouse/posthouse.db".to_owned(),
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
        self.agent_logins.check()?;
        self.console.check(self.listen)?;
        self.check_domains()?;
        if let Some(url) = &self.public_url
            && !is_base_url(url)
        {
            return Err(format!(
                "public_url = {url:?} is not an address to put paths after: give one like \
                 \"https://mail.example.com\", without a query"
            ));
        }
        if let Some(origin) = self.cors_origins.iter().find(|it| !cors::is_origin(it)) {
            return Err(format!(
                "cors_origins: {origin:?} is not how browsers write an origin: give one like \
                 \"https://app.example.com\", without a path"
            ));
        }
        if !(0..=4).contains(&self.signup_tier) {
            return Err(format!("signup_tier = {}: tiers go from 0 to 4", self.signup_tier));
        }
        for (key, value, least) in [
            ("max_inboxes", self.max_inboxes.unwrap_or(1), 1),
            ("max_domains", self.max_domains.unwrap_or(0), 0),
            ("domain_check_seconds", self.domain_check_seconds as i64, 1),
            ("daily_email_limit", self.daily_email_limit, 0),
            ("max_body_bytes", self.max_body_bytes as i64, 1024),
            ("attachment_link_seconds", self.attachment_link_seconds.into(), 1),
            ("max_connections", self.max_connections as i64, 1),
            ("slow_client_seconds", self.slow_client_seconds as i64, 1),
        ] {
            if value < least {
                return Err(format!("{key} = {value}: at least {least} is needed"));
            }
        }
        Ok(())
    }
}

impl Config {
    fn check_domains(&self) -> Result<(), String> {
        if self.domains.is_empty() {
            return Err("domains = []: at least one is needed to make inboxes on".to_owned());
        }
        let hosts = [
            ("mx_host", &self.mx_host),
            ("spf_host", &self.spf_host),
            ("dkim_cname_host", &self.dkim_cname_host),
        ];
        let hosts = hosts.into_iter().filter_map(|(key, host)| Some((key, host.as_ref()?)));
        for (key, domain) in self.domains.iter().map(|it| ("domains", it)).chain(hosts) {
            let address: mail::Address = format!("postmaster@{domain}")
                .parse()
                .map_err(|err| format!("{key}: {domain:?} is not a domain: {err}"))?;
            if address.domain() != domain {
                let wanted = address.domain();
                return Err(format!("{key}: write {domain:?} as {wanted:?}"));
            }
        }
        Ok(())
    }
}

fn is_base_url(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some()
            && uri.query().is_none()
    })
}

/// Without the passwords that URLs may carry.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("domains", &self.domains)
            .field("signup_enabled", &self.signup_enabled)
            .field("signup_tier", &self.signup_tier)
            .field("nats", &without_credentials(&self.nats))
            .field("database", &without_credentials(&self.database))
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../deploy/config/posthouse-gateway.toml");

    #[test]
    fn the_sample_file_shows_the_defaults() {
        let sample: Config = toml::from_str(SAMPLE).expect("parse");
        assert!(sample == Config::default(), "{sample:?}");
    }

    #[test]
    fn the_sample_file_names_every_key() {
        // The names, from serde's own list: an unknown key's error message has them.
        let err = toml::from_str::<Config>("x = 1").expect_err("refuse").to_string();
        let keys = err.split('`').skip(3).step_by(2);
        let mut count = 0;
        for key in keys {
            count += 1;
            let is_there = SAMPLE
                .lines()
                .any(|it| it.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(is_there, "{key} is not in the sample file");
        }
        assert_eq!(count, 31, "{err}");
    }

    #[test]
    fn refuses_what_cannot_work() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().expect_err("refuse")
        };
        Config::default().check().expect("the defaults work");
        assert!(refused(|it| it.domains = vec![]).contains("domains"));
        assert!(refused(|it| it.domains = vec!["a b".to_owned()]).contains("\"a b\""));
        assert!(refused(|it| it.domains = vec!["EXAMPLE.com".to_owned()]).contains("example.com"));
        assert!(refused(|it| it.mx_host = Some("mx.".to_owned())).starts_with("mx_host"));
        assert!(refused(|it| it.signup_tier = 5).contains("0 to 4"));
        assert!(
            refused(|it| it.public_url = Some("mail.example.com".to_owned())).contains("https")
        );
        assert!(refused(|it| it.cors_origins = vec!["*".to_owned()]).starts_with("cors_origins"));
        assert!(refused(|it| it.max_connections = 0).contains("max_connections"));
    }

    #[test]
    fn shows_no_password() {
        let config =
            Config { database: "postgres://u:secret@db/mail".to_owned(), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
        assert!(format!("{config:?}").contains("@db/mail"));
    }
}
