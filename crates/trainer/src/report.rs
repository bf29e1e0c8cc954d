//! What a set of scores is worth.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::lines::Line;

/// A mail and what was made of it.
pub(crate) struct Scored<'a> {
    pub(crate) line: &'a Line,
    pub(crate) score: f64,
}

/// The shares of innocent mail that may be flagged, by which thresholds are set.
const SHARES: [(&str, f64); 2] = [("1%", 0.01), ("0.1%", 0.001)];

/// The figures for thresholds that the scored mail itself sets, and for the given ones.
pub(crate) fn report(scored: &[Scored<'_>], fixed: &[f64]) -> String {
    let attacks = scores(scored, |it| it.is_attack());
    let mail = scores(scored, |it| it.is_mail());
    let hard = scores(scored, |it| !it.is_attack() && !it.is_mail());
    let mut report = format!(
        "{} injections, {} mails, {} look-alikes; AUROC {:.4} against mail, {:.4} against look-alikes\n",
        attacks.len(),
        mail.len(),
        hard.len(),
        auroc(&attacks, &mail),
        auroc(&attacks, &hard),
    );
    let mut thresholds: Vec<(String, f64)> =
        SHARES.iter().map(|(name, share)| ((*name).to_owned(), threshold(&mail, *share))).collect();
    thresholds.extend(fixed.iter().map(|it| (format!("score {it}"), *it)));
    let families = families(scored);
    for (name, threshold) in &thresholds {
        let found: Vec<f64> =
            families.iter().filter(|it| it.0.0 == 1).map(|it| share(it.1, *threshold)).collect();
        let mean = found.iter().sum::<f64>() / found.len().max(1) as f64;
        _ = writeln!(
            report,
            "{name} ({threshold:.4}): recall {:.3}, mean over families {mean:.3}, mail flagged {:.4}, \
             look-alikes passed {:.3}",
            share(&attacks, *threshold),
            share(&mail, *threshold),
            1.0 - share(&hard, *threshold),
        );
    }
    for ((label, family), scores) in &families {
        let what = if *label == 1 { "found" } else { "flagged" };
        _ = write!(report, "  {what:8}{family:32}{:6} ", scores.len());
        for (name, threshold) in &thresholds {
            _ = write!(report, " {name} {:.3} ", share(scores, *threshold));
        }
        report.push('\n');
    }
    report
}

fn families<'a>(scored: &[Scored<'a>]) -> BTreeMap<(u8, &'a str), Vec<f64>> {
    let mut families: BTreeMap<(u8, &str), Vec<f64>> = BTreeMap::new();
    for it in scored {
        families.entry((it.line.label, &it.line.family)).or_default().push(it.score);
    }
    families
}

fn scores(scored: &[Scored<'_>], wanted: impl Fn(&Line) -> bool) -> Vec<f64> {
    scored.iter().filter(|it| wanted(it.line)).map(|it| it.score).collect()
}

/// The least score that counts, so that no more than a share is flagged.
pub(crate) fn threshold(scores: &[f64], share: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let allowed = (sorted.len() as f64 * share).floor() as usize;
    sorted.get(allowed).copied().unwrap_or_default().next_up()
}

fn share(scores: &[f64], threshold: f64) -> f64 {
    let flagged = scores.iter().filter(|it| **it >= threshold).count();
    flagged as f64 / scores.len().max(1) as f64
}

/// How often an injection scores above an innocent one; half for a tie.
fn auroc(attacks: &[f64], others: &[f64]) -> f64 {
    let mut sorted = others.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins: f64 = attacks
        .iter()
        .map(|score| {
            let below = sorted.partition_point(|it| it < score);
            let equal = sorted.partition_point(|it| it <= score) - below;
            below as f64 + equal as f64 / 2.0
        })
        .sum();
    wins / (attacks.len() * others.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_counts_pairs() {
        assert!((auroc(&[2.0, 3.0], &[1.0, 2.0]) - 0.875).abs() < 1e-9);
    }

    #[test]
    fn a_threshold_lets_its_share_through() {
        let scores: Vec<f64> = (0..1000).map(f64::from).collect();
        let threshold = threshold(&scores, 0.01);
        assert!((share(&scores, threshold) - 0.01).abs() < 1e-9);
    }

    #[test]
    fn ties_are_not_flagged() {
        assert!(share(&[1.0; 100], threshold(&[1.0; 100], 0.01)) < 0.01);
    }
}
