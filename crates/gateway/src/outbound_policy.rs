//! What is held of the mail that agents send: of an account, and of each of its inboxes.

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use store::{Measure, OutboundPolicy, OutboundRules, Reader, RulesOf, Writer};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, gateway::Gateway, inboxes, octets::Octets,
    params::Segments, problem::Problem,
};

/// 30 days.
const LONGEST_HOLD: i64 = 30 * 24 * 3_600;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/outbound-policy", get(of_account).put(set_for_account)).route(
        "/v1/inboxes/{inboxId}/outbound-policy",
        get(of_inbox).put(set_for_inbox).delete(reset_for_inbox),
    )
}

/// What is left out, or null, is what the account says, or else the default.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(as = OutboundRules)]
pub(crate) struct Rules {
    /// Keys, tokens, private keys, passwords, card numbers.
    secrets: Option<Action>,
    /// Recipients, links and codes that came with a stranger's mail.
    information_flow: Option<Action>,
    /// Mail that looks like one that gives orders to an assistant.
    injection: Option<Action>,
    /// From this score on.
    #[schema(minimum = 0, maximum = 1)]
    injection_threshold: Option<f64>,
    /// Mail of which something could not be searched, such as an attachment with a password.
    not_scanned: Option<Action>,
    /// "always": every mail is held.
    approval: Option<Approval>,
    /// How long a mail waits for a decision.
    #[schema(minimum = 1, maximum = 2592000)]
    expires_after_seconds: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OutboundAction)]
enum Action {
    /// The mail waits for a decision.
    Hold,
    /// It goes, and its `security` says what was found.
    Warn,
    /// Nothing is done, and nothing said.
    #[serde(alias = "allow")]
    Off,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OutboundApproval)]
enum Approval {
    Always,
    Never,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OutboundPolicy)]
pub(crate) struct Policy {
    /// What was said here.
    rules: Rules,
    /// What holds.
    effective: Rules,
}

impl From<Measure> for Action {
    fn from(it: Measure) -> Action {
        match it {
            Measure::Hold => Action::Hold,
            Measure::Warn => Action::Warn,
            Measure::Off => Action::Off,
        }
    }
}

impl From<Action> for Measure {
    fn from(it: Action) -> Measure {
        match it {
            Action::Hold => Measure::Hold,
            Action::Warn => Measure::Warn,
            Action::Off => Measure::Off,
        }
    }
}

fn approval(is_wanted: bool) -> Approval {
    if is_wanted { Approval::Always } else { Approval::Never }
}

impl From<OutboundRules> for Rules {
    fn from(it: OutboundRules) -> Rules {
        Rules {
            secrets: it.secrets.map(Action::from),
            information_flow: it.information_flow.map(Action::from),
            injection: it.injection.map(Action::from),
            injection_threshold: it.injection_threshold,
            not_scanned: it.not_scanned.map(Action::from),
            approval: it.approval.map(approval),
            expires_after_seconds: it.expires_after_seconds,
        }
    }
}

impl From<OutboundPolicy> for Rules {
    fn from(it: OutboundPolicy) -> Rules {
        Rules {
            secrets: Some(it.secrets.into()),
            information_flow: Some(it.information_flow.into()),
            injection: Some(it.injection.into()),
            injection_threshold: Some(it.injection_threshold),
            not_scanned: Some(it.not_scanned.into()),
            approval: Some(approval(it.approval)),
            expires_after_seconds: Some(it.expires_after_seconds),
        }
    }
}

impl Rules {
    fn checked(self) -> Result<OutboundRules, Problem> {
        if self.injection_threshold.is_some_and(|it| !(0.0..=1.0).contains(&it)) {
            return Err(Problem::invalid_request("injectionThreshold: give a number from 0 to 1"));
        }
        if self.expires_after_seconds.is_some_and(|it| !(1..=LONGEST_HOLD).contains(&it)) {
            let message = format!("expiresAfterSeconds: give a number from 1 to {LONGEST_HOLD}");
            return Err(Problem::invalid_request(message));
        }
        Ok(OutboundRules {
            secrets: self.secrets.map(Measure::from),
            information_flow: self.information_flow.map(Measure::from),
            injection: self.injection.map(Measure::from),
            injection_threshold: self.injection_threshold,
            not_scanned: self.not_scanned.map(Measure::from),
            approval: self.approval.map(|it| it == Approval::Always),
            expires_after_seconds: self.expires_after_seconds,
        })
    }
}

