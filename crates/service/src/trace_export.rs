//! Spans on their way to a collector, by OTLP over HTTP: in a thread of their own, out of a queue with a
//! bound. A collector that is away costs spans, which are counted, and never mail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId, TracerProvider as _},
};
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracerProvider,
        ShouldSample, Span, SpanData, SpanExporter, SpanProcessor,
    },
};
use prometheus::{IntCounterVec, Opts};

use crate::{Metrics, TraceExport, Traces};

/// Spans that wait or are on their way; more are dropped.
const QUEUE: usize = 4_096;

/// For one request to the collector.
const PATIENCE: Duration = Duration::from_secs(5);

/// For what is left when the process ends.
const FLUSH: Duration = Duration::from_secs(3);

/// Ends with the process.
pub(crate) struct Exporting {
    provider: SdkTracerProvider,
}

/// Outside of any runtime: what sends is a thread that waits.
pub(crate) fn start(export: TraceExport, metrics: &Metrics) -> anyhow::Result<(Exporting, Traces)> {
    let counts = Counts::register(metrics)?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(export.url)
        .with_timeout(PATIENCE)
        .build()
        .context("set up the export of traces")?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        exporter,
        waiting: Arc::clone(&waiting),
        counts: counts.clone(),
        was_well: AtomicBool::new(true),
    };
    let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
    let batches = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(name) = export.service_name {
        resource = resource.with_service_name(name);
    }
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Bounded { batches, waiting, counts })
        .with_sampler(ByMail { first: Sampler::TraceIdRatioBased(export.sample_ratio) })
        .with_resource(resource.build())
        .build();
    let traces = Traces::new(provider.tracer("posthouse"));
    Ok((Exporting { provider }, traces))
}

impl Exporting {
    /// Sends what is left, within a bound.
    pub(crate) fn finish(self) {
        if let Err(err) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!("the last spans were not exported: {err}");
        }
    }
}

/// Recorded if whoever began the trace decided so. A span of many messages belongs to no trace of theirs,
/// and is recorded if any of theirs is.
#[derive(Clone, Debug)]
struct ByMail {
    /// What decides where a trace begins.
    first: Sampler,
}

impl ShouldSample for ByMail {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let around = parent.map(|it| it.span().span_context().clone()).filter(|it| it.is_valid());
        let decided = match around {
            Some(around) => Some(around.is_sampled()),
            None if links.is_empty() => None,
            None => Some(links.iter().any(|it| it.span_context.is_sampled())),
        };
        let sampler = match decided {
            Some(true) => &Sampler::AlwaysOn,
            Some(false) => &Sampler::AlwaysOff,
            None => &self.first,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// By what became of them: exported, failed, dropped.
#[derive(Clone, Debug)]
struct Counts(IntCounterVec);

impl Counts {
    fn register(metrics: &Metrics) -> anyhow::Result<Counts> {
        let counter = IntCounterVec::new(
            Opts::new("mail_trace_spans_total", "Spans for the collector, by what became of them."),
            &["outcome"],
        )?;
        for outcome in ["exported", "failed", "dropped"] {
            counter.with_label_values(&[outcome]).inc_by(0);
        }
        metrics
            .registry("traces")?
            .register(Box::new(counter.clone()))
            .context("register metric")?;
        Ok(Counts(counter))
    }

    fn add(&self, outcome: &str, spans: usize) {
        self.0.with_label_values(&[outcome]).inc_by(spans as u64);
    }
}

/// Takes no more spans than there is room for. What is within would drop them too, but says so to nobody.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    counts: Counts,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.counts.add("dropped", 1);
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what was sent, and logs when that begins and ceases to fail.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    counts: Counts,
    was_well: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        self.counts.add(if exported.is_ok() { "exported" } else { "failed" }, spans);
        let was_well = self.was_well.swap(exported.is_ok(), Ordering::Relaxed);
        match &exported {
            Err(err) if was_well => tracing::warn!("spans cannot be exported: {err}"),
            Ok(()) if !was_well => tracing::info!("spans are exported again"),
            _ => (),
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry::trace::{SpanBuilder, SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn standing(is_sampled: bool) -> SpanContext {
        let flags = TraceFlags::NOT_SAMPLED.with_sampled(is_sampled);
        let (trace_id, span_id) = (TraceId::from(1), SpanId::from(1));
        SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE)
    }

    #[track_caller]
    fn check(ratio: f64, parent: Option<bool>, links: &[bool], expected: bool) {
        let sampler = ByMail { first: Sampler::TraceIdRatioBased(ratio) };
        let around = Context::new();
        let around = match parent {
            Some(it) => around.with_remote_span_context(standing(it)),
            None => around,
        };
        let links: Vec<Link> = links.iter().map(|it| Link::with_context(standing(*it))).collect();
        let (id, kind) = (TraceId::from(u128::MAX / 2), SpanKind::Consumer);
        let sampled = sampler.should_sample(Some(&around), id, "process", &kind, &[], &links);
        let is_sampled = sampled.decision == SamplingDecision::RecordAndSample;
        assert_eq!(is_sampled, expected, "{ratio} {parent:?} {links:?}");
    }

    #[test]
    fn whoever_began_a_trace_has_decided() {
        check(0.0, Some(true), &[], true);
        check(1.0, Some(false), &[true], false);
        check(1.0, None, &[], true);
        check(0.0, None, &[], false);
    }

    #[test]
    fn a_span_of_many_is_recorded_if_one_of_theirs_is() {
        check(0.0, None, &[false, true], true);
        check(1.0, None, &[false, false], false);
    }

    /// Takes nothing while somebody else has the lock.
    #[derive(Debug)]
    struct Held(Arc<Mutex<()>>);

    impl SpanExporter for Held {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            drop(self.0.lock());
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let counts = Counts::register(&Metrics::default()).expect("metrics");
        let (waiting, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(())));
        let counted = Counted {
            exporter: Held(Arc::clone(&gate)),
            waiting: Arc::clone(&waiting),
            counts: counts.clone(),
            was_well: AtomicBool::new(true),
        };
        let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
        let batches = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { batches, waiting, counts: counts.clone() })
            .build();
        let traces = Traces::new(provider.tracer("test"));
        let held = gate.lock().expect("lock");
        for _ in 0..QUEUE + 10 {
            traces.begin(None, || SpanBuilder::from_name("process")).end();
        }
        let count = |outcome: &str| counts.0.with_label_values(&[outcome]).get();
        assert_eq!((count("dropped"), count("exported")), (10, 0));
        drop(held);
        provider.shutdown_with_timeout(Duration::from_secs(60)).expect("shut down");
        assert_eq!((count("exported"), count("failed")), (QUEUE as u64, 0));
    }
}
