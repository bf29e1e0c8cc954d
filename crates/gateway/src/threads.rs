//! Threads: the conversations of an inbox.

use axum::{Json, Router, extract::State, routing::get};
use contract::{Email, RISK_THRESHOLD};
use serde::Serialize;
use store::Reader;
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::Gateway,
    inboxes,
    params::{Params, Segments},
    problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/threads", get(list))
        .route("/v1/inboxes/{inboxId}/threads/{threadId}", get(read))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Thread {
    #[schema(example = "thd_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    inbox_id: String,
    subject: String,
    email_count: i64,
    last_email_at: String,
    created_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Threads {
    data: Vec<Thread>,
    has_more: bool,
    /// Gives the next page; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ThreadDetail {
    #[serde(flatten)]
    thread: Thread,
    /// Oldest first.
    emails: Vec<ThreadEmail>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ThreadEmail {
    id: String,
    from: String,
    subject: String,
    #[schema(required)]
    preview: Option<String>,
    created_at: String,
    is_injection_risk: bool,
}

impl From<store::Thread> for Thread {
    fn from(thread: store::Thread) -> Thread {
        Thread {
            id: thread.id,
            inbox_id: thread.inbox_id,
            subject: thread.subject,
            email_count: thread.email_count,
            last_email_at: store::rfc3339(thread.last_email_at),
            created_at: store::rfc3339(thread.created_at),
        }
    }
}

impl From<Email> for ThreadEmail {
    fn from(email: Email) -> ThreadEmail {
        let score = email.security.map_or(0.0, |it| it.injection_risk_score);
        ThreadEmail {
            id: email.id,
            from: email.from,
            subject: email.subject,
            preview: email.preview,
            created_at: email.created_at,
            is_injection_risk: score >= RISK_THRESHOLD,
        }
    }
}

/// The threads of an inbox, by their last email, newest first
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/threads", operation_id = "listThreads", tag = "threads",
    params(
        ("inboxId" = String, Path),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Threads), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(inbox_id): Segments<String>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Threads>, Problem> {
    let (limit, cursor) = (params.limit()?, params.text("cursor"));
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    if let Some(thread_ids) = &grant.thread_ids {
        // So few that they need no pages.
        let seen = reader.threads_named(&account.id, &inbox.id, thread_ids).await?;
        let data = seen.into_iter().map(Thread::from).collect();
        return Ok(Json(Threads { data, has_more: false, cursor: None }));
    }
    let page = reader.threads(&account.id, &inbox.id, limit, cursor.as_deref()).await?;
    Ok(Json(Threads {
        data: page.items.into_iter().map(Thread::from).collect(),
        has_more: page.cursor.is_some(),
        cursor: page.cursor,
    }))
}

/// A thread and its emails, oldest first
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/threads/{threadId}", operation_id = "getThread",
    tag = "threads",
    params(("inboxId" = String, Path), ("threadId" = String, Path)),
    responses((status = 200, description = "The thread", body = ThreadDetail), Errors)
)]
pub(crate) async fn read(
    Caller(account): Caller,
    Segments((inbox_id, thread_id)): Segments<(String, String)>,
    State(reader): State<Reader>,
) -> Result<Json<ThreadDetail>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let detail = reader.thread(&account.id, &inbox.id, &thread_id).await?;
    let detail = detail.ok_or_else(|| unknown(&thread_id))?;
    Ok(Json(ThreadDetail {
        thread: detail.thread.into(),
        emails: detail.emails.into_iter().map(ThreadEmail::from).collect(),
    }))
}

pub(crate) fn unknown(thread_id: &str) -> Problem {
    Problem::not_found(format!("this inbox has no thread {thread_id:?}"))
}
