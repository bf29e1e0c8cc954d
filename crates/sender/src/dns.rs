//! What the DNS says, and what it means for mail when it says nothing.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};

use outside::is_public;

use crate::{config::Config, reply::Outcome};

/// Cloning shares its cache.
#[derive(Clone)]
pub(crate) struct Dns {
    resolver: TokioResolver,
    allow_private: bool,
}

pub(crate) const DNS_FAILURE: &str = "4.4.3";

pub(crate) enum Answer<T> {
    Records(Vec<T>),
    /// The name exists, without such records.
    None,
    NoSuchName,
}

impl Dns {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Dns> {
        let builder = if config.dns.is_empty() {
            TokioResolver::builder_tokio()
                .context("read the system's name servers (resolv.conf)")?
        } else {
            let servers = config.dns.iter().map(name_server).collect();
            let servers = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        let resolver = builder.build().context("set up the resolver")?;
        Ok(Dns { resolver, allow_private: config.allow_private_targets })
    }

    /// Whoever writes a domain's records must not choose which of our neighbours we talk to.
    pub(crate) fn may_connect(&self, ip: IpAddr) -> bool {
        self.allow_private || is_public(ip)
    }

    /// IPv4 first: big receivers demand more of IPv6 senders, a reverse name above all.
    pub(crate) async fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, Outcome> {
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

    pub(crate) async fn records<T>(
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
}

impl<T> Answer<T> {
    pub(crate) fn some(self) -> Option<Vec<T>> {
        match self {
            Answer::Records(records) => Some(records),
            Answer::None | Answer::NoSuchName => None,
        }
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
pub(crate) fn fqdn(domain: &str) -> Result<Name, Outcome> {
    let mut name = Name::from_ascii(domain)
        .map_err(|err| Outcome::failed("5.1.2", format!("{domain} is no domain name: {err}")))?;
    name.set_fqdn(true);
    Ok(name)
}
