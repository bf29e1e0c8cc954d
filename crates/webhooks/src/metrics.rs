use std::time::Duration;

use anyhow::Context as _;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    attempts: IntCounterVec,
    disabled: IntCounterVec,
    duration: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Metrics> {
        let attempts = IntCounterVec::new(
            Opts::new(
                "mail_webhook_attempts_total",
                "Events offered to webhooks, by what became of it: delivered, failed, given_up.",
            ),
            &["outcome"],
        )?;
        let disabled = IntCounterVec::new(
            Opts::new("mail_webhook_disabled_total", "Webhooks disabled, by why: failing, gone."),
            &["reason"],
        )?;
        let duration = Histogram::with_opts(HistogramOpts::new(
            "mail_webhook_attempt_duration_seconds",
            "From looking the name up to the end of the answer.",
        ))?;
        let outcomes = ["delivered", "failed", "given_up"];
        outcomes.iter().for_each(|it| _ = attempts.with_label_values(&[it]));
        ["failing", "gone"].iter().for_each(|it| _ = disabled.with_label_values(&[it]));
        registry.register(Box::new(attempts.clone())).context("register metric")?;
        registry.register(Box::new(disabled.clone())).context("register metric")?;
        registry.register(Box::new(duration.clone())).context("register metric")?;
        Ok(Metrics { attempts, disabled, duration })
    }

    pub(crate) fn attempted(&self, outcome: &str, took: Duration) {
        self.attempts.with_label_values(&[outcome]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn disabled(&self, reason: &str) {
        self.disabled.with_label_values(&[reason]).inc();
    }
}
