//! Webhooks: where events are pushed to. posthouse-webhooks does the pushing.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::{get, post},
};
use bus::{Bus, EventLog};
use contract::{EVENT_TYPES, EventSubject, WebhookDue};
use outside::{Lookup, LookupError, Target};
use serde::{Deserialize, Serialize};
use store::{
    MOST_WEBHOOKS, NewWebhook, Reader, Switch, WebhookAttempt, WebhookChange, WebhookSecrets,
    Writer,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::Caller,
    documentation::{Empty, Errors},
    event_cursor::Place,
    gateway::Gateway,
    octets::Octets,
    params::{Params, Segments},
    problem::Problem,
    time::now_micros,
};

/// The event that the contract's clients get if they name none.
const DEFAULT_EVENT: &str = "email.received";

/// In a list of events: every one.
const EVERY: &str = "*";

/// How long the secret that was replaced goes on to count, in hours.
const OVERLAP_HOURS: u32 = 24;
const MOST_OVERLAP_HOURS: u32 = 24 * 7;

const HOUR: i64 = 3_600 * 1_000_000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/webhooks", get(list).post(create))
        .route("/v1/webhooks/{id}", get(read).patch(change).delete(delete))
        .route("/v1/webhooks/{id}/rotate", post(rotate))
        .route("/v1/webhooks/{id}/ping", post(ping))
        .route("/v1/webhooks/{id}/redeliver", post(redeliver))
        .route("/v1/webhooks/{id}/attempts", get(attempts))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookRequest {
    /// https:// and a public address.
    #[schema(example = "https://agents.example.com/mail")]
    url: String,
    /// Only events of this inbox; of all without.
    inbox_id: Option<String>,
    /// Names of events, or "*" for all; "email.received" without.
    events: Option<Vec<String>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookUpdate {
    url: Option<String>,
    events: Option<Vec<String>>,
    /// False stops it; true starts it again with nothing held against it.
    enabled: Option<bool>,
    /// Where an enabled one goes on: "cursor", with what it has not had yet, or "now".
    #[schema(example = "cursor")]
    from: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// How long the old secret signs as well; 24 without, at most 168, 0 for not at all.
    overlap_hours: Option<u32>,
}

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
pub(crate) struct Webhook {
    #[schema(example = "whk_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    url: String,
    #[schema(required)]
    inbox_id: Option<String>,
    /// Names of events, or "*".
    events: Vec<String>,
    enabled: bool,
    /// "account": you did it. "failing": nothing was taken for a day. "gone": it answered 410.
    #[schema(required)]
    disabled_reason: Option<String>,
    #[schema(required)]
    disabled_at: Option<String>,
    /// Failed attempts in a row.
    failures: i64,
    #[schema(required)]
    last_success_at: Option<String>,
    /// Until when the secret before signs as well.
    #[schema(required)]
    previous_secret_until: Option<String>,
    created_at: String,
    /// Shown here and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_q83vEjRWeJ…")]
    secret: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Webhooks {
    data: Vec<Webhook>,
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

impl From<store::Webhook> for Webhook {
    fn from(it: store::Webhook) -> Webhook {
        let every = || vec![EVERY.to_owned()];
        Webhook {
            id: it.id,
            url: it.url,
            inbox_id: it.inbox_id,
            events: if it.events.is_empty() { every() } else { it.events },
            enabled: it.enabled,
            disabled_reason: Some(it.disabled_reason).filter(|it| !it.is_empty()),
            disabled_at: it.disabled_at.map(store::rfc3339),
            failures: it.progress.failures,
            last_success_at: it.progress.last_success_at.map(store::rfc3339),
            previous_secret_until: Some(it.previous_until)
                .filter(|it| *it > now_micros())
                .map(store::rfc3339),
            created_at: store::rfc3339(it.created_at),
            secret: None,
        }
    }
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

/// What the handlers touch.
#[derive(Clone)]
pub(crate) struct Door {
    reader: Reader,
    writer: Writer,
    bus: Bus,
    pub(crate) secrets: WebhookSecrets,
    targets: Targets,
}

impl FromRef<Gateway> for Door {
    fn from_ref(gateway: &Gateway) -> Door {
        Door {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            bus: Bus::from_ref(gateway),
            secrets: WebhookSecrets::from_ref(gateway),
            targets: Targets::from_ref(gateway),
        }
    }
}

/// What a webhook may lead to.
#[derive(Clone)]
pub(crate) struct Targets {
    lookup: Lookup,
    allow_private: bool,
}

impl Targets {
    pub(crate) fn new(servers: &[SocketAddr], allow_private: bool) -> anyhow::Result<Targets> {
        Ok(Targets { lookup: Lookup::new(servers, allow_private)?, allow_private })
    }

    /// posthouse-webhooks looks again at each connection: names change.
    async fn check(&self, url: &str) -> Result<String, Problem> {
        let refused = |err: &dyn std::fmt::Display| {
            Problem::unprocessable("invalid_url", format!("url: {err}"))
        };
        let target = Target::parse(url, self.allow_private).map_err(|err| refused(&err))?;
        if let Some(name) = target.name() {
            match self.lookup.addresses(name).await {
                Ok(_) => (),
                Err(err @ LookupError::Unknown(..)) => {
                    return Err(refused(&err).caused_by(err));
                }
                Err(err) => return Err(refused(&err)),
            }
        }
        Ok(target.url().to_string())
    }
}

/// Empty for all.
fn events(asked: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    let mut events = asked.unwrap_or_default();
    if events.is_empty() {
        events.push(DEFAULT_EVENT.to_owned());
    }
    if events.iter().any(|it| it == EVERY) {
        return Ok(Vec::new());
    }
    if let Some(unknown) = events.iter().find(|it| !EVENT_TYPES.contains(&it.as_str())) {
        let known = EVENT_TYPES.join(", ");
        let message =
            format!("events: there is no {unknown:?}; there are {known}, and \"*\" for all");
        return Err(Problem::unprocessable("unknown_event", message));
    }
    events.sort();
    events.dedup();
    Ok(events)
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("you have no webhook {id:?}"))
}

/// Make a webhook
///
/// From then on, every event that it wants is posted to its URL, signed with its secret.
#[utoipa::path(
    post, path = "/v1/webhooks", operation_id = "createWebhook", tag = "webhooks",
    request_body = WebhookRequest,
    responses((status = 200, description = "The new webhook, with its secret", body = Webhook), Errors)
)]
pub(crate) async fn create(
    Caller(account): Caller,
    State(door): State<Door>,
    body: Octets,
) -> Result<Json<Webhook>, Problem> {
    let request: WebhookRequest = body.json()?;
    let events = events(request.events)?;
    if let Some(inbox_id) = &request.inbox_id {
        crate::inboxes::active(&door.reader, &account.id, inbox_id).await?;
    }
    let url = door.targets.check(&request.url).await?;
    let now = door.now().await?;
    let wanted = NewWebhook {
        id: format!("whk_{}", Uuid::now_v7().simple()),
        account_id: account.id,
        inbox_id: request.inbox_id,
        url,
        events,
        stream: now.stream,
        position: now.sequence,
    };
    let created = door.writer.create_webhook(&wanted).await?.ok_or_else(|| {
        Problem::unprocessable(
            "too_many_webhooks",
            format!("an account has at most {MOST_WEBHOOKS} webhooks: delete one"),
        )
    })?;
    let secret = door.secrets.secret(&created.id, created.secret_number);
    Ok(Json(Webhook { secret: Some(secret), ..created.into() }))
}

/// The account's webhooks, oldest first
#[utoipa::path(
    get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = "webhooks",
    responses((status = 200, description = "All of them", body = Webhooks), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    State(door): State<Door>,
) -> Result<Json<Webhooks>, Problem> {
    let webhooks = door.reader.webhooks(&account.id).await?;
    Ok(Json(Webhooks { data: webhooks.into_iter().map(Webhook::from).collect() }))
}

/// One webhook
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", operation_id = "getWebhook", tag = "webhooks",
    params(("id" = String, Path)),
    responses((status = 200, description = "The webhook", body = Webhook), Errors)
)]
pub(crate) async fn read(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    State(door): State<Door>,
) -> Result<Json<Webhook>, Problem> {
    door.own(&account.id, &id).await.map(|it| Json(it.into()))
}

