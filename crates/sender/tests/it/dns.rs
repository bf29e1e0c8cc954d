//! A DNS server with one zone, `test.`

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::TokioRuntimeProvider,
    proto::{rr::Name, serialize::txt::Parser},
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    _server: Server<Catalog>,
}

impl Dns {
    /// `records` in the format of a zone file.
    pub(crate) async fn start(records: &str) -> Dns {
        let zone =
            format!("$TTL 60\n@ IN SOA ns.test. root.test. 1 3600 600 86400 60\n{records}\n");
        let origin = Name::from_ascii("test.").expect("name");
        let (origin, records) = Parser::new(zone, None, Some(origin)).parse().expect("a zone file");
        let handler = InMemoryZoneHandler::<TokioRuntimeProvider>::new(
            origin.clone(),
            records,
            ZoneType::Primary,
            AxfrPolicy::Deny,
        )
        .expect("a zone");
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![Arc::new(handler)]);
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
