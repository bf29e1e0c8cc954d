//! Deciding on mail in quarantine: deliver it after all, or keep it out for good.
//!
//! The decision goes over NATS to storage, which alone writes mail; of two that contradict each other,
//! the first one there counts.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::StatusCode,
    routing::post,
};
use bus::Bus;
use contract::{EmailDecision, MailReviewed, Review};
use serde::{Deserialize, Serialize};
use store::{Reader, Screened};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::{
    caller::{Caller, TokenId},
    documentation::Errors,
    emails,
    gateway::Gateway,
    octets::Octets,
    params::Segments,
    problem::Problem,
    time::now_micros,
    waiters::Waiters,
};

/// So long an answer waits for the decision to take effect. It is safe by then.
const WAIT: Duration = Duration::from_secs(5);

/// In characters.
const MAX_REASON: usize = 1000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/emails/{emailId}/release", post(release))
        .route("/v1/emails/{emailId}/refuse", post(refuse))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReleaseRequest {
    /// For the record.
    #[schema(min_length = 1, max_length = 1000)]
    reason: Option<String>,
    /// Put the sender on the inbox's list of those whose mail is delivered. He must have proved who he is.
    #[serde(default)]
    allow_sender: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefuseRequest {
    /// For the record.
    #[schema(min_length = 1, max_length = 1000)]
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Decided {
    /// Of the email.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// What the email is now: "received" once it is released, "refused", or still "quarantined" if the
    /// decision takes effect later.
    #[schema(example = "received")]
    status: String,
    /// Null if it takes effect later.
    #[schema(required)]
    decision: Option<EmailDecision>,
}

/// What deciding touches.
#[derive(Clone)]
pub(crate) struct Reviewer {
    reader: Reader,
    bus: Bus,
    waiters: Waiters,
}

impl FromRef<Gateway> for Reviewer {
    fn from_ref(gateway: &Gateway) -> Reviewer {
        Reviewer {
            reader: Reader::from_ref(gateway),
            bus: Bus::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
        }
    }
}

/// Deliver an email from quarantine
///
/// It enters its inbox now: newer than all that is there, so that whoever waits for mail gets it. Doing it
/// again changes nothing. 409 "already_refused" if it was refused, "not_quarantined" if it never was in
/// quarantine.
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/release", operation_id = "releaseEmail", tag = "policy",
    params(("emailId" = String, Path)),
    request_body = ReleaseRequest,
    responses(
        (status = 200, description = "It is in its inbox", body = Decided),
        (status = 202, description = "It will be in a moment", body = Decided),
        Errors
    )
)]
pub(crate) async fn release(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments(email_id): Segments<String>,
    State(reviewer): State<Reviewer>,
    body: Octets,
) -> Result<(StatusCode, Json<Decided>), Problem> {
    let known = reviewer.known(&account.id, &email_id).await?;
    let request: ReleaseRequest = body.json()?;
    if request.allow_sender && !known.is_authenticated {
        return Err(Problem::unprocessable(
            "sender_not_authenticated",
            "allowSender: this mail's sender has not proved who he is, so nothing he sends like this \
             would ever match the list; leave it out to release this mail alone",
        ));
    }
    let decided = MailReviewed {
        allow_sender: request.allow_sender,
        ..decided(&account.id, &email_id, token, Review::Released, request.reason)?
    };
    reviewer.decide(known, decided).await
}

/// Keep an email out for good
///
/// It stays readable with `quarantined=true`, for as long as its inbox exists, and in `GET /v1/quarantine`
/// with `status=refused`. Doing it again changes nothing. 409 "already_released" if it was released,
/// "not_quarantined" if it never was in quarantine.
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/refuse", operation_id = "refuseEmail", tag = "policy",
    params(("emailId" = String, Path)),
    request_body = RefuseRequest,
    responses(
        (status = 200, description = "It stays out", body = Decided),
        (status = 202, description = "It will, in a moment", body = Decided),
        Errors
    )
)]
pub(crate) async fn refuse(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments(email_id): Segments<String>,
    State(reviewer): State<Reviewer>,
    body: Octets,
) -> Result<(StatusCode, Json<Decided>), Problem> {
    let known = reviewer.known(&account.id, &email_id).await?;
    let request: RefuseRequest = body.json()?;
    let decided = decided(&account.id, &email_id, token, Review::Refused, request.reason)?;
    reviewer.decide(known, decided).await
}

