//! Rules that let mail go although there is a reason to hold it.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get},
};
use mail::Address;
use serde::{Deserialize, Serialize};
use store::{Allowance, Reader, Writer};
use utoipa::ToSchema;
use uuid::Uuid;

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

/// The kinds of reasons that can be allowed.
pub(crate) const KINDS: [&str; 5] =
    ["secret", "information_flow", "injection", "not_scanned", "approval"];

const MAX_NOTE: usize = 1_000;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/outbound-allow", get(list).post(add))
        .route("/v1/outbound-allow/{ruleId}", delete(remove))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rule {
    #[schema(example = "alw_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// Null for all inboxes of the account.
    inbox_id: Option<String>,
    /// An address or a domain.
    #[schema(example = "example.net")]
    recipient: String,
    /// "secret", "information_flow", "injection", "not_scanned" or "approval"; null for all of them.
    kind: Option<String>,
    note: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// The token it was made with, as `posthouse token list` names it.
    created_by: String,
}

impl From<Allowance> for Rule {
    fn from(it: Allowance) -> Rule {
        Rule {
            id: it.id,
            inbox_id: it.inbox_id,
            recipient: it.recipient,
            kind: it.kind,
            note: it.note,
            created_at: store::rfc3339(it.created_at),
            created_by: it.created_by,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = AllowRules)]
pub(crate) struct Rules {
    data: Vec<Rule>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewRule {
    /// An address, or a domain for everybody there; subdomains are others.
    #[schema(example = "ops@example.net")]
    recipient: String,
    /// All inboxes of the account without.
    inbox_id: Option<String>,
    /// All kinds of reasons without.
    kind: Option<String>,
    /// For people: why.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

pub(crate) fn allowance(
    inbox_id: Option<&str>,
    recipient: &str,
    kind: Option<&str>,
    note: &str,
    token_id: &str,
) -> Allowance {
    Allowance {
        id: format!("alw_{}", Uuid::now_v7().simple()),
        inbox_id: inbox_id.map(str::to_owned),
        recipient: recipient.to_lowercase(),
        kind: kind.map(str::to_owned),
        note: note.to_owned(),
        created_at: now_micros(),
        created_by: token_id.to_owned(),
    }
}

/// The rules that let mail go, newest first
#[utoipa::path(
    get, path = "/v1/outbound-allow", operation_id = "listOutboundAllow", tag = "holds",
    params(("inboxId" = Option<String>, Query, description = "Only those that hold for this inbox")),
    responses((status = 200, description = "The rules", body = Rules), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Rules>, Problem> {
    let inbox_id = params.text("inboxId");
    if let Some(inbox_id) = &inbox_id {
        inboxes::active(&reader, &account.id, inbox_id).await?;
    }
    let rules = reader.allowances(&account.id, inbox_id.as_deref()).await?;
    Ok(Json(Rules { data: rules.into_iter().map(Rule::from).collect() }))
}

/// Let mail go to a recipient
///
/// Although there is a reason of this kind to hold it. A mail to several goes if there is a rule for each
/// of them. Canaries hold a mail in any case.
#[utoipa::path(
    post, path = "/v1/outbound-allow", operation_id = "addOutboundAllow", tag = "holds",
    request_body = NewRule,
    responses((status = 200, description = "It holds from now on", body = Rule), Errors)
)]
pub(crate) async fn add(
    Caller(account): Caller,
    TokenId(token_id): TokenId,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Rule>, Problem> {
    let NewRule { recipient, inbox_id, kind, note } = body.json()?;
    let recipient = checked(&recipient)?;
    if let Some(kind) = kind.as_deref().filter(|it| !KINDS.contains(it)) {
        let kinds = KINDS.map(|it| format!("{it:?}")).join(", ");
        return Err(Problem::invalid_request(format!("kind: {kind:?} is none of {kinds}")));
    }
    if note.len() > MAX_NOTE {
        return Err(Problem::invalid_request(format!("note: longer than {MAX_NOTE} octets")));
    }
    if let Some(inbox_id) = &inbox_id {
        inboxes::active(&reader, &account.id, inbox_id).await?;
    }
    let new = allowance(inbox_id.as_deref(), &recipient, kind.as_deref(), &note, &token_id);
    writer.allow(&account.id, std::slice::from_ref(&new)).await?.map_err(Problem::from)?;
    // One for the same was there before, perhaps.
    let rules = reader.allowances(&account.id, inbox_id.as_deref()).await?;
    let same = |it: &Allowance| {
        (&it.inbox_id, &it.recipient, &it.kind) == (&new.inbox_id, &new.recipient, &new.kind)
    };
    let rule = rules.into_iter().find(same).unwrap_or(new);
    tracing::info!(account.id = %account.id, "an account allowed mail");
    Ok(Json(rule.into()))
}

/// Take a rule back
#[utoipa::path(
    delete, path = "/v1/outbound-allow/{ruleId}", operation_id = "removeOutboundAllow", tag = "holds",
    params(("ruleId" = String, Path)),
    responses((status = 200, description = "It holds no more", body = Empty), Errors)
)]
pub(crate) async fn remove(
    Caller(account): Caller,
    Segments(rule_id): Segments<String>,
    State(writer): State<Writer>,
) -> Result<Json<Empty>, Problem> {
    if writer.disallow(&account.id, &rule_id).await? {
        return Ok(Json(Empty {}));
    }
    Err(Problem::not_found(format!("you have no such rule {rule_id:?}")))
}

/// An address or a domain, in lower case.
fn checked(text: &str) -> Result<String, Problem> {
    let address = if text.contains('@') { text.to_owned() } else { format!("a@{text}") };
    let address: Address =
        address.parse().map_err(|err| Problem::invalid_request(format!("recipient: {err}")))?;
    let address = address.to_string().to_lowercase();
    let is_domain = !text.contains('@');
    Ok(address.rsplit_once('@').filter(|_| is_domain).map_or(address.clone(), |it| it.1.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_an_address_or_a_domain() {
        assert_eq!(checked("Ops@Example.net").ok().as_deref(), Some("ops@example.net"));
        assert_eq!(checked("Example.net").ok().as_deref(), Some("example.net"));
        for wrong in ["", "a@", "@x.test", "a b", "x..test"] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }
}
