//! A DNS server for tests, on a free port of the loopback interface: one zone, which can change while it is
//! served. Questions about other names are refused. What cannot be served panics.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// What records are made of.
pub use hickory_server::proto::rr;
use hickory_server::{
    Server,
    net::runtime::TokioRuntimeProvider,
    proto::{
        rr::{Name, RData, Record, rdata::SOA},
        serialize::txt::Parser,
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneHandler as _, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

/// What has changed is seen at once.
const TTL: u32 = 0;

/// Dropping it ends it.
pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Zone>,
    _server: Server<Catalog>,
}

impl Dns {
    /// The zone `test.`; `records` in the format of a zone file.
    pub async fn start(records: &str) -> Dns {
        let origin = Name::from_ascii("test.").expect("a name");
        let dns = Dns::serve(Zone::empty(origin, ZoneType::Primary, AxfrPolicy::Deny)).await;
        dns.publish(records).await;
        dns
    }

    /// The root zone, with these records. Names that are none are left out.
    pub async fn root(records: Vec<(String, RData)>) -> Dns {
        let root = Name::root();
        let mut zone = Zone::empty(root.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(root.clone(), root.clone(), 1, 3600, 600, 86400, TTL);
        zone.upsert_mut(Record::from_rdata(root, TTL, RData::SOA(soa)), 1);
        for (name, data) in records {
            let Ok(mut name) = Name::from_utf8(&name) else { continue };
            name.set_fqdn(true);
            zone.upsert_mut(Record::from_rdata(name, TTL, data), 1);
        }
        Dns::serve(zone).await
    }

    /// From now on the zone has these records only, in the format of a zone file.
    pub async fn publish(&self, records: &str) {
        let text =
            format!("$TTL {TTL}\n@ IN SOA ns.test. root.test. 1 3600 600 86400 {TTL}\n{records}\n");
        let origin = Name::from(self.zone.origin().clone());
        let (_, records) = Parser::new(text, None, Some(origin)).parse().expect("a zone file");
        let mut zone = self.zone.records_mut().await;
        *zone = records.into_iter().map(|(key, set)| (key, Arc::new(set))).collect();
    }

    async fn serve(zone: Zone) -> Dns {
        let zone = Arc::new(zone);
        let mut catalog = Catalog::new();
        catalog.upsert(zone.origin().clone(), vec![zone.clone()]);
        let mut server = Server::new(catalog);
        // The same port twice: what is free for UDP may be taken for TCP.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
            let address = udp.local_addr().expect("address");
            if let Ok(tcp) = TcpListener::bind(address).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("address");
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        Dns { address, zone, _server: server }
    }
}
