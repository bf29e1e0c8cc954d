//! Where the mail of a domain goes: its mail exchangers and their addresses (RFC 5321 section 5.1,
//! RFC 7505).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType, rdata::MX},
    },
};
use tokio::time::timeout;

use crate::{config::Config, public_address::is_public, reply::Outcome};

pub(crate) struct Exchanges {
    resolver: TokioResolver,
    port: u16,
    allow_private: bool,
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

const DNS_FAILURE: &str = "4.4.3";

enum Answer<T> {
    Records(Vec<T>),
    /// The name exists, without such records.
    None,
    NoSuchName,
}

impl Exchanges {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Exchanges> {
        let builder = if config.dns.is_empty() {
            TokioResolver::builder_tokio()
                .context("read the system's name servers (resolv.conf)")?
        } else {
            let servers = config.dns.iter().map(name_server).collect();
            let servers = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        Ok(Exchanges {
            resolver: builder.build().context("set up the resolver")?,
            port: config.mx_port,
            allow_private: config.allow_private_targets,
        })
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
        let name = fqdn(domain)?;
        let hosts = match self.records(&name, RecordType::MX, mx).await? {
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
            match self.addresses(&host).await {
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

    /// IPv4 first: big receivers demand more of IPv6 senders, a reverse name above all.
    async fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, Outcome> {
        let (v4, v6) = tokio::join!(
            self.records(host, RecordType::A, |data| match data {
                RData::A(a) => Some(IpAddr::from(a.0)),
                _ => None,
            }),
            self.records(host, RecordType::AAAA, |data| match data {
                RData::AAAA(aaaa) => Some(IpAddr::from(aaaa.0)),
                _ => None,
            })
        );
        match (v4, v6) {
            (Err(outcome), Err(_)) => Err(outcome),
            (Err(outcome), Ok(v6)) => v6.some().ok_or(outcome),
            (Ok(v4), Err(outcome)) => v4.some().ok_or(outcome),
            (Ok(v4), Ok(v6)) => {
                Ok([v4.some(), v6.some()].into_iter().flatten().flatten().collect())
            }
        }
    }

    async fn records<T>(
        &self,
        name: &Name,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Outcome> {
        match self.resolver.lookup(name.clone(), kind).await {
            // An alias comes with its target's records, which may be none.
            Ok(lookup) => {
                let records: Vec<T> =
                    lookup.answers().iter().filter_map(|it| read(&it.data)).collect();
                Ok(if records.is_empty() { Answer::None } else { Answer::Records(records) })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(why))) => match why.response_code {
                ResponseCode::NXDomain => Ok(Answer::NoSuchName),
                ResponseCode::NoError => Ok(Answer::None),
                code => {
                    let why = format!("DNS answers {code} for {name} {kind}");
                    Err(Outcome::delayed(DNS_FAILURE, why))
                }
            },
            Err(err) => {
                Err(Outcome::delayed(DNS_FAILURE, format!("DNS lookup of {name} {kind}: {err}")))
            }
        }
    }

    fn add(&self, found: &mut Found, host: &str, preference: u16, addresses: Vec<IpAddr>) {
        for ip in addresses {
            if !self.allow_private && !is_public(ip) {
                found.refused = Some(format!("{host} is {ip}, which is no public address"));
            } else if found.exchanges.len() < MAX_EXCHANGES {
                let address = SocketAddr::new(ip, self.port);
                found.exchanges.push(Exchange { host: host.to_owned(), address, preference });
            }
        }
    }
}

impl<T> Answer<T> {
    fn some(self) -> Option<Vec<T>> {
        match self {
            Answer::Records(records) => Some(records),
            Answer::None | Answer::NoSuchName => None,
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

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut it| {
        it.port = address.port();
        it
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

/// Absolute, so that no search list is tried.
fn fqdn(domain: &str) -> Result<Name, Outcome> {
    let mut name = Name::from_ascii(domain)
        .map_err(|err| Outcome::failed("5.1.2", format!("{domain} is no domain name: {err}")))?;
    name.set_fqdn(true);
    Ok(name)
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
