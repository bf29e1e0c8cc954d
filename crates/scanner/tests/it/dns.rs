//! A DNS server with one zone.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

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

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    _server: Server<Catalog>,
}

impl Dns {
    /// The zone `test.`; `records` in the format of a zone file.
    pub(crate) async fn start(records: &str) -> Dns {
        let zone =
            format!("$TTL 60\n@ IN SOA ns.test. root.test. 1 3600 600 86400 60\n{records}\n");
        let origin = Name::from_ascii("test.").expect("name");
        let (origin, records) = Parser::new(zone, None, Some(origin)).parse().expect("a zone file");
        let zone = InMemoryZoneHandler::<TokioRuntimeProvider>::new(
            origin,
            records,
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        Dns::serve(zone.expect("a zone")).await
    }

    /// The root zone, with these records.
    pub(crate) async fn root(records: Vec<(String, RData)>) -> Dns {
        let root = Name::root();
        let mut zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            root.clone(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        let soa = SOA::new(root.clone(), root.clone(), 1, 3600, 600, 86400, 60);
        zone.upsert_mut(Record::from_rdata(root, 60, RData::SOA(soa)), 1);
        for (name, data) in records {
            // Some names of the test suites are none.
            let Ok(mut name) = Name::from_utf8(&name) else { continue };
            name.set_fqdn(true);
            zone.upsert_mut(Record::from_rdata(name, 60, data), 1);
        }
        Dns::serve(zone).await
    }

    async fn serve(zone: InMemoryZoneHandler<TokioRuntimeProvider>) -> Dns {
        let mut catalog = Catalog::new();
        catalog.upsert(zone.origin().clone(), vec![Arc::new(zone)]);
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
        Dns { address, _server: server }
    }
}
