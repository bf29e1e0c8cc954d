//! Claiming: mail is handed out to one of an inbox's workers, as soon as there is some.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::post,
};
use serde::{Deserialize, Serialize};
use store::{Claim, Outlook, Reader, Writer};
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;

use crate::{
    attachments,
    caller::Caller,
    documentation::Errors,
    gateway::{Gateway, Stop},
    inboxes,
    leases::{LEASE_SECONDS, Lease, check_range},
    links::Links,
    metrics::Metrics,
    octets::Octets,
    params::{BaseUrl, IdempotencyKey, Segments},
    problem::Problem,
    reading::{self, Readings},
    waiters::{Waiters, work_of},
};

const MOST_AT_ONCE: u32 = 100;

/// The longest that a request is held.
const LONGEST_SECONDS: u32 = 25;

/// Characters of a worker's name.
const MAX_WORKER: usize = 100;

/// Octets of text in an answer: mails beyond that come without theirs.
const MOST_TEXT: usize = 8 * 1024 * 1024;

/// How often who waits looks for himself: what other gateways do is in the database.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Before another look where others were quicker.
const PAUSE: Duration = Duration::from_millis(20);

const MICROS: i64 = 1_000_000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/inboxes/{inboxId}/claim", post(claim))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct ClaimRequest {
    /// So many mails, if there are.
    #[schema(minimum = 1, maximum = 100)]
    max: u32,
    /// For so long they are nobody else's.
    #[schema(minimum = 5, maximum = 3600)]
    lease_seconds: u32,
    /// The worker's own name for itself, for people to see.
    #[schema(max_length = 100)]
    worker: String,
    /// Seconds to wait for mail.
    #[schema(maximum = 25)]
    timeout: u32,
}

impl Default for ClaimRequest {
    fn default() -> ClaimRequest {
        ClaimRequest { max: 1, lease_seconds: 60, worker: String::new(), timeout: 0 }
    }
}

impl ClaimRequest {
    fn check(&self) -> Result<(), Problem> {
        check_range("max", self.max, 1..=MOST_AT_ONCE)?;
        check_range("leaseSeconds", self.lease_seconds, LEASE_SECONDS)?;
        check_range("timeout", self.timeout, 0..=LONGEST_SECONDS)?;
        if self.worker.chars().count() > MAX_WORKER || self.worker.chars().any(char::is_control) {
            let message = format!("worker: give at most {MAX_WORKER} characters of plain text");
            return Err(Problem::invalid_request(message));
        }
        Ok(())
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Leases {
    /// The oldest mail first; empty if none came in time.
    data: Vec<Lease>,
}

/// What claiming touches.
#[derive(Clone)]
pub(crate) struct Claimer {
    reader: Reader,
    writer: Writer,
    readings: Readings,
    links: Links,
    waiters: Waiters,
    metrics: Metrics,
    stop: Stop,
}

impl FromRef<Gateway> for Claimer {
    fn from_ref(gateway: &Gateway) -> Claimer {
        Claimer {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            readings: Readings::from_ref(gateway),
            links: Links::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
            metrics: Metrics::from_ref(gateway),
            stop: Stop::from_ref(gateway),
        }
    }
}

/// Take mail to work on
///
/// Each mail is handed out to one worker at a time, under a lease: until that ends, nobody else gets it, nor
/// a later mail of its thread. Ack the lease, or answer with it; a mail whose lease expires is handed out
/// again. Answered at once, or when there is mail within `timeout`. With the same `Idempotency-Key`, the same
/// worker is given the same leases again while they last: so a claim can be repeated whose answer was lost.
#[utoipa::path(
    post, path = "/v1/inboxes/{inboxId}/claim", operation_id = "claimEmails", tag = "work",
    params(("inboxId" = String, Path), ("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters, another for each claim; compared within the \
            inbox and `worker`")),
    request_body(content = Option<ClaimRequest>, description = "May be empty"),
    responses((status = 200, description = "The mails, each with its lease", body = Leases), Errors)
)]
pub(crate) async fn claim(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    IdempotencyKey(key): IdempotencyKey,
    BaseUrl(base): BaseUrl,
    State(claimer): State<Claimer>,
    body: Octets,
) -> Result<Json<Leases>, Problem> {
    let asked: ClaimRequest = body.json()?;
    asked.check()?;
    let claim = Claim {
        account_id: &account.id,
        inbox_id: &inbox_id,
        most: asked.max.into(),
        lease: i64::from(asked.lease_seconds) * MICROS,
        worker: &asked.worker,
        key: key.as_deref(),
    };
    let leases = claimer.wait(&claim, Duration::from_secs(asked.timeout.into())).await?;
    Ok(Json(Leases { data: claimer.with_emails(leases, &base).await? }))
}

