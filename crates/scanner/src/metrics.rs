use anyhow::Context as _;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use crate::judge::NOT_SCANNED;

/// What becomes of an attached document.
const DOCUMENT_OUTCOMES: [&str; 9] = [
    "read",
    "partly_read",
    "encrypted",
    "broken",
    "too_large",
    "unsupported",
    "slow",
    "died",
    "unavailable",
];

#[derive(Clone)]
pub(crate) struct Metrics {
    /// By verdict: clean, risk, not_scanned.
    pub(crate) verdicts: IntCounterVec,
    pub(crate) duration: Histogram,
    /// By what they did: raised, lowered, same, missing.
    pub(crate) opinions: IntCounterVec,
    pub(crate) opinion_duration: Histogram,
    pub(crate) documents: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<Metrics> {
        let verdicts = IntCounterVec::new(
            Opts::new("mail_scan_verdicts_total", "Mails and submissions judged, by verdict."),
            &["verdict"],
        )?;
        let buckets = vec![0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "mail_scan_duration_seconds",
                "Time the search for injections took, without DNS and attached documents.",
            )
            .buckets(buckets.clone()),
        )?;
        let opinions = IntCounterVec::new(
            Opts::new(
                "mail_scan_opinions_total",
                "Second opinions, by what they did to the score.",
            ),
            &["outcome"],
        )?;
        let opinion_duration = Histogram::with_opts(
            HistogramOpts::new(
                "mail_scan_opinion_duration_seconds",
                "Time a second opinion took, the wait for its turn included.",
            )
            .buckets(buckets),
        )?;
        let documents = IntCounterVec::new(
            Opts::new("mail_documents_total", "Attached documents opened, by outcome."),
            &["outcome"],
        )?;
        let verdict = |it: &&str| _ = verdicts.with_label_values(&[it]);
        ["clean", "risk", NOT_SCANNED].iter().for_each(verdict);
        let opinion = |it: &&str| _ = opinions.with_label_values(&[it]);
        ["raised", "lowered", "same", "missing"].iter().for_each(opinion);
        DOCUMENT_OUTCOMES.iter().for_each(|it| _ = documents.with_label_values(&[it]));
        let metrics = Metrics { verdicts, duration, opinions, opinion_duration, documents };
        registry.register(Box::new(metrics.verdicts.clone())).context("register metric")?;
        registry.register(Box::new(metrics.duration.clone())).context("register metric")?;
        registry.register(Box::new(metrics.opinions.clone())).context("register metric")?;
        registry.register(Box::new(metrics.opinion_duration.clone())).context("register metric")?;
        registry.register(Box::new(metrics.documents.clone())).context("register metric")?;
        Ok(metrics)
    }
}
