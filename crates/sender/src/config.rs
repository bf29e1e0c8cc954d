use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use service::{Configuration, LogFormat, TracesConfig};

use crate::{schedule::Retries, shaping, source::Pool};

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The NATS server; several are separated by commas.
    pub nats: String,
    /// How to log in at NATS; not at all if it asks nobody.
    pub nats_login: bus::Login,
    /// The database, which is only read: sqlite:<path> or postgres://…
    pub database: String,
    /// Where /healthz, /readyz and /metrics are served; nowhere if not set.
    pub admin: Option<SocketAddr>,
    /// "human" or "json".
    pub log: LogFormat,
    /// Where spans of traces go.
    pub traces: TracesConfig,
    /// The name in EHLO. It should resolve to the address mail leaves from, and back.
    pub hostname: String,
    /// Name servers to ask; those of the system if empty.
    pub dns: Vec<SocketAddr>,
    /// How mail leaves when no route names its destination.
    pub default_route: Route,
    /// Other ways for some destinations; the first that fits counts.
    pub routes: Vec<Rule>,
    /// The port of mail exchangers.
    pub mx_port: u16,
    /// Whether exchangers are reached over IPv6 too, after their IPv4 addresses. The address mail leaves
    /// from needs a reverse name then.
    pub ipv6: bool,
    /// Whether an MX record may lead to private, loopback and link-local addresses.
    pub allow_private_targets: bool,
    /// How long a remote server may take.
    pub timeouts: Timeouts,
    /// When delayed mail is tried again.
    pub retries: Retries,
    /// What domains demand of those who send to them (RFC 8461).
    pub mta_sts: MtaSts,
    /// How much mail goes where, as a TOML file; the one that is built in if `None`.
    pub shaping_file: Option<PathBuf>,
    /// Addresses that mail leaves from. The first that fits counts.
    pub pools: Vec<Pool>,
    /// The keys that mail is signed with, by the domain of its From field.
    pub dkim: Vec<DkimKey>,
    /// The domain in `dkim` that signs as well what is of another one, customers' mail above all: whose
    /// service it is, for receivers that keep a reputation of it and for feedback loops.
    pub service_dkim_domain: Option<String>,
    /// A file with 64 hexadecimal digits: the key that customers' DKIM keys in the database are sealed
    /// with. Sender and gateway need the same. A key that is in the database too if `None`.
    pub domain_keys_file: Option<PathBuf>,
}

/// A way for mail to leave.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "via", rename_all = "lowercase", deny_unknown_fields)]
pub enum Route {
    /// The mail exchangers of the destination.
    Mx {},
    /// One host, whatever the destination.
    Smarthost(Smarthost),
    /// Nowhere: what would be sent is written to files.
    Capture {
        /// Made if it is missing.
        directory: PathBuf,
    },
}

/// Some destinations and their route.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Rule {
    /// "example.org", or "*.example.org" for what is below it.
    pub domains: Vec<String>,
    // The route's own `deny_unknown_fields` covers the keys of this table too.
    #[serde(flatten)]
    pub route: Route,
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Smarthost {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    #[serde(default)]
    pub tls: TlsPolicy,
    /// A PEM file of certificate authorities to trust instead of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Needs `tls` "required" or "implicit".
    #[serde(default)]
    pub username: Option<String>,
    /// Give either this or `password_file`.
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum TlsPolicy {
    /// Never.
    None,
    /// STARTTLS where it is offered, with any certificate, and in clear where it is broken.
    #[default]
    Opportunistic,
    /// STARTTLS with a valid certificate, or no mail.
    Required,
    /// TLS from the first octet, as on port 465 (RFC 8314), with a valid certificate.
    Implicit,
}

/// RFC 5321 section 4.5.3.2. Too short a time after the end of data sends mail twice.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// The TCP connection to one address.
    pub connect_seconds: u64,
    /// The greeting with the answer to EHLO, the TLS handshake, and every other reply that has no
    /// time of its own.
    pub reply_seconds: u64,
    /// The reply to DATA.
    pub data_seconds: u64,
    /// The time in which some of the content must get away.
    pub block_seconds: u64,
    /// The reply to the end of data.
    pub end_of_data_seconds: u64,
}

/// Policies that domains publish on who takes their mail, and over which TLS.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MtaSts {
    /// Whether policies are asked for, and kept to.
    pub enabled: bool,
    /// The port of policy hosts.
    pub port: u16,
    /// A PEM file of certificate authorities to trust instead of the public ones: for policy hosts, and for
    /// exchangers whose certificate a policy demands.
    pub ca_file: Option<PathBuf>,
}

