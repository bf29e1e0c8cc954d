//! Accounts: signing up, what one has and may do, verifying.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use bus::Directory;
use contract::Grant;
use serde::Serialize;
use serde_json::Value;
use store::{Reader, Writer};
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::Caller,
    documentation::Errors,
    gateway::Gateway,
    octets::Octets,
    params::Segments,
    problem::Problem,
    signups::{ClientAddress, Signups},
    tier::Tiers,
    token,
};

/// How long signing up waits for NATS.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/signup", post(sign_up))
        .route("/v1/account", get(account))
        .route("/v1/verify/{provider}", post(verify))
}

/// Who may make an account, and of which tier.
#[derive(Clone, Copy)]
pub(crate) struct SignupPolicy {
    pub(crate) enabled: bool,
    pub(crate) tier: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NewAccount {
    #[schema(example = "acct_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// Shown this once.
    #[schema(example = "lm_sk_live_…")]
    token: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    id: String,
    /// 0 to 4.
    tier: i64,
    tier_name: &'static str,
    limits: Limits,
    usage: Usage,
    x_verification_pending: bool,
    created_at: String,
    last_active_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Limits {
    /// Active inboxes; null for no limit.
    #[schema(required)]
    max_inboxes: Option<i64>,
    /// Mails sent in a day (UTC).
    daily_email_limit: i64,
    can_send: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Usage {
    inbox_count: i64,
    total_emails_received: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Verification {
    #[schema(example = "verified")]
    status: &'static str,
}

/// Make an account
///
/// Needs no token and no body. The token is shown in this answer and never again.
#[utoipa::path(
    post, path = "/v1/signup", operation_id = "signUp", tag = "accounts", security(()),
    responses((status = 200, description = "The new account", body = NewAccount), Errors)
)]
pub(crate) async fn sign_up(
    ClientAddress(client): ClientAddress,
    State(policy): State<SignupPolicy>,
    State(signups): State<Signups>,
    State(writer): State<Writer>,
    State(directory): State<Directory>,
) -> Result<Json<NewAccount>, Problem> {
    if !policy.enabled {
        let message = "accounts are made by the operator of this service: ask for a token";
        return Err(Problem::unprocessable("signup_disabled", message));
    }
    signups.admit(client, Instant::now())?;
    let id = format!("acct_{}", Uuid::now_v7().simple());
    let token = token::generate().map_err(Problem::internal)?;
    let hash = token::hash(&token);
    writer.create_account(&id, policy.tier, &hash).await?;
    enter(&directory, &hash, &id).await;
    Ok(Json(NewAccount { id, token }))
}

/// Lets the token in by SMTP at once. Storage would do it within seconds, so that without NATS there is
/// an account all the same.
async fn enter(directory: &Directory, token_hash: &str, account_id: &str) {
    let entered =
        timeout(DIRECTORY_PATIENCE, directory.add_token(token_hash, account_id, &Grant::default()))
            .await;
    if let Err(err) = entered.context("time out").flatten() {
        tracing::warn!("token not entered into the directory: {err:#}");
    }
}

/// What the account has and may do
#[utoipa::path(
    get, path = "/v1/account", operation_id = "getAccount", tag = "accounts",
    responses((status = 200, description = "The account", body = Account), Errors)
)]
pub(crate) async fn account(
    Caller(account): Caller,
    State(reader): State<Reader>,
    State(tiers): State<Tiers>,
) -> Result<Json<Account>, Problem> {
    let usage = reader.usage(&account.id).await?;
    let tier = tiers.of(account.tier);
    Ok(Json(Account {
        id: account.id,
        tier: account.tier,
        tier_name: tier.name,
        limits: Limits {
            max_inboxes: tier.max_inboxes,
            daily_email_limit: tier.daily_email_limit,
            can_send: tier.can_send(),
        },
        usage: Usage { inbox_count: usage.inboxes, total_emails_received: usage.emails_received },
        x_verification_pending: false,
        created_at: store::rfc3339(account.created_at),
        last_active_at: store::rfc3339(account.last_active_at),
    }))
}

/// Unlock sending
///
/// Raises an account of tier 0 to tier 1. The operator of a self-hosted service vouches for its
/// users, so that every provider verifies at once, whatever the body says.
#[utoipa::path(
    post, path = "/v1/verify/{provider}", operation_id = "verify", tag = "accounts",
    params(("provider" = String, Path, description = "Any name, such as \"x\"")),
    request_body(content = Option<Value>, description = "Not looked at"),
    responses((status = 200, description = "Verified", body = Verification), Errors)
)]
pub(crate) async fn verify(
    Caller(account): Caller,
    Segments(_provider): Segments<String>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Verification>, Problem> {
    body.json::<Value>()?;
    if account.tier < 1 {
        writer.set_tier(&account.id, 1).await?;
    }
    Ok(Json(Verification { status: "verified" }))
}
