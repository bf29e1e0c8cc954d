//! Whose address counts as proven.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use contract::Peer;
use data_encoding::BASE64;
use mail_auth::{
    common::{crypto::Ed25519Key, headers::HeaderWriter as _},
    dkim::DkimSigner,
};
use scanner::{Authenticator, Config};
use test_dns::Dns;

/// A domain with DMARC, one without, and a key for each.
struct Bench {
    authenticator: Authenticator,
    key: Vec<u8>,
    _dns: Dns,
}

impl Bench {
    async fn new() -> Bench {
        let pair = Ed25519KeyPair::generate().expect("generate");
        let public = BASE64.encode(pair.public_key().as_ref());
        let record = format!("IN TXT \"v=DKIM1; k=ed25519; p={public}\"");
        let dns = Dns::start(&format!(
            "_dmarc.strict IN TXT \"v=DMARC1; p=none\"\nstrict IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n\
             bare IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\ns._domainkey.strict {record}\n\
             s._domainkey.bare {record}\ns._domainkey.mailer {record}\n"
        ))
        .await;
        let config = Config { dns: vec![dns.address], ..Config::default() };
        let authenticator = Authenticator::new(&config).expect("authenticator");
        let key = pair.to_pkcs8().expect("encode").as_ref().to_vec();
        Bench { authenticator, key, _dns: dns }
    }

    /// The proven author of a mail that a domain signed, if one did.
    async fn author(&self, from: &str, signer: Option<&str>, ip: &str, path: &str) -> String {
        let content = format!("From: {from}\r\nSubject: Hi\r\n\r\nHi\r\n");
        let signature = signer.map(|domain| {
            let key = Ed25519Key::from_pkcs8_der(&self.key).expect("key");
            let signer = DkimSigner::from_key(key).domain(domain).selector("s");
            signer.headers(["From", "Subject"]).sign(content.as_bytes()).expect("sign").to_header()
        });
        let content = format!("{}{content}", signature.unwrap_or_default());
        let peer = Peer { ip: ip.to_owned(), helo: "x.test".to_owned(), ..Peer::default() };
        let it = self.authenticator.authenticate(peer, path.to_owned(), content.into()).await;
        it.results.author
    }
}

const ELSEWHERE: &str = "198.51.100.1";

#[tokio::test]
async fn a_domain_stands_for_its_author() {
    let bench = Bench::new().await;
    let it = bench.author("a@strict.test", None, "192.0.2.1", "x@strict.test").await;
    assert_eq!(it, "a@strict.test", "DMARC by SPF");
    let it = bench.author("A <a@strict.test>", Some("strict.test"), ELSEWHERE, "x@fw.test").await;
    assert_eq!(it, "a@strict.test", "DMARC by a signature, through a forwarder");
    let it = bench.author("a@mail.bare.test", Some("bare.test"), ELSEWHERE, "x@fw.test").await;
    assert_eq!(it, "a@mail.bare.test", "a signature of the domain above, without DMARC");
}

#[tokio::test]
async fn nobody_stands_for_a_forged_one() {
    let bench = Bench::new().await;
    for (from, signer, ip, path) in [
        ("a@strict.test", None, ELSEWHERE, "x@strict.test"),
        ("a@strict.test", Some("mailer.test"), ELSEWHERE, "x@mailer.test"),
        ("a@bare.test", None, "192.0.2.1", "x@bare.test"),
        ("a@bare.test", Some("mailer.test"), ELSEWHERE, "x@mailer.test"),
        ("a@strict.test, b@strict.test", Some("strict.test"), ELSEWHERE, ""),
        ("a@bare.test\r\nFrom: b@bare.test", Some("bare.test"), ELSEWHERE, ""),
        ("nobody", Some("bare.test"), ELSEWHERE, ""),
    ] {
        assert_eq!(bench.author(from, signer, ip, path).await, "", "{from} {signer:?}");
    }
}
