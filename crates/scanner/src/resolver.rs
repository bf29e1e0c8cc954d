use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    system_conf::read_system_conf,
};
use mail_auth::MessageAuthenticator;

/// How long one name server may take to answer, and how often it is asked.
const ANSWER: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Asks these name servers, or those of the system.
pub(crate) fn resolver(servers: &[SocketAddr]) -> anyhow::Result<MessageAuthenticator> {
    let (config, mut options) = if servers.is_empty() {
        read_system_conf().context("read the system's name servers: name some with `dns`")?
    } else {
        let servers = servers.iter().map(name_server).collect();
        (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
    };
    options.timeout = ANSWER;
    options.attempts = ATTEMPTS;
    MessageAuthenticator::new(config, options).context("set up the resolver")
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut it| {
        it.port = address.port();
        it
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}
