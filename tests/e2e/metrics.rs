//! Holds `docs/metrics.md` to what the services export, both ways.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use e2e::{Cluster, SERVICES, SOON, eventually};
use serde_json::json;

use crate::catalogue::{Metric, catalogue, promtool};

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_in_the_catalogue_and_the_other_way_round() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    limit_a_stream(&cluster.nats.url).await?;
    // Of requests nobody knows beforehand which there will be.
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let mail = json!({
        "from": inbox.address, "to": [inbox.address], "subject": "Round",
        "body": { "text": "To be counted." },
    });
    agent.send(&mail, None).await?.success()?;
    agent.wait_for(&inbox, "Round").await?;

    let documented = catalogue()?;
    let mut last = String::new();
    let compared = eventually(SOON, "the metrics to be those of docs/metrics.md", async || {
        let exported = exported(&cluster).await?;
        last = differences(&documented, &exported).join("\n");
        Ok(last.is_empty().then_some(()))
    });
    compared.await.with_context(|| last)?;
    check_names(&cluster).await?;
    cluster.stop().await
}

/// Without a limit there is no metric for it.
async fn limit_a_stream(url: &str) -> anyhow::Result<()> {
    let jetstream = jetstream::new(async_nats::connect(url).await?);
    let stream = jetstream.get_stream("EVENTS").await?;
    let limited =
        jetstream::stream::Config { max_bytes: 1 << 30, ..stream.cached_info().config.clone() };
    jetstream.update_stream(limited).await.context("limit a stream")?;
    Ok(())
}

/// What all services together have, by name.
async fn exported(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, Metric>> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for service in SERVICES {
        let text = cluster.metrics(&format!("{service}-1")).await?;
        let found = read(&text)?;
        ensure!(found.len() > 9, "{service} exports {} metrics", found.len());
        for (name, metric) in found {
            let known = metrics.entry(name.clone()).or_insert_with(|| metric.clone());
            ensure!(known.kind == metric.kind, "{name} is two things");
            known.labels.extend(metric.labels);
            known.services.insert(service.to_owned());
        }
    }
    let all: BTreeSet<String> = SERVICES.iter().map(|it| (*it).to_owned()).collect();
    for (name, metric) in &mut metrics {
        let is_of_process = !name.starts_with("mail_") || !metric.labels.remove("service");
        if is_of_process && metric.services == all {
            metric.services = ["all".to_owned()].into();
        }
    }
    Ok(metrics)
}

/// The text format, as far as it is needed here.
fn read(text: &str) -> anyhow::Result<BTreeMap<String, Metric>> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').context("read a type")?;
            current = name.to_owned();
            metrics.insert(current.clone(), Metric { kind: kind.to_owned(), ..Metric::default() });
        } else if let (false, Some((_, rest))) = (line.starts_with('#'), line.split_once('{')) {
            let (labels, _) = rest.rsplit_once('}').context("read labels")?;
            let metric = metrics.get_mut(&current).context("find the type")?;
            metric.labels.extend(label_names(labels).filter(|it| it != "le"));
        }
    }
    Ok(metrics)
}

/// No value of ours has a quotation mark in it.
fn label_names(labels: &str) -> impl Iterator<Item = String> {
    labels
        .split('"')
        .step_by(2)
        .filter_map(|it| it.strip_suffix('='))
        .map(|it| it.trim_start_matches(',').to_owned())
}

fn differences(
    documented: &BTreeMap<String, Metric>,
    exported: &BTreeMap<String, Metric>,
) -> Vec<String> {
    let names: BTreeSet<&String> = documented.keys().chain(exported.keys()).collect();
    let difference = |name: &String| match (documented.get(name), exported.get(name)) {
        (Some(page), Some(seen)) if page == seen => None,
        (Some(page), Some(seen)) => Some(format!("{name}: {seen:?}, but documented as {page:?}")),
        (None, _) => Some(format!("{name} is exported and not documented")),
        (_, None) => Some(format!("{name} is documented and not exported")),
    };
    names.into_iter().filter_map(difference).collect()
}

async fn check_names(cluster: &Cluster) -> anyhow::Result<()> {
    let Some(promtool) = promtool()? else { return Ok(()) };
    for service in SERVICES {
        let path = cluster.folder().join(format!("{service}.metrics"));
        fs::write(&path, cluster.metrics(&format!("{service}-1")).await?)?;
        let checked = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::from(File::open(&path)?))
            .output()
            .context("run promtool")?;
        let said = String::from_utf8_lossy(&checked.stderr);
        ensure!(checked.status.success(), "the metrics of {service}: {said}");
    }
    Ok(())
}

#[test]
fn what_differs_is_found() {
    let metric = |text: &str| read(text).expect("read");
    let page = metric("# TYPE mail_a_total counter\nmail_a_total{stage=\"x\",outcome=\"y\"} 1\n");
    assert_eq!(page["mail_a_total"].labels, ["outcome", "stage"].map(str::to_owned).into());
    assert_eq!(differences(&page, &page), [""; 0]);
    let other = metric("# TYPE mail_a_total gauge\nmail_a_total 1\n");
    assert_eq!(differences(&page, &other).len(), 1);
    assert_eq!(
        differences(&page, &metric("# TYPE mail_b_total counter\nmail_b_total 1\n")).len(),
        2
    );
    let histogram = metric("# TYPE mail_c histogram\nmail_c_bucket{stage=\"x\",le=\"1\"} 1\n");
    assert_eq!(histogram["mail_c"].labels, ["stage".to_owned()].into());
}
