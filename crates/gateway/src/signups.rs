//! How many accounts a client may make in a minute, so that nobody fills the database.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use crate::problem::Problem;

const WINDOW: Duration = Duration::from_secs(60);

/// So many clients are remembered at once; when all their windows are open, nobody new is let in.
const MOST_CLIENTS: usize = 10_000;

/// The sign-ups of each client within its current minute. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Signups {
    per_minute: u32,
    clients: Arc<Mutex<HashMap<IpAddr, Window>>>,
}

struct Window {
    opened: Instant,
    count: u32,
}

impl Signups {
    /// Without a limit if `per_minute` is 0.
    pub(crate) fn new(per_minute: u32) -> Signups {
        Signups { per_minute, clients: Arc::default() }
    }

    /// Counts one sign-up, or says how long to wait.
    pub(crate) fn admit(&self, client: IpAddr, now: Instant) -> Result<(), Problem> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = network(client);
        let is_open = |it: &Window| now.duration_since(it.opened) < WINDOW;
        if !clients.contains_key(&client) && clients.len() >= MOST_CLIENTS {
            clients.retain(|_, it| is_open(it));
            if clients.len() >= MOST_CLIENTS {
                return Err(Problem::rate_limited("too many sign-ups", WINDOW.as_secs()));
            }
        }
        let window = clients.entry(client).or_insert(Window { opened: now, count: 0 });
        if !is_open(window) {
            *window = Window { opened: now, count: 0 };
        }
        if window.count >= self.per_minute {
            let wait = WINDOW.saturating_sub(now.duration_since(window.opened));
            let message = format!("only {} sign-ups a minute are taken", self.per_minute);
            return Err(Problem::rate_limited(message, wait.as_secs().max(1)));
        }
        window.count += 1;
        Ok(())
    }
}

/// One IPv6 customer has a /64 at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

/// The peer of the connection that a request came on.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The addresses whose `X-Forwarded-For` is believed.
#[derive(Clone)]
pub(crate) struct TrustedProxies(pub(crate) Arc<[IpAddr]>);

/// Where a request comes from.
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    S: Sync,
    TrustedProxies: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ClientAddress, Problem> {
        let TrustedProxies(trusted) = TrustedProxies::from_ref(state);
        let peer = parts.extensions.get::<Peer>();
        let Peer(peer) = peer.ok_or_else(|| {
            Problem::internal(anyhow::anyhow!("the request does not know its connection"))
        })?;
        let forwarded = parts.headers.get_all("x-forwarded-for").iter();
        let forwarded: Vec<&str> = forwarded.filter_map(|it| it.to_str().ok()).collect();
        Ok(ClientAddress(client(peer.ip(), &forwarded.join(","), &trusted)))
    }
}

/// The last address that a trusted proxy wrote: what stands before it, the client could have written.
fn client(peer: IpAddr, forwarded: &str, trusted: &[IpAddr]) -> IpAddr {
    let mut address = peer;
    for hop in forwarded.rsplit(',') {
        if !trusted.contains(&address.to_canonical()) {
            break;
        }
        let Ok(before) = hop.trim().parse() else { break };
        address = before;
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn a_client_has_its_minute() {
        let signups = Signups::new(2);
        let start = Instant::now();
        signups.admit(ip("192.0.2.1"), start).expect("first");
        signups.admit(ip("192.0.2.1"), start).expect("second");
        let refused = signups.admit(ip("192.0.2.1"), start + WINDOW / 2).expect_err("third");
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(30)));
        signups.admit(ip("192.0.2.2"), start).expect("another client");
        signups.admit(ip("192.0.2.1"), start + WINDOW).expect("a new minute");
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let signups = Signups::new(1);
        let now = Instant::now();
        signups.admit(ip("2001:db8::1"), now).expect("first");
        signups.admit(ip("2001:db8::2"), now).expect_err("same network");
        signups.admit(ip("2001:db8:0:1::1"), now).expect("next network");
        signups.admit(ip("::ffff:192.0.2.1"), now).expect("mapped");
        signups.admit(ip("192.0.2.1"), now).expect_err("the same, unmapped");
    }

    #[test]
    fn memory_is_bounded() {
        let signups = Signups::new(1);
        let start = Instant::now();
        for n in 0..MOST_CLIENTS as u32 {
            signups.admit(IpAddr::V4(n.into()), start).expect("admit");
        }
        signups.admit(ip("192.0.2.1"), start).expect_err("full");
        signups.admit(ip("192.0.2.1"), start + WINDOW).expect("old ones are forgotten");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let (proxy, outer) = (ip("10.0.0.1"), ip("10.0.0.2"));
        let peer = ip("192.0.2.1");
        assert_eq!(client(peer, "1.1.1.1", &[proxy]), peer);
        assert_eq!(client(proxy, "6.6.6.6, 1.1.1.1", &[proxy]), ip("1.1.1.1"));
        assert_eq!(client(proxy, "1.1.1.1, 10.0.0.2", &[proxy, outer]), ip("1.1.1.1"));
        assert_eq!(client(proxy, "", &[proxy]), proxy);
    }
}
