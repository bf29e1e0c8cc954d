//! `/mcp`: the tools for language models, over streamable HTTP.
//!
//! Stateless: each request stands for itself, so that any gateway answers it. A tool's requests go to this
//! gateway's own router, as its caller's, and meet the same checks as if they had come over HTTP.

use std::sync::Arc;

use ::mcp::{Answer, Api, Call, Server, Tools, Unreachable};
use axum::{
    Router,
    body::Body,
    extract::{FromRequest as _, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use contract::{TRACEPARENT, read_trace};
use futures_util::StreamExt as _;
use opentelemetry::trace::SpanContext;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use serde::Deserialize;
use service::current_trace;
use tower::ServiceExt as _;

use crate::{
    gateway::Gateway,
    octets::{BodyLimits, Octets},
    params::PublicUrl,
    problem::Problem,
    trace,
};

/// Octets of a request: arguments of a tool, no files.
const MOST: usize = 4 * 1024 * 1024;

/// Who asks, and by which name he reached this API: links in answers begin with that.
const PASSED_ON: [HeaderName; 3] =
    [header::AUTHORIZATION, header::HOST, HeaderName::from_static("x-forwarded-proto")];

/// `api` is what the tools ask.
/// Requests of web pages are taken from this service's own and from `origins`.
pub(crate) fn routes(api: Router, public_url: &PublicUrl, origins: &[String]) -> Router<Gateway> {
    let door = Door {
        api,
        tools: Arc::default(),
        limits: BodyLimits::new(MOST),
        config: config(public_url, origins),
    };
    Router::new().route("/mcp", post(move |request: Request| door.clone().answer(request)))
}

fn config(PublicUrl(public_url): &PublicUrl, origins: &[String]) -> StreamableHttpServerConfig {
    let known = public_url.iter().chain(origins).filter_map(|it| origin(it));
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MOST)
        // Behind a proxy, Host may be anything. Browsers, which alone can be rebound, send Origin.
        .disable_allowed_hosts()
        .with_allowed_origins(known)
        .enforce_origin_validation()
}

/// With its port: without one, any would do.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some(format!("{scheme}://{}:{port}", uri.host()?))
}

#[derive(Clone)]
struct Door {
    api: Router,
    tools: Arc<Tools<Inside>>,
    limits: BodyLimits,
    config: StreamableHttpServerConfig,
}

impl Door {
    async fn answer(self, request: Request) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        // Bounded in time, too, which the protocol's library does not do.
        let read = Request::from_parts(parts.clone(), body);
        let octets = Octets::from_request(read, &self.limits).await?;
        let mut fields = passed_on(&parts.headers);
        if let Some(trace) = said_inside(&octets.octets).or_else(current_trace) {
            fields.extend(trace::fields(&trace));
        }
        let inside = Inside { api: self.api, fields };
        let tools = self.tools;
        let server = move || Ok(Server::new(Arc::clone(&tools), inside.clone()));
        let service = StreamableHttpService::new(
            server,
            Arc::new(NeverSessionManager::default()),
            self.config,
        );
        let request = Request::from_parts(parts, Body::from(octets.octets.clone()));
        Ok(service.handle(request).await.map(Body::new))
    }
}

/// Where a call stands in a trace, if it says so itself: clients of the protocol that know of traces write
/// it there, whatever carries the call.
fn said_inside(octets: &[u8]) -> Option<SpanContext> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Message {
        params: Params,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Params {
        _meta: Meta,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Meta {
        traceparent: Option<String>,
        tracestate: Option<String>,
    }
    let Meta { traceparent, tracestate } =
        serde_json::from_slice::<Message>(octets).ok()?.params._meta;
    read_trace(
        |name| if name == TRACEPARENT { traceparent.as_deref() } else { tracestate.as_deref() },
    )
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let fields = PASSED_ON.into_iter();
    let fields = fields.filter_map(|name| headers.get(&name).map(|it| (name.clone(), it.clone())));
    fields.collect()
}

/// This gateway's API, as one caller.
#[derive(Clone)]
struct Inside {
    api: Router,
    fields: HeaderMap,
}

impl Api for Inside {
    async fn call(&self, call: Call) -> Result<Answer, Unreachable> {
        let failed = |err: axum::http::Error| Unreachable(err.into());
        let body = call.body.map(|it| it.to_string()).unwrap_or_default();
        let mut request = Request::builder().method(call.method).uri(call.path);
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let mut request = request.body(Body::from(body)).map_err(failed)?;
        request.headers_mut().extend(self.fields.clone());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);

        let Ok(response) = self.api.clone().oneshot(request).await;
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|it| it.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let (octets, is_cut) = read(response.into_body(), call.most).await?;
        Ok(Answer { status, retry_after, octets, is_cut })
    }
}

/// So many octets, and whether there are more.
async fn read(body: Body, most: usize) -> Result<(Vec<u8>, bool), Unreachable> {
    let mut octets = Vec::new();
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame: Bytes = frame.map_err(|err| Unreachable(err.into()))?;
        let left = most - octets.len();
        octets.extend_from_slice(&frame[..frame.len().min(left)]);
        if frame.len() > left {
            return Ok((octets, true));
        }
    }
    Ok((octets, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_its_port() {
        let of = |url: &str| origin(url).unwrap_or_default();
        assert_eq!(of("https://mail.example.com/api"), "https://mail.example.com:443");
        assert_eq!(of("http://127.0.0.1:4801"), "http://127.0.0.1:4801");
        assert_eq!(of("not a url"), "");
    }

    #[test]
    fn a_call_may_say_where_it_stands() {
        const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let call = |meta: &str| {
            let call =
                format!(r#"{{"method":"tools/call","params":{{"name":"x","_meta":{meta}}}}}"#);
            said_inside(call.as_bytes()).map(|it| contract::traceparent(&it))
        };
        assert_eq!(
            call(&format!(r#"{{"traceparent":"{GIVEN}","progressToken":1}}"#)).as_deref(),
            Some(GIVEN)
        );
        for without in ["{}", "null", r#"{"traceparent":"x"}"#, r#"{"traceparent":7}"#] {
            assert_eq!(call(without), None, "{without}");
        }
        assert_eq!(said_inside(b"[]"), None);
    }

    #[tokio::test]
    async fn an_answer_is_read_as_far_as_is_wanted() {
        let of = async |most: usize| read(Body::from("12345"), most).await.expect("read");
        assert_eq!(of(5).await, (b"12345".to_vec(), false));
        assert_eq!(of(3).await, (b"123".to_vec(), true));
    }
}
