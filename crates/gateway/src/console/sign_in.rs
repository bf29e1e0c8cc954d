//! Signing in with a token, of an account or of an operator, and out.

use std::time::Instant;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use contract::Right;
use maud::{Markup, html};

use super::{
    Shared,
    failure::Failure,
    form::Form,
    html,
    session::{self, Perhaps, Session, Who},
};
use crate::{caller, params::Params, signups::ClientAddress, token};

pub(super) async fn begin(session: Session) -> Redirect {
    match session.who {
        Who::Account(_) => Redirect::to("/console/inboxes"),
        Who::Operator(_) => Redirect::to("/console/pipeline"),
    }
}

pub(super) async fn form(Perhaps(session): Perhaps, params: Params) -> Response {
    let next = params.text("next").unwrap_or_default();
    if session.is_some() {
        return Redirect::to(own(&next)).into_response();
    }
    page(&next, None).into_response()
}

pub(super) async fn sign_in(
    State(console): State<Shared>,
    ClientAddress(client): ClientAddress,
    form: Form,
) -> Result<Response, Failure> {
    if let Err(problem) = console.sign_ins.admit(client, Instant::now()) {
        let message = "Too many sign-ins came from your address. Wait a minute.";
        return Err(Failure::Refused {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: message.to_owned(),
            request_id: None,
            wait: problem.retry_after,
        });
    }
    let next = form.text("next").to_owned();
    let refused = |why| (StatusCode::FORBIDDEN, page(&next, Some(why))).into_response();
    let Ok(token) = caller::checked(form.text("token")) else {
        return Ok(refused("That is no token."));
    };
    let hash = token::hash(token);
    let is_operator = match console.reader.bearer(&hash).await? {
        Some(bearer) => {
            let grant = &bearer.token.grant;
            if !grant.allows(Right::Read) && !grant.allows(Right::Admin) {
                return Ok(refused("This token may neither read nor administer."));
            }
            tracing::info!(account.id = bearer.account.id, "signed in at the console");
            false
        }
        None => {
            let Some(operator) = console.reader.operator_token(&hash).await? else {
                return Ok(refused("This token is not valid: it may be revoked, or expired."));
            };
            tracing::info!(operator = operator.id(), "signed in at the console");
            true
        }
    };
    let cookie = session::open(&console, hash, is_operator).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(own(&next))).into_response())
}

pub(super) async fn sign_out(
    State(console): State<Shared>,
    session: Session,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    session.check(&form)?;
    let cookie = session::close(&console, &headers).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/console/sign-in")).into_response())
}

/// Only to pages of the console, whatever the link says.
fn own(next: &str) -> &str {
    let is_plain = next.bytes().all(|it| it.is_ascii_graphic() && it != b'\\');
    if is_plain && next.starts_with("/console/") { next } else { "/console" }
}

fn page(next: &str, why: Option<&str>) -> Markup {
    html::bare(
        "Sign in",
        html! {
            h1 { "Sign in" }
            p.lead { "With a token of your account, or with an operator’s." }
            form.card.stack method="post" action="/console/sign-in" {
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input #token type="password" name="token" autocomplete="current-password"
                    required autofocus spellcheck="false" autocapitalize="off"
                    aria-describedby=[why.map(|_| "why")] aria-invalid=[why.map(|_| "true")];
                @if let Some(why) = why { p #why .problem role="alert" { (why) } }
                button.primary type="submit" { "Sign in" }
            }
            p.quiet {
                "A token that may " code { "admin" } " decides; one that may only " code { "read" }
                " looks on. You are signed out after twelve hours, and when the token is revoked."
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_to_own_pages_only() {
        assert_eq!(own("/console/emails/eml_1?view=html"), "/console/emails/eml_1?view=html");
        let foreign =
            ["", "//evil.test", "https://evil.test", "/console\\x", "/v1/x", "/console/\r\nX: y"];
        for foreign in foreign {
            assert_eq!(own(foreign), "/console", "{foreign}");
        }
    }
}
