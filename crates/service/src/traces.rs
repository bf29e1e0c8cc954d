//! Steps of traces: what a service does about a mail, and where in a trace that stands.
//!
//! Where nobody wants spans none are made, and a step is no more than the context that it came with,
//! which is passed on all the same.

use opentelemetry::{
    Context, KeyValue,
    context::{FutureExt as _, WithContext},
    trace::{SpanBuilder, SpanContext, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::SdkTracer;

/// Makes spans, or none. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<SdkTracer>);

impl Traces {
    pub(crate) fn new(tracer: SdkTracer) -> Traces {
        Traces(Some(tracer))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span below `parent`, or the first of a new trace. It is over when it is ended, or when
    /// the last clone of the step is dropped.
    pub fn begin(&self, parent: Option<SpanContext>, span: impl FnOnce() -> SpanBuilder) -> Step {
        let Some(tracer) = &self.0 else { return Step { context: parent, span: None } };
        let around =
            parent.map_or_else(Context::new, |it| Context::new().with_remote_span_context(it));
        let span = Context::new().with_span(tracer.build_with_context(span(), &around));
        Step { context: Some(span.span().span_context().clone()), span: Some(span) }
    }
}

/// A step of a trace. What comes of it stands below it. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Step {
    context: Option<SpanContext>,
    span: Option<Context>,
}

impl Step {
    /// Where it stands, for what comes of it; `None` if it is in no trace.
    pub fn context(&self) -> Option<&SpanContext> {
        self.context.as_ref()
    }

    /// Something was not done, for a reason of this kind: "transient", "permanent" and the like.
    pub fn fail(&self, kind: &'static str) {
        if let Some(span) = &self.span {
            span.span().set_status(Status::error(kind));
            span.span().set_attribute(KeyValue::new("error.type", kind));
        }
    }

    pub fn set(&self, attribute: impl FnOnce() -> KeyValue) {
        if let Some(span) = &self.span {
            span.span().set_attribute(attribute());
        }
    }

    pub fn end(&self) {
        if let Some(span) = &self.span {
            span.span().end();
        }
    }

    /// What this publishes stands below the step.
    pub fn around<F>(&self, work: F) -> WithContext<F> {
        work.with_context(match (&self.span, &self.context) {
            (Some(span), _) => span.clone(),
            (None, Some(context)) => Context::new().with_remote_span_context(context.clone()),
            (None, None) => Context::new(),
        })
    }
}

/// Where what is being done now stands in a trace.
pub fn current_trace() -> Option<SpanContext> {
    Context::map_current(|it| {
        it.has_active_span().then(|| it.span().span_context().clone()).filter(SpanContext::is_valid)
    })
}

/// Lines that are logged within it say which mail they are about, and in which trace. An empty
/// identifier is left out.
pub fn mail_span(mail_id: &str, trace: Option<&SpanContext>) -> tracing::Span {
    // As an error, because then no filter leaves it out.
    tracing::error_span!(
        "mail",
        mail.id = (!mail_id.is_empty()).then_some(mail_id),
        trace_id = trace.map(|it| tracing::field::display(it.trace_id())),
    )
}
