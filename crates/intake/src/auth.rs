//! What a client says in AUTH (RFC 4954), by PLAIN (RFC 4616) or LOGIN, and how often it may be wrong.
//! Pure.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::BASE64;

use crate::{
    admission::peer,
    reply::{self, Reply},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    pub(crate) fn named(name: &str) -> Option<Mechanism> {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Mechanism::Plain),
            "LOGIN" => Some(Mechanism::Login),
            _ => None,
        }
    }
}

/// Not `Debug`: a log must not get hold of it.
#[derive(PartialEq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// The octets of a response; `=` alone stands for none (RFC 4954 section 4).
pub(crate) fn decode(response: &[u8]) -> Result<Vec<u8>, Reply> {
    match response {
        b"*" => Err(reply::AUTH_CANCELLED),
        b"=" => Ok(Vec::new()),
        _ => BASE64.decode(response).map_err(|_| reply::BAD_BASE64),
    }
}

/// `[authzid] NUL authcid NUL passwd`. Nobody may act for anybody else, so an authzid is only another
/// spelling of the authcid.
pub(crate) fn plain(response: &[u8]) -> Option<Credentials> {
    let mut parts = response.split(|it| *it == 0).map(std::str::from_utf8);
    let (Some(Ok(authzid)), Some(Ok(authcid)), Some(Ok(password)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let is_same = authzid.is_empty() || authzid == authcid;
    is_same.then(|| Credentials { username: authcid.to_owned(), password: password.to_owned() })
}

pub(crate) fn login(username: Vec<u8>, password: Vec<u8>) -> Option<Credentials> {
    let (username, password) = (String::from_utf8(username), String::from_utf8(password));
    Some(Credentials { username: username.ok()?, password: password.ok()? })
}

/// So many networks are remembered at once.
const MOST_PEERS: usize = 10_000;

/// The failed logins of each network within its window.
pub(crate) struct Failures {
    pub(crate) most: u32,
    pub(crate) window: Duration,
    peers: Mutex<HashMap<IpAddr, Window>>,
}

struct Window {
    opened: Instant,
    count: u32,
}

impl Failures {
    pub(crate) fn new(most: u32, window: Duration) -> Failures {
        Failures { most, window, peers: Mutex::default() }
    }

    /// Whether so many failed that no more are looked at.
    pub(crate) fn is_blocked(&self, ip: IpAddr, now: Instant) -> bool {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(&peer(ip)).is_some_and(|it| self.is_open(it, now) && it.count >= self.most)
    }

    /// Counts one; how many there are in the window now.
    pub(crate) fn note(&self, ip: IpAddr, now: Instant) -> u32 {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let ip = peer(ip);
        if peers.len() >= MOST_PEERS && !peers.contains_key(&ip) {
            peers.retain(|_, it| self.is_open(it, now));
            // Whoever has so many networks gains nothing from one more.
            if peers.len() >= MOST_PEERS {
                return self.most;
            }
        }
        let window = peers.entry(ip).or_insert(Window { opened: now, count: 0 });
        if !self.is_open(window, now) {
            *window = Window { opened: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.count
    }

    fn is_open(&self, window: &Window, now: Instant) -> bool {
        now.saturating_duration_since(window.opened) < self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_base64_or_cancel() {
        assert_eq!(decode(b"YQ=="), Ok(b"a".to_vec()));
        assert_eq!(decode(b"="), Ok(Vec::new()));
        assert_eq!(decode(b""), Ok(Vec::new()));
        assert_eq!(decode(b"*"), Err(reply::AUTH_CANCELLED));
        for wrong in ["YQ", "YQ==x", "a b", "%", "YR=="] {
            assert_eq!(decode(wrong.as_bytes()), Err(reply::BAD_BASE64), "{wrong}");
        }
    }

    #[test]
    fn plain_has_three_parts() {
        let read = |response: &str| plain(response.as_bytes()).map(|it| (it.username, it.password));
        let expected = Some(("u".to_owned(), "p".to_owned()));
        assert_eq!(read("\0u\0p"), expected);
        assert_eq!(read("u\0u\0p"), expected);
        assert_eq!(read("v\0u\0p"), None);
        for wrong in ["", "u", "u\0p", "\0u\0p\0"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert!(plain(b"\0u\0\xff").is_none() && login(vec![0xff], Vec::new()).is_none());
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn a_network_that_fails_is_blocked_until_its_window_ends() {
        let failures = Failures::new(2, Duration::from_secs(60));
        let now = Instant::now();
        assert_eq!(failures.note(ip("2001:db8::1"), now), 1);
        assert!(!failures.is_blocked(ip("2001:db8::1"), now));
        assert_eq!(failures.note(ip("2001:db8::2"), now), 2);
        assert!(failures.is_blocked(ip("2001:db8::3"), now));
        assert!(!failures.is_blocked(ip("2001:db8:0:1::1"), now));
        let later = now + Duration::from_secs(60);
        assert!(!failures.is_blocked(ip("2001:db8::1"), later));
        assert_eq!(failures.note(ip("2001:db8::1"), later), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let failures = Failures::new(5, Duration::from_secs(60));
        let now = Instant::now();
        for n in 0..MOST_PEERS as u32 + 10 {
            failures.note(IpAddr::V4(n.into()), now);
        }
        assert_eq!(failures.peers.lock().expect("peers").len(), MOST_PEERS);
        failures.note(ip("192.0.2.1"), now + Duration::from_secs(60));
        assert_eq!(failures.peers.lock().expect("peers").len(), 1);
    }
}
