//! An inbox's work: how it stands, when mail is set aside, and what of that is tried again.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use contract::Email;
use serde::{Deserialize, Serialize};
use store::{MAX_ATTEMPTS, Reader, Requeued, WorkQueue, Writer};
use utoipa::ToSchema;

use crate::{
    caller::Caller,
    documentation::Errors,
    emails,
    gateway::Gateway,
    inboxes,
    leases::check_range,
    octets::Octets,
    params::{Params, Segments},
    problem::Problem,
    waiters::{Waiters, work_of},
};

const MOST_ATTEMPTS: i64 = 1_000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/queue", get(look).put(set))
        .route("/v1/inboxes/{inboxId}/set-aside", get(set_aside))
        .route("/v1/emails/{emailId}/requeue", post(requeue))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct QueueSettings {
    /// A mail that was handed out so often, and not acked, is set aside.
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: i64,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings { max_attempts: MAX_ATTEMPTS }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queue {
    inbox_id: String,
    max_attempts: i64,
    counts: Counts,
}

/// Received mails, by what becomes of them among the workers
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Counts {
    /// To be handed out, now or after others of their thread.
    ready: i64,
    /// In a worker's hands.
    leased: i64,
    /// Given back, and not to be handed out before some moment.
    delayed: i64,
    /// Handed out too often.
    set_aside: i64,
    /// Done with.
    acked: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SetAside {
    /// Each with `attempts`, `setAsideAt` and `setAsideReason`; `body` is null: it is not loaded.
    data: Vec<Email>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Requeue {
    /// Of the email.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    #[schema(example = "queued")]
    state: &'static str,
}

/// How an inbox's work stands
///
/// All mail that the inbox has received counts, also what came before the first claim.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/queue", operation_id = "getQueue", tag = "work",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "Settings and counts", body = Queue), Errors)
)]
pub(crate) async fn look(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Queue>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    Ok(Json(shown(inbox.id, reader.work_queue(&inbox_id).await?)))
}

/// Say when mail is set aside
///
/// Holds for what is handed out from then on. What is left out is as by default.
#[utoipa::path(
    put, path = "/v1/inboxes/{inboxId}/queue", operation_id = "setQueue", tag = "work",
    params(("inboxId" = String, Path)),
    request_body = QueueSettings,
    responses((status = 200, description = "Settings and counts", body = Queue), Errors)
)]
pub(crate) async fn set(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Queue>, Problem> {
    let QueueSettings { max_attempts } = body.json()?;
    check_range("maxAttempts", max_attempts, 1..=MOST_ATTEMPTS)?;
    if !writer.set_max_attempts(&account.id, &inbox_id, max_attempts).await? {
        return Err(inboxes::unknown(&inbox_id));
    }
    let queue = reader.work_queue(&inbox_id).await?;
    Ok(Json(shown(inbox_id, queue)))
}

fn shown(inbox_id: String, queue: WorkQueue) -> Queue {
    let WorkQueue { max_attempts, ready, leased, delayed, set_aside, acked } = queue;
    Queue { inbox_id, max_attempts, counts: Counts { ready, leased, delayed, set_aside, acked } }
}

/// The mails that were set aside, newest first
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/set-aside", operation_id = "listSetAside", tag = "work",
    params(
        ("inboxId" = String, Path),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = SetAside), Errors)
)]
pub(crate) async fn set_aside(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<SetAside>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let (limit, cursor) = (params.limit()?, params.text("cursor"));
    let page = reader.set_aside(&account.id, &inbox.id, limit, cursor.as_deref()).await?;
    Ok(Json(SetAside { data: page.items, cursor: page.cursor }))
}

/// Have a mail that was set aside tried again
///
/// As if it had never been handed out, in its place among the mails of its thread. One that is to be handed
/// out anyway stays as it is; one that was acked is 409 "already_acked".
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/requeue", operation_id = "requeueEmail", tag = "work",
    params(("emailId" = String, Path)),
    responses((status = 200, description = "It is among the work", body = Requeue), Errors)
)]
pub(crate) async fn requeue(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    State(waiters): State<Waiters>,
) -> Result<Json<Requeue>, Problem> {
    let email = emails::find(&reader, &account.id, &email_id).await?;
    match writer.requeue(&account.id, &email.id).await? {
        Requeued::Done => {
            waiters.wake(&work_of(&email.inbox_id));
            Ok(Json(Requeue { id: email.id, state: "queued" }))
        }
        Requeued::Acked => {
            let message = format!("email {email_id} was acked: it is done with");
            Err(Problem::conflict("already_acked", message))
        }
        Requeued::Unknown => {
            let message = format!("email {email_id} was sent, and nobody works on it");
            Err(Problem::conflict("not_received", message))
        }
    }
}
