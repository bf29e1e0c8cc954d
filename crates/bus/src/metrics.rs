use anyhow::Context as _;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Rate, errors and duration of each stage.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// By stage and outcome: done, retried, parked.
    pub(crate) messages: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) inflight: IntGaugeVec,
    /// By subject.
    pub(crate) bundled: HistogramVec,
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
        let bundled = HistogramVec::new(
            HistogramOpts::new(
                "mail_publish_bundle_messages",
                "Messages that were published as one, with one synced write.",
            )
            .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            &["subject"],
        )?;
        registry.register(Box::new(messages.clone())).context("register metric")?;
        registry.register(Box::new(duration.clone())).context("register metric")?;
        registry.register(Box::new(inflight.clone())).context("register metric")?;
        registry.register(Box::new(bundled.clone())).context("register metric")?;
        Ok(Metrics { messages, duration, inflight, bundled })
    }
}
