//! The one place where requests are let in or not: the token is good, it has the right that the operation
//! needs, and it sees what the path names. Nothing behind it asks again, except for what is in bodies and
//! lists.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRef, FromRequestParts as _, MatchedPath, RawPathParams, Request, State},
    http::{HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use contract::Grant;
use futures_util::StreamExt as _;
use store::{Bearer, Reader, Writer};

use crate::{
    caller::{self, Admitted, KnownToken},
    emails,
    gateway::Gateway,
    inboxes,
    operations::{self, About, Needs, Operation},
    params::Params,
    problem::Problem,
    revocations::Revocations,
    threads,
    time::now_micros,
    token, websocket,
};

/// The last activity is noted once in this time, in microseconds.
const TOUCH_EVERY: i64 = 60 * 1_000_000;

/// What it takes to know who is there.
#[derive(Clone)]
pub(crate) struct Gate {
    reader: Reader,
    writer: Writer,
    revocations: Revocations,
}

impl FromRef<Gateway> for Gate {
    fn from_ref(gateway: &Gateway) -> Gate {
        Gate {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            revocations: Revocations::from_ref(gateway),
        }
    }
}

pub(crate) async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        // There is no such path, which is for the router to say.
        return next.run(request).await;
    };
    let Some(operation) = operations::find(request.method(), path.as_str()) else {
        return unknown(path.as_str());
    };
    if operation.needs == Needs::Nothing {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let admitted = match gate.check(operation, &mut parts).await {
        Ok(admitted) => admitted,
        Err(problem) => return problem.into_response(),
    };
    parts.extensions.insert(admitted.clone());
    let answer = next.run(Request::from_parts(parts, body));
    match admitted.stay.is_some() {
        true => while_it_counts(&admitted, answer).await,
        false => answer.await,
    }
}

/// What is not in the table is not done, whoever asks.
fn unknown(path: &str) -> Response {
    let methods = operations::methods(path);
    if methods.is_empty() {
        let message = "nobody has said which right this operation needs, so nobody may use it";
        return Problem::insufficient_scope(message).into_response();
    }
    let message = "the path is right, the method is not: see the Allow field";
    let mut response = Problem::method_not_allowed(message).into_response();
    let methods = HeaderValue::try_from(methods).expect("names of methods");
    response.headers_mut().insert(header::ALLOW, methods);
    response
}

impl Gate {
    async fn check(&self, operation: &Operation, parts: &mut Parts) -> Result<Admitted, Problem> {
        let hash = match parts.extensions.get::<KnownToken>() {
            Some(KnownToken(hash)) => hash.clone(),
            None => token::hash(&presented(operation, parts)?),
        };
        let stay = operation.waits.then(|| Arc::new(self.revocations.register(&hash)));
        let bearer = self.reader.bearer(&hash).await?;
        let bearer = bearer.ok_or_else(|| Problem::authentication("the token is not valid"))?;
        self.touch(&bearer).await;
        let grant = &bearer.token.grant;
        if let Needs::Right(right) = operation.needs
            && !grant.allows(right)
        {
            return Err(Problem::insufficient_scope(format!(
                "this needs a token with the right {:?}; yours has {}",
                right.name(),
                names(grant)
            )));
        }
        if grant.is_narrowed() {
            self.check_sight(operation, parts, &bearer).await?;
        }
        Ok(Admitted { bearer: Arc::new(bearer), stay })
    }

    /// What a narrowed token does not see is as if it never was.
    async fn check_sight(
        &self,
        operation: &Operation,
        parts: &mut Parts,
        Bearer { account, token }: &Bearer,
    ) -> Result<(), Problem> {
        let grant = &token.grant;
        let params = RawPathParams::from_request_parts(parts, &()).await;
        let params = params.map_err(|err| Problem::invalid_request(format!("path: {err}")))?;
        let named = |name: &str| params.iter().find(|(it, _)| *it == name).map(|(_, it)| it);
        let inbox_id = named("inboxId");
        if let Some(inbox_id) = inbox_id.filter(|it| !grant.sees_inbox(it)) {
            return Err(inboxes::unknown(inbox_id));
        }
        match operation.about {
            About::Choice => Ok(()),
            About::Account => Err(Problem::insufficient_scope(
                "this is about the whole account, and your token is for some inboxes or threads only",
            )),
            About::Inbox if inbox_id.is_some_and(|it| grant.sees_all_of(it)) => Ok(()),
            About::Inbox => Err(Problem::insufficient_scope(
                "this is about the whole inbox, and your token is for some threads only",
            )),
            About::Thread => {
                let thread_id = named("threadId").unwrap_or_default();
                if inbox_id.is_some_and(|it| grant.sees(it, Some(thread_id))) {
                    return Ok(());
                }
                Err(threads::unknown(thread_id))
            }
            About::Email => {
                let email_id = named("emailId").unwrap_or_default();
                let place = self.reader.place_of_email(&account.id, email_id).await?;
                match place {
                    Some((inbox_id, thread_id)) if grant.sees(&inbox_id, thread_id.as_deref()) => {
                        Ok(())
                    }
                    _ => Err(emails::unknown_to_account(email_id)),
                }
            }
        }
    }

    /// No request fails because its moment could not be noted.
    async fn touch(&self, Bearer { account, token }: &Bearer) {
        let last = account.last_active_at.min(token.last_used_at.unwrap_or(0));
        if now_micros() - last < TOUCH_EVERY {
            return;
        }
        if let Err(err) = self.writer.touch(&account.id, &token.hash).await {
            let err = anyhow::Error::from(err);
            tracing::warn!(account.id, "note the account's activity: {err:#}");
        }
    }
}

/// The token of a request. Browsers can give a WebSocket no header fields.
fn presented(operation: &Operation, parts: &Parts) -> Result<String, Problem> {
    if operation.path == websocket::PATH
        && let Some(token) = Params::of(&parts.uri)?.text("token")
    {
        return caller::checked(&token).map(str::to_owned);
    }
    caller::bearer(&parts.headers).map(str::to_owned)
}

fn names(grant: &Grant) -> String {
    let names: Vec<String> = grant.rights.iter().map(|it| format!("{:?}", it.name())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// An answer that takes its time, or that is streamed, ends with its token.
async fn while_it_counts(
    Admitted { bearer, stay }: &Admitted,
    answer: impl Future<Output = Response>,
) -> Response {
    let Some(stay) = stay.clone() else { return answer.await };
    let expires_at = bearer.token.grant.expires_at;
    let response = tokio::select! {
        biased;
        () = stay.over(expires_at) => {
            let message = "the token was revoked, or it expired, while this request waited";
            return Problem::authentication(message).into_response();
        }
        response = answer => response,
    };
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_stream = content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    response.map(|body| {
        let over = async move { stay.over(expires_at).await };
        Body::from_stream(body.into_data_stream().take_until(Box::pin(over)))
    })
}
