//! DKIM signatures, as an independent verifier and as our own intake see them: of the operator's domain, and
//! of a customer's that came the whole way.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use e2e::{Agent, Cluster, DOMAIN, Dkimpy, Inbox, Plan, SOON, eventually, skip};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_dns::Dns;
use test_peer::{Peer, Setup};

use crate::pipeline_out::{mail, wait_for_status};

const CUSTOMER: &str = "customer.test";

/// Services whose operator has keys, a name server, and a mail exchanger out in the world: that of
/// `world.test`.
struct Bench {
    cluster: Cluster,
    dns: Dns,
    peer: Peer,
    records: String,
    _keys: TempDir,
}

impl Bench {
    async fn start() -> anyhow::Result<Bench> {
        let own_ip = own_ip()?;
        let keys = TempDir::new().context("create folder")?;
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let ed25519 = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut tables = String::new();
        for (selector, algorithm, pair) in
            [("op1", "rsa-sha256", &rsa), ("op2", "ed25519-sha256", &ed25519)]
        {
            let file = keys.path().join(format!("{selector}.pem"));
            fs::write(&file, pair.serialize_pem()).context("write a key")?;
            tables += &format!(
                "[[dkim]]\ndomain = '{DOMAIN}'\nselector = '{selector}'\n\
                 private_key_file = '{}'\nalgorithm = '{algorithm}'\n",
                file.display()
            );
        }
        let records = format!(
            "world IN MX 10 mx.world\nmx.world IN A 127.0.0.1\n\
             posthouse IN TXT \"v=spf1 {} -all\"\n\
             _dmarc.posthouse IN TXT \"v=DMARC1; p=reject\"\n\
             op1._domainkey.posthouse IN TXT {}\nop2._domainkey.posthouse IN TXT {}\n",
            match own_ip {
                IpAddr::V4(ip) => format!("ip4:{ip}"),
                IpAddr::V6(ip) => format!("ip6:{ip}"),
            },
            strings(&format!(
                "v=DKIM1; k=rsa; p={}",
                BASE64.encode(&rsa.subject_public_key_info())
            )),
            strings(&format!("v=DKIM1; k=ed25519; p={}", BASE64.encode(ed25519.der_bytes()))),
        );
        let dns = Dns::start(&records).await;
        let peer = Peer::start(Setup::default()).await;
        let plan = Plan {
            dns: Some(dns.address),
            intake_ip: own_ip,
            mx_port: Some(peer.address.port()),
            sender: tables,
            ..Plan::default()
        };
        let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
        Ok(Bench { cluster, dns, peer, records, _keys: keys })
    }

    /// Sends a mail out into the world; gives what arrived there.
    async fn send_out(&self, agent: &Agent, from: &Inbox, subject: &str) -> anyhow::Result<String> {
        let mut request = mail(from, "bob@world.test", subject);
        // Long, folded, and with what canonicalisation has to deal with.
        request["subject"] = json!(format!("{subject} {}", "with  many w\u{f6}rds ".repeat(12)));
        request["body"]["text"] = json!("First  line \r\n.second line\r\n\r\n\r\n");
        request["headers"] = json!({ "X-Order": "17" });
        agent.send(&request, None).await?.success()?;
        let content = eventually(SOON, "the mail to arrive", async || {
            Ok(self.peer.seen().contents.into_iter().next_back())
        })
        .await?;
        // Without the dots that SMTP doubles.
        Ok(String::from_utf8(content).context("read as ASCII")?.replace("\r\n..", "\r\n."))
    }

    /// Sends a mail to an inbox here; gives it as it arrived, once all of it passes.
    async fn send_round(&self, agent: &Agent, from: &Inbox, subject: &str) -> anyhow::Result<()> {
        let to = agent.inbox().await?;
        let sent = agent.send(&mail(from, &to.address, subject), None).await?.success()?;
        let email = agent.wait_for(&to, subject).await?;
        let methods = if own_ip()?.is_loopback() {
            skip("SPF: this machine has no address but loopback ones");
            vec!["dkim", "dmarc"]
        } else {
            vec!["spf", "dkim", "dmarc"]
        };
        let security = &email["security"];
        for method in &methods {
            ensure!(security[method] == "pass", "{method}: {security}");
        }
        let raw = String::from_utf8(agent.raw(&to, &email).await?).context("read as ASCII")?;
        let unfolded = raw.replace("\r\n\t", " ").replace("\r\n ", " ");
        let results = unfolded.lines().find(|it| it.starts_with("Authentication-Results:"));
        let results = results.context("find Authentication-Results")?;
        for method in &methods {
            ensure!(results.contains(&format!("{method}=pass")), "{results}");
        }
        let id = sent["id"].as_str().context("id")?;
        wait_for_status(agent, from, id, "sent").await?;
        Ok(())
    }
}

