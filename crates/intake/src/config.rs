use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;
use service::{LogFormat, TracesConfig};

use crate::Network;

/// A CR or LF that stands alone in a content.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum BareLineEnds {
    /// It is an octet like any other.
    Keep,
    /// 550 5.6.11 after the end of the content.
    Refuse,
}

/// The configuration of `posthouse-intake`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where SMTP is spoken. Mail for the world comes in on port 25.
    pub listen: SocketAddr,
    /// Where programs hand in mail to be sent, with STARTTLS and AUTH (RFC 6409), on port 587; nowhere
    /// if not set.
    pub submission: Option<SocketAddr>,
    /// The same with TLS from the first octet (RFC 8314), on port 465; nowhere if not set.
    pub submissions: Option<SocketAddr>,
    /// The name this server greets with; its address should have it as its name too.
    pub hostname: String,
    /// The domains served. `<postmaster>` without a domain (RFC 5321 section 4.5.1) means the first
    /// one's. Which addresses take mail is in the directory, not here.
    pub domains: Vec<String>,
    /// The local parts to which feedback loops send complaints (RFC 5965), at every domain served,
    /// where no inbox has the address. Each is in lower case.
    pub complaint_local_parts: Vec<String>,
    pub nats: String,
    /// How to log in at NATS; not at all if it asks nobody.
    pub nats_login: bus::Login,
    /// Where /healthz, /readyz and /metrics are served; nowhere if not set.
    pub admin: Option<SocketAddr>,
    /// human or json.
    pub log: LogFormat,
    /// Where spans of traces go.
    pub traces: TracesConfig,

    /// The certificate chain, PEM. Without it and `tls_key` one is made at every start,
    /// which is enough for the senders that encrypt to anybody.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    pub tls_key: Option<PathBuf>,

    /// The largest content taken (RFC 1870).
    pub max_size_bytes: usize,
    /// The largest header section taken.
    pub max_header_bytes: usize,
    /// The longest line of a content taken. RFC 5322 allows 998 octets; many write longer ones.
    pub max_line_bytes: usize,
    /// What is done with a content in which a CR or LF stands alone. Neither ever ends it.
    pub bare_line_ends: BareLineEnds,
    /// The longest command taken.
    pub max_command_bytes: usize,
    /// Memory for all contents being received at once; beyond it, clients wait.
    pub max_memory_bytes: usize,
    /// How long they wait for memory before they are told to come again.
    pub memory_timeout_secs: u64,

    /// Recipients of one mail, 100 to 1000; the surplus is to be sent again.
    pub max_recipients: usize,
    /// Mails on one connection.
    pub max_mails_per_connection: u32,
    /// Errors on one connection before it is closed.
    pub max_errors: u32,
    /// Unknown recipients on one connection before it is closed.
    pub max_unknown_recipients: u32,
    /// Failed logins on one connection before it is closed.
    pub max_auth_failures: u32,
    /// Failed logins from one IPv4 address or IPv6 /64 in a window before no more are looked at.
    pub max_auth_failures_per_peer: u32,
    /// The length of that window.
    pub auth_window_secs: u64,
    /// How long the answer to a failed login is held back, times how many there were, up to ten.
    pub auth_failure_delay_millis: u64,
    /// Open connections.
    pub max_connections: usize,
    /// Open connections from one IPv4 address or IPv6 /64.
    pub max_connections_per_peer: u32,
    /// New connections from one IPv4 address or IPv6 /64 in a second.
    pub max_connections_per_peer_per_second: u32,
    /// Peers that the limits per peer and per connection do not bind, because they are our own, as
    /// `posthouse-sender` is. Addresses and networks.
    pub exempt_peers: Vec<Network>,

    /// How long a command may take to come (RFC 5321 section 4.5.3.2.7: at least 5 minutes).
    pub idle_timeout_secs: u64,
    /// How long a content may take to come.
    pub data_timeout_secs: u64,
    /// A content that comes slower than this …
    pub min_data_bytes_per_second: u64,
    /// … over this long is cut off.
    pub data_window_secs: u64,
    /// How long a connection may last.
    pub session_timeout_secs: u64,
    /// How long a TLS handshake may take.
    pub tls_timeout_secs: u64,
    /// How long contents that are being received may go on after the process was told to stop.
    pub drain_timeout_secs: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2525)),
            submission: None,
            submissions: None,
            hostname: "localhost".to_owned(),
            domains: vec!["posthouse.localhost".to_owned()],
            complaint_local_parts: vec!["complaints".to_owned(), "fbl".to_owned()],
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_login: bus::Login::default(),
            admin: None,
            log: LogFormat::Human,
            traces: TracesConfig::default(),
            tls_certificate: None,
            tls_key: None,
            max_size_bytes: 35 * 1024 * 1024,
            max_header_bytes: 256 * 1024,
            max_line_bytes: 64 * 1024,
            bare_line_ends: BareLineEnds::Keep,
            max_command_bytes: 4096,
            max_memory_bytes: 512 * 1024 * 1024,
            memory_timeout_secs: 10,
            max_recipients: 1000,
            max_mails_per_connection: 100,
            max_errors: 10,
            max_unknown_recipients: 20,
            max_auth_failures: 3,
            max_auth_failures_per_peer: 30,
            auth_window_secs: 600,
            auth_failure_delay_millis: 1000,
            max_connections: 10_000,
            max_connections_per_peer: 20,
            max_connections_per_peer_per_second: 10,
            exempt_peers: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            idle_timeout_secs: 300,
            data_timeout_secs: 600,
            min_data_bytes_per_second: 1024,
            data_window_secs: 60,
            session_timeout_secs: 30 * 60,
            tls_timeout_secs: 20,
            drain_timeout_secs: 20,
        }
    }
}

