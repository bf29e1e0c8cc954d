//! Lists of senders: those whose mail is delivered whatever the policy says, and those whose mail is kept
//! out. Of the account, for all its inboxes, or of one inbox.

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use store::{Actor, Reader, SenderList, SenderRule, Writer, sender_entry};
use utoipa::ToSchema;

use crate::{
    caller::{Caller, TokenId},
    documentation::{Empty, Errors},
    gateway::Gateway,
    inboxes,
    octets::Octets,
    params::{Params, Segments},
    problem::Problem,
    time::now_micros,
};

/// In characters.
const MAX_NOTE: usize = 1000;

pub(crate) fn routes() -> Router<Gateway> {
    use axum::routing::delete;
    Router::new()
        .route("/v1/senders/{list}", get(of_account).post(add_to_account))
        .route("/v1/senders/{list}/{sender}", delete(remove_from_account))
        .route("/v1/inboxes/{inboxId}/senders/{list}", get(of_inbox).post(add_to_inbox))
        .route("/v1/inboxes/{inboxId}/senders/{list}/{sender}", delete(remove_from_inbox))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SenderRequest {
    /// An address, or a domain, which stands for those below it as well.
    #[schema(example = "alice@example.com")]
    sender: String,
    /// For people: why.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedSender {
    /// In lower case, the domain in A-labels.
    #[schema(example = "alice@example.com")]
    sender: String,
    /// Null for all inboxes of the account.
    #[schema(required)]
    inbox_id: Option<String>,
    note: String,
    created_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Senders {
    data: Vec<ListedSender>,
    has_more: bool,
    /// Gives the next page; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

impl From<SenderRule> for ListedSender {
    fn from(it: SenderRule) -> ListedSender {
        ListedSender {
            sender: it.entry,
            inbox_id: it.inbox_id,
            note: it.note,
            created_at: store::rfc3339(it.created_at),
        }
    }
}

/// A list of senders of the account, newest first
#[utoipa::path(
    get, path = "/v1/senders/{list}", operation_id = "listSenders", tag = "policy",
    params(
        ("list" = String, Path, description = "\"allow\" or \"block\""),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Senders), Errors)
)]
pub(crate) async fn of_account(
    Caller(account): Caller,
    Segments(name): Segments<String>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Senders>, Problem> {
    show(&reader, &account.id, None, &name, &params).await
}

/// Put a sender on a list of the account
///
/// On "allow", mail of his is delivered whatever its score and flags, which stay with it, if he proves who
/// he is; only marks that nobody makes by accident are not silenced. On "block", whatever says that it is
/// from him is quarantined. One that is on the list stays on it.
#[utoipa::path(
    post, path = "/v1/senders/{list}", operation_id = "addSender", tag = "policy",
    params(("list" = String, Path, description = "\"allow\" or \"block\"")),
    request_body = SenderRequest,
    responses((status = 200, description = "He is on it", body = ListedSender), Errors)
)]
pub(crate) async fn add_to_account(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments(name): Segments<String>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<ListedSender>, Problem> {
    add(&writer, (&account.id, None), &name, token, &body).await
}

/// Take a sender off a list of the account
#[utoipa::path(
    delete, path = "/v1/senders/{list}/{sender}", operation_id = "removeSender", tag = "policy",
    params(
        ("list" = String, Path, description = "\"allow\" or \"block\""),
        ("sender" = String, Path),
    ),
    responses((status = 200, description = "He is off it", body = Empty), Errors)
)]
pub(crate) async fn remove_from_account(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments((name, sender)): Segments<(String, String)>,
    State(writer): State<Writer>,
) -> Result<Json<Empty>, Problem> {
    remove(&writer, (&account.id, None), &name, &sender, token).await
}

/// A list of senders of an inbox, newest first
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/senders/{list}", operation_id = "listInboxSenders",
    tag = "policy",
    params(
        ("inboxId" = String, Path),
        ("list" = String, Path, description = "\"allow\" or \"block\""),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Senders), Errors)
)]
pub(crate) async fn of_inbox(
    Caller(account): Caller,
    Segments((inbox_id, name)): Segments<(String, String)>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Senders>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    show(&reader, &account.id, Some(&inbox.id), &name, &params).await
}