async fn policy(reader: &Reader, of: RulesOf<'_>) -> Result<Json<Policy>, Problem> {
    let rules = reader.outbound_rules(of).await?.unwrap_or_default();
    let effective = reader.outbound_policy(of.account_id, of.inbox_id.unwrap_or_default()).await?;
    Ok(Json(Policy { rules: rules.into(), effective: effective.into() }))
}

/// What is held of the account's mail
#[utoipa::path(
    get, path = "/v1/outbound-policy", operation_id = "getOutboundPolicy", tag = "holds",
    responses((status = 200, description = "The policy", body = Policy), Errors)
)]
pub(crate) async fn of_account(
    Caller(account): Caller,
    State(reader): State<Reader>,
) -> Result<Json<Policy>, Problem> {
    policy(&reader, RulesOf { account_id: &account.id, inbox_id: None }).await
}

/// Say what is to be held of the account's mail
///
/// In place of all that was said before. It is for mail that is asked to be sent from now on.
#[utoipa::path(
    put, path = "/v1/outbound-policy", operation_id = "setOutboundPolicy", tag = "holds",
    request_body = Rules,
    responses((status = 200, description = "It holds from now on", body = Policy), Errors)
)]
pub(crate) async fn set_for_account(
    Caller(account): Caller,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Policy>, Problem> {
    let rules = body.json::<Rules>()?.checked()?;
    let of = RulesOf { account_id: &account.id, inbox_id: None };
    writer.set_outbound_rules(of, Some(&rules)).await?;
    tracing::info!(account.id = %account.id, "an account changed its outbound policy");
    policy(&reader, of).await
}

/// What is held of an inbox's mail
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/outbound-policy", operation_id = "getInboxOutboundPolicy",
    tag = "holds",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "The policy", body = Policy), Errors)
)]
pub(crate) async fn of_inbox(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Policy>, Problem> {
    inboxes::active(&reader, &account.id, &inbox_id).await?;
    policy(&reader, RulesOf { account_id: &account.id, inbox_id: Some(&inbox_id) }).await
}

/// Say what is to be held of an inbox's mail
///
/// In place of all that was said before.
#[utoipa::path(
    put, path = "/v1/inboxes/{inboxId}/outbound-policy", operation_id = "setInboxOutboundPolicy",
    tag = "holds",
    params(("inboxId" = String, Path)),
    request_body = Rules,
    responses((status = 200, description = "It holds from now on", body = Policy), Errors)
)]
pub(crate) async fn set_for_inbox(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Policy>, Problem> {
    inboxes::active(&reader, &account.id, &inbox_id).await?;
    let rules = body.json::<Rules>()?.checked()?;
    let of = RulesOf { account_id: &account.id, inbox_id: Some(&inbox_id) };
    writer.set_outbound_rules(of, Some(&rules)).await?;
    tracing::info!(account.id = %account.id, "an account changed an inbox's outbound policy");
    policy(&reader, of).await
}

/// Have an inbox go by what its account says
#[utoipa::path(
    delete, path = "/v1/inboxes/{inboxId}/outbound-policy",
    operation_id = "resetInboxOutboundPolicy", tag = "holds",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "It holds from now on", body = Policy), Errors)
)]
pub(crate) async fn reset_for_inbox(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
) -> Result<Json<Policy>, Problem> {
    inboxes::active(&reader, &account.id, &inbox_id).await?;
    let of = RulesOf { account_id: &account.id, inbox_id: Some(&inbox_id) };
    writer.set_outbound_rules(of, None).await?;
    policy(&reader, of).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_checked() {
        let check = |json: &str, expected: &str| {
            let rules: Rules = serde_json::from_str(json).expect("rules");
            let refused = rules.checked().err().map(|it| it.message).unwrap_or_default();
            assert!(refused.starts_with(expected) && refused.is_empty() == expected.is_empty());
        };
        check(r#"{"secrets":"allow","approval":"always"}"#, "");
        check(r#"{"injectionThreshold":1.5}"#, "injectionThreshold");
        check(r#"{"expiresAfterSeconds":0}"#, "expiresAfterSeconds");
        check(r#"{"expiresAfterSeconds":2592001}"#, "expiresAfterSeconds");
        assert!(serde_json::from_str::<Rules>(r#"{"canaries":"off"}"#).is_err());
        assert!(serde_json::from_str::<Rules>(r#"{"secrets":"maybe"}"#).is_err());
    }
}