/// Change a webhook, stop it, or start it again
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", operation_id = "updateWebhook", tag = "webhooks",
    params(("id" = String, Path)),
    request_body = WebhookUpdate,
    responses((status = 200, description = "As it is now", body = Webhook), Errors)
)]
pub(crate) async fn change(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    State(door): State<Door>,
    body: Octets,
) -> Result<Json<Webhook>, Problem> {
    let update: WebhookUpdate = body.json()?;
    let url = match &update.url {
        Some(url) => Some(door.targets.check(url).await?),
        None => None,
    };
    let switch = match (update.enabled, update.from.as_deref()) {
        (Some(true), None | Some("cursor")) => Some(Switch::Resume),
        (Some(true), Some("now")) => {
            let now = door.now().await?;
            Some(Switch::Skip { stream: now.stream, position: now.sequence })
        }
        (Some(false), None) => Some(Switch::Off),
        (None, None) => None,
        _ => {
            let message = "from is \"cursor\" or \"now\", and goes with \"enabled\": true";
            return Err(Problem::invalid_request(message));
        }
    };
    let events = update.events.map(|it| events(Some(it))).transpose()?;
    let changed = WebhookChange { url, events, switch };
    let changed = door.writer.change_webhook(&account.id, &id, &changed).await?;
    let changed = changed.ok_or_else(|| unknown(&id))?;
    if update.enabled == Some(true) {
        // If it does not get through, the next event wakes it, or this request made again.
        let occasion = format!("enabled-{}", Uuid::now_v7().simple());
        door.bus.publish(WebhookDue::next(&id, occasion)).await.map_err(away)?;
    }
    Ok(Json(changed.into()))
}

