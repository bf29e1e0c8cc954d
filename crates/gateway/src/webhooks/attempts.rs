//! What webhooks are told beside the order of events, and what came of all that was tried.

use axum::{Json, extract::State};
use contract::{EventSubject, WebhookDue};
use serde::{Deserialize, Serialize};
use store::WebhookAttempt;
use utoipa::ToSchema;
use uuid::Uuid;

use super::door::{Door, away, unreachable};
use crate::{
    caller::Caller,
    documentation::Errors,
    event_cursor::Place,
    happening::Happening,
    octets::Octets,
    params::{Params, Segments},
    problem::Problem,
};

/// One of the two.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RedeliverRequest {
    /// An event among the attempts of this webhook.
    event_id: Option<String>,
    /// Any event of the account that is still kept.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Requested {
    /// What `webhook-id` will be, and what finds it among the attempts.
    event_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    id: String,
    event_id: String,
    event: String,
    #[schema(required)]
    inbox_id: Option<String>,
    /// 1 for the first; 0 for a ping or what was asked for again.
    attempt: i64,
    /// "delivered", "failed", or "given_up": it was the last one.
    outcome: String,
    /// Of HTTP; null without an answer.
    #[schema(required)]
    status: Option<i64>,
    /// Null if there was none.
    #[schema(required)]
    error: Option<String>,
    duration_ms: i64,
    attempted_at: String,
    #[schema(required)]
    next_attempt_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Attempts {
    /// Newest first; the newest 1000 of each webhook are kept.
    data: Vec<Attempt>,
    #[schema(required)]
    cursor: Option<String>,
}

impl From<WebhookAttempt> for Attempt {
    fn from(it: WebhookAttempt) -> Attempt {
        Attempt {
            id: it.id,
            event_id: it.event_id,
            event: it.event,
            inbox_id: Some(it.inbox_id).filter(|it| !it.is_empty()),
            attempt: it.attempt,
            outcome: it.outcome,
            status: Some(it.status).filter(|it| *it > 0),
            error: Some(it.error).filter(|it| !it.is_empty()),
            duration_ms: it.duration_ms,
            attempted_at: store::rfc3339(it.attempted_at),
            next_attempt_at: it.next_attempt_at.map(store::rfc3339),
        }
    }
}

/// Send a ping
///
/// An event `webhook.ping`, once, also to one that is disabled. What came of it is among the attempts.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/ping", operation_id = "pingWebhook", tag = "webhooks",
    params(("id" = String, Path)),
    responses((status = 200, description = "It is on its way", body = Requested), Errors)
)]
pub(crate) async fn ping(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    State(door): State<Door>,
) -> Result<Json<Requested>, Problem> {
    let webhook = door.own(&account.id, &id).await?;
    let event_id = format!("evt_{}", Uuid::now_v7().simple());
    let due = WebhookDue { ping: true, ..WebhookDue::next(&webhook.id, event_id.clone()) };
    door.bus.publish(due).await.map_err(away)?;
    Ok(Json(Requested { event_id }))
}

/// Deliver an event once more
///
/// Once, beside the order of events, with the `webhook-id` it had.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/redeliver", operation_id = "redeliverEvent", tag = "webhooks",
    params(("id" = String, Path)),
    request_body = RedeliverRequest,
    responses((status = 200, description = "It is on its way", body = Requested), Errors)
)]
pub(crate) async fn redeliver(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    State(door): State<Door>,
    body: Octets,
) -> Result<Json<Requested>, Problem> {
    let request: RedeliverRequest = body.json()?;
    let webhook = door.own(&account.id, &id).await?;
    let (event_id, sequence) = door.event(&webhook, request).await?;
    let occasion = format!("again-{}", Uuid::now_v7().simple());
    let due = WebhookDue { again: sequence, ..WebhookDue::next(&webhook.id, occasion) };
    door.bus.publish(due).await.map_err(away)?;
    Ok(Json(Requested { event_id }))
}

/// What was tried, newest first
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/attempts", operation_id = "listWebhookAttempts", tag = "webhooks",
    params(
        ("id" = String, Path),
        ("eventId" = Option<String>, Query, description = "Only those of this event"),
        ("limit" = Option<u32>, Query, description = "At most 100; 20 without"),
        ("cursor" = Option<String>, Query, description = "From the page before"),
    ),
    responses((status = 200, description = "A page", body = Attempts), Errors)
)]
pub(crate) async fn attempts(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    params: Params,
    State(door): State<Door>,
) -> Result<Json<Attempts>, Problem> {
    door.own(&account.id, &id).await?;
    let (event_id, cursor) = (params.text("eventId"), params.text("cursor"));
    let page = door.reader.webhook_attempts(
        &account.id,
        &id,
        event_id.as_deref(),
        params.limit()?,
        cursor.as_deref(),
    );
    let page = page.await?;
    let data = page.items.into_iter().map(Attempt::from).collect();
    Ok(Json(Attempts { data, cursor: page.cursor }))
}

impl Door {
    /// The event that is meant, if it is the account's and still there.
    async fn event(
        &self,
        webhook: &store::Webhook,
        request: RedeliverRequest,
    ) -> Result<(String, u64), Problem> {
        let sequence = match (&request.event_id, &request.cursor) {
            (Some(event_id), None) => {
                let tried = self.reader.webhook_attempts(
                    &webhook.account_id,
                    &webhook.id,
                    Some(event_id),
                    1,
                    None,
                );
                let tried = tried.await?.items.into_iter().next().filter(|it| it.sequence > 0);
                let missing = || {
                    Problem::not_found(format!(
                        "eventId: {event_id:?} is not among the attempts of this webhook; an older event \
                         can be named by its cursor"
                    ))
                };
                tried.ok_or_else(missing)?.sequence
            }
            (None, Some(cursor)) => {
                let place = Place::decode(cursor)
                    .ok_or_else(|| Problem::invalid_request("cursor: this is none"))?;
                let is_current = self.now().await?.stream == place.stream;
                if is_current { place.sequence } else { 0 }
            }
            _ => return Err(Problem::invalid_request("give eventId or cursor")),
        };
        let found = self.log().get(sequence).await.map_err(unreachable)?;
        let is_own = |subject: &str| {
            EventSubject::parse(subject).is_some_and(|it| it.account_id == webhook.account_id)
        };
        let found = found.filter(|it| is_own(&it.subject));
        let found = found.and_then(Happening::of);
        let found = found.ok_or_else(|| Problem::not_found("the event is not kept any more"))?;
        let event_id = found.event(0)["eventId"].as_str().unwrap_or_default().to_owned();
        Ok((event_id, sequence))
    }
}
