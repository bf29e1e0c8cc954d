//! New DKIM keys for a customer's domain.

use gateway::Config;
use reqwest::Method;
use serde_json::Value;
use store::Vault;
use test_dns::Dns;

use crate::{
    bench::{Agent, Answer, Bench, eventually},
    domains::{NAME, add, config, path, verify, zone},
};

fn record(domain: &Value, purpose: &str) -> Value {
    let records = domain["dnsRecords"].as_array().unwrap();
    records.iter().find(|it| it["purpose"] == purpose).cloned().unwrap_or_default()
}

async fn rotate(agent: &Agent<'_>, domain: &Value) -> Answer {
    Answer::to(agent.request(Method::POST, &path(domain, "/dkim/rotate"))).await
}

/// The selector and the key that sign now.
async fn signs(bench: &Bench) -> (String, Vec<u8>) {
    let secret = bench.store.writer.secret("domain-keys").await.unwrap();
    let vault = Vault::new(&secret).unwrap();
    let keys = bench.store.reader.signing_keys(NAME, &vault).await.unwrap().unwrap();
    (keys.rsa_selector, keys.rsa_pkcs8)
}

/// A domain whose records are there.
async fn verified(agent: &Agent<'_>, dns: &Dns) -> Value {
    let domain = add(agent).await;
    rotate(agent, &domain).await.is(409, "domain_not_verified");
    let records = zone(agent, &domain).await;
    dns.publish(&format!("{records}\n{}", operators(&records))).await;
    let domain = verify(agent, &domain).await.ok();
    assert_eq!(domain["status"], "verified", "{domain}");
    domain
}

/// What the operator publishes where customers' records are aliases.
fn operators(zone: &str) -> String {
    let lines =
        zone.lines().filter_map(|it| it.strip_prefix("; ")).filter(|it| it.contains(" IN "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn keys_change_once_their_records_are_there() {
    let dns = Dns::start("").await;
    let bench = Bench::with(config(&dns)).await;
    let agent = bench.agent().await;
    let domain = verified(&agent, &dns).await;
    let before = signs(&bench).await;
    assert_eq!(before.0, "ph1");

    let rotating = rotate(&agent, &domain).await.ok();
    let next = record(&rotating, "dkim_next");
    assert_eq!(next["host"], "ph2._domainkey.customer.test");
    assert_eq!((&next["required"], &next["status"]), (&false.into(), &"pending".into()));
    assert_ne!(next["value"], record(&rotating, "dkim")["value"]);
    assert_eq!(rotate(&agent, &domain).await.ok()["dnsRecords"], rotating["dnsRecords"]);

    // The new record is not there, and nothing changes.
    let looked = verify(&agent, &domain).await.ok();
    assert_eq!(looked["status"], "verified");
    let next = record(&looked, "dkim_next");
    assert_eq!(next["status"], "missing");
    assert!(next["reason"].as_str().unwrap().contains("ph2._domainkey.customer.test"), "{next}");
    assert_eq!(signs(&bench).await, before);

    dns.publish(&zone(&agent, &domain).await).await;
    let changed = verify(&agent, &domain).await.ok();
    assert_eq!(changed["status"], "verified", "{changed}");
    assert_eq!(record(&changed, "dkim")["host"], "ph2._domainkey.customer.test");
    assert_eq!(record(&changed, "dkim")["status"], "verified");
    assert_eq!(record(&changed, "dkim_next"), Value::Null);
    let retired = record(&changed, "dkim_retired");
    assert_eq!(retired["host"], "ph1._domainkey.customer.test");
    assert_eq!(retired["value"], record(&rotating, "dkim")["value"]);
    assert_eq!(retired["status"], "retired");
    assert!(retired["reason"].as_str().unwrap().contains("may be removed after 20"), "{retired}");
    let after = signs(&bench).await;
    assert_eq!(after.0, "ph2");
    assert_ne!(after.1, before.1);
    let again = rotate(&agent, &domain).await.ok();
    assert_eq!(record(&again, "dkim_next")["host"], "ph3._domainkey.customer.test");
}

#[tokio::test]
async fn new_keys_are_looked_for_without_being_asked() {
    let dns = Dns::start("").await;
    let bench = Bench::with(Config { domain_check_seconds: 1, ..config(&dns) }).await;
    let agent = bench.agent().await;
    let domain = verified(&agent, &dns).await;
    rotate(&agent, &domain).await.ok();
    dns.publish(&zone(&agent, &domain).await).await;
    eventually(async || signs(&bench).await.0 == "ph2").await;
    bench.stop().await;
}

#[tokio::test]
async fn with_aliases_the_customer_has_nothing_to_do() {
    let dns = Dns::start("").await;
    let dkim_cname_host = Some("dkim.post.test".to_owned());
    let bench = Bench::with(Config { dkim_cname_host, ..config(&dns) }).await;
    let agent = bench.agent().await;
    let domain = verified(&agent, &dns).await;
    let spare = record(&domain, "dkim_spare");
    assert_eq!((&spare["type"], &spare["status"]), (&"CNAME".into(), &"spare".into()));
    let customers = zone(&agent, &domain).await;

    let rotating = rotate(&agent, &domain).await.ok();
    let next = record(&rotating, "dkim_next");
    assert_eq!((&next["host"], &next["value"]), (&spare["host"], &spare["value"]));
    // Only the operator's zone changes.
    let operators = operators(&zone(&agent, &domain).await);
    dns.publish(&format!("{customers}\n{operators}")).await;
    let changed = verify(&agent, &domain).await.ok();
    assert_eq!(record(&changed, "dkim")["host"], spare["host"], "{changed}");
    assert_eq!(signs(&bench).await.0, "ph2");
    let refused = rotate(&agent, &domain).await.is(409, "rotation_too_soon");
    assert!(refused.contains("ph1"), "{refused}");
}

#[tokio::test]
async fn a_foreign_domain_is_not_rotated() {
    let dns = Dns::start("").await;
    let bench = Bench::with(config(&dns)).await;
    let (owner, rival) = (bench.agent().await, bench.agent().await);
    let domain = verified(&owner, &dns).await;
    rotate(&rival, &domain).await.is(404, "not_found");
    assert_eq!(record(&owner.get(&path(&domain, "")).await.ok(), "dkim_next"), Value::Null);
}
