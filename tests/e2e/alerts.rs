//! Holds `deploy/monitoring/alerts.yaml` to the metrics that there are, to the runbooks, and to its tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, ensure};
use e2e::in_checkout;
use serde::{Deserialize, de::DeserializeOwned};

use crate::catalogue::{catalogue, check_expression, promtool};

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RuleTests {
    tests: Vec<RuleTest>,
}

#[derive(Deserialize)]
struct RuleTest {
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    exp_labels: BTreeMap<String, String>,
}

fn read<T: DeserializeOwned>(path: &str) -> anyhow::Result<T> {
    let file = in_checkout(path).with_context(|| format!("find {path}"))?;
    serde_saphyr::from_str(&fs::read_to_string(file)?).with_context(|| format!("read {path}"))
}

fn rules() -> anyhow::Result<Vec<Rule>> {
    let rules: Rules = read("deploy/monitoring/alerts.yaml")?;
    let rules: Vec<Rule> = rules.groups.into_iter().flat_map(|it| it.rules).collect();
    ensure!(rules.len() > 30, "only {} rules", rules.len());
    Ok(rules)
}

#[test]
fn every_alert_names_metrics_that_there_are() -> anyhow::Result<()> {
    let known = catalogue()?;
    for rule in rules()? {
        check_expression(&rule.expr, &known).with_context(|| rule.alert)?;
    }
    Ok(())
}

#[test]
fn every_alert_says_what_is_wrong_and_has_its_page() -> anyhow::Result<()> {
    let mut pages = BTreeSet::new();
    for Rule { alert, labels, annotations, .. } in rules()? {
        let severity = labels.get("severity").map(String::as_str);
        ensure!(matches!(severity, Some("critical" | "warning")), "{alert}: {severity:?}");
        for key in ["summary", "description"] {
            ensure!(annotations.get(key).is_some_and(|it| it.len() > 10), "{alert} has no {key}");
        }
        let expected = format!("docs/runbooks/{alert}.md");
        ensure!(annotations.get("runbook_url") == Some(&expected), "{alert}: {annotations:?}");
        let page = in_checkout(&expected).with_context(|| format!("find {expected}"))?;
        let page = fs::read_to_string(page)?;
        ensure!(page.starts_with(&format!("# {alert}\n")), "{expected} has another title");
        for part in ["## Look", "## Do", "## Over"] {
            ensure!(page.contains(&format!("\n{part}\n")), "{expected} has no part {part:?}");
        }
        pages.insert(format!("{alert}.md"));
    }
    let folder = in_checkout("docs/runbooks").context("find the runbooks")?;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(!name.starts_with("Mail") || pages.contains(&name), "{name} is for no alert");
    }
    Ok(())
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_is_quiet() -> anyhow::Result<()> {
    let tests: RuleTests = read("deploy/monitoring/alerts.test.yaml")?;
    let tests: Vec<AlertTest> = tests.tests.into_iter().flat_map(|it| it.alert_rule_test).collect();
    for Rule { alert, labels, .. } in rules()? {
        let mut own = tests.iter().filter(|it| it.alertname == alert);
        ensure!(own.clone().any(|it| it.exp_alerts.is_empty()), "{alert} has no quiet case");
        let fires = |it: &AlertTest| {
            it.exp_alerts.iter().any(|it| it.exp_labels["severity"] == labels["severity"])
        };
        ensure!(own.any(fires), "no case in which {alert} fires as {}", labels["severity"]);
    }
    Ok(())
}

#[test]
fn promtool_is_content_with_the_rules_and_their_tests() -> anyhow::Result<()> {
    let Some(promtool) = promtool()? else { return Ok(()) };
    let folder = in_checkout("deploy/monitoring").context("find the rules")?;
    run(&promtool, &folder, &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"])?;
    run(&promtool, &folder, &["test", "rules", "alerts.test.yaml"])?;
    run(&promtool, &folder, &["check", "config", "--syntax-only", "prometheus.yml"])
}

fn run(promtool: &Path, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let checked = Command::new(promtool).args(arguments).current_dir(folder).output();
    let checked = checked.context("run promtool")?;
    let said = [checked.stdout, checked.stderr].concat();
    ensure!(checked.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}
