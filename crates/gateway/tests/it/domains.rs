//! A customer's domain, from its adding to its end, with a DNS server that has the records told.

use bus::Resolution;
use gateway::Config;
use reqwest::Method;
use serde_json::{Value, json};
use test_dns::Dns;

use crate::bench::{Agent, Answer, Bench, eventually};

pub(crate) const NAME: &str = "customer.test";

async fn bench(dns: &Dns) -> Bench {
    Bench::with(config(dns)).await
}

pub(crate) fn config(dns: &Dns) -> Config {
    Config {
        mx_host: Some("mx.post.test".to_owned()),
        spf_host: Some("spf.post.test".to_owned()),
        dns: vec![dns.address],
        ..Config::default()
    }
}

pub(crate) async fn add(agent: &Agent<'_>) -> Value {
    agent.post("/v1/domains", &json!({ "domain": NAME })).await.ok()
}

pub(crate) fn path(domain: &Value, rest: &str) -> String {
    format!("/v1/domains/{}{rest}", domain["id"].as_str().unwrap())
}

/// Without a body, as the SDK asks.
pub(crate) async fn verify(agent: &Agent<'_>, domain: &Value) -> Answer {
    Answer::to(agent.request(Method::POST, &path(domain, "/verify"))).await
}

pub(crate) async fn zone(agent: &Agent<'_>, domain: &Value) -> String {
    let answer = agent.get(&path(domain, "/zone")).await;
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    String::from_utf8(answer.octets).unwrap()
}

fn statuses(domain: &Value) -> Vec<String> {
    let records = domain["dnsRecords"].as_array().unwrap().iter();
    let word = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    records.map(|it| format!("{} {}", word(it, "purpose"), word(it, "status"))).collect()
}

#[tokio::test]
async fn tells_the_records_of_the_contract() {
    let dns = Dns::start("").await;
    let bench = bench(&dns).await;
    let agent = bench.agent().await;
    let domain = agent.post("/v1/domains", &json!({ "domain": "Customer.TEST" })).await.ok();
    assert_eq!(domain["status"], "pending_verification");
    let records = domain["dnsRecords"].as_array().unwrap();
    let of = |index: usize, keys: &[&str]| -> Vec<Value> {
        keys.iter().map(|key| records[index][*key].clone()).collect()
    };
    let keys = ["type", "host", "value", "priority"];
    let ownership = format!("posthouse-verify={}", domain["id"].as_str().unwrap());
    assert_eq!(
        of(0, &keys),
        [json!("TXT"), json!("_posthouse.customer.test"), ownership.into(), Value::Null]
    );
    assert_eq!(of(1, &keys), [json!("MX"), json!(NAME), json!("mx.post.test"), json!(10)]);
    assert_eq!(of(2, &keys[1..3]), [json!(NAME), json!("v=spf1 include:spf.post.test ~all")]);
    assert_eq!(of(3, &keys[..2]), [json!("TXT"), json!("ph1._domainkey.customer.test")]);
    assert_eq!(of(4, &keys[1..3]), [json!("_dmarc.customer.test"), json!("v=DMARC1; p=none")]);
    assert_eq!(of(5, &["required", "status"]), [json!(false), json!("pending")]);
    // Again, as after a lost answer.
    assert_eq!(add(&agent).await, domain);
    assert_eq!(agent.get(&path(&domain, "")).await.ok(), domain);
    assert_eq!(agent.get("/v1/domains").await.ok(), json!({ "data": [domain] }));
}

#[tokio::test]
async fn a_domain_with_its_records_takes_mail() {
    let dns = Dns::start("").await;
    let bench = bench(&dns).await;
    let agent = bench.agent().await;
    let domain = add(&agent).await;
    let wanted = json!({ "localPart": "sarah", "domain": NAME });
    let early = agent.post("/v1/inboxes", &wanted).await.is(422, "unknown_domain");
    assert!(early.contains(&path(&domain, "/verify")), "{early}");
    let pending = verify(&agent, &domain).await.ok();
    assert_eq!(pending["status"], "pending_verification");
    assert!(statuses(&pending).iter().all(|it| it.ends_with(" missing")), "{pending}");

    dns.publish(&zone(&agent, &domain).await).await;
    let verified = verify(&agent, &domain).await.ok();
    assert_eq!(verified["status"], "verified", "{verified}");
    assert!(statuses(&verified).iter().all(|it| it.ends_with(" verified")), "{verified}");
    assert!(verified["verifiedAt"].is_string() && verified["checkedAt"].is_string());

    let inbox = agent.post("/v1/inboxes", &wanted).await.ok();
    assert_eq!(inbox["address"], "sarah@customer.test");
    let directory = bench.bus.directory();
    let resolve = async |address: &str| directory.resolve(address, NAME).await.unwrap();
    assert!(matches!(resolve("sarah@customer.test").await, Resolution::Inbox { .. }));
    assert_eq!(resolve("nobody@customer.test").await, Resolution::UnknownRecipient);

    assert_eq!(agent.delete(&path(&domain, "")).await.ok(), json!({}));
    assert_eq!(resolve("sarah@customer.test").await, Resolution::UnknownDomain);
    agent.get(&path(&domain, "")).await.is(404, "not_found");
    agent.delete(&path(&domain, "")).await.is(404, "not_found");
    agent.post("/v1/inboxes", &json!({ "domain": NAME })).await.is(422, "unknown_domain");
}

