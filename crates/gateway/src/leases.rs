//! Leases: what a worker says of the mail it has in hand.

use std::{fmt::Display, ops::RangeInclusive};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::{get, post},
};
use contract::Grant;
use serde::{Deserialize, Serialize};
use store::{Reader, Settled, Settlement, Writer, rfc3339};
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::Gateway,
    metrics::Metrics,
    octets::Octets,
    params::Segments,
    problem::Problem,
    reading::ReadEmail,
    waiters::{Waiters, work_of},
};

pub(crate) const LEASE_SECONDS: RangeInclusive<u32> = 5..=3600;

const DELAY_SECONDS: RangeInclusive<u32> = 0..=86_400;

/// Octets of a reason.
const MAX_REASON: usize = 1_000;

const MICROS: i64 = 1_000_000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/leases/{leaseId}", get(read))
        .route("/v1/leases/{leaseId}/ack", post(ack))
        .route("/v1/leases/{leaseId}/nak", post(nak))
        .route("/v1/leases/{leaseId}/extend", post(extend))
}

/// That a worker has a mail in hand, or had
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lease {
    /// Proves that the mail is in this worker's hands: keep it to yourself.
    #[schema(example = "lease_4f6b1c0e9a7d4e2b8c3f5a6d7e8f9a0b")]
    lease_id: String,
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    email_id: String,
    #[schema(required)]
    thread_id: Option<String>,
    inbox_id: String,
    worker: String,
    /// 1 for the first time that the mail is handed out.
    attempt: i64,
    /// "active", or how it ended: "acked", "nacked", "expired", or "revoked" with its inbox.
    #[schema(example = "active")]
    state: &'static str,
    #[schema(format = DateTime)]
    claimed_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// What the worker said when it gave the mail back.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// The mail, in the answer to a claim. Beyond 8 MiB of text in one answer, mails are `truncated` and
    /// come without theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<ReadEmail>,
}

impl Lease {
    pub(crate) fn with(self, email: ReadEmail) -> Lease {
        Lease { email: Some(email), ..self }
    }
}

impl From<store::Lease> for Lease {
    fn from(lease: store::Lease) -> Lease {
        Lease {
            state: lease.state.as_str(),
            lease_id: lease.id,
            email_id: lease.email_id,
            thread_id: lease.thread_id,
            inbox_id: lease.inbox_id,
            worker: lease.worker,
            attempt: lease.attempt,
            claimed_at: rfc3339(lease.claimed_at),
            expires_at: rfc3339(lease.expires_at),
            ended_at: lease.ended_at.map(rfc3339),
            reason: lease.reason,
            email: None,
        }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Nak {
    /// The mail is not handed out again before; its thread waits.
    #[schema(maximum = 86400)]
    delay_seconds: u32,
    /// For people: why. Where the mail is set aside, this says so.
    #[schema(max_length = 1000)]
    reason: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Extension {
    /// From now on.
    #[schema(minimum = 5, maximum = 3600)]
    lease_seconds: u32,
}

impl Default for Extension {
    fn default() -> Extension {
        Extension { lease_seconds: 60 }
    }
}

/// What settling touches.
#[derive(Clone)]
pub(crate) struct Settler {
    reader: Reader,
    writer: Writer,
    waiters: Waiters,
    metrics: Metrics,
}

impl FromRef<Gateway> for Settler {
    fn from_ref(gateway: &Gateway) -> Settler {
        Settler {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
            metrics: Metrics::from_ref(gateway),
        }
    }
}

/// A lease
///
/// What has ended can be looked at for 7 days.
#[utoipa::path(
    get, path = "/v1/leases/{leaseId}", operation_id = "getLease", tag = "work",
    params(("leaseId" = String, Path)),
    responses((status = 200, description = "The lease", body = Lease), Errors)
)]
pub(crate) async fn read(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(lease_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Lease>, Problem> {
    find(&reader, &account.id, &grant, &lease_id).await.map(|it| Json(it.into()))
}

/// A lease on mail that the token sees.
async fn find(
    reader: &Reader,
    account_id: &str,
    grant: &Grant,
    lease_id: &str,
) -> Result<store::Lease, Problem> {
    let lease = reader.lease(account_id, lease_id).await?;
    let seen = lease.filter(|it| grant.sees(&it.inbox_id, it.thread_id.as_deref()));
    seen.ok_or_else(|| unknown(lease_id))
}

/// The mail is done with
///
/// Nobody gets it again, and the next of its thread may be handed out. Acking again changes nothing; a lease
/// that ended otherwise is 409 "lease_lost".
#[utoipa::path(
    post, path = "/v1/leases/{leaseId}/ack", operation_id = "ackLease", tag = "work",
    params(("leaseId" = String, Path)),
    responses((status = 200, description = "It is", body = Lease), Errors)
)]
pub(crate) async fn ack(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(lease_id): Segments<String>,
    State(settler): State<Settler>,
) -> Result<Json<Lease>, Problem> {
    settler.settle((&account.id, &grant), &lease_id, Settlement::Ack, "acked").await
}

/// Give the mail back
///
/// It is handed out again, after `delaySeconds`, to whoever claims; or set aside, if this was its last try.
/// Doing so again changes nothing; a lease that ended otherwise is 409 "lease_lost".
#[utoipa::path(
    post, path = "/v1/leases/{leaseId}/nak", operation_id = "nakLease", tag = "work",
    params(("leaseId" = String, Path)),
    request_body(content = Option<Nak>, description = "May be empty"),
    responses((status = 200, description = "It is back", body = Lease), Errors)
)]
pub(crate) async fn nak(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(lease_id): Segments<String>,
    State(settler): State<Settler>,
    body: Octets,
) -> Result<Json<Lease>, Problem> {
    let Nak { delay_seconds, reason } = body.json()?;
    check_range("delaySeconds", delay_seconds, DELAY_SECONDS)?;
    if reason.len() > MAX_REASON {
        let message = format!("reason: longer than {MAX_REASON} octets");
        return Err(Problem::invalid_request(message));
    }
    let delay = i64::from(delay_seconds) * MICROS;
    settler
        .settle(
            (&account.id, &grant),
            &lease_id,
            Settlement::Nack { delay, reason: &reason },
            "nacked",
        )
        .await
}

