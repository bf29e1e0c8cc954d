use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::Name,
};
use tokio::time::timeout;

use crate::is_public;

/// For one name, whatever servers are asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// No name has more that are looked at.
const MOST_ADDRESSES: usize = 16;

/// Looks names up, and hands out public addresses only. Cloning shares its cache.
#[derive(Clone)]
pub struct Lookup {
    resolver: TokioResolver,
    allow_private: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("{0} is no name of a host")]
    NoName(String),
    #[error("{0} cannot be looked up")]
    Unknown(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} leads to {1}, which is not a public address")]
    Private(String, IpAddr),
}

impl Lookup {
    /// Asks these servers, or those of the system if there are none.
    pub fn new(servers: &[SocketAddr], allow_private: bool) -> anyhow::Result<Lookup> {
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
                .context("read the system's name servers (resolv.conf)")?
        } else {
            let servers = servers.iter().map(name_server).collect();
            let servers = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        let resolver = builder.build().context("set up the resolver")?;
        Ok(Lookup { resolver, allow_private })
    }

    /// At least one address. One that is not public spoils all: whoever mixes them waits for the
    /// moment when the right one is picked.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let mut name = Name::from_ascii(host).map_err(|_| LookupError::NoName(host.to_owned()))?;
        // Absolute, so that no search list is tried.
        name.set_fqdn(true);
        let unknown = |err| LookupError::Unknown(host.to_owned(), err);
        let found = timeout(PATIENCE, self.resolver.lookup_ip(name)).await;
        let found = found.map_err(|err| unknown(err.into()))?.map_err(|err| unknown(err.into()))?;
        let addresses: Vec<IpAddr> = found.iter().take(MOST_ADDRESSES).collect();
        let private = addresses.iter().find(|it| !is_public(**it));
        match private {
            Some(ip) if !self.allow_private => Err(LookupError::Private(host.to_owned(), *ip)),
            _ if addresses.is_empty() => Err(unknown("it has no address".into())),
            _ => Ok(addresses),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_private_address_spoils_a_name() {
        let dns = test_dns::Dns::start(
            "good IN A 192.88.100.1\nbad IN A 10.0.0.1\nmixed IN A 192.88.100.1\n\
             mixed IN A 127.0.0.1\nsix IN AAAA ::1\nnothing IN TXT \"x\"",
        )
        .await;
        let strict = Lookup::new(&[dns.address], false).expect("resolver");
        let lax = Lookup::new(&[dns.address], true).expect("resolver");
        let good: IpAddr = "192.88.100.1".parse().expect("address");
        assert_eq!(strict.addresses("good.test").await.expect("public"), [good]);
        for host in ["bad.test", "mixed.test", "six.test", "localhost"] {
            let err = strict.addresses(host).await.expect_err(host);
            assert!(matches!(err, LookupError::Private(..)), "{host}: {err}");
            lax.addresses(host).await.expect(host);
        }
        for host in ["nothing.test", "none.test"] {
            let err = lax.addresses(host).await.expect_err(host);
            assert!(matches!(err, LookupError::Unknown(..)), "{host}: {err}");
        }
    }
}
