//! Canaries: what must never be sent, and is put somewhere to be noticed.

use aws_lc_rs::rand;
use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get},
};
use serde::{Deserialize, Serialize};
use store::{Canary, Reader, Writer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::Caller,
    documentation::{Empty, Errors},
    gateway::{Domains, Gateway},
    octets::Octets,
    params::Segments,
    problem::Problem,
    time::now_micros,
};

const MAX_LABEL: usize = 100;

const MIXED: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/canaries", get(list).post(add))
        .route("/v1/canaries/{canaryId}", delete(remove))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CanaryShown {
    #[schema(example = "cny_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// Where it was put, as the account calls it.
    #[schema(example = "The wiki page about servers")]
    label: String,
    kind: String,
    /// What to put there.
    token: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Mails that were held because of it.
    hits: i64,
    #[schema(format = DateTime)]
    last_hit_at: Option<String>,
}

impl From<Canary> for CanaryShown {
    fn from(it: Canary) -> CanaryShown {
        CanaryShown {
            id: it.id,
            label: it.label,
            kind: it.kind,
            token: it.token,
            created_at: store::rfc3339(it.created_at),
            hits: it.hits,
            last_hit_at: it.last_hit_at.map(store::rfc3339),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Canaries {
    data: Vec<CanaryShown>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewCanary {
    #[schema(max_length = 100)]
    label: String,
    #[serde(default)]
    kind: Kind,
}

/// What it looks like.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CanaryKind)]
pub(crate) enum Kind {
    /// A key of a service for models.
    #[default]
    ApiKey,
    /// An access key of a cloud.
    AwsKey,
    Password,
    /// A mail address on a domain of this service.
    Address,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::ApiKey => "api_key",
            Kind::AwsKey => "aws_key",
            Kind::Password => "password",
            Kind::Address => "address",
        }
    }

    fn token(self, domain: &str) -> Result<String, Problem> {
        Ok(match self {
            Kind::ApiKey => format!("sk-proj-{}", chance(MIXED, 48)?),
            Kind::AwsKey => format!("AKIA{}", chance(BASE32, 16)?),
            Kind::Password => {
                format!("{}-{}-{}!", chance(MIXED, 5)?, chance(MIXED, 5)?, chance(MIXED, 5)?)
            }
            Kind::Address => format!("finance.{}@{domain}", chance(LOWER, 12)?),
        })
    }
}

/// So many of these characters.
fn chance(alphabet: &[u8], count: usize) -> Result<String, Problem> {
    let mut octets = vec![0; count * 4];
    rand::fill(&mut octets).map_err(|_| Problem::internal(anyhow::anyhow!("no random octets")))?;
    let character = |four: &[u8]| {
        let number = four.iter().fold(0_usize, |sum, it| sum << 8 | usize::from(*it));
        char::from(alphabet[number % alphabet.len()])
    };
    Ok(octets.chunks(4).map(character).collect())
}

/// The account's canaries, newest first
#[utoipa::path(
    get, path = "/v1/canaries", operation_id = "listCanaries", tag = "holds",
    responses((status = 200, description = "The canaries", body = Canaries), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    State(reader): State<Reader>,
) -> Result<Json<Canaries>, Problem> {
    let canaries = reader.canaries(&account.id).await?;
    Ok(Json(Canaries { data: canaries.into_iter().map(CanaryShown::from).collect() }))
}

/// Make a canary
///
/// It looks like a secret and is none. Put it where nobody has to send it from: in a mail that an agent can
/// read, in a file. Any mail of the account that has it in it, plain or encoded, is held.
#[utoipa::path(
    post, path = "/v1/canaries", operation_id = "addCanary", tag = "holds",
    request_body = NewCanary,
    responses((status = 200, description = "It is watched for from now on", body = CanaryShown), Errors)
)]
pub(crate) async fn add(
    Caller(account): Caller,
    State(writer): State<Writer>,
    State(Domains(domains)): State<Domains>,
    body: Octets,
) -> Result<Json<CanaryShown>, Problem> {
    let NewCanary { label, kind } = body.json()?;
    if label.trim().is_empty() || label.len() > MAX_LABEL {
        return Err(Problem::invalid_request(format!("label: give 1 to {MAX_LABEL} octets")));
    }
    let domain = domains.first().map_or("example.com", String::as_str);
    let canary = Canary {
        id: format!("cny_{}", Uuid::now_v7().simple()),
        kind: kind.as_str().to_owned(),
        label,
        token: kind.token(domain)?,
        created_at: now_micros(),
        hits: 0,
        last_hit_at: None,
    };
    writer.add_canary(&account.id, &canary).await?.map_err(Problem::from)?;
    Ok(Json(canary.into()))
}

/// Watch for a canary no more
#[utoipa::path(
    delete, path = "/v1/canaries/{canaryId}", operation_id = "removeCanary", tag = "holds",
    params(("canaryId" = String, Path)),
    responses((status = 200, description = "It is forgotten", body = Empty), Errors)
)]
pub(crate) async fn remove(
    Caller(account): Caller,
    Segments(canary_id): Segments<String>,
    State(writer): State<Writer>,
) -> Result<Json<Empty>, Problem> {
    if writer.remove_canary(&account.id, &canary_id).await? {
        return Ok(Json(Empty {}));
    }
    Err(Problem::not_found(format!("you have no canary {canary_id:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_look_the_part_and_differ() {
        for (kind, prefix, length) in [
            (Kind::ApiKey, "sk-proj-", 56),
            (Kind::AwsKey, "AKIA", 20),
            (Kind::Password, "", 18),
            (Kind::Address, "finance.", 27),
        ] {
            let token = || kind.token("x.test").expect("a token");
            let (one, other) = (token(), token());
            assert!(one.starts_with(prefix) && one.len() == length, "{one}");
            assert_ne!(one, other);
        }
    }
}