fn decided(
    account_id: &str,
    email_id: &str,
    token: String,
    review: Review,
    reason: Option<String>,
) -> Result<MailReviewed, Problem> {
    let reason = reason.unwrap_or_default().trim().to_owned();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        let message =
            format!("reason: say why, in 1 to {MAX_REASON} characters; it is kept on record");
        return Err(Problem::invalid_request(message));
    }
    Ok(MailReviewed {
        email_id: email_id.to_owned(),
        account_id: account_id.to_owned(),
        review: review.into(),
        reason,
        decided_by: token,
        reviewed_at_micros: now_micros(),
        ..MailReviewed::default()
    })
}

impl Reviewer {
    async fn known(&self, account_id: &str, email_id: &str) -> Result<Screened, Problem> {
        let unknown = || emails::unknown_to_account(email_id);
        // What is in a deleted inbox cannot be reached.
        self.reader.inbox_of_email(account_id, email_id).await?.ok_or_else(unknown)?;
        self.reader.screened(account_id, email_id).await?.ok_or_else(unknown)
    }

    async fn decide(
        &self,
        known: Screened,
        decided: MailReviewed,
    ) -> Result<(StatusCode, Json<Decided>), Problem> {
        if let Some(answer) = settled(&known, &decided)? {
            return Ok(answer);
        }
        let mut waiter = self.waiters.register(&decided.email_id);
        self.bus.publish(decided.clone()).await?;
        let end = Instant::now() + WAIT;
        loop {
            let is_over = timeout_at(end, waiter.woken()).await.is_err();
            let now = self.known(&decided.account_id, &decided.email_id).await?;
            if let Some(answer) = settled(&now, &decided)? {
                return Ok(answer);
            }
            if is_over {
                let later = Decided { id: decided.email_id, status: now.status, decision: None };
                return Ok((StatusCode::ACCEPTED, Json(later)));
            }
        }
    }
}

type Answer = (StatusCode, Json<Decided>);

/// The answer to a decision once there is one; a problem if it is another, or there is nothing to decide.
fn settled(known: &Screened, decided: &MailReviewed) -> Result<Option<Answer>, Problem> {
    let id = &decided.email_id;
    let wanted = if decided.review() == Review::Released { "released" } else { "refused" };
    match &known.decision {
        Some(decision) if decision.action == wanted => {
            let decision = Some(decision.clone());
            let answer = Decided { id: id.clone(), status: known.status.clone(), decision };
            Ok(Some((StatusCode::OK, Json(answer))))
        }
        Some(decision) => {
            let EmailDecision { action, decided_at, .. } = decision;
            let message = format!("email {id} was {action} at {decided_at}, which is for good");
            Err(Problem::conflict(format!("already_{action}"), message))
        }
        None if !known.is_quarantined => {
            let message = format!("email {id} is not in quarantine: there is nothing to decide");
            Err(Problem::conflict("not_quarantined", message))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(quarantined: bool, decision: Option<&str>) -> Screened {
        Screened {
            status: "x".to_owned(),
            is_quarantined: quarantined,
            is_authenticated: false,
            decision: decision.map(|action| EmailDecision {
                action: action.to_owned(),
                ..EmailDecision::default()
            }),
        }
    }

    #[track_caller]
    fn check(known: Screened, review: Review, expected: Result<bool, &str>) {
        let decided = MailReviewed { review: review.into(), ..MailReviewed::default() };
        let found = settled(&known, &decided);
        let found = found.as_ref().map(Option::is_some).map_err(|it| &*it.code);
        assert_eq!(found, expected, "{known:?}");
    }

    #[test]
    fn the_same_again_is_fine_and_the_opposite_is_not() {
        check(known(true, None), Review::Released, Ok(false));
        check(known(false, Some("released")), Review::Released, Ok(true));
        check(known(true, Some("refused")), Review::Refused, Ok(true));
        check(known(true, Some("refused")), Review::Released, Err("already_refused"));
        check(known(false, Some("released")), Review::Refused, Err("already_released"));
        check(known(false, None), Review::Refused, Err("not_quarantined"));
    }

    #[test]
    fn a_decision_has_a_reason() {
        let with = |reason: Option<&str>| {
            decided("a", "e", "t".to_owned(), Review::Refused, reason.map(str::to_owned))
        };
        assert_eq!(with(Some(" spam ")).expect("take").reason, "spam");
        for reason in [None, Some(""), Some("  "), Some(&*"x".repeat(1001))] {
            assert!(with(reason).expect_err("refuse").message.starts_with("reason:"));
        }
    }
}
