//! Which web pages may call the API from a browser, with a token that they were given: those that the
//! operator names, by their origins, and no other (the CORS protocol of the Fetch standard).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::CorsLayer;

/// Beside what any page may send.
const REQUEST_FIELDS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
];

/// Beside what any page may read.
const ANSWER_FIELDS: [HeaderName; 3] =
    [header::RETRY_AFTER, header::CONTENT_DISPOSITION, HeaderName::from_static("x-request-id")];

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// So long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// `None` if no page may. There are no credentials that a browser would send by itself.
pub(crate) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|it| it.parse().ok()).collect();
    let layer = CorsLayer::new()
        .allow_methods(METHODS)
        .allow_headers(REQUEST_FIELDS)
        .expose_headers(ANSWER_FIELDS)
        .max_age(MAX_AGE);
    (!origins.is_empty()).then(|| layer.allow_origin(origins))
}

/// Whether it is written as browsers write origins: scheme, host in lower case, a port only if it is not the
/// scheme's own. They are compared octet by octet.
pub(crate) fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let own_port = if scheme == "https" { 443 } else { 80 };
    matches!(scheme, "http" | "https")
        && uri.port_u16() != Some(own_port)
        && !authority.as_str().contains('@')
        && text == format!("{scheme}://{}", authority.as_str().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for fine in ["https://app.example.com", "http://localhost:5173", "https://[::1]:8443"] {
            assert!(is_origin(fine), "{fine}");
        }
        for wrong in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://me@app.example.com",
            "ftp://app.example.com",
        ] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }

    #[test]
    fn nobody_is_let_in_unasked() {
        assert!(layer(&[]).is_none());
        assert!(layer(&["https://app.example.com".to_owned()]).is_some());
    }
}
