//! How an inbox stands with those it writes to.

use axum::{Json, Router, extract::State, routing::get};
use contract::{Figures, Standing};
use serde::Serialize;
use store::{Breakers, Reader, Whose};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, gateway::Gateway, inboxes, params::Segments,
    problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/inboxes/{inboxId}/reputation", get(reputation))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reputation {
    inbox_id: String,
    /// What counts are of so many days, the current one (UTC) included.
    #[schema(example = 7)]
    window_days: u32,
    /// Of the inbox, with its figures.
    standing: Standing,
    /// Of all inboxes that the account has on this domain.
    domain: OnDomain,
    /// Of all inboxes of the account.
    account: Figures,
    thresholds: Thresholds,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OnDomain {
    #[schema(example = "posthouse.localhost")]
    domain: String,
    figures: Figures,
}

/// When an inbox is warned and stopped; set by the operator.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Thresholds {
    bounces: Threshold,
    complaints: Threshold,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Threshold {
    /// A higher rate is a warning.
    #[schema(example = 0.05)]
    warn: f64,
    /// A higher rate stops the inbox.
    #[schema(example = 0.1)]
    stop: f64,
    /// Of fewer recipients no rate is judged: of bounces, those delivered to or failed; of complaints,
    /// those delivered to.
    #[schema(example = 50)]
    min_recipients: u32,
    /// Fewer bounces, or complaints, are never too many.
    #[schema(example = 3)]
    min: u32,
}

impl From<&Breakers> for Thresholds {
    fn from(breakers: &Breakers) -> Thresholds {
        Thresholds {
            bounces: Threshold {
                warn: breakers.bounce_warn,
                stop: breakers.bounce_stop,
                min_recipients: breakers.bounce_min_recipients,
                min: breakers.bounce_min,
            },
            complaints: Threshold {
                warn: breakers.complaint_warn,
                stop: breakers.complaint_stop,
                min_recipients: breakers.complaint_min_delivered,
                min: breakers.complaint_min,
            },
        }
    }
}

/// How an inbox stands with those it writes to
///
/// What became of its recipients, and whether that warned or stopped it. A stopped inbox sends nothing
/// (`inbox_stopped`) until the operator resumes it; from then on it is counted anew.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/reputation", operation_id = "getReputation",
    tag = "inboxes",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "Figures and state", body = Reputation), Errors)
)]
pub(crate) async fn reputation(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Reputation>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let breakers = reader.breakers().await?;
    let figures = async |whose: Whose<'_>| {
        let tally = reader.tally(whose, &breakers).await?;
        Ok::<_, store::Error>(breakers.figures(&tally))
    };
    let standing = reader.standing(&inbox).await?;
    let of_inbox = figures(Whose::Inbox(&inbox.id)).await?;
    let on_domain = figures(Whose::AccountOnDomain(&account.id, &inbox.domain)).await?;
    let of_account = figures(Whose::Account(&account.id)).await?;
    Ok(Json(Reputation {
        window_days: breakers.window_days,
        standing: standing.shown(of_inbox),
        domain: OnDomain { domain: inbox.domain, figures: on_domain },
        account: of_account,
        thresholds: Thresholds::from(&breakers),
        inbox_id: inbox.id,
    }))
}
