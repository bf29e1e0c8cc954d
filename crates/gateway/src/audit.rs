//! What was decided on received mail and on tokens, by whom, when and why.

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use serde_json::Value;
use store::{AuditFilter, Reader};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, gateway::Gateway, params::Params, problem::Problem,
};

const ACTIONS: [(&str, &str); 7] = [
    ("email.released", "email.released"),
    ("email.refused", "email.refused"),
    ("policy.changed", "policy.changed"),
    ("sender.listed", "sender.listed"),
    ("sender.unlisted", "sender.unlisted"),
    ("token.created", "token.created"),
    ("token.revoked", "token.revoked"),
];

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/audit", get(list))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntry {
    #[schema(example = "aud_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// "email.released", "email.refused", "policy.changed", "sender.listed", "sender.unlisted",
    /// "token.created" or "token.revoked".
    action: String,
    /// Null for what is about the whole account. It stays when the inbox is gone.
    #[schema(required)]
    inbox_id: Option<String>,
    #[schema(required)]
    email_id: Option<String>,
    /// Names the token that was used: the beginning of its SHA-256; "operator" for who runs the service.
    #[schema(example = "9f86d081884c")]
    by: String,
    reason: String,
    /// What was set, which sender on which list, or which token and what it may do.
    details: Value,
    at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Audit {
    data: Vec<AuditEntry>,
    has_more: bool,
    /// Gives the next page; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

/// What was decided, newest first
///
/// On mail in quarantine, on policies, on lists of senders, on tokens. Nothing here is ever changed or removed.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "listAudit", tag = "policy",
    params(
        ("inboxId" = Option<String>, Query),
        ("emailId" = Option<String>, Query),
        ("action" = Option<String>, Query, description = "One of the actions"),
        ("since" = Option<String>, Query, format = DateTime),
        ("until" = Option<String>, Query, format = DateTime),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Audit), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Audit>, Problem> {
    let filter = AuditFilter {
        inbox_id: params.text("inboxId"),
        email_id: params.text("emailId"),
        action: params.choice("action", &ACTIONS)?.map(str::to_owned),
        since: params.moment("since")?,
        until: params.moment("until")?,
        limit: params.limit()?,
        cursor: params.text("cursor"),
    };
    let page = reader.audit(&account.id, &filter).await?;
    let entry = |it: store::AuditEntry| AuditEntry {
        id: it.id,
        action: it.action,
        inbox_id: it.inbox_id,
        email_id: it.email_id,
        by: it.actor.id,
        reason: it.actor.reason,
        details: serde_json::from_str(&it.details).unwrap_or_default(),
        at: store::rfc3339(it.at),
    };
    Ok(Json(Audit {
        data: page.items.into_iter().map(entry).collect(),
        has_more: page.cursor.is_some(),
        cursor: page.cursor,
    }))
}
