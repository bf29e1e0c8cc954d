//! Mail that its inbox's policy keeps from agents.

use axum::{Json, Router, extract::State, routing::get};
use contract::Email;
use serde::Serialize;
use store::{Inbox, QuarantineFilter, Reader};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterBuilder, ParameterIn},
};

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::Gateway,
    inboxes,
    params::Params,
    problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/quarantine", get(list))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quarantine {
    /// `body` is null: it is not loaded. What else is there, its sender wrote: mind who reads it.
    data: Vec<Email>,
    has_more: bool,
    /// Gives the next page; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

/// The parameter by which mail in quarantine is asked for.
pub(crate) struct Wanted;

impl IntoParams for Wanted {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let wanted = ParameterBuilder::new()
            .name("quarantined")
            .parameter_in(ParameterIn::Query)
            .description(Some("\"true\" for an email although it is in quarantine"))
            .schema(Some(utoipa::openapi::Object::with_type(utoipa::openapi::Type::Boolean)));
        vec![wanted.build()]
    }
}

/// What waits for a decision
///
/// The emails in quarantine, or those that were refused, newest first. They are in no other list, no
/// thread, no search and no count. A token for some inboxes sees theirs.
#[utoipa::path(
    get, path = "/v1/quarantine", operation_id = "listQuarantine", tag = "policy",
    params(
        ("inboxId" = Option<String>, Query),
        ("status" = Option<String>, Query,
            description = "\"quarantined\", which is the default, or \"refused\""),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Quarantine), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Quarantine>, Problem> {
    let statuses = [("quarantined", false), ("refused", true)];
    let filter = QuarantineFilter {
        inbox_id: params.text("inboxId"),
        refused: params.choice("status", &statuses)?.unwrap_or(false),
        limit: params.limit()?,
        cursor: params.text("cursor"),
        inbox_ids: grant.inbox_ids.clone(),
    };
    if let Some(inbox_id) = &filter.inbox_id {
        if !grant.sees_inbox(inbox_id) {
            return Err(inboxes::unknown(inbox_id));
        }
        inboxes::active(&reader, &account.id, inbox_id).await?;
    }
    let page = reader.quarantine(&account.id, &filter).await?;
    Ok(Json(Quarantine { data: page.items, has_more: page.cursor.is_some(), cursor: page.cursor }))
}

/// An email with its text; one that is kept from agents only for who says that he wants such a one.
pub(crate) async fn readable(
    reader: &Reader,
    inbox: &Inbox,
    email_id: &str,
    params: &Params,
) -> Result<Option<Email>, Problem> {
    let is_wanted = params.choice("quarantined", &[("true", true), ("false", false)])?;
    if let Some(email) = reader.email(&inbox.account_id, &inbox.id, email_id).await? {
        return Ok(Some(email));
    }
    let kept = reader.any_email(&inbox.account_id, &inbox.id, email_id).await?;
    match kept {
        Some(kept) if is_wanted != Some(true) => Err(hidden(&kept)),
        kept => Ok(kept),
    }
}

/// Not 403, which clients take for a matter of tiers, and not 404, which they take for a mistake.
fn hidden(email: &Email) -> Problem {
    let status = email.status.clone().unwrap_or_default();
    let message = if status == "refused" {
        format!("email {} was refused from quarantine; ?quarantined=true shows it", email.id)
    } else {
        format!(
            "email {} is in quarantine: ?quarantined=true shows it, POST /v1/emails/{}/release \
             delivers it",
            email.id, email.id
        )
    };
    Problem::conflict(status, message)
}
