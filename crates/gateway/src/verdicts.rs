//! What a received email was judged, now and before.

use axum::{Json, Router, extract::State, routing::get};
use contract::EmailSecurity;
use serde::Serialize;
use store::{Reader, VerdictAt};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, emails, gateway::Gateway, params::Segments,
    problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/emails/{emailId}/verdicts", get(list))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Verdicts {
    /// Newest first, the present one at the head. Empty for an email that was sent.
    data: Vec<EmailVerdict>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EmailVerdict {
    /// When the mail was stored, or judged anew.
    #[schema(format = DateTime)]
    judged_at: String,
    /// When the next verdict replaced it; null of the present one.
    #[schema(required, format = DateTime)]
    replaced_at: Option<String>,
    /// As it was in the email.
    security: EmailSecurity,
}

impl From<VerdictAt> for EmailVerdict {
    fn from(it: VerdictAt) -> EmailVerdict {
        EmailVerdict {
            judged_at: store::rfc3339(it.judged_at),
            replaced_at: it.replaced_at.map(store::rfc3339),
            security: it.security,
        }
    }
}

/// What an email was judged
///
/// The present verdict, and those that stood before the mail was judged anew by newer detectors.
#[utoipa::path(
    get, path = "/v1/emails/{emailId}/verdicts", operation_id = "listVerdicts",
    tag = "emails", params(("emailId" = String, Path)),
    responses((status = 200, description = "The verdicts", body = Verdicts), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Verdicts>, Problem> {
    let inbox = reader.inbox_of_email(&account.id, &email_id).await?;
    let inbox = inbox.ok_or_else(|| emails::unknown_to_account(&email_id))?;
    let verdicts = reader.verdicts(&account.id, &inbox.id, &email_id).await?;
    Ok(Json(Verdicts { data: verdicts.into_iter().map(EmailVerdict::from).collect() }))
}
