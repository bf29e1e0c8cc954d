use anyhow::Context as _;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Rate, errors and duration of each stage.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// By stage and outcome: done, retried, parked.
    pub(crate) messages: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) inflight: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<Metrics> {
        let messages = IntCounterVec::new(
            Opts::new("mail_stage_messages_total", "Messages a stage settled, by outcome."),
            &["stage", "outcome"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "mail_stage_duration_seconds",
                "Time a stage took from receiving messages to settling them.",
            ),
            &["stage"],
        )?;
        let inflight = IntGaugeVec::new(
            Opts::new("mail_stage_inflight", "Messages a stage has in hand."),
            &["stage"],
        )?;
        registry.register(Box::new(messages.clone())).context("register metric")?;
        registry.register(Box::new(duration.clone())).context("register metric")?;
        registry.register(Box::new(inflight.clone())).context("register metric")?;
        Ok(Metrics { messages, duration, inflight })
    }
}
