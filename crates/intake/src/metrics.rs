use anyhow::Context as _;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

use crate::{refusal, reply::Reply};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) sessions: IntCounter,
    pub(crate) logins: IntCounterVec,
    pub(crate) mails: IntCounterVec,
    rejections: IntCounterVec,
    pub(crate) bytes: IntCounter,
    pub(crate) acceptance: Histogram,
    certificate: IntGauge,
}

/// From a fsync on a good disk to the wait for NATS.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Metrics> {
        let mails = Opts::new("mail_intake_mails_total", "Mails whose content came to its end.");
        let logins = Opts::new("mail_intake_logins_total", "Logins on the submission ports.");
        let rejections = Opts::new(
            "mail_intake_rejections_total",
            "Replies of 4yz and 5yz, by why, by code and by status, and TLS handshakes that failed.",
        );
        let acceptance = HistogramOpts::new(
            "mail_intake_acceptance_duration_seconds",
            "From the end of data to the reply to it.",
        );
        let metrics = Metrics {
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
            rejections: registered(
                registry,
                IntCounterVec::new(rejections, &["reason", "code", "status"]),
            )?,
            bytes: registered(
                registry,
                IntCounter::new("mail_intake_bytes_total", "Octets of accepted contents."),
            )?,
            acceptance: registered(
                registry,
                Histogram::with_opts(acceptance.buckets(BUCKETS.to_vec())),
            )?,
            certificate: registered(
                registry,
                IntGauge::new(
                    "mail_intake_certificate_expiry_timestamp_seconds",
                    "When the TLS certificate in use ceases to be valid, in seconds since 1970.",
                ),
            )?,
        };
        metrics.expect();
        Ok(metrics)
    }

    /// Has what will be counted appear at nought: what is not there cannot be seen to rise.
    fn expect(&self) {
        for outcome in ["accepted", "deferred", "rejected"] {
            _ = self.logins.with_label_values(&[outcome]);
            _ = self.mails.with_label_values(&[outcome]);
        }
        _ = self.rejections.with_label_values(&[refusal::TLS, "", ""]);
    }

    /// A reply of 4yz or 5yz, whichever phase it was given in; others do not count.
    pub(crate) fn replied(&self, reply: &Reply) {
        if reply.code >= 400 {
            let labels = [refusal::reason(reply), &reply.code.to_string(), reply.status];
            self.rejections.with_label_values(&labels).inc();
        }
    }

    pub(crate) fn tls_failed(&self) {
        self.rejections.with_label_values(&[refusal::TLS, "", ""]).inc();
    }

    pub(crate) fn certificate_ends(&self, seconds_since_1970: i64) {
        self.certificate.set(seconds_since_1970);
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
