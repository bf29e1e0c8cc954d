use std::time::{Duration, Instant};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use contract::Peer;
use data_encoding::BASE64;
use mail_auth::{
    common::{
        crypto::{Ed25519Key, RsaKey, Sha256},
        headers::HeaderWriter as _,
    },
    dkim::DkimSigner,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use scanner::{Authenticated, Authenticator, Config};
use test_dns::Dns;
use tokio::net::UdpSocket;

const CONTENT: &str = "From: Sarah <sarah@sender.test>\r\nTo: a@x.test\r\nSubject: Hi\r\n\
                       Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@sender.test>\r\n\r\nHi\r\n";

const RECORDS: &str = "sender IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n\
                       _dmarc.sender IN TXT \"v=DMARC1; p=reject\"\n\
                       helo.sender IN TXT \"v=spf1 ip4:192.0.2.9 -all\"\n\
                       lax IN TXT \"v=spf1 ~all\"\n\
                       _dmarc.lax IN TXT \"v=DMARC1; p=none\"\n\
                       broken IN TXT \"v=spf1 nonsense\"\n\
                       bare IN A 192.0.2.7\n";

struct Bench {
    authenticator: Authenticator,
    _dns: Option<Dns>,
}

impl Bench {
    async fn new(more: &str) -> Bench {
        let dns = Dns::start(&format!("{RECORDS}{more}")).await;
        let config = Config { dns: vec![dns.address], ..Config::default() };
        Bench {
            authenticator: Authenticator::new(&config).expect("authenticator"),
            _dns: Some(dns),
        }
    }

    async fn check(&self, ip: &str, path: &str, content: &str) -> Authenticated {
        let peer =
            Peer { ip: ip.to_owned(), helo: "helo.sender.test".to_owned(), ..Peer::default() };
        let content = content.to_owned().into();
        self.authenticator.authenticate(peer, path.to_owned(), content).await
    }
}

/// spf, dkim, dmarc.
fn words(it: &Authenticated) -> [&str; 3] {
    [&it.results.spf, &it.results.dkim, &it.results.dmarc]
}

#[tokio::test]
async fn spf_of_the_reverse_path_lets_dmarc_pass() {
    let bench = Bench::new("").await;
    let it = bench.check("192.0.2.1", "sarah@sender.test", CONTENT).await;
    assert_eq!(words(&it), ["pass", "none", "pass"], "{}", it.results.results);
    assert_eq!(it.results.from_domain, "sender.test");
    assert!(!it.spoofed);
    let results = it.results.results;
    assert!(results.starts_with("posthouse.localhost;"), "{results}");
    for part in ["spf=pass", "smtp.mailfrom=sarah@sender.test", "dkim=none", "dmarc=pass"] {
        assert!(results.contains(part), "{part}: {results}");
    }
}

#[tokio::test]
async fn a_forged_sender_is_seen() {
    let bench = Bench::new("").await;
    let it = bench.check("192.0.2.66", "sarah@sender.test", CONTENT).await;
    assert_eq!(words(&it), ["fail", "none", "fail"]);
    assert!(it.spoofed);
    // Authorised, but for another domain than the one in From.
    let it = bench.check("192.0.2.9", "x@helo.sender.test", CONTENT).await;
    assert_eq!(words(&it), ["pass", "none", "pass"], "relaxed alignment");
    let it = bench.check("192.0.2.66", "x@lax.test", CONTENT).await;
    assert_eq!(words(&it), ["softfail", "none", "fail"]);
    assert!(it.spoofed);
    let lax = CONTENT.replace("sarah@sender.test", "sarah@lax.test");
    let it = bench.check("192.0.2.66", "x@lax.test", &lax).await;
    assert_eq!(words(&it), ["softfail", "none", "fail"]);
    assert!(!it.spoofed, "p=none asks for nothing");
}

#[tokio::test]
async fn a_null_reverse_path_is_judged_by_helo() {
    let bench = Bench::new("").await;
    let it = bench.check("192.0.2.9", "", CONTENT).await;
    assert_eq!(it.results.spf, "pass");
    assert!(it.results.results.contains("smtp.helo=helo.sender.test"), "{}", it.results.results);
    assert_eq!(bench.check("192.0.2.66", "", CONTENT).await.results.spf, "fail");
}

#[tokio::test]
async fn domains_without_records() {
    let bench = Bench::new("").await;
    let content = CONTENT.replace("sarah@sender.test", "a@bare.test");
    let it = bench.check("192.0.2.1", "a@bare.test", &content).await;
    assert_eq!(words(&it), ["none", "none", "none"]);
    let it = bench.check("192.0.2.1", "a@missing.test", &content).await;
    assert_eq!(it.results.spf, "none");
    assert_eq!(bench.check("192.0.2.1", "a@broken.test", &content).await.results.spf, "permerror");
    assert_eq!(words(&bench.check("192.0.2.1", "", "").await)[1..], ["none", "none"]);
}

#[tokio::test]
async fn dkim_of_both_algorithms_survives_a_relay() {
    let rsa = KeyPair::generate(KeySize::Rsa2048).expect("generate");
    let public: Vec<u8> = rsa.public_key().as_der().expect("encode").as_ref().to_vec();
    let private: Vec<u8> = rsa.as_der().expect("encode").as_ref().to_vec();
    let rsa_key =
        RsaKey::<Sha256>::from_key_der(PrivatePkcs8KeyDer::from(private).into()).expect("key");
    let ed = aws_lc_rs::signature::Ed25519KeyPair::generate().expect("generate");
    let ed_key = Ed25519Key::from_pkcs8_der(ed.to_pkcs8().expect("encode").as_ref()).expect("key");
    let public = BASE64.encode(&public);
    let (first, second) = public.split_at(200);
    let ed_public = BASE64.encode(ed.public_key().as_ref());
    let bench = Bench::new(&format!(
        "r._domainkey.sender IN TXT \"v=DKIM1; k=rsa; p=\" \"{first}\" \"{second}\"\n\
         e._domainkey.sender IN TXT \"v=DKIM1; k=ed25519; p={ed_public}\"\n"
    ))
    .await;
    let fields = ["From", "To", "Subject", "Date", "Message-ID"];
    let rsa = DkimSigner::from_key(rsa_key).domain("sender.test").selector("r").headers(fields);
    let ed = DkimSigner::from_key(ed_key).domain("sender.test").selector("e").headers(fields);
    let rsa = rsa.sign(CONTENT.as_bytes()).expect("sign").to_header();
    let ed = ed.sign(CONTENT.as_bytes()).expect("sign").to_header();
    for signatures in [rsa.clone(), ed.clone(), format!("{rsa}{ed}")] {
        let signed = format!("{signatures}{CONTENT}");
        let it = bench.check("198.51.100.1", "x@relay.test", &signed).await;
        assert_eq!(words(&it), ["none", "pass", "pass"], "{}", it.results.results);
        assert!(it.results.results.contains("header.s="), "{}", it.results.results);
        let changed = signed.replace("\r\n\r\nHi", "\r\n\r\nHo");
        let it = bench.check("198.51.100.1", "x@relay.test", &changed).await;
        assert_eq!(words(&it), ["none", "fail", "fail"]);
        assert!(it.spoofed);
    }
    let unknown = format!("{}{CONTENT}", rsa.replace("s=r;", "s=q;"));
    let it = bench.check("198.51.100.1", "x@relay.test", &unknown).await;
    assert_eq!(words(&it), ["none", "permerror", "fail"]);
    // Signed where it comes from, on this host: the signature still counts.
    let it = bench.check("127.0.0.1", "x@relay.test", &format!("{rsa}{CONTENT}")).await;
    assert_eq!(words(&it), ["none", "pass", "pass"]);
}

#[tokio::test]
async fn silent_dns_holds_no_mail() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let config = Config {
        dns: vec![silent.local_addr().expect("address")],
        authentication_seconds: 1,
        ..Config::default()
    };
    let authenticator = Authenticator::new(&config).expect("authenticator");
    let bench = Bench { authenticator, _dns: None };
    let begun = Instant::now();
    let it = bench.check("192.0.2.1", "sarah@sender.test", CONTENT).await;
    assert_eq!(words(&it), ["temperror", "none", "temperror"]);
    assert!(!it.spoofed);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(it.results.results.contains("spf=temperror"), "{}", it.results.results);
}

#[tokio::test]
async fn mail_of_this_host_needs_no_dns() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let dns = vec![silent.local_addr().expect("address")];
    let authenticator =
        Authenticator::new(&Config { dns, ..Config::default() }).expect("authenticator");
    let bench = Bench { authenticator, _dns: None };
    let begun = Instant::now();
    let it = bench.check("127.0.0.1", "sarah@sender.test", CONTENT).await;
    assert_eq!(words(&it), ["none", "none", "none"]);
    assert_eq!(it.results.from_domain, "sender.test");
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}
