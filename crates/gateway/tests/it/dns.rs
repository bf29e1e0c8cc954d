//! A DNS server with one zone, `test.`, that can change.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::TokioRuntimeProvider,
    proto::{
        rr::{Name, RecordSet, RrKey},
        serialize::txt::Parser,
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<InMemoryZoneHandler<TokioRuntimeProvider>>,
    _server: Server<Catalog>,
}

impl Dns {
    /// With an empty zone.
    pub(crate) async fn start() -> Dns {
        let (origin, records) = read("");
        let zone = InMemoryZoneHandler::<TokioRuntimeProvider>::new(
            origin.clone(),
            records,
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        let zone = Arc::new(zone.unwrap());
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![zone.clone()]);
        let mut server = Server::new(catalog);
        // The same port twice: what is free for UDP may be taken for TCP.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        Dns { address, zone, _server: server }
    }

    /// From now on the zone has these records only, in the format of a zone file.
    pub(crate) async fn publish(&self, records: &str) {
        let (_, records) = read(records);
        let mut zone = self.zone.records_mut().await;
        *zone = records.into_iter().map(|(key, set)| (key, Arc::new(set))).collect();
    }
}

fn read(records: &str) -> (Name, BTreeMap<RrKey, RecordSet>) {
    let zone = format!("$TTL 60\n@ IN SOA ns.test. root.test. 1 3600 600 86400 60\n{records}\n");
    let origin = Name::from_ascii("test.").unwrap();
    Parser::new(zone, None, Some(origin)).parse().unwrap()
}
