//! Where the mail of a domain goes: its mail exchangers and their addresses (RFC 5321 section 5.1,
//! RFC 7505).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::MX};
use tokio::time::timeout;

use crate::{
    config::Config,
    dns::{self, Answer, DNS_FAILURE, Dns},
    reply::Outcome,
};

pub(crate) struct Exchanges {
    dns: Dns,
    port: u16,
    ipv6: bool,
}

/// One address of one mail exchanger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    pub(crate) preference: u16,
}

/// So many addresses are tried in an attempt: a domain can name any number.
const MAX_EXCHANGES: usize = 10;

/// For all questions about a domain together.
const PATIENCE: Duration = Duration::from_secs(60);

impl Exchanges {
    pub(crate) fn new(config: &Config, dns: Dns) -> Exchanges {
        Exchanges { dns, port: config.mx_port, ipv6: config.ipv6 }
    }

    /// The exchanges of a domain, best first; never none. The error is what that means for the
    /// recipients there.
    pub(crate) async fn of(&self, domain: &str) -> Result<Vec<Exchange>, Outcome> {
        if let Some(literal) = domain.strip_prefix('[') {
            return self.of_literal(literal);
        }
        timeout(PATIENCE, self.look_up(domain)).await.unwrap_or_else(|_| {
            Err(Outcome::delayed(DNS_FAILURE, format!("DNS does not answer for {domain}")))
        })
    }

    /// `[192.0.2.1]` and `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
    fn of_literal(&self, literal: &str) -> Result<Vec<Exchange>, Outcome> {
        let text = literal.trim_end_matches(']');
        let text = text
            .get(..5)
            .filter(|it| it.eq_ignore_ascii_case("IPv6:"))
            .map_or(text, |_| &text[5..]);
        let Ok(ip) = text.parse::<IpAddr>() else {
            return Err(Outcome::failed("5.1.2", format!("[{literal} is not an address")));
        };
        let mut found = Found::default();
        self.add(&mut found, &ip.to_string(), 0, vec![ip]);
        found.exchanges(&ip.to_string())
    }

    async fn look_up(&self, domain: &str) -> Result<Vec<Exchange>, Outcome> {
        let name = dns::fqdn(domain)?;
        let hosts = match self.dns.records(&name, RecordType::MX, mx).await? {
            Answer::NoSuchName => {
                return Err(Outcome::failed(
                    "5.1.2",
                    format!("the domain {domain} does not exist"),
                ));
            }
            Answer::None => vec![(0, name)],
            Answer::Records(records) => {
                let mut records = records;
                fastrand::shuffle(&mut records);
                ordered(records).ok_or_else(|| {
                    let why = format!("the domain {domain} accepts no mail (null MX, RFC 7505)");
                    Outcome::failed("5.1.10", why)
                })?
            }
        };
        let mut found = Found::default();
        for (preference, host) in hosts {
            if found.exchanges.len() >= MAX_EXCHANGES {
                break;
            }
            match self.dns.addresses(&host).await {
                Ok(addresses) => {
                    let host = host.to_string();
                    let host = host.trim_end_matches('.');
                    self.add(&mut found, host, preference, addresses);
                }
                Err(outcome) => found.failure = Some(outcome),
            }
        }
        found.exchanges(domain)
    }

    fn add(&self, found: &mut Found, host: &str, preference: u16, addresses: Vec<IpAddr>) {
        for ip in addresses {
            if !self.dns.may_connect(ip) {
                found.refused = Some(format!("{host} is {ip}, which is no public address"));
            } else if ip.is_ipv6() && !self.ipv6 {
                found.refused = Some(format!("{host} is {ip}, and IPv6 is not in use here"));
            } else if found.exchanges.len() < MAX_EXCHANGES {
                let address = SocketAddr::new(ip, self.port);
                found.exchanges.push(Exchange { host: host.to_owned(), address, preference });
            }
        }
    }
}

/// What the search for addresses turned up.
#[derive(Default)]
struct Found {
    exchanges: Vec<Exchange>,
    /// A question that could not be answered now.
    failure: Option<Outcome>,
    /// An address mail must not be sent to: whoever writes a domain's records would choose which of
    /// our neighbours we talk to.
    refused: Option<String>,
}

impl Found {
    fn exchanges(self, domain: &str) -> Result<Vec<Exchange>, Outcome> {
        if !self.exchanges.is_empty() {
            return Ok(self.exchanges);
        }
        Err(match (self.failure, self.refused) {
            (Some(failure), _) => failure,
            (None, Some(why)) => Outcome::failed("5.4.4", format!("no route to {domain}: {why}")),
            (None, None) => {
                Outcome::failed("5.4.4", format!("no mail exchanger of {domain} has an address"))
            }
        })
    }
}

fn mx(data: &RData) -> Option<MX> {
    match data {
        RData::MX(mx) => Some(mx.clone()),
        _ => None,
    }
}

/// By preference; equal ones stay in the order they come in. `None` for a null MX.
fn ordered(mut records: Vec<MX>) -> Option<Vec<(u16, Name)>> {
    records.retain(|it| !it.exchange.is_root());
    records.sort_by_key(|it| it.preference);
    if records.is_empty() {
        return None;
    }
    Some(records.into_iter().map(|it| (it.preference, it.exchange)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(preference: u16, exchange: &str) -> MX {
        MX::new(preference, Name::from_ascii(exchange).expect("name"))
    }

    fn check(records: &[(u16, &str)], expected: Option<&[&str]>) {
        let records = records.iter().map(|(preference, it)| record(*preference, it)).collect();
        let names = ordered(records)
            .map(|names| names.iter().map(|it| it.1.to_string()).collect::<Vec<_>>());
        assert_eq!(
            names.as_deref(),
            expected.map(|it| it.iter().map(|it| it.to_string()).collect::<Vec<_>>()).as_deref()
        );
    }

    #[test]
    fn the_lowest_preference_comes_first() {
        check(&[(20, "b."), (10, "a."), (20, "c.")], Some(&["a.", "b.", "c."]));
    }

    #[test]
    fn a_null_mx_is_none_and_nonsense_beside_others() {
        check(&[(0, ".")], None);
        check(&[(0, "."), (10, "a.")], Some(&["a."]));
    }
}
