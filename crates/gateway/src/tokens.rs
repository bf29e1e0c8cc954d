//! Tokens of the account: making ones that may less, seeing them, revoking them.

use std::time::Duration;

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::{delete, get},
};
use bus::Directory;
use contract::{Grant, SendLimits, token_id};
use serde::Serialize;
use store::{NewToken, Reader, Writer};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    caller::{Admitted, Caller, TokenId},
    documentation::{Empty, Errors},
    gateway::Gateway,
    grants::{self, TokenRequest},
    octets::Octets,
    params::{Params, Segments},
    problem::Problem,
    revocations::Revocations,
    time::now_micros,
    token,
};

/// An account has at most so many that are good.
const MOST_TOKENS: i64 = 1_000;

/// How long making or revoking a token waits for NATS.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/tokens", get(list).post(create))
        .route("/v1/tokens/current", get(current))
        .route("/v1/tokens/{tokenId}", delete(revoke))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Token {
    /// The beginning of its SHA-256, as `decidedBy` and the audit name it.
    #[schema(example = "9f86d081884c")]
    id: String,
    /// Only in the answer that makes it: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "lm_sk_live_…")]
    token: Option<String>,
    label: String,
    #[schema(value_type = Vec<String>, example = json!(["read", "reply"]))]
    rights: Vec<&'static str>,
    /// Null for all of the account.
    #[schema(required)]
    inbox_ids: Option<Vec<String>>,
    /// Null for all of its inboxes.
    #[schema(required)]
    thread_ids: Option<Vec<String>>,
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    limits: TokenLimits,
    #[schema(format = DateTime)]
    created_at: String,
    /// To the minute; null if it was not used yet.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// The token that it was made with; null if signing up or the operator made it.
    #[schema(required)]
    made_with: Option<String>,
    /// It is the one that asks.
    is_current: bool,
}

/// What it may send; null for no limit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenLimits {
    #[schema(required)]
    mails: Option<u32>,
    #[schema(required)]
    per_seconds: Option<u32>,
    #[schema(required)]
    recipients: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// Oldest first.
    data: Vec<Token>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrentToken {
    #[serde(flatten)]
    token: Token,
    account_id: String,
}

impl Token {
    fn of(it: store::Token, current: &str) -> Token {
        let Grant { rights, inbox_ids, thread_ids, expires_at, limits, .. } = it.grant;
        let SendLimits { mails, per_seconds, recipients } = limits;
        Token {
            is_current: token_id(&it.hash) == current,
            id: token_id(&it.hash).to_owned(),
            token: None,
            label: it.label,
            rights: rights.iter().map(contract::Right::name).collect(),
            inbox_ids,
            thread_ids,
            expires_at: expires_at.map(store::rfc3339),
            limits: TokenLimits { mails, per_seconds, recipients },
            created_at: store::rfc3339(it.created_at),
            last_used_at: it.last_used_at.map(store::rfc3339),
            made_with: Some(token_id(&it.made_with).to_owned()).filter(|it| !it.is_empty()),
        }
    }
}

/// What making and revoking tokens touches.
#[derive(Clone)]
pub(crate) struct Keys {
    reader: Reader,
    writer: Writer,
    directory: Directory,
    revocations: Revocations,
}

impl FromRef<Gateway> for Keys {
    fn from_ref(gateway: &Gateway) -> Keys {
        Keys {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            directory: Directory::from_ref(gateway),
            revocations: Revocations::from_ref(gateway),
        }
    }
}

/// Make a token
///
/// One that may as much as the token you ask with, or less. The token is shown in this answer and never
/// again. Refused with `insufficient_scope` if it would be allowed more.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "createToken", tag = "accounts",
    request_body(content = Option<TokenRequest>, description = "May be empty"),
    responses((status = 200, description = "The new token", body = Token), Errors)
)]
pub(crate) async fn create(
    Admitted { bearer, .. }: Admitted,
    State(keys): State<Keys>,
    body: Octets,
) -> Result<Json<Token>, Problem> {
    let mut request: TokenRequest = body.json::<Option<TokenRequest>>()?.unwrap_or_default();
    let parent = &bearer.token;
    let label = grants::label(request.label.take())?;
    let grant = request.grant(&keys.reader, parent).await?;
    let token = token::generate().map_err(Problem::internal)?;
    let new = NewToken {
        hash: token::hash(&token),
        account_id: bearer.account.id.clone(),
        label,
        grant,
        made_with: parent.hash.clone(),
    };
    if !keys.writer.make_token(&new, MOST_TOKENS, parent.id()).await? {
        let message = format!("an account has at most {MOST_TOKENS} tokens: revoke one");
        return Err(Problem::unprocessable("too_many_tokens", message));
    }
    keys.enter(&new).await;
    let made = keys.reader.token(&new.account_id, &new.hash).await?;
    let made = made.ok_or_else(|| Problem::internal(anyhow::anyhow!("the new token is gone")))?;
    Ok(Json(Token { token: Some(token), ..Token::of(made, parent.id()) }))
}

