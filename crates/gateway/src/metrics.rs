//! What can be watched from outside. No label ever names an account, an inbox or an address.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::{Method, StatusCode};
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};
use service::Process;

/// What becomes of a lease.
const LEASE_EVENTS: [&str; 7] =
    ["claimed", "acked", "nacked", "extended", "lost", "expired", "set_aside"];

/// The metrics of the gateway. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    pub(crate) waiters: IntGauge,
    pub(crate) readers: IntGauge,
    pub(crate) websockets: IntGauge,
    leases: IntCounterVec,
    pub(crate) nats_logins: IntCounterVec,
    pub(crate) nats_kicks: IntCounter,
}

impl Metrics {
    pub(crate) fn new(process: &Process) -> anyhow::Result<Metrics> {
        let metrics = Metrics {
            requests: IntCounterVec::new(
                Opts::new("mail_gateway_requests_total", "Requests answered."),
                &["method", "route", "status"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "mail_gateway_request_duration_seconds",
                    "Time to answer a request; held long-polls are among them.",
                ),
                &["method", "route"],
            )?,
            waiters: IntGauge::new(
                "mail_gateway_waiters",
                "Requests held until something happens.",
            )?,
            readers: IntGauge::new(
                "mail_gateway_event_readers",
                "Clients that wait for events, by whatever door.",
            )?,
            websockets: IntGauge::new("mail_gateway_websockets", "WebSockets that are open.")?,
            nats_logins: IntCounterVec::new(
                Opts::new(
                    "mail_gateway_nats_logins_total",
                    "Logins at NATS, by what was answered.",
                ),
                &["outcome"],
            )?,
            nats_kicks: IntCounter::new(
                "mail_gateway_nats_kicks_total",
                "Connections at NATS ended because their token was revoked.",
            )?,
            leases: IntCounterVec::new(
                Opts::new(
                    "mail_gateway_leases_total",
                    "What became of leases here: claimed, claimed_again, acked, nacked, extended, lost, expired, \
                     set_aside.",
                ),
                &["event"],
            )?,
        };
        LEASE_EVENTS.iter().for_each(|it| metrics.leases(it, 0));
        ["admitted", "refused", "failed"]
            .iter()
            .for_each(|it| _ = metrics.nats_logins.with_label_values(&[it]));
        let registry = process.metrics.registry("gateway")?;
        registry.register(Box::new(metrics.requests.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.durations.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.waiters.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.readers.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.websockets.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.nats_logins.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.nats_kicks.clone())).context("register metrics")?;
        registry.register(Box::new(metrics.leases.clone())).context("register metrics")?;
        Ok(metrics)
    }

    pub(crate) fn leases(&self, event: &str, count: u64) {
        self.leases.with_label_values(&[event]).inc_by(count);
    }

    /// `route` is the pattern that matched, if one did.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        duration: Duration,
    ) {
        let method = match *method {
            Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE => method.as_str(),
            _ => "other",
        };
        let route = route.unwrap_or("unmatched");
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.durations.with_label_values(&[method, route]).observe(duration.as_secs_f64());
    }
}
