//! Signatures, verified against keys in DNS.

use std::path::Path;

use data_encoding::BASE64;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use sender::{Config, DkimAlgorithm, DkimKey};
use test_dns::Dns;

use crate::{
    check, delivery, due,
    peer::{Peer, Setup},
    to_smarthost,
};

/// Folded, long, and with white space that canonicalisation has to deal with.
pub(crate) const SIGNED: &[u8] = b"From: Agent <agent@example.test>\r\nTo: b@example.org\r\n\
    Subject: A  subject that is long enough to be folded,\r\n\tas this one is \r\n\
    Message-ID: <1@example.test>\r\n\r\nFirst  line \r\n.second line\r\n\r\n\r\n";

fn key(dir: &Path, selector: &str, algorithm: DkimAlgorithm, pem: &str) -> DkimKey {
    let private_key_file = dir.join(format!("{selector}.pem"));
    std::fs::write(&private_key_file, pem).expect("write");
    DkimKey {
        domain: "example.test".to_owned(),
        selector: selector.to_owned(),
        private_key_file,
        algorithm,
    }
}

/// A line of a zone file; a string in it has at most 255 octets.
fn record(selector: &str, kind: &str, public_key: &[u8]) -> String {
    let text = format!("v=DKIM1; k={kind}; p={}", BASE64.encode(public_key));
    let strings: Vec<_> = text
        .as_bytes()
        .chunks(200)
        .map(|it| format!("\"{}\"", String::from_utf8_lossy(it)))
        .collect();
    format!("{selector}._domainkey.example IN TXT {}", strings.join(" "))
}

pub(crate) async fn verify(dns: &Dns, content: &[u8]) -> Vec<DkimResult> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut it| {
        it.port = dns.address.port();
        it
    });
    let server = NameServerConfig::new(dns.address.ip(), true, connections.to_vec());
    let authenticator = MessageAuthenticator::new(
        ResolverConfig::from_name_servers(vec![server]),
        ResolverOpts::default(),
    )
    .expect("resolver");
    let message = AuthenticatedMessage::parse(content).expect("message");
    let outputs = authenticator.verify_dkim(&message).await;
    outputs.iter().map(|it| it.result().clone()).collect()
}

#[tokio::test]
async fn signatures_verify() {
    let dir = tempfile::tempdir().expect("directory");
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("key");
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).expect("key");
    // The PKCS#1 key is what PKCS#8 wraps: after 26 octets, for a key of this size.
    let pkcs1 = BASE64.encode(&rsa.serialize_der()[26..]);
    let pkcs1 =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n");
    let dns = Dns::start(
        &[
            record("rsa8", "rsa", &rsa.subject_public_key_info()),
            record("rsa1", "rsa", &rsa.subject_public_key_info()),
            record("ed", "ed25519", ed25519.der_bytes()),
        ]
        .join("\n"),
    )
    .await;
    let peer = Peer::start(Setup::default()).await;
    let config = Config {
        dkim: vec![
            key(dir.path(), "rsa8", DkimAlgorithm::RsaSha256, &rsa.serialize_pem()),
            key(dir.path(), "rsa1", DkimAlgorithm::RsaSha256, &pkcs1),
            key(dir.path(), "ed", DkimAlgorithm::Ed25519Sha256, &ed25519.serialize_pem()),
        ],
        ..to_smarthost(peer.address)
    };
    let report = delivery(&config).attempt(SIGNED, &due(&["b@example.org"])).await;
    check(&report, &["Delivered 2.0.0"]);
    let received = peer.seen().contents.remove(0);
    let received = String::from_utf8(received).expect("ASCII").replace("\r\n..", "\r\n.");
    assert!(received.contains("c=relaxed/relaxed"), "{received}");
    let results = verify(&dns, received.as_bytes()).await;
    assert_eq!(results, [DkimResult::Pass, DkimResult::Pass, DkimResult::Pass]);

    // Oversigned: a second From is noticed, and so is a changed body.
    let forged = format!("From: Chief <chief@example.test>\r\n{received}");
    assert!(!verify(&dns, forged.as_bytes()).await.contains(&DkimResult::Pass));
    let forged = received.replace("second", "third");
    assert!(!verify(&dns, forged.as_bytes()).await.contains(&DkimResult::Pass));
}

