//! Medians, spreads, ratios.

use std::time::Duration;

use crate::shared::statistics::{quantile, sorted, spread};

/// Mails per second.
pub(crate) struct Rates {
    /// To the last 250.
    pub(crate) accepted: f64,
    /// Until the last mail can be read.
    pub(crate) there: f64,
}

/// From the end of DATA.
#[derive(Default)]
pub(crate) struct Latencies {
    pub(crate) accepted: Vec<Duration>,
    pub(crate) there: Vec<Duration>,
}

pub(crate) fn table(unit: &str, ours: &[Rates], theirs: &[Rates]) -> String {
    let mut rows = vec![format!("| {unit} | Posthouse | Postfix | ratio |\n|---|---|---|---|")];
    type Pick = fn(&Rates) -> f64;
    let kinds: [(&str, Pick); 2] =
        [("accepted (250)", |it| it.accepted), ("in the API / in the Maildir", |it| it.there)];
    for (name, pick) in kinds {
        let ours = sorted(ours.iter().map(pick));
        let theirs = sorted(theirs.iter().map(pick));
        rows.push(format!(
            "| {name} | {} | {} | {:.2} |",
            spread(&ours),
            spread(&theirs),
            quantile(&ours, 0.5) / quantile(&theirs, 0.5)
        ));
    }
    rows.join("\n") + "\n"
}

pub(crate) fn latencies(ours: &Latencies, theirs: &Latencies) -> String {
    let mut rows = vec!["| | Posthouse p50 / p99 | Postfix p50 / p99 |\n|---|---|---|".to_owned()];
    for (name, ours, theirs) in [
        ("250", &ours.accepted, &theirs.accepted),
        ("long-poll answered / in the Maildir", &ours.there, &theirs.there),
    ] {
        rows.push(format!("| {name} | {} | {} |", ends(ours), ends(theirs)));
    }
    rows.join("\n") + "\n"
}

fn ends(latencies: &[Duration]) -> String {
    let sorted = sorted(latencies.iter().map(|it| it.as_secs_f64() * 1_000.0));
    format!("{:.1} / {:.1}", quantile(&sorted, 0.5), quantile(&sorted, 0.99))
}
