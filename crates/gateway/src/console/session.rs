//! Who is signed in.
//!
//! The browser has a random cookie; the database has its SHA-256, beside the SHA-256 of the token that was
//! signed in with. So any gateway knows the session, a copy of the database opens none, signing out ends it
//! everywhere, and it ends with its token, which is looked up for every page.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
};
use contract::Right;
use store::{Bearer, ConsoleSession, OperatorToken};

use super::{Console, Shared, failure::Failure, form::Form};
use crate::{problem::Problem, time::now_micros, token};

/// Then he has to sign in again.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Browsers take a cookie of this name only over HTTPS, for this host and all of it, and from nobody else.
const SECURE_NAME: &str = "__Host-posthouse-console";
const PLAIN_NAME: &str = "posthouse-console";

/// By which name he reached this API: links in its answers begin with that.
const PASSED_ON: [HeaderName; 2] = [header::HOST, HeaderName::from_static("x-forwarded-proto")];

pub(super) enum Who {
    Account(Box<Bearer>),
    Operator(OperatorToken),
}

/// Somebody who is signed in, and where he is.
pub(super) struct Session {
    pub(super) console: Arc<Console>,
    pub(super) who: Who,
    /// What the session's forms carry. Foreign pages cannot know it.
    pub(super) csrf: String,
    pub(super) path: String,
    pub(super) fields: HeaderMap,
}

impl Session {
    async fn find(console: &Shared, parts: &Parts) -> Result<Option<Session>, Failure> {
        let Some(secret) = cookie(console, &parts.headers) else { return Ok(None) };
        let session = console.reader.console_session(&token::hash(secret)).await?;
        let Some(session) = session else { return Ok(None) };
        let who = match session.is_operator {
            true => console.reader.operator_token(&session.token_hash).await?.map(Who::Operator),
            false => console
                .reader
                .bearer(&session.token_hash)
                .await?
                .map(|it| Who::Account(Box::new(it))),
        };
        let fields = PASSED_ON.into_iter().filter_map(|name| {
            let value = parts.headers.get(&name)?.clone();
            Some((name, value))
        });
        Ok(who.map(|who| Session {
            console: Arc::clone(console),
            who,
            csrf: csrf(secret),
            path: parts.uri.path_and_query().map_or("/console", |it| it.as_str()).to_owned(),
            fields: fields.collect(),
        }))
    }

    /// He may decide; without the right he looks on.
    pub(super) fn is_admin(&self) -> bool {
        matches!(&self.who, Who::Account(it) if it.token.grant.allows(Right::Admin))
    }

    /// He sees all of the account, and what is about all of it.
    pub(super) fn sees_account(&self) -> bool {
        matches!(&self.who, Who::Account(it) if !it.token.grant.is_narrowed()) && self.is_admin()
    }

    /// That a page of this session sent the form.
    pub(super) fn check(&self, form: &Form) -> Result<(), Failure> {
        let sent = form.text("csrf").as_bytes();
        let is_own = aws_lc_rs::constant_time::verify_slices_are_equal(sent, self.csrf.as_bytes());
        is_own.map_err(|_| {
            Failure::forbidden("This form is of another session. Nothing was done: open it again.")
        })
    }
}

impl FromRequestParts<Shared> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Shared) -> Result<Session, Failure> {
        let session = Session::find(console, parts).await?;
        session.ok_or_else(|| {
            let is_page = parts.method == Method::GET;
            let next = parts.uri.path_and_query().filter(|_| is_page);
            Failure::SignIn { next: next.map_or("/console", |it| it.as_str()).to_owned() }
        })
    }
}

/// Whoever is signed in, if anybody is.
pub(super) struct Perhaps(pub(super) Option<Session>);

impl FromRequestParts<Shared> for Perhaps {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Shared) -> Result<Perhaps, Failure> {
        Session::find(console, parts).await.map(Perhaps)
    }
}

/// Whoever runs the service.
pub(super) struct Operator(pub(super) Session);

impl FromRequestParts<Shared> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Shared) -> Result<Operator, Failure> {
        let session = Session::from_request_parts(parts, console).await?;
        match session.who {
            Who::Operator(_) => Ok(Operator(session)),
            Who::Account(_) => Err(Failure::forbidden(
                "This page is for those who run the service: sign in with an operator's token.",
            )),
        }
    }
}

/// Begins a session; returns its cookie.
pub(super) async fn open(
    console: &Console,
    token_hash: String,
    is_operator: bool,
) -> Result<HeaderValue, Failure> {
    let secret = token::random().map_err(Problem::internal)?;
    let lifetime = i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX);
    let session = ConsoleSession {
        hash: token::hash(&secret),
        token_hash,
        is_operator,
        expires_at: now_micros().saturating_add(lifetime),
    };
    console.writer.open_console_session(&session).await?;
    set_cookie(console, &secret, LIFETIME.as_secs())
}

/// Ends it everywhere; returns what takes the cookie away.
pub(super) async fn close(console: &Console, headers: &HeaderMap) -> Result<HeaderValue, Failure> {
    if let Some(secret) = cookie(console, headers) {
        console.writer.close_console_session(&token::hash(secret)).await?;
    }
    set_cookie(console, "", 0)
}

fn set_cookie(console: &Console, secret: &str, seconds: u64) -> Result<HeaderValue, Failure> {
    let (name, secure) =
        if console.is_secure { (SECURE_NAME, "; Secure") } else { (PLAIN_NAME, "") };
    let cookie =
        format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    Ok(HeaderValue::try_from(cookie).map_err(Problem::internal)?)
}

fn cookie<'a>(console: &Console, headers: &'a HeaderMap) -> Option<&'a str> {
    let wanted = if console.is_secure { SECURE_NAME } else { PLAIN_NAME };
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = fields.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    let value = pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value);
    value.filter(|it| !it.is_empty() && it.len() <= token::MAX_LENGTH)
}

fn csrf(secret: &str) -> String {
    token::hash(&format!("a form of {secret}"))
}