/// Whoever could change where a list is left, or add that, would unsubscribe or track people.
#[tokio::test]
async fn how_a_list_is_left_is_signed_by_author_and_service() {
    let dir = tempfile::tempdir().expect("directory");
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("key");
    let records = ["example", "post"].map(|name| {
        record("s", "rsa", &rsa.subject_public_key_info())
            .replace("example IN", &format!("{name} IN"))
    });
    let dns = Dns::start(&records.join("\n")).await;
    let peer = Peer::start(Setup::default()).await;
    let of = |domain: &str| DkimKey {
        domain: domain.to_owned(),
        ..key(dir.path(), "s", DkimAlgorithm::RsaSha256, &rsa.serialize_pem())
    };
    let config = Config {
        dkim: vec![of("post.test"), of("example.test")],
        service_dkim_domain: Some("post.test".to_owned()),
        ..to_smarthost(peer.address)
    };
    let fields = "List-Id: <news.example.test>\r\nList-Unsubscribe: <https://post.test/1>\r\n\
                  List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:d\r\n\
                  Auto-Submitted: auto-generated\r\nCFBL-Address: f@post.test; report=arf\r\n";
    let content = [fields.as_bytes(), SIGNED].concat();
    let report = delivery(&config).attempt(&content, &due(&["b@example.org"])).await;
    check(&report, &["Delivered 2.0.0"]);
    let received = peer.seen().contents.remove(0);
    let received = String::from_utf8(received).expect("ASCII").replace("\r\n..", "\r\n.");
    let (author, service) = (received.find("d=example.test"), received.find("d=post.test"));
    assert!(author.is_some() && author < service, "{received}");
    let results = verify(&dns, received.as_bytes()).await;
    assert_eq!(results, [DkimResult::Pass, DkimResult::Pass]);
    for (from, to) in [
        ("<https://post.test/1>", "<https://evil.test/1>"),
        ("=One-Click", "=Two-Clicks"),
        ("<news.example.test>", "<other.example.test>"),
        ("Feedback-ID: a", "Feedback-ID: x"),
        ("auto-generated", "no"),
        ("f@post.test", "f@evil.test"),
    ] {
        let forged = received.replacen(from, to, 1);
        assert_ne!(forged, received);
        assert!(!verify(&dns, forged.as_bytes()).await.contains(&DkimResult::Pass), "{to}");
    }
}

#[tokio::test]
async fn mail_of_other_domains_is_not_signed() {
    let dir = tempfile::tempdir().expect("directory");
    let pem = KeyPair::generate_for(&PKCS_ED25519).expect("key").serialize_pem();
    let peer = Peer::start(Setup::default()).await;
    let config = Config {
        dkim: vec![key(dir.path(), "ed", DkimAlgorithm::Ed25519Sha256, &pem)],
        ..to_smarthost(peer.address)
    };
    let report = delivery(&config).attempt(crate::CONTENT, &due(&["b@example.org"])).await;
    check(&report, &["Delivered 2.0.0"]);
    assert!(!String::from_utf8_lossy(&peer.seen().contents[0]).contains("DKIM"));
}

#[tokio::test]
async fn a_missing_key_stops_the_start() {
    let config = Config {
        dkim: vec![DkimKey {
            domain: "example.test".to_owned(),
            selector: "s".to_owned(),
            private_key_file: "/nonexistent/key.pem".into(),
            algorithm: DkimAlgorithm::RsaSha256,
        }],
        ..Config::default()
    };
    let err = sender::Delivery::new(&config, &prometheus::Registry::new()).err().expect("refuse");
    assert!(format!("{err:#}").contains("/nonexistent/key.pem"), "{err:#}");
}