/// Keep the mail for longer
///
/// The lease ends `leaseSeconds` from now, unless it is extended again. One that has ended is 409
/// "lease_lost".
#[utoipa::path(
    post, path = "/v1/leases/{leaseId}/extend", operation_id = "extendLease", tag = "work",
    params(("leaseId" = String, Path)),
    request_body(content = Option<Extension>, description = "May be empty"),
    responses((status = 200, description = "It lasts until `expiresAt`", body = Lease), Errors)
)]
pub(crate) async fn extend(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(lease_id): Segments<String>,
    State(settler): State<Settler>,
    body: Octets,
) -> Result<Json<Lease>, Problem> {
    let Extension { lease_seconds } = body.json()?;
    check_range("leaseSeconds", lease_seconds, LEASE_SECONDS)?;
    let lease = i64::from(lease_seconds) * MICROS;
    settler.settle((&account.id, &grant), &lease_id, Settlement::Extend { lease }, "extended").await
}

impl Settler {
    async fn settle(
        &self,
        (account_id, grant): (&str, &Grant),
        lease_id: &str,
        settlement: Settlement<'_>,
        event: &'static str,
    ) -> Result<Json<Lease>, Problem> {
        if grant.is_narrowed() {
            find(&self.reader, account_id, grant, lease_id).await?;
        }
        match self.writer.settle_lease(account_id, lease_id, settlement).await? {
            Settled::Done { lease, is_repeat, set_aside } => {
                if !is_repeat {
                    self.metrics.leases(event, 1);
                    self.metrics.leases("set_aside", u64::from(set_aside));
                    // This mail, or the next of its thread, is there for who waits.
                    self.waiters.wake(&work_of(&lease.inbox_id));
                }
                Ok(Json(lease.into()))
            }
            Settled::Lost(lease) => {
                self.metrics.leases("lost", 1);
                let rejection = lease.lost();
                Err(rejection.map_or_else(|| unknown(lease_id), Problem::from))
            }
            Settled::Unknown => Err(unknown(lease_id)),
        }
    }
}

fn unknown(lease_id: &str) -> Problem {
    Problem::not_found(format!("you have no lease {lease_id:?}"))
}

/// Refuses what is out of range by its name.
pub(crate) fn check_range<T: Copy + Display + PartialOrd>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Problem> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(Problem::invalid_request(format!("{field}: {value} is not from {least} to {most}")))
}
