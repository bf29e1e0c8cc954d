//! What an account, or one of its inboxes, wants done with received mail.

use std::collections::BTreeMap;

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use store::{
    Actor, FLAGS, Reader, ScreeningAction, ScreeningPolicy, ScreeningSettings, Settings, Threshold,
    Writer,
};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type, schema::SchemaType},
};

use crate::{
    caller::{Caller, TokenId},
    documentation::Errors,
    gateway::Gateway,
    inboxes,
    octets::Octets,
    params::Segments,
    problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/policy", get(of_account).put(set_for_account))
        .route("/v1/inboxes/{inboxId}/policy", get(of_inbox).put(set_for_inbox))
}

/// What is null, or left out, is inherited: an inbox's from its account, an account's from the operator.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct PolicySettings {
    /// The injection risk score from which a mail is delivered with a warning, or "never".
    #[schema(schema_with = threshold_or_null)]
    warn_at: Option<Threshold>,
    /// The score from which a mail is quarantined, or "never".
    #[schema(schema_with = threshold_or_null)]
    quarantine_at: Option<Threshold>,
    /// Mail of senders that the inbox neither heard from nor wrote to.
    #[schema(schema_with = action_or_null)]
    first_contact: Option<ScreeningAction>,
    /// Mail whose sender has not proved who he is.
    #[schema(schema_with = action_or_null)]
    unauthenticated: Option<ScreeningAction>,
    /// Mail with a flag, by the flag's name.
    #[schema(schema_with = actions)]
    flags: BTreeMap<String, Option<ScreeningAction>>,
}

/// All of it, as it is applied.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EffectivePolicy {
    #[schema(schema_with = threshold)]
    warn_at: Threshold,
    #[schema(schema_with = threshold)]
    quarantine_at: Threshold,
    #[schema(schema_with = action)]
    first_contact: ScreeningAction,
    #[schema(schema_with = action)]
    unauthenticated: ScreeningAction,
    #[schema(schema_with = actions)]
    flags: BTreeMap<String, ScreeningAction>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    /// What is set here.
    settings: PolicySettings,
    /// What is applied, with what is inherited.
    effective: EffectivePolicy,
    /// When it was set last; null if it never was.
    #[schema(required)]
    updated_at: Option<String>,
}

fn threshold() -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).maximum(Some(1));
    let never = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["never"]));
    OneOfBuilder::new().item(number).item(never).into()
}

fn threshold_or_null() -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(threshold()).item(null).into()
}

fn action() -> RefOr<Schema> {
    let words = ["deliver", "warn", "quarantine"];
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
}

fn action_or_null() -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(action()).item(null).into()
}

fn actions() -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::Object));
    FLAGS.iter().fold(object, |object, flag| object.property(*flag, action_or_null())).into()
}

impl PolicySettings {
    fn settings(self) -> ScreeningSettings {
        ScreeningSettings {
            warn_at: self.warn_at,
            quarantine_at: self.quarantine_at,
            first_contact: self.first_contact,
            unauthenticated: self.unauthenticated,
            flags: self.flags.into_iter().filter(|it| it.1.is_some()).collect(),
        }
    }

    fn of(settings: ScreeningSettings) -> PolicySettings {
        let ScreeningSettings { warn_at, quarantine_at, first_contact, unauthenticated, flags } =
            settings;
        PolicySettings { warn_at, quarantine_at, first_contact, unauthenticated, flags }
    }

    /// What a request wants; what is wrong with it is said with its name.
    fn read(body: &Octets) -> Result<PolicySettings, Problem> {
        let octets: &[u8] = if body.octets.is_empty() { b"{}" } else { &body.octets };
        let mut json = serde_json::Deserializer::from_slice(octets);
        let settings: PolicySettings =
            serde_path_to_error::deserialize(&mut json).map_err(|err| {
                let path = err.path().to_string();
                Problem::invalid_request(format!("{path}: {}", err.into_inner()))
            })?;
        json.end().map_err(|err| Problem::invalid_request(format!("body: {err}")))?;
        Ok(settings)
    }
}

impl From<ScreeningPolicy> for EffectivePolicy {
    fn from(policy: ScreeningPolicy) -> EffectivePolicy {
        let ScreeningPolicy { warn_at, quarantine_at, first_contact, unauthenticated, flags } =
            policy;
        EffectivePolicy { warn_at, quarantine_at, first_contact, unauthenticated, flags }
    }
}

/// The account's policy
#[utoipa::path(
    get, path = "/v1/policy", operation_id = "getPolicy", tag = "policy",
    responses((status = 200, description = "What is set, and what is applied", body = Policy), Errors)
)]
pub(crate) async fn of_account(
    Caller(account): Caller,
    State(reader): State<Reader>,
) -> Result<Json<Policy>, Problem> {
    policy(&reader, &account.id, None).await
}

/// Set the account's policy
///
/// All of it: what is left out is inherited from now on. It holds for what comes from now on.
#[utoipa::path(
    put, path = "/v1/policy", operation_id = "setPolicy", tag = "policy",
    request_body = PolicySettings,
    responses((status = 200, description = "What is set, and what is applied", body = Policy), Errors)
)]
pub(crate) async fn set_for_account(
    Caller(account): Caller,
    TokenId(token): TokenId,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Policy>, Problem> {
    set(&writer, &account.id, None, token, &body).await?;
    policy(&reader, &account.id, None).await
}

/// An inbox's policy
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/policy", operation_id = "getInboxPolicy", tag = "policy",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "What is set, and what is applied", body = Policy), Errors)
)]
pub(crate) async fn of_inbox(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Policy>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    policy(&reader, &account.id, Some(&inbox.id)).await
}

/// Set an inbox's policy
///
/// All of it: what is left out is inherited from the account from now on.
#[utoipa::path(
    put, path = "/v1/inboxes/{inboxId}/policy", operation_id = "setInboxPolicy", tag = "policy",
    params(("inboxId" = String, Path)),
    request_body = PolicySettings,
    responses((status = 200, description = "What is set, and what is applied", body = Policy), Errors)
)]
pub(crate) async fn set_for_inbox(
    Caller(account): Caller,
    TokenId(token): TokenId,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Policy>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    set(&writer, &account.id, Some(&inbox.id), token, &body).await?;
    policy(&reader, &account.id, Some(&inbox.id)).await
}

async fn set(
    writer: &Writer,
    account_id: &str,
    inbox_id: Option<&str>,
    token: String,
    body: &Octets,
) -> Result<(), Problem> {
    let settings = PolicySettings::read(body)?.settings();
    settings.check().map_err(Problem::invalid_request)?;
    let actor = Actor { id: token, ..Actor::default() };
    writer.set_screening(account_id, inbox_id, &settings, &actor).await?;
    Ok(())
}

async fn policy(
    reader: &Reader,
    account_id: &str,
    inbox_id: Option<&str>,
) -> Result<Json<Policy>, Problem> {
    let defaults = reader.screening_defaults().await?;
    let account = reader.screening_settings(account_id).await?;
    let own = match inbox_id {
        Some(inbox_id) => reader.screening_settings(inbox_id).await?,
        None => account.clone(),
    };
    let with = |policy: ScreeningPolicy, settings: &Settings| match settings {
        Some((settings, _)) => policy.with(settings),
        None => policy,
    };
    let effective = with(with(defaults, &account), &own);
    let (settings, updated_at) = own.map_or_else(Default::default, |(it, at)| (it, Some(at)));
    Ok(Json(Policy {
        settings: PolicySettings::of(settings),
        effective: effective.into(),
        updated_at: updated_at.map(store::rfc3339),
    }))
}
