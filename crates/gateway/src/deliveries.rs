//! The delivery log of a sent email: every attempt, what the other side said, and what it reported
//! later.

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use store::{Delivery, Inbox, Reader};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, emails, gateway::Gateway, inboxes, params::Segments,
    problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/emails/{emailId}/deliveries", get(of_email))
        .route("/v1/inboxes/{inboxId}/emails/{emailId}/deliveries", get(of_inbox))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Deliveries {
    /// Oldest first, one for each recipient of an attempt or a report. Empty before the first attempt, and for an
    /// email that was received.
    data: Vec<DeliveryAttempt>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeliveryAttempt {
    /// Of a report: when it came.
    #[schema(format = DateTime)]
    attempted_at: String,
    recipient: String,
    /// "session": an attempt of ours. Reports that came later: "dsn" is a delivery status notification,
    /// "arf" a complaint, "mdn" a receipt; "claim" is a failure that does not prove to be about this
    /// email.
    #[schema(example = "session")]
    source: String,
    /// The destination, a domain in ASCII form; empty for a report.
    domain: String,
    /// 1 for the first; 0 for a report.
    attempt: i64,
    /// Of a session, "delivered": the remote server took responsibility, "delayed": it is tried again,
    /// "failed": it is not, "unknown": all was sent and the reply was lost. Of a "dsn", "delivered" is
    /// final and "delayed" means the remote server's own attempts. An "arf" has "complained", an "mdn"
    /// what the reader did, such as "displayed".
    #[schema(example = "delivered")]
    action: String,
    /// Enhanced status code (RFC 3463).
    #[schema(example = "2.0.0")]
    status: String,
    /// The remote server's reply, or what went wrong before there was one.
    #[schema(example = "250 2.0.0 Ok")]
    diagnostic: String,
    /// Null when no host answered.
    #[schema(required)]
    remote_host: Option<String>,
    /// The version; null without TLS.
    #[schema(required, example = "TLSv1.3")]
    tls: Option<String>,
    /// Null unless the recipient is tried again.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
}

impl From<Delivery> for DeliveryAttempt {
    fn from(it: Delivery) -> DeliveryAttempt {
        let some = |text: String| Some(text).filter(|it| !it.is_empty());
        DeliveryAttempt {
            attempted_at: store::rfc3339(it.attempted_at),
            recipient: it.recipient,
            source: it.source,
            domain: it.domain,
            attempt: it.attempt,
            action: it.action,
            status: it.status,
            diagnostic: it.diagnostic,
            remote_host: some(it.remote_host),
            tls: some(it.tls),
            next_attempt_at: it.next_attempt_at.map(store::rfc3339),
        }
    }
}

/// What delivering an email came to
///
/// Every attempt for every recipient: host, TLS, reply, and when the next one is.
#[utoipa::path(
    get, path = "/v1/emails/{emailId}/deliveries", operation_id = "listDeliveries",
    tag = "emails", params(("emailId" = String, Path)),
    responses((status = 200, description = "The attempts", body = Deliveries), Errors)
)]
pub(crate) async fn of_email(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Deliveries>, Problem> {
    let inbox = reader.inbox_of_email(&account.id, &email_id).await?;
    let inbox = inbox.ok_or_else(|| emails::unknown_to_account(&email_id))?;
    log(&reader, &inbox, &email_id).await
}

/// What delivering an email of an inbox came to
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/{emailId}/deliveries",
    operation_id = "listInboxDeliveries", tag = "emails",
    params(("inboxId" = String, Path), ("emailId" = String, Path)),
    responses((status = 200, description = "The attempts", body = Deliveries), Errors)
)]
pub(crate) async fn of_inbox(
    Caller(account): Caller,
    Segments((inbox_id, email_id)): Segments<(String, String)>,
    State(reader): State<Reader>,
) -> Result<Json<Deliveries>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let found = reader.inbox_of_email(&account.id, &email_id).await?;
    if found.is_none_or(|it| it.id != inbox.id) {
        return Err(emails::unknown(&email_id));
    }
    log(&reader, &inbox, &email_id).await
}

async fn log(reader: &Reader, inbox: &Inbox, email_id: &str) -> Result<Json<Deliveries>, Problem> {
    let deliveries = reader.deliveries(&inbox.account_id, &inbox.id, email_id).await?;
    Ok(Json(Deliveries { data: deliveries.into_iter().map(DeliveryAttempt::from).collect() }))
}
