//! What a page answers when there is nothing to show: why, in plain words.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use serde::Deserialize;

use super::{html, text::query_value};
use crate::problem::Problem;

#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody is signed in, or is any more; and where he wanted to go.
    SignIn {
        next: String,
    },
    Refused {
        status: StatusCode,
        message: String,
        request_id: Option<String>,
        wait: Option<u64>,
    },
}

/// As the API answers.
#[derive(Deserialize)]
struct Told {
    message: String,
    #[serde(rename = "requestId")]
    request_id: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure::Refused { status, message: message.into(), request_id: None, wait: None }
    }

    pub(super) fn not_found() -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "There is no such page.")
    }

    pub(super) fn forbidden(message: &str) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, message)
    }

    /// What the API refused, in its own words.
    pub(super) fn told(status: StatusCode, octets: &[u8]) -> Failure {
        match serde_json::from_slice(octets) {
            Ok(Told { message, request_id }) => {
                let request_id = Some(request_id);
                Failure::Refused { status, message, request_id, wait: None }
            }
            Err(_) => Failure::new(status, "The API refused this."),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        if let Some(err) = &problem.cause {
            tracing::warn!("make a page of the console: {err:#}");
        }
        let Problem { status, message, retry_after, .. } = problem;
        Failure::Refused { status, message, request_id: None, wait: retry_after }
    }
}

impl From<store::Error> for Failure {
    fn from(err: store::Error) -> Failure {
        Problem::from(err).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message, request_id, wait) = match self {
            Failure::SignIn { next } => {
                let path = format!("/console/sign-in?next={}", query_value(&next));
                return Redirect::to(&path).into_response();
            }
            Failure::Refused { status, message, request_id, wait } => {
                (status, message, request_id, wait)
            }
        };
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::CONFLICT => "Already settled",
            StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
            it if it.is_server_error() => "Not available now",
            _ => "That did not work",
        };
        let body = html! {
            h1 { (title) }
            p.lead { (message) }
            @if let Some(id) = request_id { p.quiet { "Request " code { (id) } } }
            p { a.button href="/console" { "To the console" } }
        };
        let mut response = (status, html::bare(title, body)).into_response();
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
