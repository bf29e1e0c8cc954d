//! The sender against small SMTP and DNS servers, and against a real nats-server and database.

mod authority;
mod capture;
mod dkim;
mod envelope;
mod exchanges;
mod faults;
mod mta_sts;
mod pipeline;
mod replicas;
mod shaping;
mod tls;
mod unknown;

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use contract::{DeliveryDue, DeliveryReported, RecipientReport};
use sender::{Config, Delivery, Route, Smarthost, TlsPolicy};
use test_peer as peer;

const CONTENT: &[u8] =
    b"From: Agent <agent@example.com>\r\nTo: b@example.org\r\nSubject: Hello\r\n\
    \r\nFirst line\r\n.second line\r\n";

fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before 294247")
}

fn due(forward_paths: &[&str]) -> DeliveryDue {
    let domain = forward_paths[0].rsplit_once('@').expect("address").1;
    DeliveryDue {
        mail_id: "eml_1".to_owned(),
        reverse_path: "agent@example.com".to_owned(),
        domain: domain.to_owned(),
        forward_paths: forward_paths.iter().map(|it| (*it).to_owned()).collect(),
        attempt: 1,
        accepted_at_micros: now_micros(),
        ..DeliveryDue::default()
    }
}

fn smarthost(address: SocketAddr) -> Smarthost {
    Smarthost {
        host: address.ip().to_string(),
        port: address.port(),
        tls: TlsPolicy::Opportunistic,
        ca_file: None,
        username: None,
        password: None,
        password_file: None,
    }
}

/// Everything goes to this address.
fn to_smarthost(address: SocketAddr) -> Config {
    Config {
        hostname: "sender.example.com".to_owned(),
        default_route: Route::Smarthost(smarthost(address)),
        ..Config::default()
    }
}

fn delivery(config: &Config) -> Delivery {
    Delivery::new(config, &prometheus::Registry::new()).expect("configuration")
}

async fn send(config: &Config, forward_paths: &[&str]) -> DeliveryReported {
    delivery(config).attempt(CONTENT, &due(forward_paths)).await
}

/// What became of each recipient, as `<action> <status>`.
fn outcomes(report: &DeliveryReported) -> Vec<String> {
    report.recipients.iter().map(outcome).collect()
}

fn outcome(recipient: &RecipientReport) -> String {
    format!("{:?} {}", recipient.action(), recipient.status)
}

#[track_caller]
fn check(report: &DeliveryReported, expected: &[&str]) {
    assert_eq!(outcomes(report), expected, "{report:?}");
}
