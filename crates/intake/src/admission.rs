//! Who may connect: limits on connections, altogether and from one network.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::network::masked;

/// Whoever has one IPv6 address usually has its /64 (RFC 6177).
const V6_PREFIX: u32 = 64;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) per_peer: u32,
    pub(crate) per_peer_per_second: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Nobody more.
    Full,
    /// No more from this network.
    Peer,
}

pub(crate) struct Admissions {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: usize,
    peers: HashMap<IpAddr, Counts>,
    swept_at: Option<Instant>,
}

struct Counts {
    open: u32,
    /// Connections since this second began.
    recent: u32,
    since: Instant,
}

/// An open connection; it counts until dropped.
pub(crate) struct Admission {
    admissions: Arc<Admissions>,
    peer: Option<IpAddr>,
}

impl Admissions {
    pub(crate) fn new(limits: Limits) -> Admissions {
        Admissions { limits, state: Mutex::default() }
    }

    /// `exempt` peers count among all connections only.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: IpAddr,
        exempt: bool,
        now: Instant,
    ) -> Result<Admission, Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open >= self.limits.connections {
            return Err(Refusal::Full);
        }
        let peer = if exempt { None } else { Some(peer(ip)) };
        if let Some(peer) = peer {
            state.sweep(now);
            state.count(peer, self.limits, now)?;
        }
        state.open += 1;
        Ok(Admission { admissions: Arc::clone(self), peer })
    }
}

/// The network that an address stands for.
pub(crate) fn peer(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(_) => masked(ip, V6_PREFIX),
    }
}

impl State {
    fn count(&mut self, peer: IpAddr, limits: Limits, now: Instant) -> Result<(), Refusal> {
        let counts = self.peers.entry(peer).or_insert(Counts { open: 0, recent: 0, since: now });
        if now.saturating_duration_since(counts.since) >= SECOND {
            counts.recent = 0;
            counts.since = now;
        }
        if counts.open >= limits.per_peer || counts.recent >= limits.per_peer_per_second {
            return Err(Refusal::Peer);
        }
        counts.open += 1;
        counts.recent += 1;
        Ok(())
    }

    /// Forgets peers that have gone, so that the map is as small as the traffic of a second.
    fn sweep(&mut self, now: Instant) {
        let old = |at: Instant| now.saturating_duration_since(at) >= SECOND;
        if self.swept_at.is_none_or(old) {
            self.peers.retain(|_, counts| counts.open > 0 || !old(counts.since));
            self.swept_at = Some(now);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.admissions.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open -= 1;
        if let Some(counts) = self.peer.and_then(|peer| state.peers.get_mut(&peer)) {
            counts.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { connections: 4, per_peer: 2, per_peer_per_second: 3 };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    fn refusal(outcome: Result<Admission, Refusal>) -> Option<Refusal> {
        outcome.err()
    }

    #[test]
    fn counts_what_is_open_per_network() {
        let admissions = Arc::new(Admissions::new(LIMITS));
        let now = Instant::now();
        let first = admissions.admit(ip("2001:db8::1"), false, now).expect("first");
        let _second = admissions.admit(ip("2001:db8::2"), false, now).expect("second");
        let third = admissions.admit(ip("2001:db8::3"), false, now);
        assert_eq!(refusal(third), Some(Refusal::Peer));
        assert_eq!(refusal(admissions.admit(ip("2001:db8:0:1::1"), false, now)), None);
        drop(first);
        assert_eq!(refusal(admissions.admit(ip("2001:db8::3"), false, now)), None);
    }

    #[test]
    fn counts_those_of_a_second() {
        let admissions = Arc::new(Admissions::new(LIMITS));
        let now = Instant::now();
        for _ in 0..3 {
            drop(admissions.admit(ip("192.0.2.1"), false, now).expect("one of three"));
        }
        assert_eq!(refusal(admissions.admit(ip("192.0.2.1"), false, now)), Some(Refusal::Peer));
        assert_eq!(refusal(admissions.admit(ip("192.0.2.1"), false, now + SECOND)), None);
    }

    #[test]
    fn an_exempt_peer_still_counts_among_all() {
        let admissions = Arc::new(Admissions::new(LIMITS));
        let now = Instant::now();
        let open: Vec<_> =
            (0..4).map(|_| admissions.admit(ip("127.0.0.1"), true, now).expect("exempt")).collect();
        assert_eq!(refusal(admissions.admit(ip("127.0.0.1"), true, now)), Some(Refusal::Full));
        drop(open);
        assert_eq!(refusal(admissions.admit(ip("192.0.2.1"), false, now)), None);
    }

    #[test]
    fn forgets_who_has_gone() {
        let admissions = Arc::new(Admissions::new(LIMITS));
        let now = Instant::now();
        for n in 0..100 {
            drop(admissions.admit(ip(&format!("192.0.2.{n}")), false, now).expect("a peer"));
        }
        let later = now + SECOND;
        let _one = admissions.admit(ip("198.51.100.1"), false, later).expect("a peer");
        assert_eq!(admissions.state.lock().expect("state").peers.len(), 1);
    }
}
