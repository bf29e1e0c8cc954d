use anyhow::Context as _;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    /// By verdict: clean, risk, not_scanned.
    pub(crate) verdicts: IntCounterVec,
    pub(crate) duration: Histogram,
    /// By outcome: read, partly_read, encrypted, broken, too_large, unsupported, slow, died,
    /// unavailable.
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
            .buckets(buckets),
        )?;
        let documents = IntCounterVec::new(
            Opts::new("mail_documents_total", "Attached documents opened, by outcome."),
            &["outcome"],
        )?;
        registry.register(Box::new(documents.clone())).context("register metric")?;
        registry.register(Box::new(verdicts.clone())).context("register metric")?;
        registry.register(Box::new(duration.clone())).context("register metric")?;
        Ok(Metrics { verdicts, duration, documents })
    }
}