/// The tokens that are good
///
/// Those that see no more than the one you ask with.
#[utoipa::path(
    get, path = "/v1/tokens", operation_id = "listTokens", tag = "accounts",
    responses((status = 200, description = "All of them", body = Tokens), Errors)
)]
pub(crate) async fn list(
    Admitted { bearer, .. }: Admitted,
    State(reader): State<Reader>,
) -> Result<Json<Tokens>, Problem> {
    let now = now_micros();
    let tokens = reader.tokens(&bearer.account.id).await?;
    let seen = tokens.into_iter().filter(|it| it.is_good_at(now) && is_below(it, &bearer.token));
    Ok(Json(Tokens { data: seen.map(|it| Token::of(it, bearer.token.id())).collect() }))
}

/// The token that you ask with
#[utoipa::path(
    get, path = "/v1/tokens/current", operation_id = "getCurrentToken", tag = "accounts",
    responses((status = 200, description = "It", body = CurrentToken), Errors)
)]
pub(crate) async fn current(Admitted { bearer, .. }: Admitted) -> Json<CurrentToken> {
    let token = Token::of(bearer.token.clone(), bearer.token.id());
    Json(CurrentToken { token, account_id: bearer.account.id.clone() })
}

/// Revoke a token
///
/// It is worth nothing from then on: over REST at once, elsewhere within two seconds; what is open with it
/// is closed.
#[utoipa::path(
    delete, path = "/v1/tokens/{tokenId}", operation_id = "revokeToken", tag = "accounts",
    params(
        ("tokenId" = String, Path),
        ("made" = Option<bool>, Query,
            description = "\"true\" for all tokens, too, that were made with it, and with those"),
    ),
    responses((status = 200, description = "Revoked", body = Empty), Errors)
)]
pub(crate) async fn revoke(
    Caller(account): Caller,
    TokenId(by): TokenId,
    Admitted { bearer, .. }: Admitted,
    Segments(id): Segments<String>,
    params: Params,
    State(keys): State<Keys>,
) -> Result<Json<Empty>, Problem> {
    let with_made = params.choice("made", &[("true", true), ("false", false)])?.unwrap_or(false);
    let unknown = || Problem::not_found(format!("you have no token {id:?}"));
    let found = keys.reader.token(&account.id, &id).await?;
    // As lists have it: the beginning of one is not its name.
    let found = found.filter(|it| it.id() == id && is_below(it, &bearer.token));
    let found = found.ok_or_else(unknown)?;
    let revoked = keys.writer.revoke_tokens(&account.id, &found.hash, with_made, &by).await?;
    if revoked.is_empty() {
        return Err(unknown());
    }
    for hash in &revoked {
        keys.revocations.revoke(hash);
        keys.remove(hash).await;
    }
    Ok(Json(Empty {}))
}

/// Whether one sees no more than the other. When they expire makes no difference, nor what they may send.
fn is_below(token: &store::Token, other: &store::Token) -> bool {
    let of = |it: &store::Token| Grant {
        rights: it.grant.rights,
        inbox_ids: it.grant.inbox_ids.clone(),
        thread_ids: it.grant.thread_ids.clone(),
        ..Grant::default()
    };
    of(token).exceeds(&of(other)).is_none()
}

impl Keys {
    /// Lets the token in by SMTP at once. Storage would do it within seconds, so that without NATS there
    /// is a token all the same.
    async fn enter(&self, NewToken { hash, account_id, grant, .. }: &NewToken) {
        let entered =
            timeout(DIRECTORY_PATIENCE, self.directory.add_token(hash, account_id, grant));
        if let Err(err) = entered.await.context("time out").flatten() {
            tracing::warn!("token not entered into the directory: {err:#}");
        }
    }

    /// As entering it.
    async fn remove(&self, hash: &str) {
        let removed = timeout(DIRECTORY_PATIENCE, self.directory.remove_token(hash)).await;
        if let Err(err) = removed.context("time out").flatten() {
            tracing::warn!("token not removed from the directory: {err:#}");
        }
    }
}
