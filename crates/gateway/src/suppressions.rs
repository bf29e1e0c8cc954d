//! Suppressions: addresses that get no mail from an account, and why.

use axum::{Json, Router, extract::State, routing::get};
use mail::Address;
use serde::{Deserialize, Serialize};
use store::{ALL_LISTS, Evidence, Page, Reader, Unsubscription, Weight, Writer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::Caller,
    documentation::{Empty, Errors},
    gateway::Gateway,
    octets::Octets,
    params::{Params, Segments},
    problem::Problem,
};

/// What a note may have.
const MAX_NOTE: usize = 1_000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/suppressions", get(list).post(add))
        .route("/v1/suppressions/{address}", get(read).delete(lift))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suppression {
    /// In lower case.
    #[schema(example = "bob@example.net")]
    address: String,
    /// "account", or "global": nobody can send to it, and only the operator lifts it. "list:news" for the
    /// mail to one list of the account, "lists" for that to any.
    #[schema(example = "account")]
    scope: String,
    /// What is held against it, or "manual".
    #[schema(example = "recipient_unknown")]
    reason: String,
    /// What its host said, or the note it was added with.
    #[schema(example = "550 5.1.1 no such user")]
    evidence: String,
    /// The email that found it out; null if it was added by hand.
    #[schema(required)]
    email_id: Option<String>,
    created_at: String,
    /// Null if it stays until it is lifted.
    #[schema(required)]
    expires_at: Option<String>,
}

impl From<Unsubscription> for Suppression {
    fn from(it: Unsubscription) -> Suppression {
        let scope = match it.list_id.as_str() {
            ALL_LISTS => "lists".to_owned(),
            list_id => format!("list:{list_id}"),
        };
        Suppression { scope, ..Suppression::from(store::Suppression::from(it)) }
    }
}

