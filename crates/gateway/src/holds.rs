//! Mail that is held until somebody decides: what waits, approving, declining.
//!
//! The gateway decides it in the database, under the lock that releasing takes as well, so that the answer
//! holds. Storage announces it.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use contract::Email;
use serde::{Deserialize, Serialize};
use store::{Allowance, Decided, Decision, HoldFilter, Reader, Writer};
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller, TokenId},
    documentation::Errors,
    emails,
    gateway::Gateway,
    octets::Octets,
    outbound_allow,
    params::{Params, Segments},
    problem::Problem,
};

const MAX_REASON: usize = 1_000;

const STATES: [(&str, &str); 5] = [
    ("waiting", "waiting"),
    ("approved", "approved"),
    ("declined", "declined"),
    ("expired", "expired"),
    ("cancelled", "cancelled"),
];

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/holds", get(list))
        .route("/v1/emails/{emailId}/approve", post(approve))
        .route("/v1/emails/{emailId}/decline", post(decline))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Approval {
    /// As `hold.sha256` shows it: refused with 409 "content_differs" if the mail has another one.
    sha256: Option<String>,
    /// For people: why. It is kept with the hold.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// Let later mail of this inbox go to these recipients, or to everybody at their domains, for the
    /// same kinds of reasons.
    allow: Option<Allow>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Allow {
    Recipient,
    Domain,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Declination {
    /// For people: why. It is kept with the hold.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Outcome {
    /// Of the email.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// What the email is now: of one that was approved "queued" or "scheduled" at first, and whatever
    /// became of it since; of one that was declined "declined".
    #[schema(example = "queued")]
    status: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Holds {
    /// Each with its `hold`; `body` is null: it is not loaded.
    data: Vec<Email>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Emails that are or were held, those held last first
///
/// What waits for a limit is not among them: nobody has to decide on it. A token for some inboxes sees theirs.
#[utoipa::path(
    get, path = "/v1/holds", operation_id = "listHolds", tag = "holds",
    params(
        ("state" = Option<String>, Query,
            description = "\"waiting\", \"approved\", \"declined\", \"expired\" or \"cancelled\"; \
                           all without"),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Holds), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Holds>, Problem> {
    let state = params.choice("state", &STATES)?;
    let (limit, cursor) = (params.limit()?, params.text("cursor"));
    let filter = HoldFilter { state, inbox_ids: grant.inbox_ids.as_deref(), limit };
    let page = reader.holds(&account.id, &filter, cursor.as_deref()).await?;
    Ok(Json(Holds { data: page.items, cursor: page.cursor }))
}

/// Let a held email go
///
/// Exactly the octets go out whose SHA-256 `hold.sha256` shows, once the limits of the inbox allow it.
/// Asking again changes nothing; what was declined or has expired is 409 "already_decided".
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/approve", operation_id = "approveEmail", tag = "holds",
    params(("emailId" = String, Path)),
    request_body = Approval,
    responses((status = 200, description = "It goes", body = Outcome), Errors)
)]
pub(crate) async fn approve(
    Caller(account): Caller,
    TokenId(token_id): TokenId,
    Segments(email_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Outcome>, Problem> {
    let Approval { sha256, reason, allow } = body.json()?;
    let note = checked(reason)?;
    let decision = Decision { by: token_id.clone(), note: note.clone(), sha256 };
    let decided = writer.approve(&account.id, &email_id, &decision).await?;
    let outcome = outcome(&email_id, decided)?;
    if let Some(allow) = allow {
        // After it: what is refused allows nothing. A request that is repeated does this again.
        let allowances = allowances(&reader, &account.id, &email_id, allow, &token_id).await?;
        writer.allow(&account.id, &allowances).await?.map_err(Problem::from)?;
    }
    tracing::info!(account.id = %account.id, mail.id = %email_id, "a held mail was approved");
    Ok(outcome)
}

/// Never let a held email go
///
/// Asking again changes nothing; what was approved or has expired is 409 "already_decided".
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/decline", operation_id = "declineEmail", tag = "holds",
    params(("emailId" = String, Path)),
    request_body = Declination,
    responses((status = 200, description = "It does not go", body = Outcome), Errors)
)]
pub(crate) async fn decline(
    Caller(account): Caller,
    TokenId(token_id): TokenId,
    Segments(email_id): Segments<String>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Outcome>, Problem> {
    let Declination { reason } = body.json()?;
    let decision = Decision { by: token_id, note: checked(reason)?, sha256: None };
    let decided = writer.decline(&account.id, &email_id, &decision).await?;
    let outcome = outcome(&email_id, decided)?;
    tracing::info!(account.id = %account.id, mail.id = %email_id, "a held mail was declined");
    Ok(outcome)
}

fn checked(reason: Option<String>) -> Result<Option<String>, Problem> {
    match reason {
        Some(reason) if reason.len() > MAX_REASON => {
            Err(Problem::invalid_request(format!("reason: longer than {MAX_REASON} octets")))
        }
        reason => Ok(reason),
    }
}

fn outcome(email_id: &str, decided: Decided) -> Result<Json<Outcome>, Problem> {
    match decided {
        Decided::Done { status } => Ok(Json(Outcome { id: email_id.to_owned(), status })),
        Decided::TooLate { state, status } => Err(Problem::conflict(
            "already_decided",
            format!("the hold of email {email_id} is {state} (status {status:?})"),
        )),
        Decided::Differs { sha256 } => Err(Problem::conflict(
            "content_differs",
            format!("email {email_id} has a content with the SHA-256 {sha256}: look at it again"),
        )),
        Decided::NotHeld { status } => Err(Problem::conflict(
            "not_held",
            format!("email {email_id} waits for nobody's decision (status {status:?})"),
        )),
        Decided::Unknown => Err(Problem::not_found(format!("you have sent no email {email_id:?}"))),
    }
}

/// For each recipient and each kind of reason that there was.
async fn allowances(
    reader: &Reader,
    account_id: &str,
    email_id: &str,
    allow: Allow,
    token_id: &str,
) -> Result<Vec<Allowance>, Problem> {
    let unknown = || emails::unknown_to_account(email_id);
    let inbox = reader.inbox_of_email(account_id, email_id).await?.ok_or_else(unknown)?;
    let email = reader.email(account_id, &inbox.id, email_id).await?.ok_or_else(unknown)?;
    let kinds = email.hold.iter().flat_map(|it| &it.reasons).map(|it| it.kind.as_str());
    // Nothing allows canaries.
    let kinds: BTreeSet<&str> = kinds.filter(|it| outbound_allow::KINDS.contains(it)).collect();
    let recipients = email.recipients.iter().map(|it| {
        let address = it.address.to_lowercase();
        match allow {
            Allow::Recipient => address,
            Allow::Domain => address.rsplit_once('@').map_or("", |it| it.1).to_owned(),
        }
    });
    let recipients: BTreeSet<String> = recipients.collect();
    let note = format!("with the approval of {email_id}");
    let pairs = recipients.iter().flat_map(|it| kinds.iter().map(move |kind| (it, *kind)));
    let allowance = |(recipient, kind): (&String, &str)| {
        outbound_allow::allowance(Some(&inbox.id), recipient, Some(kind), &note, token_id)
    };
    Ok(pairs.map(allowance).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_there_is() {
        let check = |decided: Decided, status: u16, code: &str, message: &str| {
            let problem = outcome("eml_1", decided).err().expect("refuse");
            assert_eq!((problem.status.as_u16(), &*problem.code), (status, code));
            assert!(problem.message.contains(message), "{}", problem.message);
        };
        let (state, status) = ("declined".to_owned(), "declined".to_owned());
        check(Decided::TooLate { state, status }, 409, "already_decided", "is declined");
        check(Decided::Differs { sha256: "ab".to_owned() }, 409, "content_differs", "SHA-256 ab");
        check(Decided::NotHeld { status: "sent".to_owned() }, 409, "not_held", "\"sent\"");
        check(Decided::Unknown, 404, "not_found", "eml_1");
    }
}
