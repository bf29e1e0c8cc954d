use anyhow::Context as _;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) sessions: IntCounter,
    pub(crate) logins: IntCounterVec,
    pub(crate) mails: IntCounterVec,
    pub(crate) rejections: IntCounterVec,
    pub(crate) bytes: IntCounter,
    pub(crate) acceptance: Histogram,
}

/// From a fsync on a good disk to the wait for NATS.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Metrics> {
        let mails = Opts::new("mail_intake_mails_total", "Mails whose content came to its end.");
        let logins = Opts::new("mail_intake_logins_total", "Logins on the submission ports.");
        let rejections =
            Opts::new("mail_intake_rejections_total", "Replies of 4yz and 5yz by their status.");
        let acceptance = HistogramOpts::new(
            "mail_intake_acceptance_duration_seconds",
            "From the end of data to the reply to it.",
        );
        Ok(Metrics {
            connections: registered(
                registry,
                IntGauge::new("mail_intake_connections", "Open connections."),
            )?,
            sessions: registered(
                registry,
                IntCounter::new("mail_intake_sessions_total", "Connections that were let in."),
            )?,
            logins: registered(registry, IntCounterVec::new(logins, &["outcome"]))?,
            mails: registered(registry, IntCounterVec::new(mails, &["outcome"]))?,
            rejections: registered(registry, IntCounterVec::new(rejections, &["reason"]))?,
            bytes: registered(
                registry,
                IntCounter::new("mail_intake_bytes_total", "Octets of accepted contents."),
            )?,
            acceptance: registered(
                registry,
                Histogram::with_opts(acceptance.buckets(BUCKETS.to_vec())),
            )?,
        })
    }
}

fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> anyhow::Result<M> {
    let metric = metric.context("describe a metric")?;
    registry.register(Box::new(metric.clone())).context("register a metric")?;
    Ok(metric)
}
