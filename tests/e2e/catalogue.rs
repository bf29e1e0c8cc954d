//! What `docs/metrics.md` says there is, and which metrics an expression names.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
};

use anyhow::{Context as _, bail, ensure};
use e2e::in_checkout;
use promql_parser::{
    parser::{self, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

/// A metric, in the page or at a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) services: BTreeSet<String>,
}

/// Other programs' metrics that alerts and dashboards may name.
const FOREIGN: [&str; 12] = [
    "gnatsd_varz_connections",
    "gnatsd_varz_slow_consumers",
    "jetstream_consumer_num_ack_pending",
    "jetstream_consumer_num_pending",
    "jetstream_consumer_num_redelivered",
    "jetstream_server_max_storage",
    "jetstream_server_total_message_bytes",
    "jetstream_stream_total_bytes",
    "jetstream_stream_total_messages",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "up",
];

/// What Prometheus adds, and what a histogram has.
const ADDED: [&str; 4] = ["instance", "job", "le", "service"];

/// By name.
pub(crate) fn catalogue() -> anyhow::Result<BTreeMap<String, Metric>> {
    let page = fs::read_to_string(in_checkout("docs/metrics.md").context("find the page")?)?;
    let section = page.split("\n## ").find(|it| it.starts_with("Catalogue"));
    let rows = section.context("find the catalogue")?.lines().filter(|it| it.starts_with("| `"));
    let mut metrics = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, services, tells] = cells[..] else {
            bail!("not six cells: {row}");
        };
        ensure!(!unit.is_empty() && !tells.is_empty(), "{row}");
        let metric = Metric {
            kind: kind.to_owned(),
            labels: quoted(labels),
            services: services.split(", ").map(str::to_owned).collect(),
        };
        let name = name.trim_matches('`').to_owned();
        ensure!(metrics.insert(name, metric).is_none(), "twice: {row}");
    }
    Ok(metrics)
}

fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split(", ").filter(|it| !it.is_empty()).map(|it| it.trim_matches('`').to_owned()).collect()
}

/// Whether an expression is one, and names only metrics and labels that there are.
pub(crate) fn check_expression(
    expression: &str,
    known: &BTreeMap<String, Metric>,
) -> anyhow::Result<()> {
    let parsed = parser::parse(expression).map_err(anyhow::Error::msg);
    let parsed = parsed.with_context(|| format!("parse {expression}"))?;
    let mut selectors = Selectors::default();
    _ = walk_expr(&mut selectors, &parsed)?;
    ensure!(!selectors.0.is_empty(), "no metric: {expression}");
    for selector in selectors.0 {
        let name = selector.name.context("name the metric")?;
        if FOREIGN.contains(&&*name) {
            continue;
        }
        let metric = of_series(&name, known);
        let metric = metric.with_context(|| format!("{name} is not in docs/metrics.md"))?;
        for matcher in &selector.matchers.matchers {
            let label = &matcher.name;
            let is_known = metric.labels.contains(label) || ADDED.contains(&label.as_str());
            ensure!(is_known, "{name} has no label {label}: {expression}");
        }
    }
    Ok(())
}

/// A histogram has three series.
fn of_series<'a>(name: &str, known: &'a BTreeMap<String, Metric>) -> Option<&'a Metric> {
    let of_histogram = || {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it))?;
        known.get(base).filter(|it| it.kind == "histogram")
    };
    known.get(name).filter(|it| it.kind != "histogram").or_else(of_histogram)
}

#[derive(Default)]
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = anyhow::Error;

    fn pre_visit(&mut self, expression: &Expr) -> anyhow::Result<bool> {
        match expression {
            Expr::VectorSelector(it) => self.0.push(it.clone()),
            Expr::MatrixSelector(it) => self.0.push(it.vs.clone()),
            _ => (),
        }
        Ok(true)
    }
}

/// The program that checks rules and names of metrics, as `tests/run` installs it; says so if it is not
/// there.
pub(crate) fn promtool() -> anyhow::Result<Option<PathBuf>> {
    let program = match env::var_os("POSTHOUSE_TEST_PROMTOOL") {
        Some(program) => PathBuf::from(program),
        None => e2e::cache()?.join("promtool/usr/bin/promtool"),
    };
    if program.is_file() {
        return Ok(Some(program));
    }
    e2e::skip("promtool is not installed: tests/run does that");
    Ok(None)
}

#[test]
fn an_expression_with_a_wrong_name_is_found() {
    let known = catalogue().expect("catalogue");
    let check = |expression: &str| check_expression(expression, &known).is_ok();
    assert!(check("sum by (stage) (rate(mail_stage_messages_total{outcome=\"done\"}[5m]))"));
    assert!(check(
        "histogram_quantile(0.9, sum by (le) (rate(mail_scan_duration_seconds_bucket[5m])))"
    ));
    assert!(check("max_over_time(mail_queue_pending[1h:1m]) > 0 unless up == 0"));
    assert!(!check("rate(mail_stage_message_total[5m])"), "no such metric");
    assert!(!check("rate(mail_stage_messages_total{result=\"done\"}[5m])"), "no such label");
    assert!(
        !check("rate(mail_scan_duration_seconds[5m])"),
        "a histogram has no series of its name"
    );
    assert!(!check("mail_scan_verdicts_total_bucket"), "a counter has no buckets");
    assert!(!check("rate(mail_scan_verdicts_total"), "no expression");
    assert!(!check("vector(1)"), "no metric");
}
