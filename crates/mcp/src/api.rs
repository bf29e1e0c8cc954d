//! What the tools need of the REST API, and of whoever carries the requests there.

use std::fmt::Display;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::form_urlencoded;

use crate::refusal::Refusal;

/// Octets of an answer that is JSON. A page of 100 emails, or one email with its texts, has less.
const MOST_JSON: usize = 16 * 1024 * 1024;

/// Carries requests to the REST API, as one caller.
pub trait Api: Clone + Send + Sync + 'static {
    /// An answer of whatever status; fails only if there is none.
    fn call(&self, call: Call) -> impl Future<Output = Result<Answer, Unreachable>> + Send;
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub method: Method,
    /// With its query, such as "/v1/inboxes/ibx_1/emails?limit=20".
    pub path: String,
    pub body: Option<Value>,
    pub idempotency_key: Option<String>,
    /// So many octets of the answer are to be read.
    pub most: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Of the field `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    pub octets: Vec<u8>,
    /// There is more than was to be read.
    pub is_cut: bool,
}

/// There is no answer: the API is not there, or did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the API did not answer")]
pub struct Unreachable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Call {
        Call {
            method: Method::GET,
            path: path.into(),
            body: None,
            idempotency_key: None,
            most: MOST_JSON,
        }
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Call {
        Call { method: Method::POST, body: Some(body), ..Call::get(path) }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Call {
        Call { method: Method::DELETE, ..Call::get(path) }
    }

    pub(crate) fn key(self, key: Option<String>) -> Call {
        Call { idempotency_key: key, ..self }
    }

    pub(crate) fn most(self, most: usize) -> Call {
        Call { most, ..self }
    }

    /// Adds to the query what there is.
    pub(crate) fn query(mut self, name: &str, value: Option<impl Display>) -> Call {
        let Some(value) = value else { return self };
        let sign = if self.path.contains('?') { '&' } else { '?' };
        let value = value.to_string();
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        self.path.push_str(&format!("{sign}{name}={value}"));
        self
    }
}

/// What a success answers with.
pub(crate) async fn ask<A: Api, T: DeserializeOwned>(api: &A, call: Call) -> Result<T, Refusal> {
    parse(&answered(api, call).await?)
}

/// As `ask`; `None` for 204.
pub(crate) async fn ask_if_any<A: Api, T: DeserializeOwned>(
    api: &A,
    call: Call,
) -> Result<Option<T>, Refusal> {
    let answer = answered(api, call).await?;
    if answer.status == 204 { Ok(None) } else { parse(&answer).map(Some) }
}

/// As `ask`; `None` for 404.
pub(crate) async fn ask_if_there<A: Api, T: DeserializeOwned>(
    api: &A,
    call: Call,
) -> Result<Option<T>, Refusal> {
    let answer = api.call(call).await.map_err(|err| Refusal::unreachable(&err))?;
    match answer.status {
        404 => Ok(None),
        status if status < 300 => parse(&answer).map(Some),
        _ => Err(Refusal::of(&answer)),
    }
}

/// An answer that is a success.
pub(crate) async fn answered<A: Api>(api: &A, call: Call) -> Result<Answer, Refusal> {
    let answer = api.call(call).await.map_err(|err| Refusal::unreachable(&err))?;
    if answer.status < 300 { Ok(answer) } else { Err(Refusal::of(&answer)) }
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refusal> {
    if answer.is_cut {
        return Err(Refusal::too_large());
    }
    serde_json::from_slice(&answer.octets).map_err(|err| Refusal::not_understood(&err))
}

/// An id as the API gives them. Nothing else gets into a path.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct Id(String);

const LONGEST_ID: usize = 100;

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Id, Self::Error> {
        let is_plain = text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
        if text.is_empty() || text.len() > LONGEST_ID || !is_plain {
            return Err("this is not an id: take it unchanged from the answer of another tool");
        }
        Ok(Id(text))
    }
}

impl Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Id {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_what_there_is() {
        let call = Call::get("/v1/x").query("a", None::<u32>).query("q", Some("b c&d"));
        assert_eq!(call.query("limit", Some(3)).path, "/v1/x?q=b+c%26d&limit=3");
    }

    #[test]
    fn only_ids_get_into_a_path() {
        assert!(Id::try_from("eml_0198c0ffee-x".to_owned()).is_ok());
        for text in ["", "..", "a/b", "a?b", "a b", "ü", &"x".repeat(101)] {
            assert!(Id::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
