//! Who asks: the account behind the token of `Authorization: Bearer`.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use store::{Account, Reader, Writer};

use crate::{problem::Problem, time::now_micros, token};

/// An account's last activity is noted once in this time, in microseconds.
const TOUCH_EVERY: i64 = 60 * 1_000_000;

/// The hash of the token that a request comes with, where another door has seen to it that it does.
#[derive(Clone)]
pub(crate) struct KnownToken(pub(crate) String);

/// The account that a request comes from.
pub(crate) struct Caller(pub(crate) Account);

impl<S> FromRequestParts<S> for Caller
where
    S: Sync,
    Reader: FromRef<S>,
    Writer: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Caller, Problem> {
        let hash = token_hash(parts)?;
        let account = Reader::from_ref(state).account_by_token(&hash).await?;
        let account = account.ok_or_else(|| Problem::authentication("the token is not valid"))?;
        touch(&Writer::from_ref(state), &account).await;
        Ok(Caller(account))
    }
}

/// The token that a request comes with, as `posthouse token list` names it. `Caller` says whether it is
/// valid.
pub(crate) struct TokenId(pub(crate) String);

/// So much of its hash names a token.
const TOKEN_ID: usize = 12;

impl<S: Sync> FromRequestParts<S> for TokenId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<TokenId, Problem> {
        let hash = token_hash(parts)?;
        Ok(TokenId(hash.chars().take(TOKEN_ID).collect()))
    }
}

/// Whether it is worth anything, the database says.
fn token_hash(parts: &Parts) -> Result<String, Problem> {
    match parts.extensions.get::<KnownToken>() {
        Some(KnownToken(hash)) => Ok(hash.clone()),
        None => Ok(token::hash(bearer(&parts.headers)?)),
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = "a token is needed: send the field \"Authorization: Bearer <token>\"";
    let field = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    match field.and_then(|it| it.split_once(' ')) {
        // RFC 9110 section 11.1: the scheme's case makes no difference.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            let token = token.trim();
            if token.is_empty() || token.len() > token::MAX_LENGTH {
                return Err(Problem::authentication("the token is not valid"));
            }
            Ok(token)
        }
        _ => Err(Problem::authentication(missing)),
    }
}

/// No request fails because its moment could not be noted.
async fn touch(writer: &Writer, account: &Account) {
    if now_micros() - account.last_active_at < TOUCH_EVERY {
        return;
    }
    if let Err(err) = writer.touch_account(&account.id).await {
        let err = anyhow::Error::from(err);
        tracing::warn!(account.id, "note the account's activity: {err:#}");
    }
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