impl Config {
    pub(crate) fn is_exempt(&self, peer: IpAddr) -> bool {
        self.exempt_peers.iter().any(|it| it.contains(peer))
    }

    pub(crate) fn takes_complaints(&self, address: &mail::Address) -> bool {
        let local = address.local();
        self.complaint_local_parts.iter().any(|it| it.eq_ignore_ascii_case(local))
    }

    pub(crate) fn memory_timeout(&self) -> Duration {
        Duration::from_secs(self.memory_timeout_secs)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_secs)
    }

    pub(crate) fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.session_timeout_secs)
    }

    pub(crate) fn tls_timeout(&self) -> Duration {
        Duration::from_secs(self.tls_timeout_secs)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_secs)
    }

    pub(crate) fn auth_window(&self) -> Duration {
        Duration::from_secs(self.auth_window_secs)
    }

    pub(crate) fn auth_failure_delay(&self) -> Duration {
        Duration::from_millis(self.auth_failure_delay_millis)
    }

    fn has_submission(&self) -> bool {
        self.submission.is_some() || self.submissions.is_some()
    }

    fn check_identity(&self) -> Result<(), String> {
        if !is_host_name(&self.hostname) {
            return Err(format!("hostname = {:?}: not a host name", self.hostname));
        }
        if self.domains.is_empty() {
            return Err("domains = []: postmaster needs one (RFC 5321 section 4.5.1)".to_owned());
        }
        for domain in &self.domains {
            if format!("postmaster@{domain}").parse::<mail::Address>().is_err() {
                return Err(format!("domains: {domain:?} is no domain"));
            }
        }
        for local in &self.complaint_local_parts {
            let address = format!("{local}@localhost").parse::<mail::Address>();
            if !address.is_ok_and(|it| it.canonical() == format!("{local}@localhost")) {
                return Err(format!(
                    "complaint_local_parts: {local:?} is not a local part in lower case, without \
                     dots and \"+\""
                ));
            }
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err("tls_certificate and tls_key: set both or neither".to_owned());
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), String> {
        // Fewer is against RFC 5321 section 4.5.3.1.8; with more, an event may not fit into NATS.
        if !(100..=1000).contains(&self.max_recipients) {
            return Err(format!("max_recipients = {}: 100 to 1000", self.max_recipients));
        }
        // RFC 5321 section 4.5.3.1.4 and .6, and the path of 256 octets with its parameters.
        if self.max_command_bytes < 1024 || self.max_line_bytes < 998 {
            return Err("max_command_bytes at least 1024, max_line_bytes at least 998".to_owned());
        }
        // What is handed in is held together with its base64.
        let held = if self.has_submission() {
            self.max_size_bytes.saturating_mul(5) / 2
        } else {
            self.max_size_bytes
        };
        // With trace header and rounding.
        let largest = held.saturating_add(128 * 1024);
        if self.max_memory_bytes < largest {
            return Err(format!(
                "max_memory_bytes = {}: the largest content needs {largest}",
                self.max_memory_bytes
            ));
        }
        Ok(())
    }

    fn check_none_is_zero(&self) -> Result<(), String> {
        let numbers = [
            ("max_size_bytes", self.max_size_bytes as u64),
            ("max_header_bytes", self.max_header_bytes as u64),
            ("memory_timeout_secs", self.memory_timeout_secs),
            ("max_mails_per_connection", self.max_mails_per_connection.into()),
            ("max_errors", self.max_errors.into()),
            ("max_unknown_recipients", self.max_unknown_recipients.into()),
            ("max_auth_failures", self.max_auth_failures.into()),
            ("max_auth_failures_per_peer", self.max_auth_failures_per_peer.into()),
            ("auth_window_secs", self.auth_window_secs),
            ("max_connections", self.max_connections as u64),
            ("max_connections_per_peer", self.max_connections_per_peer.into()),
            (
                "max_connections_per_peer_per_second",
                self.max_connections_per_peer_per_second.into(),
            ),
            ("idle_timeout_secs", self.idle_timeout_secs),
            ("data_timeout_secs", self.data_timeout_secs),
            ("data_window_secs", self.data_window_secs),
            ("session_timeout_secs", self.session_timeout_secs),
            ("tls_timeout_secs", self.tls_timeout_secs),
        ];
        match numbers.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("{key} = 0: no mail would come in")),
            None => Ok(()),
        }
    }
}

