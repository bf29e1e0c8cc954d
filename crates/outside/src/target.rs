use std::net::IpAddr;

use url::{Host, Url};

use crate::is_public;

/// Octets.
const LONGEST: usize = 2_000;

/// A URL that somebody else chose, and that may be called as far as it tells by itself. A name in it
/// has to be looked up with `Lookup` at every connection: what it stands for may change.
#[derive(Clone, Debug, PartialEq)]
pub struct Target(Url);

/// Why a URL is not called.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("it is longer than {LONGEST} octets")]
    TooLong,
    #[error("it is not a URL: {0}")]
    Malformed(#[from] url::ParseError),
    #[error("it begins with {0}:// and has to begin with https://")]
    Scheme(String),
    #[error("it has a user name or password in it")]
    Credentials,
    #[error("it names no host")]
    NoHost,
    #[error("it leads to {0}, which is not a public address")]
    Private(IpAddr),
}

impl Target {
    /// `allow_private` takes addresses of this machine and network, and plain HTTP.
    pub fn parse(text: &str, allow_private: bool) -> Result<Target, Refused> {
        if text.len() > LONGEST {
            return Err(Refused::TooLong);
        }
        let mut url = Url::parse(text)?;
        match url.scheme() {
            "https" => (),
            "http" if allow_private => (),
            other => return Err(Refused::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        // The parser has read every way to write an address (0x7f.1, 2130706433) already.
        let address = match url.host().ok_or(Refused::NoHost)? {
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
            Host::Domain(_) => None,
        };
        if let Some(ip) = address.filter(|it| !allow_private && !is_public(*it)) {
            return Err(Refused::Private(ip));
        }
        url.set_fragment(None);
        Ok(Target(url))
    }

    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The name to look up; `None` where the URL has the address itself.
    pub fn name(&self) -> Option<&str> {
        match self.0.host() {
            Some(Host::Domain(name)) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = Target::parse(text, false);
        let found = parsed.as_ref().map(|it| it.url().as_str()).map_err(ToString::to_string);
        match expected {
            Ok(url) => assert_eq!(found, Ok(url), "{text}"),
            Err(why) => {
                let found = found.expect_err(text);
                assert!(found.contains(why), "{text}: {found}");
            }
        }
    }

    #[test]
    fn the_world_may_be_called_by_https() {
        check("https://example.com/hook?x=1#part", Ok("https://example.com/hook?x=1"));
        check("https://EXAMPLE.com:8443", Ok("https://example.com:8443/"));
        check("https://[2606:4700::1111]/", Ok("https://[2606:4700::1111]/"));
        check("http://example.com/", Err("https://"));
        check("ftp://example.com/", Err("ftp://"));
        check("https://user:pw@example.com/", Err("password"));
        check("https://user@example.com/", Err("user name"));
        check("example.com", Err("not a URL"));
        check("https:///", Err("not a URL"));
        check(&format!("https://example.com/{}", "x".repeat(2_000)), Err("longer"));
    }

    #[test]
    fn however_an_address_of_ours_is_written_it_is_refused() {
        for host in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "169.254.169.254"]
        {
            check(&format!("https://{host}/"), Err("not a public address"));
        }
        for host in ["[::1]", "[::ffff:10.0.0.1]", "[fd00::1]"] {
            check(&format!("https://{host}/"), Err("not a public address"));
        }
    }

    #[test]
    fn private_ones_are_for_who_says_so() {
        for text in ["http://127.0.0.1:9000/hook", "https://localhost/"] {
            Target::parse(text, true).expect(text);
        }
        Target::parse("file:///etc/passwd", true).expect_err("never");
    }
}
