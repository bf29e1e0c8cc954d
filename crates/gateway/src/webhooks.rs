//! Webhooks: where events are pushed to. posthouse-webhooks does the pushing.

pub(crate) mod attempts;
mod door;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use contract::{EVENT_TYPES, WebhookDue};
use serde::{Deserialize, Serialize};
use store::{MOST_WEBHOOKS, NewWebhook, Switch, WebhookChange};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use self::door::Targets;
use self::{
    attempts::{attempts, ping, redeliver},
    door::{Door, away, unknown},
};
use crate::{
    caller::Caller,
    documentation::{Empty, Errors},
    gateway::Gateway,
    octets::Octets,
    params::Segments,
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