/// A DKIM key. A domain with several has all of them sign.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DkimKey {
    /// Signs for this domain, and for those below it that have no key.
    pub domain: String,
    pub selector: String,
    /// PEM: PKCS#8, or PKCS#1 for RSA.
    pub private_key_file: PathBuf,
    pub algorithm: DkimAlgorithm,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub enum DkimAlgorithm {
    #[serde(rename = "rsa-sha256")]
    RsaSha256,
    #[serde(rename = "ed25519-sha256")]
    Ed25519Sha256,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_login: bus::Login::default(),
            database: "sqlite:.posthouse/posthouse.db".to_owned(),
            admin: None,
            log: LogFormat::Human,
            traces: TracesConfig::default(),
            hostname: "posthouse.localhost".to_owned(),
            dns: Vec::new(),
            default_route: Route::Mx {},
            routes: Vec::new(),
            mx_port: 25,
            ipv6: true,
            allow_private_targets: false,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            mta_sts: MtaSts::default(),
            shaping_file: None,
            pools: Vec::new(),
            dkim: Vec::new(),
            service_dkim_domain: None,
            domain_keys_file: None,
        }
    }
}

impl Default for MtaSts {
    fn default() -> MtaSts {
        MtaSts { enabled: true, port: 443, ca_file: None }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect_seconds: 30,
            reply_seconds: 5 * 60,
            data_seconds: 2 * 60,
            block_seconds: 3 * 60,
            end_of_data_seconds: 10 * 60,
        }
    }
}

impl Timeouts {
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_secs(self.connect_seconds)
    }

    pub(crate) fn reply(&self) -> Duration {
        Duration::from_secs(self.reply_seconds)
    }

    pub(crate) fn data(&self) -> Duration {
        Duration::from_secs(self.data_seconds)
    }

    pub(crate) fn block(&self) -> Duration {
        Duration::from_secs(self.block_seconds)
    }

    pub(crate) fn end_of_data(&self) -> Duration {
        Duration::from_secs(self.end_of_data_seconds)
    }

    fn check(&self) -> Result<(), String> {
        let all = [
            self.connect_seconds,
            self.reply_seconds,
            self.data_seconds,
            self.block_seconds,
            self.end_of_data_seconds,
        ];
        if all.contains(&0) {
            return Err("timeouts: each is at least 1 second".to_owned());
        }
        Ok(())
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
        if self.hostname.is_empty() || !self.hostname.bytes().all(is_hostname_octet) {
            return Err(format!(
                "hostname = {:?} cannot be a name in EHLO: give a fully qualified host name",
                self.hostname
            ));
        }
        self.timeouts.check()?;
        self.retries.check()?;
        self.default_route.check("default_route")?;
        for (n, rule) in self.routes.iter().enumerate() {
            let key = format!("routes[{n}]");
            rule.route.check(&key)?;
            rule.check(&key)?;
        }
        if let Some(domain) = &self.service_dkim_domain
            && !self.dkim.iter().any(|it| it.domain.eq_ignore_ascii_case(domain))
        {
            return Err(format!("service_dkim_domain = {domain:?} has no key in dkim"));
        }
        for (n, pool) in self.pools.iter().enumerate() {
            pool.check(&format!("pools[{n}]"))?;
        }
        shaping::File::load(self.shaping_file.as_deref()).map_err(|err| format!("{err:#}"))?;
        self.dkim.iter().enumerate().try_for_each(|(n, key)| key.check(&format!("dkim[{n}]")))
    }
}

fn is_hostname_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'[' | b']' | b':')
}

impl Rule {
    fn check(&self, key: &str) -> Result<(), String> {
        if self.domains.is_empty() {
            return Err(format!("{key}.domains is empty: the route would never be taken"));
        }
        check_domains(&self.domains, key)
    }
}

pub(crate) fn check_domains(domains: &[String], key: &str) -> Result<(), String> {
    for domain in domains {
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        let is_name = name
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'-' | b'.'));
        if name.is_empty() || !is_name {
            return Err(format!(
                "{key}.domains: {domain:?} never fits: write the domain in lower-case A-labels, \
                 \"example.org\" or \"*.example.org\""
            ));
        }
    }
    Ok(())
}

impl Route {
    fn check(&self, key: &str) -> Result<(), String> {
        match self {
            Route::Mx {} => Ok(()),
            Route::Smarthost(smarthost) => smarthost.check(key),
            Route::Capture { directory } if directory.as_os_str().is_empty() => {
                Err(format!("{key}.directory is empty: say where captured mail goes"))
            }
            Route::Capture { .. } => Ok(()),
        }
    }
}

