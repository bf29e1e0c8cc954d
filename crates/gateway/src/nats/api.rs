//! `mail.v1.api.<account>.<token>.<operation>` → the API → an answer.
//!
//! Who asks is in the subject, on which nobody but that token may publish. The request runs through the
//! very router that HTTP comes to, as if it had come with the token.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use async_nats::{Client, Message, Subject, Subscriber};
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request},
    response::{IntoResponse as _, Response},
};
use bus::trace_of;
use futures_util::StreamExt as _;
use nats_login::{API, LoginName, inbox_prefix, parse_api_subject};
use serde_json::{Map, Value};
use store::Reader;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{
    DRAIN, GROUP,
    answer::Answer,
    has_opened,
    operations::{Operation, Operations},
    tokens,
    turns::{Turn, Turns},
};
use crate::{caller::KnownToken, finish::identify, problem::Problem, trace};

/// Longer than anything is held.
const PATIENCE: Duration = Duration::from_secs(60);

/// Cloning shares it.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    router: Router,
    reader: Reader,
    operations: Arc<Operations>,
    turns: Turns,
    sign: Arc<AtomicBool>,
}

/// A question that can be answered.
struct Asked {
    name: LoginName,
    operation: String,
    reply: Subject,
    message: Message,
}

impl Api {
    pub(super) fn new(
        client: Client,
        router: Router,
        reader: Reader,
        operations: Arc<Operations>,
        sign: Arc<AtomicBool>,
    ) -> Api {
        Api { client, router, reader, operations, turns: Turns::default(), sign }
    }

    pub(super) async fn run(&self, stop: &CancellationToken) {
        let subscribed = self.client.queue_subscribe(format!("{API}.>"), GROUP.to_owned()).await;
        let mut messages = match subscribed {
            Ok(messages) => messages,
            Err(err) => return tracing::error!("answer agents' questions: {err}"),
        };
        if !has_opened(&self.client, &self.sign, stop).await {
            return;
        }
        let work = TaskTracker::new();
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = stop.cancelled() => break,
            };
            let Some(message) = message else { break };
            self.take(message, &work);
        }
        // While NATS is away there is nobody to be answered, and nothing of this ends by itself.
        if timeout(DRAIN, self.finish(messages, &work)).await.is_err() {
            tracing::warn!("{} questions on NATS were not answered", work.len());
        }
    }

    /// Whoever asks from now on is answered by another replica, or hears that nobody is there.
    async fn finish(&self, mut messages: Subscriber, work: &TaskTracker) {
        if let Err(err) = messages.drain().await {
            tracing::debug!("let go of agents' questions: {err}");
        }
        while let Some(message) = messages.next().await {
            self.take(message, work);
        }
        work.close();
        work.wait().await;
        if let Err(err) = self.client.flush().await {
            tracing::debug!("send the last answers: {err}");
        }
    }

    fn take(&self, message: Message, work: &TaskTracker) {
        let Some(asked) = asked(message) else { return };
        let (api, turn) = (self.clone(), self.turns.take(&asked.name));
        work.spawn(async move { api.answer(asked, turn).await });
    }

    async fn answer(&self, asked: Asked, turn: Option<Turn>) {
        let began = Instant::now();
        let answer = match (self.operations.find(&asked.operation), &turn) {
            (Err(problem), _) => Answer::problem(problem).await,
            (Ok(_), None) => {
                let message = "too many questions of this token, or of all, are in hand; wait for \
                               answers, or try again";
                Answer::problem(Problem::rate_limited(message, 1)).await
            }
            (Ok(operation), Some(_)) => {
                let response = timeout(PATIENCE, self.respond(&asked, operation)).await;
                let late = || Problem::unavailable("there was no answer in time; try again");
                let response = response.unwrap_or_else(|_| identify(late().into_response()));
                let answer = Answer::of(response, self.client.max_payload()).await;
                operation.counts.answered(answer.is_error, began.elapsed());
                answer
            }
        };
        let Answer { headers, payload, .. } = answer;
        if let Err(err) = self.client.publish_with_headers(asked.reply, headers, payload).await {
            tracing::warn!("answer a question on NATS: {err}");
        }
    }

    async fn respond(&self, asked: &Asked, operation: &Operation) -> Response {
        let request = match self.request(asked, operation).await {
            Ok(request) => request,
            Err(problem) => return identify(problem.into_response()),
        };
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn request(
        &self,
        asked: &Asked,
        operation: &Operation,
    ) -> Result<Request<Body>, Problem> {
        let hash = tokens::hash(&self.reader, &asked.name).await?;
        let hash = hash.ok_or_else(|| Problem::authentication("the token is not valid"))?;
        let mut request = operation.request(parameters(&asked.message.payload)?)?;
        request.extensions_mut().insert(KnownToken(hash));
        if let Some(key) = idempotency_key(&asked.message)? {
            request.headers_mut().insert("idempotency-key", key);
        }
        if let Some(trace) = trace_of(asked.message.headers.as_ref()) {
            request.headers_mut().extend(trace::fields(&trace));
        }
        Ok(request)
    }
}