#[tokio::test]
async fn says_what_is_wrong_with_each_record() {
    let dns = Dns::start("").await;
    let bench = bench(&dns).await;
    let agent = bench.agent().await;
    let domain = add(&agent).await;
    let zone = zone(&agent, &domain).await;
    let other = zone
        .replace("MX 10 mx.post.test.", "MX 10 mail.google.test.")
        .replace("include:spf.post.test", "include:spf.google.test")
        .replace("p=MII", "p=MIJ");
    let other: Vec<_> = other.lines().filter(|it| !it.contains("_dmarc")).collect();
    dns.publish(&other.join("\n")).await;
    let found = verify(&agent, &domain).await.ok();
    assert_eq!(found["status"], "pending_verification");
    let expected = [
        "ownership verified",
        "mx wrong",
        "spf wrong",
        "dkim wrong",
        "dmarc missing",
        "dkim_ed25519 verified",
    ];
    assert_eq!(statuses(&found), expected, "{found}");
    let reason = found["dnsRecords"][1]["reason"].as_str().unwrap();
    assert_eq!(reason, "Mail for customer.test goes to mail.google.test, not to mx.post.test.");
}

#[tokio::test]
async fn records_are_looked_for_without_being_asked() {
    let dns = Dns::start("").await;
    let bench = Bench::with(Config { domain_check_seconds: 1, ..config(&dns) }).await;
    let agent = bench.agent().await;
    let domain = add(&agent).await;
    dns.publish(&zone(&agent, &domain).await).await;
    eventually(async || agent.get(&path(&domain, "")).await.ok()["status"] == "verified").await;
    bench.stop().await;
}

#[tokio::test]
async fn keys_can_stay_in_a_zone_of_the_service() {
    let dns = Dns::start("").await;
    let dkim_cname_host = Some("dkim.post.test".to_owned());
    let bench = Bench::with(Config { dkim_cname_host, ..config(&dns) }).await;
    let agent = bench.agent().await;
    let domain = add(&agent).await;
    assert_eq!(domain["dnsRecords"][3]["type"], "CNAME");
    // What the operator is to publish is in comments.
    let zone = zone(&agent, &domain).await;
    let (customer, operator) = zone.split_once("; In the zone of the service").unwrap();
    let operator: Vec<_> = operator.lines().filter_map(|it| it.strip_prefix("; ")).collect();
    let operator = operator.join("\n");
    dns.publish(customer).await;
    let found = verify(&agent, &domain).await.ok();
    assert!(statuses(&found).contains(&"dkim missing".to_owned()), "{found}");
    dns.publish(&format!("{customer}\n{operator}")).await;
    let found = verify(&agent, &domain).await.ok();
    assert_eq!(found["status"], "verified", "{found}");
}

#[tokio::test]
async fn a_foreign_domain_does_not_exist_and_a_proved_one_is_taken() {
    let dns = Dns::start("").await;
    let bench = bench(&dns).await;
    let (owner, rival, late) = (bench.agent().await, bench.agent().await, bench.agent().await);
    let claimed = add(&rival).await;
    let domain = add(&owner).await;
    for rest in ["", "/zone"] {
        rival.get(&path(&domain, rest)).await.is(404, "not_found");
    }
    verify(&rival, &domain).await.is(404, "not_found");
    rival.delete(&path(&domain, "")).await.is(404, "not_found");
    assert_ne!(claimed["id"], domain["id"]);

    // Both prove it; the first has it.
    let ownership =
        |zone: &str| zone.lines().find(|it| it.contains("_posthouse")).unwrap().to_owned();
    let records = zone(&owner, &domain).await;
    let rivals = zone(&rival, &claimed).await;
    dns.publish(&format!("{records}{}", ownership(&rivals))).await;
    assert_eq!(verify(&owner, &domain).await.ok()["status"], "verified");
    dns.publish(&format!("{rivals}{}", ownership(&records))).await;
    verify(&rival, &claimed).await.is(409, "domain_taken");
    let lost = rival.get(&path(&claimed, "")).await.ok();
    assert_eq!(lost["status"], "failed");
    assert!(lost["dnsRecords"][0]["reason"].as_str().unwrap().contains("Another account"));
    late.post("/v1/domains", &json!({ "domain": NAME })).await.is(409, "domain_taken");
    rival.post("/v1/inboxes", &json!({ "domain": NAME })).await.is(422, "unknown_domain");
}

#[tokio::test]
async fn what_cannot_be_a_domain_of_an_account_is_refused() {
    let dns = Dns::start("").await;
    let bench = Bench::with(Config { max_domains: Some(1), ..config(&dns) }).await;
    let agent = bench.agent().await;
    let refused =
        async |domain: &str| agent.post("/v1/domains", &json!({ "domain": domain })).await;
    refused("localhost").await.is(422, "invalid_domain");
    refused("posthouse.localhost").await.is(409, "domain_taken");
    add(&agent).await;
    refused("second.test").await.is(403, "insufficient_tier");
    agent.post("/v1/domains", &json!({})).await.is(400, "invalid_request");
}

#[tokio::test]
async fn says_so_while_the_dns_does_not_answer() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = vec![silent.local_addr().unwrap()];
    let bench = Bench::with(Config { dns, ..Config::default() }).await;
    let agent = bench.agent().await;
    let domain = add(&agent).await;
    let found = verify(&agent, &domain).await.ok();
    assert_eq!(found["status"], "pending_verification");
    assert!(statuses(&found).iter().all(|it| it.ends_with(" unreachable")), "{found}");
}
