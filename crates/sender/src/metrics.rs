use anyhow::Context as _;
use contract::Action;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    attempts: IntCounterVec,
    deliveries: IntCounterVec,
    connections: IntGaugeVec,
    sessions: IntCounterVec,
    postponed: IntCounterVec,
    measures: IntCounterVec,
    first_attempt: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Metrics> {
        let connections = IntGaugeVec::new(
            Opts::new(
                "mail_out_connections",
                "SMTP connections that are open or being opened, idle ones included.",
            ),
            &["provider"],
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
        registry.register(Box::new(connections.clone())).context("register metric")?;
        registry.register(Box::new(first_attempt.clone())).context("register metric")?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter =
                IntCounterVec::new(Opts::new(name, help), labels).context("create metric")?;
            registry.register(Box::new(counter.clone())).context("register metric")?;
            anyhow::Ok(counter)
        };
        Ok(Metrics {
            attempts: counter(
                "mail_out_attempts_total",
                "Recipients attempted, by what became of them.",
                &["outcome"],
            )?,
            deliveries: counter(
                "mail_out_deliveries_total",
                "Recipients by provider and class of the answer: 2xx, 4xx, 5xx, none.",
                &["provider", "class"],
            )?,
            connections,
            sessions: counter(
                "mail_out_sessions_total",
                "Mails by the session they were offered over: new, reused, or stale (gone while \
                 idle; then the mail has another).",
                &["session"],
            )?,
            postponed: counter(
                "mail_out_postponed_total",
                "Mails put off without an attempt, by what left no room for them.",
                &["reason"],
            )?,
            measures: counter(
                "mail_out_measures_total",
                "Providers suspended or slowed down because of what they answered.",
                &["provider", "action"],
            )?,
            first_attempt,
        })
    }

    /// Those of one provider.
    pub(crate) fn connections(&self, provider: &str) -> IntGauge {
        self.connections.with_label_values(&[provider])
    }

    pub(crate) fn answered(&self, provider: &str, action: Action, answered: bool) {
        let class = match action {
            _ if !answered => "none",
            Action::Delivered => "2xx",
            Action::Failed => "5xx",
            _ => "4xx",
        };
        self.deliveries.with_label_values(&[provider, class]).inc();
    }

    pub(crate) fn session(&self, kind: &str) {
        self.sessions.with_label_values(&[kind]).inc();
    }

    pub(crate) fn postponed(&self, reason: &str) {
        self.postponed.with_label_values(&[reason]).inc();
    }

    pub(crate) fn measure(&self, provider: &str, action: &str) {
        self.measures.with_label_values(&[provider, action]).inc();
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
