//! Holds the dashboards to the metrics that there are, to what makes them, and to their copies.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use e2e::in_checkout;
use serde_json::Value;

use crate::catalogue::{catalogue, check_expression};

const NAMES: [&str; 7] =
    ["agents", "intake", "jetstream", "outbound", "overview", "scanner", "storage"];

/// What Grafana puts in for its own variables.
const VARIABLES: [(&str, &str); 3] =
    [("$__rate_interval", "5m"), ("$__range", "1h"), ("$__interval", "1m")];

fn folder(path: &str) -> anyhow::Result<PathBuf> {
    in_checkout(path).with_context(|| format!("find {path}"))
}

fn dashboards() -> anyhow::Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder("deploy/monitoring/dashboards")?)? {
        let path = entry?.path();
        let name = path.file_stem().context("name a dashboard")?.to_string_lossy().into_owned();
        let json = serde_json::from_slice(&fs::read(&path)?).with_context(|| name.clone())?;
        found.push((name, json));
    }
    let names: BTreeSet<&str> = found.iter().map(|it| &*it.0).collect();
    ensure!(names == NAMES.into(), "{names:?}");
    Ok(found)
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("{key} is a list in {value}"))
}

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    let found = value[key].as_str().filter(|it| !it.is_empty());
    found.with_context(|| format!("{key} is a text in {value}"))
}

#[test]
fn every_dashboard_can_be_provisioned() -> anyhow::Result<()> {
    for (name, dashboard) in dashboards()? {
        ensure!(text(&dashboard, "uid")? == format!("posthouse-{name}"), "{name}");
        ensure!(text(&dashboard, "title")?.starts_with("Posthouse"), "{name}");
        ensure!(dashboard["schemaVersion"].as_u64() >= Some(39), "{name}");
        ensure!(dashboard.get("id").is_none_or(Value::is_null), "{name}: Grafana gives the id");
        let variables = list(&dashboard["templating"], "list")?;
        let is_source = |it: &Value| it["type"] == "datasource" && it["name"] == "datasource";
        ensure!(variables.iter().any(is_source), "{name} has no variable for its data source");
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard, "panels")? {
            ensure!(ids.insert(panel["id"].as_u64().context("an id")?), "{name}: an id twice");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64());
            let (x, y) = (x.context("x")?, y.context("y")?);
            let (w, h) = (w.context("w")?, h.context("h")?);
            ensure!(x + w <= 24, "{name}: {panel} is too wide");
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                ensure!(taken.insert(place), "{name}: two panels lie at {place:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_expression_names_metrics_that_there_are() -> anyhow::Result<()> {
    let known = catalogue()?;
    for (name, dashboard) in dashboards()? {
        let panels = list(&dashboard, "panels")?.iter().filter(|it| it["type"] != "row");
        let panels: Vec<&Value> = panels.collect();
        ensure!(panels.len() > 4, "{name} has {} panels", panels.len());
        for panel in panels {
            let title = text(panel, "title")?;
            text(panel, "description").with_context(|| format!("{name}: {title}"))?;
            let targets = list(panel, "targets")?;
            ensure!(!targets.is_empty(), "{name}: {title} shows nothing");
            for target in targets {
                ensure!(target["datasource"]["uid"] == "${datasource}", "{name}: {title}");
                let mut expression = text(target, "expr")?.to_owned();
                for (variable, value) in VARIABLES {
                    expression = expression.replace(variable, value);
                }
                ensure!(!expression.contains('$'), "{name}: {title}: {expression}");
                check_expression(&expression, &known)
                    .with_context(|| format!("{name}: {title}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_dashboards_are_what_their_table_makes() -> anyhow::Result<()> {
    let made = tempfile::tempdir()?;
    let made_by = folder("deploy/monitoring/generate")?;
    let run = Command::new("python3").arg(made_by).arg(made.path()).output();
    let Ok(run) = run else {
        e2e::skip("python3 is not there to make the dashboards anew");
        return Ok(());
    };
    ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    compare(made.path(), &folder("deploy/monitoring/dashboards")?)
}

#[test]
fn the_chart_has_copies_of_all() -> anyhow::Result<()> {
    let (original, copy) = (folder("deploy/monitoring")?, folder("deploy/helm/posthouse/files")?);
    compare(&original.join("dashboards"), &copy.join("dashboards"))?;
    let [rules, copied] = [original, copy].map(|it| fs::read_to_string(it.join("alerts.yaml")));
    ensure!(rules? == copied?, "the chart's alerts.yaml differs: run deploy/monitoring/generate");
    Ok(())
}

fn compare(one: &Path, other: &Path) -> anyhow::Result<()> {
    for name in NAMES {
        let file = format!("{name}.json");
        let [one, other] = [one, other].map(|it| fs::read_to_string(it.join(&file)));
        ensure!(one? == other?, "{file} differs: run deploy/monitoring/generate");
    }
    Ok(())
}