/// Put a sender on a list of an inbox
///
/// As on the account's, for this inbox alone.
#[utoipa::path(
    post, path = "/v1/inboxes/{inboxId}/senders/{list}", operation_id = "addInboxSender",
    tag = "policy",
    params(
        ("inboxId" = String, Path),
        ("list" = String, Path, description = "\"allow\" or \"block\""),
    ),
    request_body = SenderRequest,
    responses((status = 200, description = "He is on it", body = ListedSender), Errors)
)]
pub(crate) async fn add_to_inbox(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments((inbox_id, name)): Segments<(String, String)>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<ListedSender>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    add(&writer, (&account.id, Some(&inbox.id)), &name, token, &body).await
}

/// Take a sender off a list of an inbox
#[utoipa::path(
    delete, path = "/v1/inboxes/{inboxId}/senders/{list}/{sender}",
    operation_id = "removeInboxSender", tag = "policy",
    params(
        ("inboxId" = String, Path),
        ("list" = String, Path, description = "\"allow\" or \"block\""),
        ("sender" = String, Path),
    ),
    responses((status = 200, description = "He is off it", body = Empty), Errors)
)]
pub(crate) async fn remove_from_inbox(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments((inbox_id, name, sender)): Segments<(String, String, String)>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
) -> Result<Json<Empty>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    remove(&writer, (&account.id, Some(&inbox.id)), &name, &sender, token).await
}

/// An account, and one of its inboxes or all of them.
type Scope<'a> = (&'a str, Option<&'a str>);

async fn show(
    reader: &Reader,
    account_id: &str,
    inbox_id: Option<&str>,
    name: &str,
    params: &Params,
) -> Result<Json<Senders>, Problem> {
    let list = list(name)?;
    let (limit, cursor) = (params.limit()?, params.text("cursor"));
    let page = reader.sender_rules(account_id, inbox_id, list, limit, cursor.as_deref()).await?;
    Ok(Json(Senders {
        data: page.items.into_iter().map(ListedSender::from).collect(),
        has_more: page.cursor.is_some(),
        cursor: page.cursor,
    }))
}

async fn add(
    writer: &Writer,
    (account_id, inbox_id): Scope<'_>,
    name: &str,
    token: String,
    body: &Octets,
) -> Result<Json<ListedSender>, Problem> {
    let list = list(name)?;
    let request: SenderRequest = body.json()?;
    let note = request.note.trim().to_owned();
    if note.chars().count() > MAX_NOTE {
        let message = format!("note: longer than {MAX_NOTE} characters");
        return Err(Problem::invalid_request(message));
    }
    let entry = SenderRule {
        account_id: account_id.to_owned(),
        inbox_id: inbox_id.map(str::to_owned),
        list,
        entry: entry(&request.sender)?,
        note: note.clone(),
        created_at: now_micros(),
    };
    let listed = writer.list_sender(&entry, &Actor { id: token, reason: note }).await?;
    Ok(Json(listed.into()))
}

async fn remove(
    writer: &Writer,
    (account_id, inbox_id): Scope<'_>,
    name: &str,
    sender: &str,
    token: String,
) -> Result<Json<Empty>, Problem> {
    let (list, entry) = (list(name)?, entry(sender)?);
    let actor = Actor { id: token, ..Actor::default() };
    if !writer.unlist_sender(account_id, inbox_id, list, &entry, &actor).await? {
        let message = format!("{entry:?} is not on this list ({name})");
        return Err(Problem::not_found(message));
    }
    Ok(Json(Empty {}))
}

fn list(name: &str) -> Result<SenderList, Problem> {
    match name {
        "allow" => Ok(SenderList::Allow),
        "block" => Ok(SenderList::Block),
        _ => Err(Problem::not_found(format!("there is no list {name:?}: \"allow\" or \"block\""))),
    }
}

fn entry(sender: &str) -> Result<String, Problem> {
    sender_entry(sender).map_err(|why| Problem::invalid_request(format!("sender: {why}")))
}
