//! Medians, spreads, ratios.

use std::{collections::BTreeMap, time::Duration};

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

/// How close the whole pipeline comes to what it stands on.
pub(crate) fn beside_the_chain(ours: &[Rates], bare: &[f64]) -> String {
    let ours = sorted(ours.iter().map(|it| it.there));
    let bare = sorted(bare.iter().copied());
    format!(
        "bare chain {} mails/s; Posthouse, in the API, is {:.0} % of it\n",
        spread(&bare),
        100.0 * quantile(&ours, 0.5) / quantile(&bare, 0.5)
    )
}

/// What processes took of the processors while Posthouse was loaded, and while Postfix was.
type Taken = (Vec<(String, f64)>, Vec<(String, f64)>);

pub(crate) fn processors(rounds: &[Taken], mails: usize) -> String {
    let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
    for (ours, theirs) in rounds {
        let of_postfix = |it: &&(String, f64)| it.0 == "master";
        for (name, taken) in ours.iter().filter(|it| !of_postfix(it)) {
            *seconds.entry(name).or_default() += taken;
        }
        for (_, taken) in theirs.iter().filter(of_postfix) {
            *seconds.entry("Postfix").or_default() += taken;
        }
    }
    let per_thousand = |it: f64| 1_000.0 * it / mails as f64;
    let all: f64 = seconds.iter().filter(|it| *it.0 != "Postfix").map(|it| it.1).sum();
    let mut rows = vec!["| processor's time, s per 1,000 mails | |\n|---|---|".to_owned()];
    rows.push(format!("| Posthouse, all of it | {:.2} |", per_thousand(all)));
    rows.extend(seconds.iter().map(|(name, it)| format!("| {name} | {:.2} |", per_thousand(*it))));
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
