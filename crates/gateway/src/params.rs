//! The parameters of a query, read one by one so that an error names the one that is wrong.

use std::{collections::HashMap, convert::Infallible};

use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};

use crate::{problem::Problem, time::parse_rfc3339};

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

/// What follows the "?". Names nobody asks for are ignored, an empty value is as none.
pub(crate) struct Params(HashMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params, Problem> {
        Params::of(&parts.uri)
    }
}

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Params, Problem> {
        let Query(params) = Query::try_from_uri(uri)
            .map_err(|err| Problem::invalid_request(format!("query: {err}")))?;
        Ok(Params(params))
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|it| !it.is_empty()).cloned()
    }

    /// How many to list. More than a page holds is a page.
    pub(crate) fn limit(&self) -> Result<i64, Problem> {
        let Some(text) = self.text("limit") else { return Ok(DEFAULT_LIMIT) };
        match text.parse() {
            Ok(limit) if limit > 0 => Ok(MAX_LIMIT.min(limit)),
            _ => Err(wrong("limit", &text, format!("a whole number from 1 to {MAX_LIMIT}"))),
        }
    }

    /// A moment, in microseconds since 1970.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match parse_rfc3339(&text) {
            Some(micros) => Ok(Some(micros)),
            None => {
                Err(wrong(name, &text, format!("an RFC 3339 time such as {}", store::rfc3339(0))))
            }
        }
    }

    /// Whole seconds, cut at a maximum, which is also the default.
    pub(crate) fn seconds(&self, name: &str, most: u64) -> Result<u64, Problem> {
        let Some(text) = self.text(name) else { return Ok(most) };
        match text.parse::<u64>() {
            Ok(seconds) => Ok(seconds.min(most)),
            Err(_) => Err(wrong(name, &text, "a whole number of seconds")),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*choice));
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        Err(wrong(name, &text, words.join(" or ")))
    }

    pub(crate) fn direction(&self) -> Result<Option<store::Direction>, Problem> {
        use store::Direction::{Inbound, Outbound};
        self.choice("direction", &[("inbound", Inbound), ("outbound", Outbound)])
    }
}

fn wrong(name: &str, value: &str, accepted: impl std::fmt::Display) -> Problem {
    Problem::invalid_request(format!("{name}={value:?} is not accepted: give {accepted}"))
}

/// The values of a path, in order. Unlike axum's own, it answers with a `Problem`.
pub(crate) struct Segments<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Segments<T>
where
    S: Send + Sync,
    T: serde::de::DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segments<T>, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(values)| Segments(values))
            .map_err(|err| Problem::invalid_request(format!("path: {err}")))
    }
}

/// The field `Idempotency-Key`, if there is one.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(IdempotencyKey(None));
        };
        let octets = value.as_bytes();
        if !(1..=255).contains(&octets.len()) || !octets.iter().all(u8::is_ascii_graphic) {
            let message = "Idempotency-Key: give 1 to 255 visible ASCII characters";
            return Err(Problem::invalid_request(message));
        }
        Ok(IdempotencyKey(Some(String::from_utf8_lossy(octets).into_owned())))
    }
}

/// Where clients reach this API, without a "/" at the end; for absolute links.
pub(crate) struct BaseUrl(pub(crate) String);

/// The configured `public_url`.
#[derive(Clone)]
pub(crate) struct PublicUrl(pub(crate) Option<String>);

impl<S> FromRequestParts<S> for BaseUrl
where
    S: Sync,
    PublicUrl: axum::extract::FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<BaseUrl, Infallible> {
        let PublicUrl(public) = axum::extract::FromRef::from_ref(state);
        Ok(BaseUrl(match public {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => own_url(parts),
        }))
    }
}

/// Whoever lies in these fields gets links that do not work, and nobody else does.
fn own_url(parts: &Parts) -> String {
    let field = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
    let scheme = match field("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host = field("host").filter(|it| it.parse::<axum::http::uri::Authority>().is_ok());
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn params(query: &str) -> Params {
        let uri = format!("/x?{query}").parse().expect("uri");
        Params(Query::try_from_uri(&uri).expect("query").0)
    }

    #[test]
    fn a_limit_is_clamped_or_refused() {
        assert_eq!(params("").limit().expect("default"), 20);
        assert_eq!(params("limit=100").limit().expect("limit"), 100);
        assert_eq!(params("limit=5000").limit().expect("clamp"), 100);
        for query in ["limit=0", "limit=-1", "limit=ten", "limit=1.5"] {
            let problem = params(query).limit().expect_err(query);
            assert_eq!(problem.status.as_u16(), 400);
            assert!(problem.message.starts_with("limit="), "{}", problem.message);
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_accepted() {
        let message = params("direction=in").direction().expect_err("refuse").message;
        assert_eq!(message, r#"direction="in" is not accepted: give "inbound" or "outbound""#);
        let message = params("since=monday").moment("since").expect_err("refuse").message;
        assert!(message.contains("\"monday\"") && message.contains("RFC 3339"), "{message}");
    }

    #[test]
    fn a_moment_may_have_any_offset() {
        let params = params("since=1970-01-01T01%3A00%3A01%2B01%3A00&until=");
        assert_eq!(params.moment("since").expect("moment"), Some(1_000_000));
        assert_eq!(params.moment("until").expect("moment"), None);
    }

    #[test]
    fn seconds_have_a_maximum() {
        assert_eq!(params("").seconds("timeout", 25).expect("default"), 25);
        assert_eq!(params("timeout=90").seconds("timeout", 25).expect("cut"), 25);
        assert_eq!(params("timeout=1").seconds("timeout", 25).expect("one"), 1);
        params("timeout=1.5").seconds("timeout", 25).expect_err("refuse");
    }

    #[tokio::test]
    async fn an_idempotency_key_is_visible_ascii() {
        let read = async |key: &str| {
            let request = Request::builder().header("idempotency-key", key).body(()).expect("it");
            IdempotencyKey::from_request_parts(&mut request.into_parts().0, &()).await
        };
        assert_eq!(read("order-17").await.expect("key").0.as_deref(), Some("order-17"));
        for key in ["", "a b", "ü", &"x".repeat(256)] {
            assert_eq!(read(key).await.err().expect("refuse").status.as_u16(), 400, "{key}");
        }
    }

    #[test]
    fn own_url_follows_the_request() {
        let url = |fields: &[(&str, &str)]| {
            let mut request = Request::builder();
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            own_url(&request.body(()).expect("request").into_parts().0)
        };
        assert_eq!(url(&[("host", "mail.test:8080")]), "http://mail.test:8080");
        assert_eq!(url(&[("host", "m"), ("x-forwarded-proto", "https")]), "https://m");
        assert_eq!(url(&[("host", "m"), ("x-forwarded-proto", "javascript")]), "http://m");
        assert_eq!(url(&[("host", "a b")]), "http://localhost");
    }
}
