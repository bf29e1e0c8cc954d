use std::net::SocketAddr;

use serde::Deserialize;

/// The console at `/console`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// It is reached over plain http, without TLS in front: on one's own machine. Cookies are sent over
    /// https only otherwise.
    pub plain_http: bool,
}

impl Default for ConsoleConfig {
    fn default() -> ConsoleConfig {
        ConsoleConfig { enabled: true, plain_http: false }
    }
}

impl ConsoleConfig {
    pub(crate) fn check(&self, listen: SocketAddr) -> Result<(), String> {
        if self.plain_http && !listen.ip().is_loopback() {
            return Err(format!(
                "console.plain_http with listen = \"{listen}\": whoever is on the way could take \
                 sessions over; plain http is for loopback addresses"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback() {
        let check = |listen: &str| {
            let config = ConsoleConfig { plain_http: true, ..ConsoleConfig::default() };
            config.check(listen.parse().expect("address")).is_ok()
        };
        assert!(check("127.0.0.1:1") && check("[::1]:1"));
        assert!(!check("0.0.0.0:1") && !check("192.0.2.1:1"));
    }
}
