//! Around every request: where it stands in a trace. Whoever asks may bring one along
//! (https://www.w3.org/TR/trace-context/); what the request leads to goes on in it.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use contract::{TRACEPARENT, TRACESTATE, read_trace, traceparent, tracestate};
use opentelemetry::{
    KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind},
};
use service::{Traces, current_trace};
use tracing::Instrument as _;

pub(crate) async fn trace(State(traces): State<Traces>, request: Request, next: Next) -> Response {
    // A request that this gateway makes to itself stands within the one that led to it.
    let parent = of_fields(request.headers()).or_else(current_trace);
    let step = traces.begin(parent, || span(&request));
    let log = tracing::error_span!(
        "request",
        mail.id = mail_id(&request),
        trace_id = step.context().map(|it| tracing::field::display(it.trace_id())),
    );
    let response = step.around(next.run(request)).instrument(log).await;
    let status = response.status();
    step.set(|| KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        step.fail("5xx");
    }
    response
}

/// The mail that a path is about, if what stands there can be one's identifier.
fn mail_id(request: &Request) -> Option<&str> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    let mut segments = route.split('/').zip(request.uri().path().split('/'));
    let (_, mail_id) = segments.find(|(name, _)| *name == "{emailId}")?;
    let is_sound = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    (mail_id.len() <= 64 && mail_id.bytes().all(is_sound)).then_some(mail_id)
}

/// Lines of this request that come later are about this mail.
pub(crate) fn about(mail_id: &str) {
    tracing::Span::current().record("mail.id", mail_id);
}

/// Paths name inboxes and emails, and queries may hold tokens: only the route is told.
fn span(request: &Request) -> SpanBuilder {
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let name = route.as_ref().map_or_else(|| method.clone(), |it| format!("{method} {it}"));
    let mut attributes = vec![KeyValue::new("http.request.method", method)];
    attributes.extend(route.map(|it| KeyValue::new("http.route", it)));
    SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(attributes)
}

fn of_fields(headers: &HeaderMap) -> Option<SpanContext> {
    let states = headers.get_all(TRACESTATE).iter().filter_map(|it| it.to_str().ok());
    let states = states.collect::<Vec<_>>().join(",");
    let parent = headers.get(TRACEPARENT).and_then(|it| it.to_str().ok());
    read_trace(|name| if name == TRACEPARENT { parent } else { Some(&states) })
}

/// The header fields that say where something stands.
pub(crate) fn fields(trace: &SpanContext) -> HeaderMap {
    let parent = (HeaderName::from_static(TRACEPARENT), Some(traceparent(trace)));
    let state = (HeaderName::from_static(TRACESTATE), tracestate(trace));
    let fields = [parent, state].into_iter();
    fields.filter_map(|(name, it)| Some((name, HeaderValue::try_from(it?).ok()?))).collect()
}

/// An event came to whoever waited for it, by the door of this name: the end of a mail's way here. Links
/// to the request that it answers, if it answers one.
pub(crate) fn told(traces: &Traces, event: Option<&SpanContext>, door: &'static str) {
    let (true, Some(event)) = (traces.is_on(), event) else { return };
    let step = traces.begin(Some(event.clone()), || {
        let mut span = SpanBuilder::from_name(format!("tell {door}")).with_kind(SpanKind::Producer);
        span.links = current_trace().map(|it| vec![Link::with_context(it)]);
        span
    });
    step.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(name, it)| (HeaderName::from_static(name), HeaderValue::from_static(it))).fold(
            HeaderMap::new(),
            |mut headers, (name, it)| {
                headers.append(name, it);
                headers
            },
        )
    }

    #[test]
    fn the_states_of_several_fields_are_one() {
        let given = headers(&[(TRACEPARENT, GIVEN), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")]);
        let trace = of_fields(&given).expect("a trace");
        let written = headers(&[(TRACEPARENT, GIVEN), (TRACESTATE, "a=1,b=2")]);
        assert_eq!(fields(&trace), written);
        assert_eq!(of_fields(&headers(&[(TRACESTATE, "a=1")])), None);
        assert_eq!(of_fields(&headers(&[(TRACEPARENT, "00-1-2-3")])), None);
    }
}
