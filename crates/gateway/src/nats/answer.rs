//! The API's answers as messages: the body is the payload, and errors also stand in the headers that
//! clients of NATS services look at (ADR-32).

use async_nats::HeaderMap;
use axum::{
    body::to_bytes,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Deserialize;

use crate::{finish::identify, problem::Problem};

const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Octets of a message that are left for its headers.
const HEADERS: usize = 2_048;

/// Characters of an error in a header.
const MOST_CHARACTERS: usize = 300;

pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    pub(super) is_error: bool,
}

impl Answer {
    /// Reads the API's answer to its end. One that does not fit into a message of `max_payload` octets
    /// becomes an error that says so.
    pub(super) async fn of(response: Response, max_payload: usize) -> Answer {
        let limit = max_payload.saturating_sub(HEADERS);
        let (head, body) = response.into_parts();
        let payload = match to_bytes(body, limit).await {
            Ok(payload) => payload,
            Err(_) if head.status.is_success() => {
                return Box::pin(Answer::problem(Problem::answer_too_large(limit))).await;
            }
            Err(_) => Bytes::new(),
        };
        let mut headers = HeaderMap::new();
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = head.headers.get(&name).and_then(|it| it.to_str().ok()) {
                headers.insert(name.as_str(), one_line(value));
            }
        }
        let is_error = !head.status.is_success();
        if is_error {
            headers.insert(ERROR, one_line(&message(&payload, head.status)));
            headers.insert(ERROR_CODE, head.status.as_str());
        }
        Answer { headers, payload, is_error }
    }

    pub(super) async fn problem(problem: Problem) -> Answer {
        Answer::of(identify(problem.into_response()), usize::MAX).await
    }
}

fn message(payload: &[u8], status: StatusCode) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: String,
        message: String,
    }

    match serde_json::from_slice(payload) {
        Ok(Body { error, message }) => format!("{error}: {message}"),
        Err(_) => status.canonical_reason().unwrap_or("error").to_owned(),
    }
}

/// Headers are lines: what names a client's own words must not begin another.
fn one_line(text: &str) -> String {
    let line = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    line.take(MOST_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    #[tokio::test]
    async fn an_error_says_so_twice() {
        let problem = Problem::rate_limited("not\r\nNats-Service-Error-Code: 200\r\nso fast", 7);
        let answer = Answer::problem(problem).await;
        assert!(answer.is_error);
        assert_eq!(header(&answer, ERROR_CODE), Some("429"));
        let error = header(&answer, ERROR).expect("an error");
        assert_eq!(error, "rate_limited: not  Nats-Service-Error-Code: 200  so fast");
        assert_eq!(header(&answer, "retry-after"), Some("7"));
        let body: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
        assert_eq!(body["error"], "rate_limited");
        assert!(body["requestId"].is_string());
    }

    #[tokio::test]
    async fn what_does_not_fit_says_so() {
        let long = "x".repeat(10_000);
        let answer = Answer::of(long.clone().into_response(), 10_000 + HEADERS).await;
        assert_eq!((answer.payload.len(), answer.is_error), (10_000, false));
        let answer = Answer::of(long.into_response(), 9_999 + HEADERS).await;
        assert_eq!(header(&answer, ERROR_CODE), Some("413"));
        assert!(header(&answer, ERROR).expect("an error").starts_with("answer_too_large: "));
    }
}