impl Smarthost {
    fn check(&self, key: &str) -> Result<(), String> {
        if self.host.is_empty() || self.port == 0 {
            return Err(format!("{key} needs a host and a port"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Err(format!("{key} has both password and password_file: keep one"));
        }
        let has_password = self.password.is_some() || self.password_file.is_some();
        if self.username.is_some() != has_password {
            return Err(format!("{key} needs a username and a password, or neither"));
        }
        let verified = matches!(self.tls, TlsPolicy::Required | TlsPolicy::Implicit);
        if self.username.is_some() && !verified {
            return Err(format!(
                "{key}.username: a password goes over verified TLS only: set tls to \"required\" or \
                 \"implicit\""
            ));
        }
        if self.ca_file.is_some() && !verified {
            return Err(format!(
                "{key}.ca_file: certificates are looked at only with tls \"required\" or \"implicit\""
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Smarthost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smarthost")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("ca_file", &self.ca_file)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "redacted"))
            .field("password_file", &self.password_file)
            .finish()
    }
}

impl DkimKey {
    fn check(&self, key: &str) -> Result<(), String> {
        for (name, value) in [("domain", &self.domain), ("selector", &self.selector)] {
            if value.is_empty() || !value.bytes().all(is_hostname_octet) {
                return Err(format!("{key}.{name} = {value:?} is not a domain name in A-labels"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|err| err.to_string())
    }

    fn refuse(text: &str, why: &str) {
        let err = read(text).and_then(|it| it.check()).expect_err(text);
        assert!(err.contains(why), "{err}");
    }

    #[test]
    fn the_sample_shows_the_defaults() {
        let sample = include_str!("../../../deploy/config/posthouse-sender.toml");
        assert_eq!(read(sample).expect("read"), Config::default());
        Config::default().check().expect("valid");
    }

    /// The keys that have no default stand in comments: taken out of them they are valid too.
    #[test]
    fn the_sample_shows_every_other_key() {
        let sample = include_str!("../../../deploy/config/posthouse-sender.toml");
        let lines = sample.lines().map(|it| it.strip_prefix("#: ").unwrap_or(it));
        let mut config = read(&lines.collect::<Vec<_>>().join("\n")).expect("read");
        let shaping_file = config.shaping_file.replace("../../deploy/config/shaping.toml".into());
        assert!(shaping_file.is_some());
        config.check().expect("valid");
        assert!(config.admin.is_some() && config.mta_sts.ca_file.is_some());
        assert!(config.routes.iter().any(|it| matches!(it.route, Route::Mx {})));
        assert!(config.routes.iter().any(|it| matches!(it.route, Route::Capture { .. })));
        assert!(config.routes.iter().any(|it| matches!(
            &it.route,
            Route::Smarthost(it) if it.username.is_some() && it.ca_file.is_some()
        )));
        assert!(!config.dkim.is_empty());
        assert!(!config.pools.is_empty());
    }

    #[test]
    fn a_typo_in_a_route_is_named() {
        refuse("[default_route]\nvia = 'mx'\nport = 25", "port");
        refuse("[default_route]\nvia = 'smarthost'\nhost = 'a'\nprot = 25", "prot");
        refuse("[[routes]]\ndomians = []\nvia = 'mx'", "domains");
        refuse("[[routes]]\ndomains = ['a']\nvia = 'capture'\ndir = 'x'", "dir");
    }

    #[test]
    fn contradictions_are_explained() {
        let smarthost = "[default_route]\nvia = 'smarthost'\nhost = 'a'\nport = 25\n";
        refuse(&format!("{smarthost}username = 'me'"), "needs a username and a password");
        refuse(&format!("{smarthost}username = 'me'\npassword = 'x'"), "verified TLS");
        refuse(&format!("{smarthost}ca_file = 'x.pem'"), "certificates are looked at");
        refuse("[[routes]]\ndomains = []\nvia = 'mx'", "never be taken");
        refuse("[[routes]]\ndomains = ['Example.ORG']\nvia = 'mx'", "never fits");
        refuse("hostname = 'a b'", "EHLO");
        refuse("service_dkim_domain = 'example.org'", "no key");
        refuse("[timeouts]\ndata_seconds = 0", "at least 1");
        refuse("[retries]\ndelays_seconds = []", "at least one pause");
    }

    #[test]
    fn a_password_is_not_shown() {
        let text =
            "[default_route]\nvia = 'smarthost'\nhost = 'a'\nport = 25\npassword = 'hunter2'";
        let shown = format!("{:?}", read(text).expect("read"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