impl From<store::Suppression> for Suppression {
    fn from(it: store::Suppression) -> Suppression {
        Suppression {
            address: it.address,
            scope: it.scope.as_str().to_owned(),
            reason: it.reason,
            evidence: it.evidence,
            email_id: store::email_of(&it.source).map(str::to_owned),
            created_at: store::rfc3339(it.created_at),
            expires_at: it.expires_at.map(store::rfc3339),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suppressions {
    data: Vec<Suppression>,
    has_more: bool,
    /// Gives the next page; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

/// What speaks against an address.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressRecord {
    /// In lower case.
    #[schema(example = "bob@example.net")]
    address: String,
    /// Null if it gets mail from this account.
    #[schema(required)]
    suppression: Option<Suppression>,
    /// All that this account ever knew, newest first, 100 at most, whether it counts or not.
    history: Vec<EvidenceOnRecord>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceOnRecord {
    #[schema(example = "mailbox_full")]
    reason: String,
    evidence: String,
    /// What counts comes to three to suppress.
    strikes: i64,
    #[schema(required)]
    email_id: Option<String>,
    created_at: String,
    #[schema(required)]
    expires_at: Option<String>,
    /// Null if it was not lifted.
    #[schema(required)]
    lifted_at: Option<String>,
    /// The account that lifted it, or "new inbox": the address came into being here.
    #[schema(required)]
    lifted_by: Option<String>,
}

impl From<store::Noted> for EvidenceOnRecord {
    fn from(it: store::Noted) -> EvidenceOnRecord {
        EvidenceOnRecord {
            email_id: store::email_of(&it.source).map(str::to_owned),
            reason: it.reason,
            evidence: it.evidence,
            strikes: it.strikes,
            created_at: store::rfc3339(it.created_at),
            expires_at: it.expires_at.map(store::rfc3339),
            lifted_at: it.lifted_at.map(store::rfc3339),
            lifted_by: it.lifted_by,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SuppressionRequest {
    #[schema(example = "bob@example.net")]
    address: String,
    /// For people: why.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

/// The addresses that get no mail from this account, newest first
#[utoipa::path(
    get, path = "/v1/suppressions", operation_id = "listSuppressions", tag = "suppressions",
    params(
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
        ("scope" = Option<String>, Query,
            description = "\"lists\" for who has left lists, \"account\" for all else, which is the \
                           default"),
    ),
    responses((status = 200, description = "A page", body = Suppressions), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Suppressions>, Problem> {
    let (limit, cursor) = (params.limit()?, params.text("cursor"));
    let scopes = [("account", false), ("lists", true)];
    if params.choice("scope", &scopes)?.unwrap_or(false) {
        return Ok(shown(reader.unsubscriptions(&account.id, limit, cursor.as_deref()).await?));
    }
    Ok(shown(reader.suppressions(&account.id, limit, cursor.as_deref()).await?))
}

fn shown<T: Into<Suppression>>(page: Page<T>) -> Json<Suppressions> {
    Json(Suppressions {
        data: page.items.into_iter().map(T::into).collect(),
        has_more: page.cursor.is_some(),
        cursor: page.cursor,
    })
}

/// Send no more mail to an address
///
/// Until it is lifted. One that is suppressed already stays so.
#[utoipa::path(
    post, path = "/v1/suppressions", operation_id = "addSuppression", tag = "suppressions",
    request_body = SuppressionRequest,
    responses((status = 200, description = "It is suppressed", body = Suppression), Errors)
)]
pub(crate) async fn add(
    Caller(account): Caller,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Suppression>, Problem> {
    let request: SuppressionRequest = body.json()?;
    let address = address(&request.address)?;
    if request.note.len() > MAX_NOTE {
        let message = format!("note: longer than {MAX_NOTE} octets");
        return Err(Problem::invalid_request(message));
    }
    let wish = Evidence {
        account_id: account.id.clone(),
        address: address.clone(),
        source: format!("wish_{}", Uuid::now_v7().simple()),
        reason: "manual".to_owned(),
        evidence: request.note,
        weight: Weight::Wish,
    };
    writer.note_evidence(&[wish]).await?;
    let added = reader.suppressed(&account.id, &[address]).await?.into_iter().next();
    let lifted = || Problem::unavailable("somebody lifted it at the same moment; try again");
    added.map(|it| Json(it.into())).ok_or_else(lifted)
}

/// What speaks against an address
///
/// Whether it gets mail from this account, and what the account ever knew of it.
#[utoipa::path(
    get, path = "/v1/suppressions/{address}", operation_id = "getSuppression",
    tag = "suppressions",
    params(("address" = String, Path)),
    responses((status = 200, description = "What is known", body = AddressRecord), Errors)
)]
pub(crate) async fn read(
    Caller(account): Caller,
    Segments(text): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<AddressRecord>, Problem> {
    let address = address(&text)?;
    let history = reader.evidence(&account.id, &address).await?;
    let known = reader.suppressed(&account.id, std::slice::from_ref(&address)).await?;
    Ok(Json(AddressRecord {
        address: address.to_lowercase(),
        suppression: known.into_iter().next().map(Suppression::from),
        history: history.into_iter().map(EvidenceOnRecord::from).collect(),
    }))
}

/// Let mail go to an address again
///
/// What spoke against it stays on record, with the moment it was lifted and by whom, and counts no
/// more. What is suppressed for everybody is not lifted by an account.
#[utoipa::path(
    delete, path = "/v1/suppressions/{address}", operation_id = "liftSuppression",
    tag = "suppressions",
    params(
        ("address" = String, Path),
        ("list" = Option<String>, Query,
            description = "Put it back on this list instead, as its owner wishes; \"*\" for all lists"),
    ),
    responses((status = 200, description = "It is lifted", body = Empty), Errors)
)]
pub(crate) async fn lift(
    Caller(account): Caller,
    Segments(text): Segments<String>,
    State(reader): State<Reader>,
    params: Params,
    State(writer): State<Writer>,
) -> Result<Json<Empty>, Problem> {
    let address = address(&text)?;
    if let Some(list) = params.text("list") {
        let list_id = if list == "*" { ALL_LISTS } else { &list };
        if !writer.resubscribe(&account.id, list_id, &address).await? {
            return Err(Problem::not_found(format!("{text:?} has not left the list {list:?}")));
        }
        tracing::info!(account.id = %account.id, "an account put an address back on a list");
        return Ok(Json(Empty {}));
    }
    if !writer.lift_suppression(&account.id, &address).await? {
        let global = reader.suppressed(&account.id, &[address]).await?;
        let more = if global.is_empty() { "" } else { "; it is suppressed for everybody" };
        return Err(Problem::not_found(format!("you suppress no address {text:?}{more}")));
    }
    tracing::info!(account.id = %account.id, "an account lifted a suppression");
    Ok(Json(Empty {}))
}

fn address(text: &str) -> Result<String, Problem> {
    let address: Address =
        text.parse().map_err(|err| Problem::invalid_request(format!("address: {err}")))?;
    Ok(address.to_string())
}
