//! Around every request: its identifier, its error's JSON, its metrics. Nothing is logged of a request
//! but what went wrong in this service.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::{
    metrics::Metrics,
    problem::{Problem, ProblemBody},
};

pub(crate) async fn finish(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();

    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = answered.unwrap_or_else(|_| {
        Problem::internal(anyhow::anyhow!("the handler panicked")).into_response()
    });
    let response = identify(response);

    let route = route.as_ref().map(MatchedPath::as_str);
    metrics.answered(&method, route, response.status(), started.elapsed());
    response
}

/// Gives the answer its request's identifier, and an error its form.
pub(crate) fn identify(mut response: Response) -> Response {
    let id = format!("req_{}", Uuid::now_v7().simple());
    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        log(&problem, &id);
        let body = ProblemBody {
            error: &problem.code,
            message: &problem.message,
            request_id: &id,
            oldest_cursor: problem.oldest_cursor.as_deref(),
        };
        let mut described = (response.status(), Json(body)).into_response();
        described.headers_mut().remove(header::CONTENT_LENGTH);
        let fields = response.headers().iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);
        described.headers_mut().extend(fields.map(|(name, it)| (name.clone(), it.clone())));
        response = described;
    }
    let headers = response.headers_mut();
    headers.insert("x-request-id", HeaderValue::try_from(id).expect("hexadecimal"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn log(problem: &Problem, id: &str) {
    let Some(err) = &problem.cause else { return };
    if problem.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request.id = id, "{err:#}");
    } else {
        tracing::warn!(request.id = id, "{}: {err:#}", problem.code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_carries_the_identifier_twice() {
        let problem = Problem::rate_limited("slowly", 7).caused_by(anyhow::anyhow!("secret"));
        let response = identify(problem.into_response());
        let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let expected =
            serde_json::json!({"error": "rate_limited", "message": "slowly", "requestId": id});
        assert_eq!(body, expected);
    }

    #[test]
    fn an_answer_says_how_it_may_be_cached() {
        let response = identify("fine".into_response());
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
}
