//! Where spans go in these tests: it understands OTLP over HTTP, and keeps what comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use e2e::{SOON, eventually};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span as Exported, status::StatusCode as Outcome},
};
use prost::Message as _;
use tokio::net::TcpListener;

/// A span as it came. Identifiers are in hexadecimal.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// "intake" of "posthouse-intake".
    pub(super) service: String,
    pub(super) name: String,
    pub(super) trace_id: String,
    pub(super) id: String,
    /// Empty for the first of a trace.
    pub(super) parent: String,
    /// Trace and span of each.
    pub(super) links: Vec<(String, String)>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) has_failed: bool,
}

#[derive(Clone)]
pub(super) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    pub(super) address: SocketAddr,
}

impl Collector {
    pub(super) async fn start() -> anyhow::Result<Collector> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let collector = Collector { spans: Arc::default(), address: listener.local_addr()? };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(collector)
    }

    /// The lines of a configuration that lead here.
    pub(super) fn lines(&self) -> String {
        format!("traces = {{ endpoint = 'http://{}' }}\n", self.address)
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("lock").clone()
    }

    pub(super) fn trace(&self, trace_id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|it| it.trace_id == trace_id).collect()
    }

    /// The spans of a trace as soon as all of these are among them, service and name, and each but the
    /// first stands below another. `first` is what that one stands below.
    pub(super) async fn wait_for(
        &self,
        trace_id: &str,
        first: &str,
        wanted: &[(&str, &str)],
    ) -> anyhow::Result<Vec<Span>> {
        let found = eventually(SOON, "the spans of a trace", async || {
            let spans = self.trace(trace_id);
            let has = |(service, name): &(&str, &str)| {
                spans.iter().any(|it| it.service == *service && it.name == *name)
            };
            let ids: BTreeSet<&str> = spans.iter().map(|it| it.id.as_str()).collect();
            let is_whole =
                spans.iter().all(|it| it.parent == first || ids.contains(it.parent.as_str()));
            Ok((is_whole && wanted.iter().all(has)).then_some(spans))
        });
        found.await.with_context(|| {
            let names = self.trace(trace_id);
            let names: BTreeSet<_> = names.iter().map(|it| (&it.service, &it.name)).collect();
            format!("{wanted:?} are to be in {trace_id}, which has {names:?}")
        })
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    for of_resource in request.resource_spans {
        let attributes = attributes(of_resource.resource.unwrap_or_default().attributes);
        let service = attributes.get("service.name").cloned().unwrap_or_default();
        let service = service.trim_start_matches("posthouse-");
        let spans = of_resource.scope_spans.into_iter().flat_map(|it| it.spans);
        collector.spans.lock().expect("lock").extend(spans.map(|it| span(service, it)));
    }
    StatusCode::OK
}

fn span(service: &str, span: Exported) -> Span {
    let has_failed = span.status.as_ref().is_some_and(|it| it.code() == Outcome::Error);
    let link = |it: &opentelemetry_proto::tonic::trace::v1::span::Link| {
        (hexadecimal(&it.trace_id), hexadecimal(&it.span_id))
    };
    Span {
        service: service.to_owned(),
        name: span.name,
        trace_id: hexadecimal(&span.trace_id),
        id: hexadecimal(&span.span_id),
        parent: hexadecimal(&span.parent_span_id),
        links: span.links.iter().map(link).collect(),
        attributes: attributes(span.attributes),
        has_failed,
    }
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|it| (it.key, text(it.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|it| it.value) {
        Some(Value::StringValue(it)) => it,
        Some(Value::IntValue(it)) => it.to_string(),
        other => format!("{other:?}"),
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|it| format!("{it:02x}")).collect()
}
