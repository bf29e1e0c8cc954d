//! Asking this gateway's own API, in process, as the token of a session.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts, Request},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    Shared,
    failure::Failure,
    session::{Session, Who},
};
use crate::{caller::KnownToken, problem::Problem};

/// Octets of an answer. A mail with its text and HTML has a few million, its original as many as a mail
/// may have.
const MOST: usize = 128 * 1024 * 1024;

/// Somebody of an account, who is signed in. What he may, the API's gate says.
pub(super) struct Member {
    pub(super) session: Session,
    known: KnownToken,
}

impl FromRequestParts<Shared> for Member {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Shared) -> Result<Member, Failure> {
        let session = Session::from_request_parts(parts, console).await?;
        match &session.who {
            Who::Account(bearer) => {
                let known = KnownToken(bearer.token.hash.clone());
                Ok(Member { session, known })
            }
            Who::Operator(_) => Err(Failure::forbidden(
                "Mail is shown to those whose account it is: an operator's token opens none.",
            )),
        }
    }
}

impl Member {
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.octets(path).await?)
    }

    pub(super) async fn octets(&self, path: &str) -> Result<Bytes, Failure> {
        self.ask(Method::GET, path, Body::empty()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        read(&self.ask(Method::POST, path, Body::from(body.to_string())).await?)
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Bytes, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.extension(self.known.clone());
        let mut request = request.body(body).map_err(Problem::internal)?;
        request.headers_mut().extend(self.session.fields.clone());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let response = match self.session.console.api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let octets = to_bytes(response.into_body(), MOST).await.map_err(Problem::internal)?;
        match status {
            it if it.is_success() => Ok(octets),
            StatusCode::UNAUTHORIZED => Err(Failure::SignIn { next: self.session.path.clone() }),
            status => Err(Failure::told(status, &octets)),
        }
    }
}

fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Failure> {
    Ok(serde_json::from_slice(octets).map_err(Problem::internal)?)
}
