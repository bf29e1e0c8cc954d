//! `posthouse doctor`: what is well is said to be so, and what is not, with the way out.

use std::net::Ipv4Addr;

use anyhow::{Context as _, ensure};
use e2e::{Cluster, Plan};
use serde_json::Value;
use test_dns::{
    Dns,
    rr::{
        Name, RData,
        rdata::{A, MX, PTR, TXT},
    },
};

use super::Operator;

fn check<'a>(said: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let mut checks = said["checks"].as_array().into_iter().flatten();
    checks.find(|it| it["check"] == name).with_context(|| format!("{name} in {said:#}"))
}

fn records(address: Ipv4Addr) -> anyhow::Result<Vec<(String, RData)>> {
    let host = Name::from_ascii("mx.good.test.")?;
    let text = |it: &str| RData::TXT(TXT::new(vec![it.to_owned()]));
    let record = |name: &str, data: RData| (name.to_owned(), data);
    Ok(vec![
        record("mx.good.test", RData::A(A(address))),
        record("1.2.0.192.in-addr.arpa", RData::PTR(PTR(host.clone()))),
        record("good.test", RData::MX(MX::new(10, host))),
        record("good.test", text("v=spf1 mx -all")),
        record("s1._domainkey.good.test", text("v=DKIM1; p=MIIB")),
        record("_dmarc.good.test", text("v=DMARC1; p=reject")),
        record("bad.test", text("v=spf1 +all")),
        record("_dmarc.bad.test", text("v=DMARC1; p=none")),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_with_the_way_out() -> anyhow::Result<()> {
    let dns = Dns::root(records(Ipv4Addr::new(192, 0, 2, 1))?).await;
    let cluster = Cluster::plan(Plan::default()).await?.context("SQLite is always there")?;
    let operator = Operator::of(&cluster)?;
    let server = dns.address.to_string();
    let ask = |domain| {
        let words = ["doctor", "--dns", &server, "--hostname", "mx.good.test", "--selector", "s1"];
        [&words[..], &["--domain", domain]].concat()
    };
    let said = operator.json(&ask("good.test")).await?;
    for name in ["database", "clock of the database", "nats", "clock of nats", "streams", "stages"]
    {
        ensure!(check(&said, name)?["status"] == "ok", "{name}: {said:#}");
    }
    for name in ["ptr", "mx", "spf", "dkim", "dmarc", "dead letters"] {
        ensure!(check(&said, name)?["status"] == "ok", "{name}: {said:#}");
    }
    assert_eq!(check(&said, "replicas")?["status"], "warning", "one server: {said:#}");
    assert_eq!(check(&said, "nats login")?["status"], "warning", "{said:#}");
    assert_eq!(check(&said, "mta-sts")?["status"], "warning", "{said:#}");
    let sync = check(&said, "nats sync")?;
    assert_eq!(sync["status"], "skipped", "{sync}");
    assert!(sync["seen"].as_str().is_some_and(|it| it.contains("unknown")), "{sync}");
    assert!(sync["wayOut"].as_str().is_some_and(|it| it.contains("--nats-monitor")), "{sync}");

    let intake = cluster.smtp()[0].to_string();
    let bad =
        operator.run(&[&ask("bad.test")[..], &["--smtp", &intake, "--json"]].concat()).await?;
    ensure!(!bad.is_good, "something failed: {bad:?}");
    let said: Value = serde_json::from_str(&bad.output)?;
    for name in ["mx", "spf", "dkim"] {
        let failed = check(&said, name)?;
        ensure!(failed["status"] == "failed" && failed["wayOut"] != "", "{failed}");
    }
    assert_eq!(check(&said, "dmarc")?["status"], "warning", "{said:#}");
    // It made its certificate itself, and nobody else knows it.
    assert_eq!(check(&said, "tls")?["status"], "warning", "{said:#}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_and_database_it_says_so() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let operator = Operator::of(&cluster)?;
    for name in cluster.names() {
        cluster.kill(&name).await?;
    }
    cluster.nats.stop().await?;
    let said = operator.run(&["doctor", "--json"]).await?;
    ensure!(!said.is_good, "{said:?}");
    let said: Value = serde_json::from_str(&said.output)?;
    assert_eq!(check(&said, "database")?["status"], "ok", "{said:#}");
    assert_eq!(check(&said, "nats")?["status"], "failed", "{said:#}");
    assert_eq!(check(&said, "dns")?["status"], "skipped", "{said:#}");
    Ok(())
}
