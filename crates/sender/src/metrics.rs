use anyhow::Context as _;
use contract::Action;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::shaping::OTHER;

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
        let metrics = Metrics {
            attempts: counter(
                "mail_out_attempts_total",
                "Recipients attempted, by provider, by what became of them, and by the class of the last \
                 answer: 2xx, 4xx, 5xx, none.",
                &["provider", "outcome", "reply"],
            )?,
            deliveries: counter(
                "mail_out_deliveries_total",
                "Recipients offered to a host, by provider and class of the answer: 2xx, 4xx, 5xx, none; \
                 in one attempt several hosts may be asked.",
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
        };
        metrics.expect();
        Ok(metrics)
    }

    /// Has what will be counted appear at nought: what is not there cannot be seen to rise. Providers
    /// appear when there is mail for them.
    fn expect(&self) {
        for (outcome, reply) in [
            ("delivered", "2xx"),
            ("deferred", "4xx"),
            ("bounced", "5xx"),
            ("expired", "4xx"),
            ("unknown", "none"),
        ] {
            _ = self.attempts.with_label_values(&[OTHER, outcome, reply]);
            _ = self.deliveries.with_label_values(&[OTHER, reply]);
        }
        _ = self.connections(OTHER);
        ["new", "reused", "stale"].iter().for_each(|it| _ = self.sessions.with_label_values(&[it]));
        ["suspend", "slow"].iter().for_each(|it| _ = self.measures.with_label_values(&[OTHER, it]));
        let reasons = [
            "connections",
            "connection rate",
            "message rate",
            "share",
            "hands",
            "route",
            "suspended",
            "warm-up",
            "dns",
        ];
        reasons.iter().for_each(|it| _ = self.postponed.with_label_values(&[it]));
    }

    /// Those of one provider.
    pub(crate) fn connections(&self, provider: &str) -> IntGauge {
        self.connections.with_label_values(&[provider])
    }

    pub(crate) fn answered(&self, provider: &str, action: Action, answered: bool) {
        self.deliveries.with_label_values(&[provider, class(action, answered)]).inc();
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

    /// `provider` is empty if no host was found to ask.
    pub(crate) fn settled(&self, provider: &str, action: Action, reply: &str, expired: bool) {
        let outcome = match action {
            Action::Delivered => "delivered",
            Action::Failed if expired => "expired",
            Action::Failed => "bounced",
            Action::Unknown => "unknown",
            Action::Delayed | Action::Unspecified => "deferred",
        };
        let provider = if provider.is_empty() { "none" } else { provider };
        self.attempts.with_label_values(&[provider, outcome, reply]).inc();
    }
}

/// Of the answer that led to this.
pub(crate) fn class(action: Action, answered: bool) -> &'static str {
    match action {
        _ if !answered => "none",
        Action::Delivered => "2xx",
        Action::Failed => "5xx",
        _ => "4xx",
    }
}
