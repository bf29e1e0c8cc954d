//! Policies of MTA-STS (RFC 8461), from a policy host and a name server of the test's own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use sender::{Config, Delivery, MtaSts, Timeouts};
use test_dns::Dns;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    CONTENT,
    authority::Authority,
    check, delivery, due,
    peer::{Peer, Setup, say},
    pipeline::{Bench, Running, eventually},
};

const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 86400\n";

/// Serves what it is told to over HTTPS, and counts how often.
struct PolicyHost {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl PolicyHost {
    async fn start(acceptor: TlsAcceptor, policy: &str) -> PolicyHost {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (answer, asked) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<usize>>::default());
        let task = tokio::spawn(serve(listener, acceptor, answer.clone(), asked.clone()));
        let host = PolicyHost { address, answer, asked, task };
        host.publish(policy);
        host
    }

    fn publish(&self, policy: &str) {
        self.answer("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", policy);
    }

    fn answer(&self, status: &str, fields: &str, body: &str) {
        let size = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {size}\r\n\r\n{body}");
        *self.answer.lock().expect("lock") = answer.into_bytes();
    }

    fn asked(&self) -> usize {
        *self.asked.lock().expect("lock")
    }
}

impl Drop for PolicyHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<usize>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = acceptor.accept(stream).await else { continue };
        let mut lines = BufReader::new(stream).lines();
        let mut request = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.is_empty() {
                break;
            }
            request.push(line);
        }
        assert_eq!(request[0], "GET /.well-known/mta-sts.txt HTTP/1.1");
        *asked.lock().expect("lock") += 1;
        let answer = answer.lock().expect("lock").clone();
        // A client that has heard enough goes away.
        _ = lines.into_inner().write_all(&answer).await;
    }
}

/// A domain `sts.test` with a policy host and a mail exchanger, both of one authority.
struct Site {
    dns: Dns,
    host: PolicyHost,
    peer: Peer,
    config: Config,
    authority: Authority,
}

fn records(id: &str) -> String {
    format!(
        "sts IN MX 10 mx\nmx IN A 127.0.0.1\nmta-sts.sts IN A 127.0.0.1\n\
         _mta-sts.sts IN TXT \"v=STSv1; id={id};\"\n"
    )
}

impl Site {
    /// `mx` has a certificate for these names.
    async fn new(policy: &str, mx_names: &[&str]) -> Site {
        let authority = Authority::new();
        let host = PolicyHost::start(authority.acceptor(&["mta-sts.sts.test"]), policy).await;
        let peer = Peer::start(Setup {
            extensions: vec!["STARTTLS"],
            tls: Some(authority.acceptor(mx_names)),
            ..Setup::default()
        })
        .await;
        let dns = Dns::start(&records("a1")).await;
        let ca_file = Some(authority.ca_file.clone());
        let config = Config {
            dns: vec![dns.address],
            mx_port: peer.address.port(),
            allow_private_targets: true,
            mta_sts: MtaSts { enabled: true, port: host.address.port(), ca_file },
            ..Config::default()
        };
        Site { dns, host, peer, config, authority }
    }

    async fn check(&self, delivery: &Delivery, expected: &str) {
        let report = delivery.attempt(CONTENT, &due(&["b@sts.test"])).await;
        check(&report, &[expected]);
    }
}

#[tokio::test]
async fn mail_goes_over_verified_tls_to_who_the_policy_names() {
    let site = Site::new(ENFORCE, &["mx.test"]).await;
    let delivery = delivery(&site.config);
    for _ in 0..2 {
        let report = delivery.attempt(CONTENT, &due(&["b@sts.test"])).await;
        check(&report, &["Delivered 2.0.0"]);
        assert_eq!(report.recipients[0].tls, "TLSv1.3");
    }
    assert_eq!(site.host.asked(), 1, "it is kept");
}

