use anyhow::Context as _;
use contract::Action;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) connections: IntGauge,
    attempts: IntCounterVec,
    first_attempt: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Metrics> {
        let attempts = IntCounterVec::new(
            Opts::new("mail_out_attempts_total", "Recipients attempted, by what became of them."),
            &["outcome"],
        )
        .context("create metric")?;
        let connections = IntGauge::new(
            "mail_out_connections",
            "SMTP connections that are open or being opened.",
        )
        .context("create metric")?;
        let first_attempt = Histogram::with_opts(
            HistogramOpts::new(
                "mail_out_time_to_first_attempt_seconds",
                "From acceptance to the start of the first attempt.",
            )
            .buckets(vec![0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0]),
        )
        .context("create metric")?;
        registry.register(Box::new(attempts.clone())).context("register metric")?;
        registry.register(Box::new(connections.clone())).context("register metric")?;
        registry.register(Box::new(first_attempt.clone())).context("register metric")?;
        Ok(Metrics { connections, attempts, first_attempt })
    }

    pub(crate) fn started(&self, attempt: u32, accepted_at_micros: i64, now_micros: i64) {
        if attempt <= 1 {
            let waited = now_micros.saturating_sub(accepted_at_micros).max(0);
            self.first_attempt.observe(waited as f64 / 1e6);
        }
    }

    pub(crate) fn settled(&self, action: Action, expired: bool) {
        let outcome = match action {
            Action::Delivered => "delivered",
            Action::Failed if expired => "expired",
            Action::Failed => "bounced",
            Action::Unknown => "unknown",
            Action::Delayed | Action::Unspecified => "deferred",
        };
        self.attempts.with_label_values(&[outcome]).inc();
    }
}