impl Claimer {
    /// Looks first, and then whenever something happened, a lease is about to end, or a second has passed.
    async fn wait(
        &self,
        claim: &Claim<'_>,
        window: Duration,
    ) -> Result<Vec<store::Lease>, Problem> {
        let end = Instant::now() + window;
        let mut waiter = self.waiters.register(&work_of(claim.inbox_id));
        let mut is_over = window.is_zero();
        loop {
            inboxes::active(&self.reader, claim.account_id, claim.inbox_id).await?;
            let outlook = match self.reader.is_repeated(claim).await? {
                true => Outlook::Work,
                false => self.reader.outlook(claim.inbox_id).await?,
            };
            let pause = match outlook {
                Outlook::Work => {
                    let leases = self.claim(claim).await?;
                    if !leases.is_empty() {
                        return Ok(leases);
                    }
                    PAUSE
                }
                Outlook::Nothing { next } => {
                    let next = next.map(|it| Duration::from_micros(it.unsigned_abs()));
                    next.map_or(LOOK_EVERY, |it| it.clamp(PAUSE, LOOK_EVERY))
                }
            };
            if is_over {
                return Ok(Vec::new());
            }
            tokio::select! {
                () = waiter.woken() => (),
                () = sleep_until(end.min(Instant::now() + pause)) => is_over = Instant::now() >= end,
                () = self.stop.0.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<store::Lease>, Problem> {
        loop {
            let claimed = self.writer.claim(claim).await?;
            let claimed = claimed.ok_or_else(|| inboxes::unknown(claim.inbox_id))?;
            let event = if claimed.is_repeat { "claimed_again" } else { "claimed" };
            self.metrics.leases(event, claimed.leases.len() as u64);
            self.metrics.leases("expired", claimed.swept.expired);
            self.metrics.leases("set_aside", claimed.swept.set_aside);
            // Each time some of what is not known yet has been looked at: this ends.
            if !claimed.has_more {
                return Ok(claimed.leases);
            }
        }
    }

    async fn with_emails(
        &self,
        leases: Vec<store::Lease>,
        base: &str,
    ) -> Result<Vec<Lease>, Problem> {
        let mut shown = Vec::new();
        let mut size = 0;
        for lease in leases {
            let account_id = lease.account_id.clone();
            let email = self.reader.email(&account_id, &lease.inbox_id, &lease.email_id).await?;
            // Gone with its inbox since it was handed out.
            let Some(mut email) = email else { continue };
            attachments::link(&mut email, &account_id, &self.links, base);
            let mut email = self.readings.with(&account_id, email, reading::read).await?;
            size += email.text_size();
            if size > MOST_TEXT {
                email = email.without_text();
            }
            shown.push(Lease::from(lease).with(email));
        }
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), String> {
        let asked: ClaimRequest = serde_json::from_str(json).expect("JSON");
        asked.check().map_err(|it| it.message)
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        for fine in [
            "{}",
            r#"{"max":1,"leaseSeconds":5,"timeout":0}"#,
            r#"{"max":100,"leaseSeconds":3600,"timeout":25,"worker":"Jörg 1"}"#,
        ] {
            check(fine).expect(fine);
        }
        for (wrong, field) in [
            (r#"{"max":0}"#, "max"),
            (r#"{"max":101}"#, "max"),
            (r#"{"leaseSeconds":4}"#, "leaseSeconds"),
            (r#"{"leaseSeconds":3601}"#, "leaseSeconds"),
            (r#"{"timeout":26}"#, "timeout"),
            (r#"{"worker":"a\nb"}"#, "worker"),
        ] {
            assert!(check(wrong).expect_err(wrong).starts_with(field), "{wrong}");
        }
        check(&format!(r#"{{"worker":"{}"}}"#, "x".repeat(101))).expect_err("too long");
    }
}
