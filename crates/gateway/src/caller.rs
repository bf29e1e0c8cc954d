//! Who asks: the account and the token that `gate` let in.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use contract::Grant;
use store::{Account, Bearer};

use crate::{problem::Problem, revocations::Stay, token};

/// Put into the request by `gate`.
#[derive(Clone)]
pub(crate) struct Admitted {
    pub(crate) bearer: Arc<Bearer>,
    /// Of what may take its time: until when the token counts.
    pub(crate) stay: Option<Arc<Stay>>,
}

/// The hash of the token that a request comes with, where another door has seen to it that it does.
#[derive(Clone)]
pub(crate) struct KnownToken(pub(crate) String);

/// The account that a request comes from.
pub(crate) struct Caller(pub(crate) Account);

/// What its token may do.
pub(crate) struct Allowed(pub(crate) Grant);

/// The token that it comes with, as `posthouse token list` names it.
pub(crate) struct TokenId(pub(crate) String);

/// Until when the token counts.
pub(crate) struct Staying(pub(crate) Arc<Stay>);

/// An operation that `operations` says needs no token must not ask who is there.
fn admitted(parts: &Parts) -> Result<&Admitted, Problem> {
    parts.extensions.get().ok_or_else(|| {
        Problem::internal(anyhow::anyhow!("this operation was let in without a token"))
    })
}

impl<S: Sync> FromRequestParts<S> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Admitted, Problem> {
        admitted(parts).cloned()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        Ok(Caller(admitted(parts)?.bearer.account.clone()))
    }
}

impl<S: Sync> FromRequestParts<S> for Allowed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Allowed, Problem> {
        Ok(Allowed(admitted(parts)?.bearer.token.grant.clone()))
    }
}

impl<S: Sync> FromRequestParts<S> for TokenId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<TokenId, Problem> {
        Ok(TokenId(admitted(parts)?.bearer.token.id().to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Staying {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Staying, Problem> {
        let stay = admitted(parts)?.stay.clone();
        stay.map(Staying).ok_or_else(|| {
            Problem::internal(anyhow::anyhow!("this operation is not one that may take its time"))
        })
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = "a token is needed: send the field \"Authorization: Bearer <token>\"";
    let field = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    match field.and_then(|it| it.split_once(' ')) {
        // RFC 9110 section 11.1: the scheme's case makes no difference.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => checked(token.trim()),
        _ => Err(Problem::authentication(missing)),
    }
}

/// What may be a token, as far as that can be seen without looking it up.
pub(crate) fn checked(token: &str) -> Result<&str, Problem> {
    if token.is_empty() || token.len() > token::MAX_LENGTH {
        return Err(Problem::authentication("the token is not valid"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_token() {
        let token = |field: &str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, field.parse().expect("value"))]);
            bearer(&headers).map(str::to_owned).map_err(|err| err.status.as_u16())
        };
        assert_eq!(token("Bearer lm_sk_live_x"), Ok("lm_sk_live_x".to_owned()));
        assert_eq!(token("bearer  lm_sk_live_x "), Ok("lm_sk_live_x".to_owned()));
        for field in ["", "Bearer", "Bearer ", "Basic dTpw", &format!("Bearer {}", "x".repeat(200))]
        {
            assert_eq!(token(field), Err(401), "{field}");
        }
        assert_eq!(bearer(&HeaderMap::new()).expect_err("refuse").status.as_u16(), 401);
    }
}
