//! Whether the name in EHLO is one that receivers believe: its addresses lead back to it. Big ones refuse or
//! defer mail from hosts without that (forward-confirmed reverse DNS), over IPv6 above all.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::{
    config::{Config, Route},
    dns::{self, Answer, Dns},
};

/// Says what is to be mended, once, if mail goes to exchangers at all. What the DNS does not answer now says
/// nothing.
pub(crate) async fn check(config: &Config) -> anyhow::Result<()> {
    let mut routes = config.routes.iter().map(|it| &it.route).chain([&config.default_route]);
    if !routes.any(|it| matches!(it, Route::Mx {})) {
        return Ok(());
    }
    if let Some(doubt) = doubt(&Dns::new(config)?, &config.hostname).await {
        tracing::warn!("other mail servers may not trust this one: {doubt}");
    }
    Ok(())
}

async fn doubt(dns: &Dns, hostname: &str) -> Option<String> {
    let name = dns::fqdn(hostname).ok()?;
    let addresses = dns.addresses(&name).await.ok()?;
    if addresses.is_empty() {
        return Some(format!("hostname = {hostname:?} has no address"));
    }
    for ip in addresses {
        match dns.records(&Name::from(ip), RecordType::PTR, pointer).await {
            Ok(Answer::Records(names)) if names.contains(&name) => (),
            Ok(_) => return Some(unconfirmed(hostname, ip)),
            Err(_) => return None,
        }
    }
    None
}

fn pointer(data: &RData) -> Option<Name> {
    match data {
        RData::PTR(ptr) => Some(ptr.0.clone()),
        _ => None,
    }
}

fn unconfirmed(hostname: &str, ip: IpAddr) -> String {
    let advice = if ip.is_ipv6() { ", or set ipv6 = false" } else { "" };
    format!("hostname = {hostname:?} is {ip}, whose reverse name is another or none{advice}")
}

#[cfg(test)]
mod tests {
    use test_dns::rr::rdata::{A, AAAA, PTR};

    use super::*;

    /// `records` as (name, data); the DNS has no others.
    async fn check(records: &[(&str, RData)], expected: Option<&str>) {
        let records = records.iter().map(|(name, data)| ((*name).to_owned(), data.clone()));
        let server = test_dns::Dns::root(records.collect()).await;
        let config = Config { dns: vec![server.address], ..Config::default() };
        let dns = Dns::new(&config).expect("a resolver");
        assert_eq!(doubt(&dns, "mx.example.org").await.as_deref(), expected, "{config:?}");
    }

    fn ptr(name: &str) -> RData {
        RData::PTR(PTR(Name::from_ascii(name).expect("a name")))
    }

    #[tokio::test]
    async fn the_name_and_its_addresses_must_agree() {
        let a = ("mx.example.org", RData::A(A::new(192, 0, 2, 1)));
        let aaaa = ("mx.example.org", RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));
        let back = ("1.2.0.192.in-addr.arpa", ptr("mx.example.org."));
        let elsewhere = ("1.2.0.192.in-addr.arpa", ptr("host1.example.net."));
        check(&[], Some("hostname = \"mx.example.org\" has no address")).await;
        check(&[a.clone(), back.clone()], None).await;
        let doubt =
            "hostname = \"mx.example.org\" is 192.0.2.1, whose reverse name is another or none";
        check(std::slice::from_ref(&a), Some(doubt)).await;
        check(&[a.clone(), elsewhere.clone()], Some(doubt)).await;
        check(&[a.clone(), elsewhere, back.clone()], None).await;
        let doubt = "hostname = \"mx.example.org\" is 2001:db8::1, whose reverse name is another or none, \
                     or set ipv6 = false";
        check(&[a, back, aaaa], Some(doubt)).await;
    }
}