#[tokio::test]
async fn a_certificate_for_another_name_makes_mail_wait() {
    let site = Site::new(ENFORCE, &["other.test"]).await;
    site.check(&delivery(&site.config), "Delayed 4.7.5").await;
    assert!(!site.peer.seen().lines.iter().any(|it| it.starts_with("MAIL")));
}

/// Whoever sits on the way can take STARTTLS out of the offers.
#[tokio::test]
async fn mail_never_goes_in_clear() {
    let site = Site::new(ENFORCE, &["mx.test"]).await;
    for setup in [
        Setup::default(),
        Setup {
            extensions: vec!["STARTTLS"],
            ..Setup::script(|it| (it == "STARTTLS").then(|| say("454 4.7.0 not now")).flatten())
        },
    ] {
        let peer = Peer::start(setup).await;
        let config = Config { mx_port: peer.address.port(), ..site.config.clone() };
        let delivery = delivery(&config);
        for _ in 0..2 {
            site.check(&delivery, "Delayed 4.7.4").await;
        }
        assert!(!peer.seen().lines.iter().any(|it| it.starts_with("MAIL")));
    }
}

#[tokio::test]
async fn an_exchanger_that_the_policy_does_not_name_gets_nothing() {
    let site = Site::new(&ENFORCE.replace("mx.test", "*.elsewhere.test"), &["mx.test"]).await;
    site.check(&delivery(&site.config), "Delayed 4.7.0").await;
    assert_eq!(site.peer.seen().connections, 0);
}

#[tokio::test]
async fn a_policy_under_test_stops_nothing_and_is_counted() {
    let policy = ENFORCE.replace("enforce", "testing").replace("mx.test", "elsewhere.test");
    let site = Site::new(&policy, &["other.test"]).await;
    let registry = prometheus::Registry::new();
    let delivery = Delivery::new(&site.config, &registry).expect("configuration");
    site.check(&delivery, "Delivered 2.0.0").await;
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    let line = "mail_out_mta_sts_deliveries_total{mode=\"testing\",result=\"not_named\"} 1";
    assert!(text.lines().any(|it| it == line), "{text}");
}

#[tokio::test]
async fn no_policy_is_no_demand() {
    let site = Site::new("version: STSv1\nmode: none\nmax_age: 86400\n", &["other.test"]).await;
    site.check(&delivery(&site.config), "Delivered 2.0.0").await;
    site.host.publish(ENFORCE);
    site.dns.publish("sts IN MX 10 mx\nmx IN A 127.0.0.1\nmta-sts.sts IN A 127.0.0.1").await;
    site.check(&delivery(&site.config), "Delivered 2.0.0").await;
    let disabled = MtaSts { enabled: false, ..site.config.mta_sts.clone() };
    site.dns.publish(&records("a1")).await;
    let config = Config { mta_sts: disabled, ..site.config.clone() };
    site.check(&delivery(&config), "Delivered 2.0.0").await;
    assert_eq!(site.host.asked(), 1);
}

/// What cannot be fetched is as if it were not there, and is not asked for again at once.
#[tokio::test]
async fn what_is_no_policy_is_not_believed() {
    let site = Site::new("", &["other.test"]).await;
    let plain = "Content-Type: text/plain\r\n";
    let elsewhere = format!("{plain}Location: https://mta-sts.sts.test/x\r\n");
    let long = format!("{ENFORCE}{}", "#\n".repeat(40_000));
    for (status, fields, body) in [
        ("301 Moved Permanently", elsewhere.as_str(), ENFORCE),
        ("404 Not Found", plain, ENFORCE),
        ("200 OK", "Content-Type: text/html\r\n", ENFORCE),
        ("200 OK", "", ENFORCE),
        ("200 OK", plain, &long),
        ("200 OK", plain, "nonsense"),
    ] {
        site.host.answer(status, fields, body);
        let delivery = delivery(&site.config);
        let before = site.host.asked();
        for _ in 0..2 {
            site.check(&delivery, "Delivered 2.0.0").await;
        }
        assert_eq!(site.host.asked() - before, 1, "{status} {fields}");
    }
}