/// Delete a webhook
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", operation_id = "deleteWebhook", tag = "webhooks",
    params(("id" = String, Path)),
    responses((status = 200, description = "Deleted", body = Empty), Errors)
)]
pub(crate) async fn delete(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    State(door): State<Door>,
) -> Result<Json<Empty>, Problem> {
    match door.writer.delete_webhook(&account.id, &id).await? {
        true => Ok(Json(Empty {})),
        false => Err(unknown(&id)),
    }
}

/// Replace a webhook's secret
///
/// For a while requests carry two signatures, one by each, so that receivers can be told in their own time.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/rotate", operation_id = "rotateWebhookSecret", tag = "webhooks",
    params(("id" = String, Path)),
    request_body(content = Option<RotateRequest>, description = "May be empty"),
    responses((status = 200, description = "The webhook, with its new secret", body = Webhook), Errors)
)]
pub(crate) async fn rotate(
    Caller(account): Caller,
    Segments(id): Segments<String>,
    State(door): State<Door>,
    body: Octets,
) -> Result<Json<Webhook>, Problem> {
    let request: RotateRequest = body.json()?;
    let hours = request.overlap_hours.unwrap_or(OVERLAP_HOURS);
    if hours > MOST_OVERLAP_HOURS {
        let message = format!("overlapHours: at most {MOST_OVERLAP_HOURS}");
        return Err(Problem::invalid_request(message));
    }
    let until = now_micros() + i64::from(hours) * HOUR;
    let rotated = door.writer.rotate_webhook_secret(&account.id, &id, until).await?;
    let rotated = rotated.ok_or_else(|| unknown(&id))?;
    let secret = door.secrets.secret(&rotated.id, rotated.secret_number);
    Ok(Json(Webhook { secret: Some(secret), ..rotated.into() }))
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
    async fn own(&self, account_id: &str, id: &str) -> Result<store::Webhook, Problem> {
        self.reader.webhook(account_id, id).await?.ok_or_else(|| unknown(id))
    }

    fn log(&self) -> EventLog {
        self.bus.event_log()
    }

    /// The end of the stream of events.
    async fn now(&self) -> Result<Place, Problem> {
        let bounds = self.log().bounds().await.map_err(unreachable)?;
        Ok(Place { stream: bounds.stream, sequence: bounds.last })
    }

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
        let found = found.and_then(crate::happening::Happening::of);
        let found = found.ok_or_else(|| Problem::not_found("the event is not kept any more"))?;
        let event_id = found.event(0)["eventId"].as_str().unwrap_or_default().to_owned();
        Ok((event_id, sequence))
    }
}

fn unreachable(err: anyhow::Error) -> Problem {
    Problem::unavailable("NATS cannot be reached now; try again").caused_by(err)
}

fn away(err: bus::PublishError) -> Problem {
    unreachable(err.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_or_all() {
        let of = |names: &[&str]| events(Some(names.iter().map(|it| (*it).to_owned()).collect()));
        assert_eq!(events(None).expect("events"), ["email.received"]);
        assert_eq!(of(&[]).expect("events"), ["email.received"]);
        assert_eq!(of(&["email.sent", "*"]).expect("events"), [""; 0]);
        let twice = ["email.sent", "email.bounced", "email.sent"];
        assert_eq!(of(&twice).expect("events"), ["email.bounced", "email.sent"]);
        let problem = of(&["email.recieved"]).expect_err("refuse");
        assert!(problem.message.contains("email.recieved"), "{}", problem.message);
    }
}
