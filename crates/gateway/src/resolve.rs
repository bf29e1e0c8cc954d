//! An agent decides what is to be made of a mail of which nobody knows whether it was taken.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::post,
};
use bus::Bus;
use contract::{Email, OutcomeResolved, Resolution};
use serde::{Deserialize, Serialize};
use store::{Inbox, Reader};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, emails, gateway::Gateway, octets::Octets,
    params::Segments, problem::Problem, time::now_micros, waiters::Waiters,
};

/// So long an answer waits for what becomes of the decision, which is safe by then.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/emails/{emailId}/resolve", post(resolve))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    r#as: As,
}

#[derive(Clone, Copy, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
enum As {
    /// It counts as delivered, and is not sent again.
    Sent,
    /// It is sent again, with the same Message-ID.
    Retry,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Resolved {
    /// Of the email.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// What the email is now. Still "unknown" if the decision takes effect later, or if it was to retry and
    /// all its recipients are tried again anyway.
    #[schema(example = "deferred")]
    status: String,
}

/// What deciding touches.
#[derive(Clone)]
pub(crate) struct Resolver {
    reader: Reader,
    bus: Bus,
    waiters: Waiters,
}

impl FromRef<Gateway> for Resolver {
    fn from_ref(gateway: &Gateway) -> Resolver {
        Resolver {
            reader: Reader::from_ref(gateway),
            bus: Bus::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
        }
    }
}

/// Decide on an email whose outcome is unknown
///
/// The remote server was given all of it, and its answer was lost. `sent` counts the recipients concerned
/// as delivered, `retry` sends to those that are held (`onUnknown: "hold"`) once more.
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/resolve", operation_id = "resolveEmail", tag = "emails",
    params(("emailId" = String, Path)),
    request_body = Decision,
    responses((status = 200, description = "Decided", body = Resolved), Errors)
)]
pub(crate) async fn resolve(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    State(resolver): State<Resolver>,
    body: Octets,
) -> Result<Json<Resolved>, Problem> {
    let Decision { r#as } = body.json()?;
    let unknown = || emails::unknown_to_account(&email_id);
    let inbox = resolver.reader.inbox_of_email(&account.id, &email_id).await?;
    let inbox = inbox.ok_or_else(unknown)?;
    let email = resolver.email(&inbox, &email_id).await?.ok_or_else(unknown)?;
    if !is_unknown(&email) {
        let status = email.status.unwrap_or_default();
        let message = format!("there is nothing to decide: this email's status is {status:?}");
        return Err(Problem::conflict("not_unknown", message));
    }
    resolver.decide(&inbox, &email, r#as).await.map(Json)
}

fn is_unknown(email: &Email) -> bool {
    email.recipients.iter().any(|it| it.action == "unknown")
}

impl Resolver {
    async fn email(&self, inbox: &Inbox, email_id: &str) -> Result<Option<Email>, Problem> {
        Ok(self.reader.email(&inbox.account_id, &inbox.id, email_id).await?)
    }

    async fn decide(&self, inbox: &Inbox, email: &Email, r#as: As) -> Result<Resolved, Problem> {
        let mut waiter = self.waiters.register(&email.id);
        let resolution = match r#as {
            As::Sent => Resolution::Sent,
            As::Retry => Resolution::Retry,
        };
        let decision = OutcomeResolved {
            mail_id: email.id.clone(),
            account_id: inbox.account_id.clone(),
            inbox_id: inbox.id.clone(),
            resolution: resolution.into(),
            resolved_at_micros: now_micros(),
        };
        self.bus.publish(decision).await?;
        let end = Instant::now() + WAIT;
        loop {
            let is_over = timeout_at(end, waiter.woken()).await.is_err();
            // The decision is safe, whatever the database says.
            let now = self.email(inbox, &email.id).await.ok().flatten();
            let now = now.unwrap_or_else(|| email.clone());
            if is_over || !is_unknown(&now) {
                return Ok(Resolved { id: now.id, status: now.status.unwrap_or_default() });
            }
        }
    }
}
