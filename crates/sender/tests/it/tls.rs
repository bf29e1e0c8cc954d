//! STARTTLS where it works, where it is broken, and where a route insists on it.

use std::{path::PathBuf, sync::Arc};

use sender::{Config, Route, Smarthost, TlsPolicy};
use tokio_rustls::TlsAcceptor;

use crate::{
    CONTENT,
    authority::Authority,
    check, delivery, due,
    peer::{Answer, Peer, Setup, say},
    send, smarthost, to_smarthost,
};

/// A certificate for 127.0.0.1 and the authority that vouches for it.
pub(crate) struct Identity {
    pub(crate) acceptor: TlsAcceptor,
    authority: Authority,
}

pub(crate) fn identity() -> Identity {
    let authority = Authority::new();
    Identity { acceptor: authority.acceptor(&["127.0.0.1"]), authority }
}

fn offering_tls(identity: &Identity) -> Setup {
    Setup {
        extensions: vec!["STARTTLS", "PIPELINING", "AUTH PLAIN LOGIN"],
        tls: Some(identity.acceptor.clone()),
        ..Setup::default()
    }
}

fn requiring(peer: &Peer, tls: TlsPolicy, ca_file: Option<&PathBuf>) -> Config {
    let smarthost = Smarthost { tls, ca_file: ca_file.cloned(), ..smarthost(peer.address) };
    Config { default_route: Route::Smarthost(smarthost), ..to_smarthost(peer.address) }
}

#[tokio::test]
async fn tls_is_used_whatever_the_certificate() {
    let peer = Peer::start(offering_tls(&identity())).await;
    let report = send(&to_smarthost(peer.address), &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].tls, "TLSv1.3");
    let lines = peer.seen().lines;
    assert_eq!(lines[..3], ["EHLO sender.example.com", "STARTTLS", "EHLO sender.example.com"]);
}

#[tokio::test]
async fn tls_can_be_left_alone() {
    let peer = Peer::start(offering_tls(&identity())).await;
    let report = send(&requiring(&peer, TlsPolicy::None, None), &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert!(!peer.seen().has("STARTTLS"));
}

/// Says it can, and cannot.
async fn breaks_tls(script: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) {
    let setup = Setup { extensions: vec!["STARTTLS"], ..Setup::script(script) };
    let peer = Peer::start(setup).await;
    let delivery = delivery(&to_smarthost(peer.address));
    for _ in 0..2 {
        let report = delivery.attempt(CONTENT, &due(&["b@example.org"])).await;
        check(&report, &["Delivered 2.0.0"]);
        assert_eq!(report.recipients[0].tls, "");
    }
    // The second mail knows.
    let tried = peer.seen().lines.iter().filter(|it| *it == "STARTTLS").count();
    assert_eq!((tried, peer.seen().connections), (1, 2));
}

#[tokio::test]
async fn broken_tls_is_done_without_and_remembered() {
    breaks_tls(|it| (it == "STARTTLS").then(|| say("454 4.7.0 not now")).flatten()).await;
    let nonsense = Answer::Raw(b"220 go ahead\r\nthis is not TLS\r\n".to_vec());
    breaks_tls(move |it| (it == "STARTTLS").then(|| nonsense.clone())).await;
    breaks_tls(|it| (it == "STARTTLS").then_some(Answer::Close)).await;
}

#[tokio::test]
async fn required_tls_with_a_valid_certificate_is_used() {
    let identity = identity();
    let peer = Peer::start(offering_tls(&identity)).await;
    let config = requiring(&peer, TlsPolicy::Required, Some(&identity.authority.ca_file));
    let report = send(&config, &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].tls, "TLSv1.3");
}

#[tokio::test]
async fn required_tls_is_never_done_without() {
    let peer = Peer::start(offering_tls(&identity())).await;
    let other = identity();
    let config = requiring(&peer, TlsPolicy::Required, Some(&other.authority.ca_file));
    check(&send(&config, &["b@example.org"]).await, &["Delayed 4.7.5"]);
    assert!(!peer.seen().lines.iter().any(|it| it.starts_with("MAIL")));

    let peer = Peer::start(Setup::default()).await;
    let config = requiring(&peer, TlsPolicy::Required, None);
    check(&send(&config, &["b@example.org"]).await, &["Delayed 4.7.4"]);
    assert!(!peer.seen().lines.iter().any(|it| it.starts_with("MAIL")));
}

#[tokio::test]
async fn implicit_tls_comes_first() {
    let identity = identity();
    let setup = Setup { implicit_tls: true, ..offering_tls(&identity) };
    let peer = Peer::start(setup).await;
    let config = requiring(&peer, TlsPolicy::Implicit, Some(&identity.authority.ca_file));
    let report = send(&config, &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].tls, "TLSv1.3");
}

fn with_password(peer: &Peer, identity: &Identity) -> Config {
    let smarthost = Smarthost {
        tls: TlsPolicy::Required,
        ca_file: Some(identity.authority.ca_file.clone()),
        username: Some("me".to_owned()),
        password: Some("secret".to_owned()),
        ..smarthost(peer.address)
    };
    Config { default_route: Route::Smarthost(smarthost), ..to_smarthost(peer.address) }
}

#[tokio::test]
async fn credentials_go_over_tls() {
    let identity = identity();
    let peer = Peer::start(offering_tls(&identity)).await;
    let report = send(&with_password(&peer, &identity), &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    let lines = peer.seen().lines;
    let auth = data_encoding::BASE64.encode(b"\0me\0secret");
    let at = lines.iter().position(|it| *it == format!("AUTH PLAIN {auth}")).expect("AUTH");
    assert!(lines[..at].iter().any(|it| it == "STARTTLS"), "{lines:?}");
}

/// It is the operator's mistake, and costs nobody a mail.
#[tokio::test]
async fn a_wrong_password_is_a_delay() {
    let identity = identity();
    let setup =
        Setup::script(|it| it.starts_with("AUTH").then(|| say("535 5.7.8 wrong")).flatten());
    let peer = Peer::start(Setup { script: setup.script, ..offering_tls(&identity) }).await;
    let report = send(&with_password(&peer, &identity), &["b@example.org"]).await;
    check(&report, &["Delayed 4.7.8"]);
    assert!(!report.recipients[0].diagnostic.contains("secret"));
}

/// What came in clear before the handshake must not be taken for what came after it.
#[tokio::test]
async fn what_was_injected_before_tls_is_forgotten() {
    let identity = identity();
    let injected = Answer::Raw(b"220 go ahead\r\n250-evil.example\r\n250 SIZE 1\r\n".to_vec());
    let setup = Setup {
        script: Arc::new(move |it| (it == "STARTTLS").then(|| injected.clone())),
        ..offering_tls(&identity)
    };
    let peer = Peer::start(setup).await;
    let config = requiring(&peer, TlsPolicy::Required, Some(&identity.authority.ca_file));
    let report = send(&config, &["b@example.org"]).await;
    check(&report, &["Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].tls, "TLSv1.3");
}
