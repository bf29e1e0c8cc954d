//! Traces over NATS: header fields on every message, and for each message that a stage handles a span.
//!
//! A message's span stands below whoever published it, so that a mail is one trace from the first door to
//! the last. Where many are handled at once there is a span for all of them as well, which links to each
//! (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).

use async_nats::HeaderMap;
use contract::{Input, TRACEPARENT, TRACESTATE, read_trace, traceparent, tracestate};
use opentelemetry::{
    KeyValue,
    context::WithContext,
    trace::{Link, SpanBuilder, SpanContext, SpanKind},
};
use service::{Step, Traces, mail_span};

/// An event, and the step of a trace that handling it is.
#[derive(Clone, Debug)]
pub struct Traced<E> {
    pub event: E,
    pub step: Step,
}

impl<E: Input> Traced<E> {
    /// For what is logged about it.
    pub fn log_span(&self) -> tracing::Span {
        mail_span(&self.event.mail_id(), self.step.context())
    }
}

/// Where a message stands. Some clients write the names of header fields as HTTP/1.1 is used to.
pub fn trace_of(headers: Option<&HeaderMap>) -> Option<SpanContext> {
    let headers = headers?;
    read_trace(|name| {
        let mut fields = headers.iter();
        let (_, values) =
            fields.find(|(it, _)| AsRef::<str>::as_ref(it).eq_ignore_ascii_case(name))?;
        values.first().map(|it| it.as_str())
    })
}

pub(crate) fn insert(headers: &mut HeaderMap, trace: Option<&SpanContext>) {
    let Some(trace) = trace else { return };
    headers.insert(TRACEPARENT, traceparent(trace));
    if let Some(state) = tracestate(trace) {
        headers.insert(TRACESTATE, state);
    }
}

/// What a stage has in hand together.
pub(crate) struct Hand {
    /// Of the event alone, where there is one.
    pub(crate) log: tracing::Span,
    /// In the order of the events.
    steps: Vec<Step>,
    /// Of all of them, if there are several.
    together: Step,
}

impl Hand {
    /// Of what could not be read.
    pub(crate) fn of_unread(trace: Option<&SpanContext>) -> Hand {
        Hand { log: mail_span("", trace), steps: Vec::new(), together: Step::default() }
    }

    /// Begins to handle events of which it is known where they stand.
    pub(crate) fn take<E: Input>(
        traces: &Traces,
        durable: &'static str,
        events: Vec<(E, Option<SpanContext>)>,
    ) -> (Hand, Vec<Traced<E>>) {
        let count = events.len();
        let together = match count > 1 && traces.is_on() {
            true => traces.begin(None, || {
                let links = events.iter().filter_map(|(_, it)| it.clone());
                let links: Vec<Link> = links.map(Link::with_context).collect();
                let mut span = span::<E>(durable).with_links(links);
                let size = i64::try_from(count).unwrap_or(i64::MAX);
                let size = KeyValue::new("messaging.batch.message_count", size);
                span.attributes.get_or_insert_default().push(size);
                span
            }),
            false => Step::default(),
        };
        let take = |(event, parent): (E, Option<SpanContext>)| {
            let step = traces.begin(parent, || {
                let mut span = span::<E>(durable);
                let mail_id = event.mail_id();
                if !mail_id.is_empty() {
                    let mail_id = KeyValue::new("mail.id", mail_id.into_owned());
                    span.attributes.get_or_insert_default().push(mail_id);
                }
                span.links = together.context().map(|it| vec![Link::with_context(it.clone())]);
                span
            });
            Traced { event, step }
        };
        let events: Vec<Traced<E>> = events.into_iter().map(take).collect();
        let log = match &events[..] {
            [alone] => alone.log_span(),
            _ => tracing::Span::none(),
        };
        (Hand { log, steps: events.iter().map(|it| it.step.clone()).collect(), together }, events)
    }

    /// Where what comes of the events stands, in their order.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = Option<SpanContext>> {
        self.steps.iter().map(|it| it.context().cloned())
    }

    /// What the work publishes by itself stands below all of it; where there is one event, below that.
    pub(crate) fn around<F>(&self, work: F) -> WithContext<F> {
        match &self.steps[..] {
            [alone] => alone.around(work),
            _ => self.together.around(work),
        }
    }

    pub(crate) fn fail(&self, kind: &'static str) {
        for step in self.steps.iter().chain([&self.together]) {
            step.fail(kind);
        }
    }
}

/// The subject that a consumer filters by is the same for all tenants; that of a message may name them.
fn span<E: Input>(durable: &'static str) -> SpanBuilder {
    SpanBuilder::from_name(format!("process {}", E::SUBJECT))
        .with_kind(SpanKind::Consumer)
        .with_attributes([
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.template", E::SUBJECT),
            KeyValue::new("messaging.consumer.group.name", durable),
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn header_fields_are_read_however_they_are_written() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, GIVEN);
        headers.insert(TRACESTATE, "vendor=1");
        let trace = trace_of(Some(&headers)).expect("a trace");
        let mut again = HeaderMap::new();
        insert(&mut again, Some(&trace));
        assert_eq!(again, headers);
        let mut canonical = HeaderMap::new();
        canonical.insert("Traceparent", GIVEN);
        canonical.insert("Tracestate", "vendor=1");
        assert_eq!(trace_of(Some(&canonical)), Some(trace));
        assert_eq!(trace_of(None), None);
    }

    #[test]
    fn without_spans_a_trace_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, GIVEN);
        let trace = trace_of(Some(&headers));
        let mail = contract::MailReceived::default();
        let events = vec![(mail.clone(), trace.clone()), (mail, None)];
        let (hand, events) = Hand::take(&Traces::default(), "scanner", events);
        assert_eq!(hand.contexts().collect::<Vec<_>>(), [trace.clone(), None]);
        assert_eq!(events[0].step.context(), trace.as_ref());
    }
}
