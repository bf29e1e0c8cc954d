use anyhow::Context as _;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::Collector,
};

/// What becomes of a message in the hands of a stage.
const OUTCOMES: [&str; 4] = ["done", "retried", "parked", "taken_apart"];

/// From a check in memory to a conversation with a slow host.
const DURATIONS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// Rate, errors and duration of each stage, and how its queue stands.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// By stage and outcome.
    pub(crate) messages: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) inflight: IntGaugeVec,
    /// By subject.
    pub(crate) bundled: HistogramVec,
    pub(crate) queues: QueueMetrics,
    pub(crate) streams: StreamMetrics,
}

/// By stage and stream.
#[derive(Clone)]
pub(crate) struct QueueMetrics {
    pub(crate) pending: IntGaugeVec,
    pub(crate) unacknowledged: IntGaugeVec,
    pub(crate) redelivered: IntGaugeVec,
    pub(crate) oldest: GaugeVec,
}

/// By stream.
#[derive(Clone)]
pub(crate) struct StreamMetrics {
    pub(crate) messages: IntGaugeVec,
    pub(crate) bytes: IntGaugeVec,
    pub(crate) limit: IntGaugeVec,
    pub(crate) lagging: IntGaugeVec,
    /// By stage.
    pub(crate) dead: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<Metrics> {
        let messages =
            Opts::new("mail_stage_messages_total", "Messages a stage settled, by outcome.");
        let duration = HistogramOpts::new(
            "mail_stage_duration_seconds",
            "Time a stage took from receiving messages to settling them.",
        );
        let inflight = Opts::new("mail_stage_inflight", "Messages a stage has in hand.");
        let bundled = HistogramOpts::new(
            "mail_publish_bundle_messages",
            "Messages that were published as one, with one synced write.",
        );
        let bundled = bundled.buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
        Ok(Metrics {
            messages: registered(registry, IntCounterVec::new(messages, &["stage", "outcome"]))?,
            duration: registered(
                registry,
                HistogramVec::new(duration.buckets(DURATIONS.to_vec()), &["stage"]),
            )?,
            inflight: registered(registry, IntGaugeVec::new(inflight, &["stage"]))?,
            bundled: registered(registry, HistogramVec::new(bundled, &["subject"]))?,
            queues: QueueMetrics::register(registry)?,
            streams: StreamMetrics::register(registry)?,
        })
    }

    /// Has all that a stage will count appear at nought: what is not there cannot be seen to rise.
    pub(crate) fn expect(&self, stage: &str) {
        OUTCOMES.iter().for_each(|it| _ = self.messages.with_label_values(&[stage, it]));
        _ = self.duration.with_label_values(&[stage]);
        _ = self.inflight.with_label_values(&[stage]);
    }
}

impl QueueMetrics {
    fn register(registry: &Registry) -> anyhow::Result<QueueMetrics> {
        let labels = &["stage", "stream"];
        let gauge = |name: &str, help: &str| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let oldest = Opts::new(
            "mail_queue_oldest_message_age_seconds",
            "Age of the oldest message that a stage has not settled; 0 if there is none.",
        );
        Ok(QueueMetrics {
            pending: gauge(
                "mail_queue_pending",
                "Messages that no replica of a stage has been given; on INBOUND, SCANNED and REPORTED \
                 one message may hold up to 64 mails.",
            )?,
            unacknowledged: gauge(
                "mail_queue_unacknowledged",
                "Messages that replicas of a stage have in hand, or that wait to be tried again.",
            )?,
            redelivered: gauge(
                "mail_queue_redelivered",
                "Of the messages that are not settled, those that were delivered more than once.",
            )?,
            oldest: registered(registry, GaugeVec::new(oldest, labels))?,
        })
    }
}

impl StreamMetrics {
    fn register(registry: &Registry) -> anyhow::Result<StreamMetrics> {
        let gauge = |name: &str, help: &str, label: &str| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
        };
        Ok(StreamMetrics {
            messages: gauge("mail_stream_messages", "Messages in a stream.", "stream")?,
            bytes: gauge("mail_stream_bytes", "Octets in a stream, on each replica.", "stream")?,
            limit: gauge(
                "mail_stream_limit_bytes",
                "Octets that a stream may hold; absent where nobody has set a limit.",
                "stream",
            )?,
            lagging: gauge(
                "mail_stream_lagging_replicas",
                "Replicas of a stream that are away or behind.",
                "stream",
            )?,
            dead: gauge(
                "mail_dead_letters",
                "Messages in DEAD, by the stage that parked them.",
                "stage",
            )?,
        })
    }
}

fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> anyhow::Result<M> {
    let metric = metric.context("describe a metric")?;
    registry.register(Box::new(metric.clone())).context("register metric")?;
    Ok(metric)
}