/// An address of this machine that is not a loopback one, where it has any: it reaches itself from there, and
/// SPF has something to say of it. Nothing is sent.
fn own_ip() -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind")?;
    let connected = socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9));
    let address = connected.and_then(|()| socket.local_addr());
    Ok(address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |it| it.ip()))
}

/// A text as a zone file has it: strings of at most 255 octets.
fn strings(text: &str) -> String {
    let chunks = text.as_bytes().chunks(200).map(String::from_utf8_lossy);
    chunks.map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(" ")
}

/// Changed mail must fail, or passing means nothing.
async fn check(
    dkimpy: &Dkimpy,
    dns: &Dns,
    content: &str,
    expected: [&str; 2],
) -> anyhow::Result<()> {
    let of = async |content: &str| dkimpy.verify(dns.address, content.as_bytes()).await;
    let with = |result: &str| expected.map(|it| format!("{it} {result}")).to_vec();
    let mut verified = of(content).await?;
    verified.sort();
    ensure!(verified == with("pass"), "{verified:?} {content}");
    for forged in [
        content.replace("second line", "third line"),
        content.replace("X-Order: 17\r\n", "X-Order: 17\r\nReply-To: evil@world.test\r\n"),
        format!("From: Chief <chief@world.test>\r\n{content}"),
    ] {
        let mut verified = of(&forged).await?;
        verified.sort();
        ensure!(verified == with("fail"), "{verified:?} {forged}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dkimpy_verifies_mail_of_the_operators_domain() -> anyhow::Result<()> {
    let Some(dkimpy) = Dkimpy::find().await? else { return Ok(()) };
    let bench = Bench::start().await?;
    let agent = bench.cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let content = bench.send_out(&agent, &inbox, "Signed").await?;
    let signed = ["posthouse.test op1 rsa-sha256", "posthouse.test op2 ed25519-sha256"];
    check(&dkimpy, &bench.dns, &content, signed).await?;
    bench.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_between_own_inboxes_passes_spf_dkim_and_dmarc() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let agent = bench.cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    bench.send_round(&agent, &inbox, "Loop-back").await?;
    bench.cluster.stop().await
}

/// From `POST /v1/domains` to a mail that passes everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_customers_domain_passes_everywhere() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let agent = bench.cluster.api()?.sign_up().await?;
    let domain = agent.post("/v1/domains", &json!({ "domain": CUSTOMER })).await?.success()?;
    let path = format!("/v1/domains/{}", domain["id"].as_str().context("id")?);
    let verify = format!("{path}/verify");
    let before = agent.post(&verify, &Value::Null).await?.success()?;
    ensure!(before["status"] != "verified", "{before}");
    let zone = agent.get(&format!("{path}/zone")).await?;
    let zone = String::from_utf8(zone.octets).context("read a zone")?;
    bench.dns.publish(&format!("{}{zone}", bench.records)).await;
    let after = agent.post(&verify, &Value::Null).await?.success()?;
    ensure!(after["status"] == "verified", "{after}");

    let wish = json!({ "localPart": "agent", "domain": CUSTOMER });
    let inbox = agent.post("/v1/inboxes", &wish).await?.success()?;
    let text = |key: &str| inbox[key].as_str().map(str::to_owned).context("read an inbox");
    let inbox = Inbox { id: text("id")?, address: text("address")? };
    ensure!(inbox.address == format!("agent@{CUSTOMER}"), "{inbox:?}");
    bench.send_round(&agent, &inbox, "From a customer").await?;

    let content = bench.send_out(&agent, &inbox, "Out of the house").await?;
    ensure!(content.contains(&format!("\nFrom: <{}>\r\n", inbox.address)), "{content}");
    if let Some(dkimpy) = Dkimpy::find().await? {
        let signed = ["customer.test ph1 rsa-sha256", "customer.test ph1-ed25519 ed25519-sha256"];
        check(&dkimpy, &bench.dns, &content, signed).await?;
    }
    bench.cluster.stop().await
}