/// `None` for what nobody could be answered, or would be answered in somebody else's name: an answer to
/// any other subject would be published there with the rights of this service.
fn asked(message: Message) -> Option<Asked> {
    let (name, operation) = parse_api_subject(&message.subject)?;
    let operation = operation.to_owned();
    let reply = message.reply.clone()?;
    let own = inbox_prefix(&name.account_id, &name.token_id);
    let is_own = reply.strip_prefix(&own).is_some_and(|it| it.starts_with('.'));
    is_own.then_some(Asked { name, operation, reply, message })
}

fn parameters(payload: &[u8]) -> Result<Map<String, Value>, Problem> {
    if payload.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(parameters)) => Ok(parameters),
        Ok(_) => Err(Problem::invalid_request("the payload is no JSON object")),
        Err(err) => Err(Problem::invalid_request(format!("the payload is no JSON: {err}"))),
    }
}

/// On NATS it is called what JetStream calls it, too.
fn idempotency_key(message: &Message) -> Result<Option<HeaderValue>, Problem> {
    let Some(headers) = &message.headers else { return Ok(None) };
    let key = headers.get("Idempotency-Key").or_else(|| headers.get("Nats-Msg-Id"));
    key.map(|it| HeaderValue::from_str(it.as_str())).transpose().map_err(|_| {
        Problem::invalid_request("Idempotency-Key: give 1 to 255 visible ASCII characters")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, reply: Option<&str>) -> Message {
        Message {
            subject: subject.into(),
            reply: reply.map(Into::into),
            payload: bytes::Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn only_the_asker_is_answered() {
        let subject = "mail.v1.api.acct_1.0f.inboxes.list";
        let own = asked(message(subject, Some("_INBOX_acct_1.0f.x.1"))).expect("its own");
        assert_eq!((&*own.operation, &*own.name.token_id), ("inboxes.list", "0f"));
        for reply in [
            None,
            Some("_INBOX_acct_1.0f"),
            Some("_INBOX_acct_1.0fa.x"),
            Some("_INBOX_acct_2.0f.x"),
            Some("_INBOX.x"),
            Some("mail.v1.event.acct_2.ibx_1.email.received"),
            Some("mail.v1.send.acct_2.ibx_1"),
        ] {
            assert!(asked(message(subject, reply)).is_none(), "{reply:?}");
        }
    }

    #[test]
    fn parameters_are_an_object() {
        assert!(parameters(b" ").expect("none").is_empty());
        assert_eq!(parameters(b"{\"a\":1}").expect("one").len(), 1);
        for wrong in ["[]", "\"x\"", "{", "\u{1}"] {
            assert_eq!(parameters(wrong.as_bytes()).expect_err(wrong).status.as_u16(), 400);
        }
    }
}