impl service::Configuration for Config {
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
        self.check_identity()?;
        self.check_limits()?;
        self.check_none_is_zero()
    }
}

/// It goes into replies and the trace header as it is.
fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use service::Configuration as _;

    use super::*;

    fn check(change: impl FnOnce(&mut Config), complaint: &str) {
        let mut config = Config::default();
        change(&mut config);
        let err = config.check().expect_err(complaint);
        assert!(err.contains(complaint), "{err}");
    }

    #[test]
    fn the_sample_file_shows_the_defaults() {
        let sample =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/posthouse-intake.toml");
        let text = std::fs::read_to_string(&sample).expect("sample");
        let config: Config = service::read("posthouse-intake-sample", Some(&sample)).expect("read");
        assert_eq!(config, Config::default());
        for key in text.lines().filter_map(|it| it.split_once(" = ").map(|(key, _)| key)) {
            assert_eq!(text.matches(&format!("{key} = ")).count(), 1, "{key}");
        }
        for key in ["admin", "submission", "submissions", "tls_certificate", "tls_key"] {
            assert!(text.contains(&format!("# {key} = ")), "{key}");
        }
    }

    #[test]
    fn the_default_is_sound() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn contradictions_stop_the_start() {
        check(|it| it.tls_key = Some("key.pem".into()), "tls_certificate and tls_key");
        check(|it| it.hostname = "mx example".to_owned(), "hostname");
        check(|it| it.domains.clear(), "domains = []");
        check(|it| it.domains.push("a b".to_owned()), "\"a b\" is no domain");
        check(|it| it.complaint_local_parts.push("a+b".to_owned()), "complaint_local_parts");
        check(|it| it.max_recipients = 99, "max_recipients = 99");
        check(|it| it.max_memory_bytes = it.max_size_bytes, "max_memory_bytes");
        check(
            |it| {
                it.submission = Some(it.listen);
                it.max_memory_bytes = it.max_size_bytes * 2;
            },
            "max_memory_bytes",
        );
        check(|it| it.max_line_bytes = 500, "max_line_bytes");
        check(|it| it.idle_timeout_secs = 0, "idle_timeout_secs = 0");
    }
}