#[tokio::test]
async fn a_policy_host_needs_a_valid_certificate_and_a_public_address() {
    let site = Site::new(ENFORCE, &["other.test"]).await;
    let stranger = Authority::new();
    let impostor = PolicyHost::start(stranger.acceptor(&["mta-sts.sts.test"]), ENFORCE).await;
    let misnamed = PolicyHost::start(site.authority.acceptor(&["sts.test"]), ENFORCE).await;
    for host in [impostor, misnamed] {
        let mta_sts = MtaSts { port: host.address.port(), ..site.config.mta_sts.clone() };
        let config = Config { mta_sts, ..site.config.clone() };
        site.check(&delivery(&config), "Delivered 2.0.0").await;
        assert_eq!(host.asked(), 0);
    }
    let config = Config { allow_private_targets: false, ..site.config.clone() };
    site.check(&delivery(&config), "Failed 5.4.4").await;
    assert_eq!(site.host.asked(), 0);
}

/// Whoever can suppress DNS answers, or the policy host, does not switch off what is known.
#[tokio::test]
async fn a_known_policy_outlives_its_record_and_its_host() {
    let site = Site::new(ENFORCE, &["other.test"]).await;
    let delivery = delivery(&site.config);
    site.check(&delivery, "Delayed 4.7.5").await;
    site.host.answer("404 Not Found", "", "");
    for id in ["a1", "a2"] {
        site.dns.publish(&records(id)).await;
        site.check(&delivery, "Delayed 4.7.5").await;
    }
    site.dns.publish("sts IN MX 10 mx\nmx IN A 127.0.0.1").await;
    site.check(&delivery, "Delayed 4.7.5").await;
}

#[tokio::test]
async fn a_new_id_brings_the_new_policy() {
    let site = Site::new(ENFORCE, &["other.test"]).await;
    let delivery = delivery(&site.config);
    site.check(&delivery, "Delayed 4.7.5").await;
    site.host.publish("version: STSv1\nmode: none\nmax_age: 86400\n");
    site.check(&delivery, "Delayed 4.7.5").await;
    site.dns.publish(&records("a2")).await;
    site.check(&delivery, "Delivered 2.0.0").await;
    assert_eq!(site.host.asked(), 2);
}

#[tokio::test]
async fn many_mails_ask_once() {
    let site = Site::new(ENFORCE, &["mx.test"]).await;
    let delivery = Arc::new(delivery(&site.config));
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let delivery = Arc::clone(&delivery);
        attempts.spawn(async move { delivery.attempt(CONTENT, &due(&["b@sts.test"])).await });
    }
    for report in attempts.join_all().await {
        check(&report, &["Delivered 2.0.0"]);
    }
    assert_eq!(site.host.asked(), 1);
}

/// In the bucket, for other senders and for later.
#[tokio::test]
async fn a_policy_outlives_the_sender() {
    let site = Site::new(ENFORCE, &["other.test"]).await;
    let bench = Bench::new(&site.peer).await;
    let timeouts = Timeouts { reply_seconds: 5, ..Timeouts::default() };
    let config = Config {
        nats: bench.config.nats.clone(),
        database: bench.config.database.clone(),
        retries: bench.config.retries.clone(),
        timeouts,
        ..site.config.clone()
    };
    for mail_id in ["eml_1", "eml_2"] {
        let running = Running::start(&config);
        bench.accept(mail_id, &["b@sts.test"]).await;
        let reported = || bench.reports().into_iter().find(|it| it.mail_id == mail_id);
        eventually(async || reported().is_some()).await;
        running.stop().await;
        check(&reported().expect("a report"), &["Delayed 4.7.5"]);
        site.host.answer("404 Not Found", "", "");
        site.dns.publish("sts IN MX 10 mx\nmx IN A 127.0.0.1").await;
    }
    assert_eq!(site.host.asked(), 1);
}
