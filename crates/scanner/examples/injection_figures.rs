//! How well injections are found: `cargo run -p scanner --example injection_figures -- <file.jsonl>`.
//!
//! Each line of the file has `label` (1 for an injection), `family`, `subject`, `text`, perhaps `html`,
//! and for innocent ones `tier`: "mail" for real mail, "hard" for look-alikes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use contract::{Mailbox, RISK_THRESHOLD};
use injection::Assessor;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    label: u8,
    family: String,
    subject: String,
    text: String,
    html: Option<String>,
    tier: Option<String>,
}

struct Scored {
    line: Line,
    score: f64,
}

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("which file?")?;
    let lines = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let assessor = Assessor::new();
    let mut spent = Duration::ZERO;
    let mut scored = Vec::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).context("read a line")?;
        let content = content(&line)?;
        let begun = Instant::now();
        let score = scanner::judge(&assessor, &content).score;
        spent += begun.elapsed();
        scored.push(Scored { line, score });
    }
    let per_mail = spent.as_micros() / scored.len().max(1) as u128;
    let report = report(&scored) + &format!("{per_mail} µs per mail, reading included\n");
    std::io::stdout().write_all(report.as_bytes()).context("write")
}

fn content(line: &Line) -> anyhow::Result<Vec<u8>> {
    let one_line = |text: &str| text.replace(|it: char| it.is_control(), " ");
    let draft = mail::Draft {
        from: Mailbox { address: "a@x.test".to_owned(), ..Mailbox::default() },
        to: vec!["b@x.test".to_owned()],
        subject: one_line(&line.subject),
        text: Some(line.text.clone()),
        html: line.html.clone(),
        message_id: "1@x.test".to_owned(),
        ..mail::Draft::default()
    };
    mail::compose(&draft).context("compose")
}

fn report(scored: &[Scored]) -> String {
    let of = |label: u8, tier: &str| -> Vec<f64> {
        let wanted = scored.iter().filter(|it| {
            it.line.label == label && (label == 1 || it.line.tier.as_deref() == Some(tier))
        });
        wanted.map(|it| it.score).collect()
    };
    let (bad, mail, hard) = (of(1, ""), of(0, "mail"), of(0, "hard"));
    let mut report = String::new();
    let thresholds =
        [("1% of mail", quantile(&mail, 0.99)), ("0.1% of mail", quantile(&mail, 0.999))];
    for (name, threshold) in thresholds.into_iter().chain([("score 0.5", RISK_THRESHOLD)]) {
        _ = writeln!(
            report,
            "{name} ({threshold:.3}): recall {:.3}, mail flagged {:.4}, look-alikes passed {:.3}",
            share(&bad, threshold),
            share(&mail, threshold),
            1.0 - share(&hard, threshold),
        );
    }
    let mut families: BTreeMap<(u8, &str), Vec<f64>> = BTreeMap::new();
    for it in scored {
        families.entry((it.line.label, &it.line.family)).or_default().push(it.score);
    }
    for ((label, family), scores) in families {
        let flagged = share(&scores, RISK_THRESHOLD);
        let what = if label == 1 { "found" } else { "flagged" };
        _ = writeln!(report, "{family}: {what} {flagged:.3} of {}", scores.len());
    }
    report
}

/// The least score that counts, so that no more than the rest is flagged.
fn quantile(scores: &[f64], share: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at).or(sorted.last()).copied().unwrap_or_default() + f64::EPSILON
}

fn share(scores: &[f64], threshold: f64) -> f64 {
    let flagged = scores.iter().filter(|it| **it >= threshold).count();
    flagged as f64 / scores.len().max(1) as f64
}
