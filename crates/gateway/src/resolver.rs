//! Asks the DNS for a domain's records.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use futures_util::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use tokio::time::timeout;

use crate::dns_records::{Answer, Wanted};

/// For one try of one question.
const TRY: Duration = Duration::from_secs(3);

/// For all questions about a domain, which are asked at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many records of an answer are looked at.
const MOST_RECORDS: usize = 100;

#[derive(Clone)]
pub(crate) struct Resolver(TokioResolver);

impl Resolver {
    /// Those of the system if there are no `servers`.
    pub(crate) fn new(servers: &[SocketAddr]) -> anyhow::Result<Resolver> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
                .context("read the system's name servers (resolv.conf)")?
        } else {
            let servers = servers.iter().map(name_server).collect();
            let servers = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 2;
        // Whoever has just put a record right wants to see that, not what was there before.
        options.cache_size = 0;
        builder.build().context("set up the resolver").map(Resolver)
    }

    /// An answer to each.
    pub(crate) async fn ask(&self, wanted: &[Wanted]) -> Vec<Answer> {
        join_all(wanted.iter().map(async |it| {
            let answer = timeout(PATIENCE, self.look_up(it)).await;
            answer.unwrap_or_else(|_| Answer::Unreachable("it took too long".to_owned()))
        }))
        .await
    }

    async fn look_up(&self, wanted: &Wanted) -> Answer {
        // An alias is followed to its text, which is what counts.
        let kind = if wanted.kind == "MX" { RecordType::MX } else { RecordType::TXT };
        let mut name = match Name::from_ascii(&wanted.host) {
            Ok(name) => name,
            Err(err) => return Answer::Unreachable(format!("not a name: {err}")),
        };
        // Absolute, so that no search list is tried.
        name.set_fqdn(true);
        match self.0.lookup(name, kind).await {
            Ok(lookup) => {
                answer(kind, lookup.answers().iter().map(|it| &it.data).take(MOST_RECORDS))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(why))) => match why.response_code {
                ResponseCode::NXDomain | ResponseCode::NoError => Answer::Nothing,
                code => Answer::Unreachable(code.to_string()),
            },
            Err(err) => Answer::Unreachable(err.to_string()),
        }
    }
}

fn answer<'a>(kind: RecordType, records: impl Iterator<Item = &'a RData>) -> Answer {
    let (mut texts, mut exchanges) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            RData::TXT(txt) => {
                let octets = txt.txt_data.concat();
                texts.push(String::from_utf8_lossy(&octets).into_owned());
            }
            RData::MX(mx) => {
                let host = mx.exchange.to_ascii();
                exchanges.push((mx.preference, host.trim_end_matches('.').to_owned()));
            }
            _ => (),
        }
    }
    match kind {
        RecordType::MX if !exchanges.is_empty() => Answer::Exchanges(exchanges),
        RecordType::TXT if !texts.is_empty() => Answer::Texts(texts),
        _ => Answer::Nothing,
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut it| {
        it.port = address.port();
        it
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}
