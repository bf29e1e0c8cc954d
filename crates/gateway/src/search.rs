//! Full-text search over an account's emails.

use axum::{Json, Router, extract::State, routing::get};
use contract::Email;
use serde::Serialize;
use store::{Reader, SearchQuery};
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::Gateway,
    inboxes,
    params::Params,
    problem::Problem,
};

/// In octets; longer ones are no words to search for.
const QUERY_LIMIT: usize = 1000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/emails/search", get(search))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Found {
    /// `body` is null: it is not loaded.
    data: Vec<Email>,
    pagination: Pagination,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    has_more: bool,
    /// Gives the next page; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

/// Search emails
///
/// In subject, addresses and text, over all the account's inboxes or one. Newest first.
#[utoipa::path(
    get, path = "/v1/emails/search", operation_id = "searchEmails", tag = "emails",
    params(
        ("q" = Option<String>, Query, description = "Words that must all occur; everything without"),
        ("inboxId" = Option<String>, Query),
        ("direction" = Option<String>, Query, description = "\"inbound\" or \"outbound\""),
        ("from" = Option<String>, Query, description = "Part of the sender's address"),
        ("since" = Option<String>, Query, format = DateTime),
        ("until" = Option<String>, Query, format = DateTime),
        ("hasAttachments" = Option<bool>, Query),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Found), Errors)
)]
pub(crate) async fn search(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Found>, Problem> {
    let query = SearchQuery {
        words: params.text("q").unwrap_or_default(),
        inbox_id: params.text("inboxId"),
        inbox_ids: grant.inbox_ids,
        thread_ids: grant.thread_ids,
        direction: params.direction()?,
        from: params.text("from"),
        since: params.moment("since")?,
        until: params.moment("until")?,
        has_attachments: params.choice("hasAttachments", &[("true", true), ("false", false)])?,
        limit: params.limit()?,
        cursor: params.text("cursor"),
    };
    if query.words.len() > QUERY_LIMIT {
        return Err(Problem::invalid_request(format!("q: at most {QUERY_LIMIT} octets are taken")));
    }
    if let Some(inbox_id) = &query.inbox_id {
        inboxes::active(&reader, &account.id, inbox_id).await?;
    }
    let page = reader.search(&account.id, &query).await?;
    Ok(Json(Found {
        data: page.items,
        pagination: Pagination { has_more: page.cursor.is_some(), cursor: page.cursor },
    }))
}
