//! The one form of every error, `{"error", "message", "requestId"}`, and what becomes which.

use std::{borrow::Cow, fmt, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::time::{now_micros, seconds_to_midnight};

/// Why a request is not honoured. `finish` gives it the request's identifier and its JSON form.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: Cow<'static, str>,
    /// For people: what is wrong, with the name and the value, and what would be right.
    pub(crate) message: String,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    /// Where reading events can go on.
    pub(crate) oldest_cursor: Option<String>,
    /// For the log only.
    pub(crate) cause: Option<anyhow::Error>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// A stable name, such as "invalid_request".
    #[schema(example = "invalid_request")]
    pub(crate) error: &'a str,
    /// For people.
    pub(crate) message: &'a str,
    /// Names this request in the service's log; the same as in the field `x-request-id`.
    #[schema(example = "req_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    pub(crate) request_id: &'a str,
    /// With 410 only: from here on, events are still kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_cursor: Option<&'a str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Problem {
        Problem {
            status,
            code: code.into(),
            message: message.to_string(),
            retry_after: None,
            oldest_cursor: None,
            cause: None,
        }
    }

    pub(crate) fn invalid_request(message: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(crate) fn authentication(message: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "authentication_error", message)
    }

    /// The account would have to be another; clients take every 403 for this.
    pub(crate) fn insufficient_tier(message: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "insufficient_tier", message)
    }

    /// The account may, its token may not.
    pub(crate) fn insufficient_scope(message: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, store::INSUFFICIENT_SCOPE, message)
    }

    /// It may work later, `retry_after` seconds from now if that is known.
    pub(crate) fn later(self, retry_after: Option<u64>) -> Problem {
        Problem { retry_after, ..self }
    }

    /// Also for what belongs to another account.
    pub(crate) fn not_found(message: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn method_not_allowed(message: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(crate) fn address_collision(address: &str) -> Problem {
        let message = format!(
            "the address {address} is taken; dots and upper case make no difference, and a deleted \
             inbox keeps its address for its grace period"
        );
        Problem::new(StatusCode::CONFLICT, "address_collision", message)
    }

    pub(crate) fn conflict(
        code: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Problem {
        Problem::new(StatusCode::CONFLICT, code, message)
    }

    /// What was there is not kept any more.
    pub(crate) fn gone(
        code: &'static str,
        message: impl fmt::Display,
        oldest_cursor: String,
    ) -> Problem {
        let problem = Problem::new(StatusCode::GONE, code, message);
        Problem { oldest_cursor: Some(oldest_cursor), ..problem }
    }

    pub(crate) fn payload_too_large(limit: usize) -> Problem {
        let message = format!("the request's body has more than the {limit} octets that are taken");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// The answer, not the request.
    pub(crate) fn answer_too_large(limit: usize) -> Problem {
        let message = format!(
            "the answer has more than the {limit} octets that a message on NATS can have: ask for \
             fewer at once, or over HTTP"
        );
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large", message)
    }

    /// Well-formed, but not to be honoured.
    pub(crate) fn unprocessable(
        code: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(crate) fn rate_limited(message: impl fmt::Display, retry_after: u64) -> Problem {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
        Problem { retry_after: Some(retry_after), ..problem }
    }

    /// The same request may work in a moment.
    pub(crate) fn unavailable(message: impl fmt::Display) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Problem { retry_after: Some(2), ..problem }
    }

    /// Says nothing of the cause to the client.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Problem {
        let message = "something went wrong in this service; its log has the requestId";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).caused_by(cause)
    }

    pub(crate) fn caused_by(self, cause: impl Into<anyhow::Error>) -> Problem {
        Problem { cause: Some(cause.into()), ..self }
    }
}

impl From<store::Error> for Problem {
    fn from(err: store::Error) -> Problem {
        match err {
            store::Error::Cursor(_) => Problem::invalid_request(format!(
                "cursor: {err}; take it unchanged from the page before"
            )),
            err if err.is_transient() => {
                Problem::unavailable("the database cannot be reached now; try again").caused_by(err)
            }
            err => Problem::internal(err),
        }
    }
}

/// What several effects can fail by; the database is the one that may be away.
impl From<anyhow::Error> for Problem {
    fn from(err: anyhow::Error) -> Problem {
        match err.downcast::<store::Error>() {
            Ok(err) => Problem::from(err),
            Err(err) => Problem::internal(err),
        }
    }
}

impl From<bus::PublishError> for Problem {
    fn from(err: bus::PublishError) -> Problem {
        let message = match err {
            bus::PublishError::Full { .. } => {
                "too many mails wait to be sent; nothing was accepted, try again later"
            }
            bus::PublishError::Unavailable { .. } => {
                "NATS did not confirm the request; it may have been accepted all the same. Repeat \
                 it with the same Idempotency-Key and the mail goes out once"
            }
        };
        Problem::unavailable(message).caused_by(err)
    }
}

/// What the pipeline says of a request it cannot honour.
impl From<contract::Rejection> for Problem {
    fn from(rejection: contract::Rejection) -> Problem {
        match rejection.code.as_str() {
            "insufficient_tier" => Problem::insufficient_tier(rejection.message),
            store::LEASE_LOST => Problem::conflict(rejection.code, rejection.message),
            store::INSUFFICIENT_SCOPE | store::TOKEN_RECIPIENT | store::TOKEN_REVOKED => {
                Problem::new(StatusCode::FORBIDDEN, rejection.code, rejection.message)
            }
            store::TOKEN_LIMIT => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, rejection.code, rejection.message)
            }
            store::RATE_LIMITED => {
                Problem::rate_limited(rejection.message, seconds_to_midnight(now_micros()))
            }
            "too_large" => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", rejection.message)
            }
            _ => Problem::unprocessable(rejection.code, rejection.message),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_stream_asks_to_wait() {
        let problem = Problem::from(bus::PublishError::Full { subject: "s".to_owned() });
        assert_eq!((problem.status.as_u16(), &*problem.code), (503, "unavailable"));
        assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn a_foreign_cursor_is_the_clients_mistake() {
        let problem = Problem::from(store::Error::Cursor("zzz".to_owned()));
        assert_eq!(problem.status.as_u16(), 400);
        assert!(problem.message.contains("cursor") && problem.message.contains("zzz"));
    }

    #[test]
    fn what_account_or_token_may_not_is_403() {
        let rejection =
            |code: &str| contract::Rejection { code: code.to_owned(), message: "no".to_owned() };
        let tier = Problem::from(rejection("insufficient_tier"));
        assert_eq!(tier.status.as_u16(), 403);
        for code in ["insufficient_scope", "token_recipient", "token_revoked"] {
            let of_token = Problem::from(rejection(code));
            assert_eq!((of_token.status.as_u16(), &*of_token.code), (403, code));
        }
        assert_eq!(Problem::from(rejection("token_limit")).status.as_u16(), 429);
        let recipient = Problem::from(rejection("invalid_recipient"));
        assert_eq!((recipient.status.as_u16(), &*recipient.code), (422, "invalid_recipient"));
        let limited = Problem::from(rejection("rate_limited"));
        assert_eq!(limited.status.as_u16(), 429);
        assert!(limited.retry_after.is_some_and(|it| it > 0));
    }

    #[test]
    fn a_cause_stays_inside() {
        let problem = Problem::internal(anyhow::anyhow!("table emails has no column x"));
        assert!(!problem.message.contains("column"));
    }
}
