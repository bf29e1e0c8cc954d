//! What agents wait for: making an expectation, holding a request until it is settled, calling it off.
//!
//! The service waits, not the request: what settles an expectation is decided in the transaction that stores
//! the mail, whoever listens.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::StatusCode,
    routing::{get, post},
};
use contract::{Expectation, Grant};
use serde::{Deserialize, Serialize};
use store::{
    ExpectationKind, ExpectationState, Expected, MAX_WAITING, NewExpectation, Reader, Writer,
};
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::{Gateway, Stop},
    inboxes,
    octets::Octets,
    params::{IdempotencyKey, Params, Segments},
    problem::Problem,
    time::{now_micros, parse_rfc3339},
    waiters::Waiters,
};

/// The longest that a request is held.
const LONGEST_SECONDS: u64 = 25;

/// Between two looks of a held request that nobody has woken: another gateway may have called it off.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// As above, when the deadline is over and the end has to be written yet.
const LOOK_SOON: Duration = Duration::from_millis(200);

const DEFAULT_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 7 * 24 * 60 * 60;
const SECOND: i64 = 1_000_000;

/// Longer ones cannot stand on a line (RFC 5322 section 2.1.1).
const LONGEST_ID: usize = 998;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/expect", post(expect))
        .route("/v1/inboxes/{inboxId}/expectations", get(list))
        .route("/v1/expectations/{expectationId}", get(look).delete(cancel))
}

/// What to wait for
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExpectRequest {
    kind: Kind,
    /// The mail that is to be answered: a Message-ID in angle brackets, or the id of an email of this
    /// inbox. Without, `kind` "reply" is any answer to a mail that the inbox has sent.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    in_reply_to: Option<String>,
    /// Only mail whose From is at this domain or below it, and proven to be (DMARC, or an aligned DKIM
    /// signature).
    #[schema(example = "example.com")]
    from_domain: Option<String>,
    /// RFC 3339; at most 7 days from now. Ten minutes from now without it and without `timeoutSeconds`.
    #[schema(format = DateTime)]
    deadline: Option<String>,
    /// Instead of a deadline.
    #[schema(minimum = 1, maximum = 604_800)]
    timeout_seconds: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExpectedKind)]
enum Kind {
    /// An answer that no machine gives.
    Reply,
    /// A one-time code.
    Code,
    /// A link that confirms, logs in, resets or invites.
    Link,
    /// Any mail.
    Any,
}

impl From<Kind> for ExpectationKind {
    fn from(kind: Kind) -> ExpectationKind {
        match kind {
            Kind::Reply => ExpectationKind::Reply,
            Kind::Code => ExpectationKind::Code,
            Kind::Link => ExpectationKind::Link,
            Kind::Any => ExpectationKind::Any,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Expectations {
    data: Vec<Expectation>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What waiting touches.
#[derive(Clone)]
pub(crate) struct Expecter {
    reader: Reader,
    writer: Writer,
    waiters: Waiters,
    stop: Stop,
}

impl FromRef<Gateway> for Expecter {
    fn from_ref(gateway: &Gateway) -> Expecter {
        Expecter {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
            stop: Stop::from_ref(gateway),
        }
    }
}

/// Have the service wait for a mail
///
/// Ends once, as "matched", "ambiguous", "expired" or "cancelled", and the first three are announced as
/// events. Mail that was received before the request never counts, and a code or link is handed out once.
/// With the same `Idempotency-Key` the request can be repeated: it is one expectation.
#[utoipa::path(
    post, path = "/v1/inboxes/{inboxId}/expect", operation_id = "expect", tag = "expectations",
    params(
        ("inboxId" = String, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters; compared within the inbox"),
    ),
    request_body = ExpectRequest,
    responses((status = 201, description = "It waits", body = Expectation), Errors)
)]
pub(crate) async fn expect(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    IdempotencyKey(key): IdempotencyKey,
    State(expecter): State<Expecter>,
    body: Octets,
) -> Result<(StatusCode, Json<Expectation>), Problem> {
    let inbox = inboxes::active(&expecter.reader, &account.id, &inbox_id).await?;
    let request: ExpectRequest = body.json()?;
    let deadline = deadline(&request, now_micros())?;
    let new = NewExpectation {
        kind: request.kind.into(),
        in_reply_to: expecter.answered(&inbox, request.in_reply_to).await?,
        from_domain: request.from_domain.as_deref().map(domain).transpose()?,
        account_id: account.id,
        inbox_id: inbox.id,
        idempotency_key: key.unwrap_or_else(|| Uuid::now_v7().simple().to_string()),
        deadline,
    };
    match expecter.writer.expect(&new).await? {
        Expected::Made(made) if is_other(&made, &new) => Err(Problem::conflict(
            "idempotency_key_reused",
            format!("this key was used before, for another expectation: {}", made.id),
        )),
        Expected::Made(made) => Ok((StatusCode::CREATED, Json(made.shown()))),
        Expected::NoInbox => Err(inboxes::unknown(&inbox_id)),
        Expected::TooMany => Err(Problem::rate_limited(
            format!("{MAX_WAITING} expectations wait in this inbox: cancel some, or wait for them"),
            60,
        )),
    }
}

fn is_other(made: &store::Expectation, new: &NewExpectation) -> bool {
    made.kind != new.kind
        || made.in_reply_to != new.in_reply_to
        || made.from_domain != new.from_domain
}

/// What was expected in an inbox
///
/// The newest first; what was settled is kept for 30 days.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/expectations", operation_id = "listExpectations",
    tag = "expectations",
    params(
        ("inboxId" = String, Path),
        ("state" = Option<String>, Query,
            description = "\"waiting\", \"matched\", \"ambiguous\", \"expired\" or \"cancelled\"; \
                           all without"),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Expectations), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Expectations>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let state = params.choice("state", &ExpectationState::ALL.map(|it| (it.as_str(), it)))?;
    let (limit, cursor) = (params.limit()?, params.text("cursor"));
    let page = reader.expectations(&account.id, &inbox.id, state, limit, cursor.as_deref()).await?;
    let data = page.items.iter().map(store::Expectation::shown).collect();
    Ok(Json(Expectations { data, cursor: page.cursor }))
}

/// An expectation, and what came of it
///
/// With `timeout`, answered when it is settled, and as it is after that time.
#[utoipa::path(
    get, path = "/v1/expectations/{expectationId}", operation_id = "getExpectation",
    tag = "expectations",
    params(
        ("expectationId" = String, Path),
        ("timeout" = Option<u32>, Query, description = "Seconds to wait; 0 without, 25 at most"),
    ),
    responses((status = 200, description = "As it is now", body = Expectation), Errors)
)]
pub(crate) async fn look(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(expectation_id): Segments<String>,
    params: Params,
    State(expecter): State<Expecter>,
) -> Result<Json<Expectation>, Problem> {
    let window = match params.text("timeout") {
        Some(_) => params.seconds("timeout", LONGEST_SECONDS)?,
        None => 0,
    };
    expecter.seen(&account.id, &grant, &expectation_id).await?;
    let window = Duration::from_secs(window);
    let found = expecter.wait(&account.id, &expectation_id, window).await?;
    Ok(Json(found.shown()))
}

/// Stop waiting
///
/// What is settled stays as it is, and is the answer.
#[utoipa::path(
    delete, path = "/v1/expectations/{expectationId}", operation_id = "cancelExpectation",
    tag = "expectations",
    params(("expectationId" = String, Path)),
    responses((status = 200, description = "As it is now", body = Expectation), Errors)
)]
pub(crate) async fn cancel(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(expectation_id): Segments<String>,
    State(expecter): State<Expecter>,
) -> Result<Json<Expectation>, Problem> {
    expecter.seen(&account.id, &grant, &expectation_id).await?;
    let found = expecter.writer.cancel_expectation(&account.id, &expectation_id).await?;
    let found = found.ok_or_else(|| unknown(&expectation_id))?;
    expecter.waiters.wake(&found.inbox_id);
    Ok(Json(found.shown()))
}

fn unknown(expectation_id: &str) -> Problem {
    Problem::not_found(format!("you have no expectation {expectation_id:?}"))
}

impl Expecter {
    async fn find(
        &self,
        account_id: &str,
        expectation_id: &str,
    ) -> Result<store::Expectation, Problem> {
        let found = self.reader.expectation(account_id, expectation_id).await?;
        found.ok_or_else(|| unknown(expectation_id))
    }

    /// What is expected in an inbox is for who sees all of it.
    async fn seen(
        &self,
        account_id: &str,
        grant: &Grant,
        expectation_id: &str,
    ) -> Result<(), Problem> {
        let found = self.find(account_id, expectation_id).await?;
        match grant.sees_all_of(&found.inbox_id) {
            true => Ok(()),
            false => Err(unknown(expectation_id)),
        }
    }

    /// The Message-ID of what is to be answered, without angle brackets.
    async fn answered(
        &self,
        inbox: &store::Inbox,
        in_reply_to: Option<String>,
    ) -> Result<Option<String>, Problem> {
        let Some(named) = in_reply_to else { return Ok(None) };
        if named.contains('@') {
            return message_id(&named).map(Some);
        }
        let email = self.reader.email(&inbox.account_id, &inbox.id, &named).await?;
        let email = email.ok_or_else(|| {
            Problem::not_found(format!("inReplyTo: there is no email {named:?} in this inbox"))
        })?;
        let Some(id) = email.message_id else {
            let message = format!("inReplyTo: email {named} has no Message-ID to be answered by");
            return Err(Problem::unprocessable("invalid_request", message));
        };
        Ok(Some(mail::bare_id(&id).to_owned()))
    }

    /// Looks first, and then whenever mail came into the inbox: what settles an expectation is there by then.
    async fn wait(
        &self,
        account_id: &str,
        expectation_id: &str,
        window: Duration,
    ) -> Result<store::Expectation, Problem> {
        let end = Instant::now() + window;
        let mut found = self.find(account_id, expectation_id).await?;
        if found.is_settled() || window.is_zero() {
            return Ok(found);
        }
        let mut waiter = self.waiters.register(&found.inbox_id);
        loop {
            found = self.find(account_id, expectation_id).await?;
            if found.is_settled() || Instant::now() >= end {
                return Ok(found);
            }
            let next = Instant::now() + pause(found.deadline, now_micros());
            tokio::select! {
                () = waiter.woken() => (),
                () = sleep_until(next.min(end)) => (),
                () = self.stop.0.cancelled() => return Ok(found),
            }
        }
    }
}

/// Until a request that nobody wakes looks again.
fn pause(deadline: i64, now: i64) -> Duration {
    let left = u64::try_from(deadline - now).unwrap_or_default();
    Duration::from_micros(left).clamp(LOOK_SOON, LOOK_EVERY)
}

fn message_id(text: &str) -> Result<String, Problem> {
    let id = mail::bare_id(text);
    let is_sound = |it: char| !it.is_whitespace() && !it.is_control() && !matches!(it, '<' | '>');
    if id.len() > LONGEST_ID || !id.chars().all(is_sound) {
        let message = format!("inReplyTo: {text:?} is neither a Message-ID nor the id of an email");
        return Err(Problem::invalid_request(message));
    }
    Ok(id.to_owned())
}

fn domain(text: &str) -> Result<String, Problem> {
    if text.contains('@') {
        let message = format!("fromDomain: {text:?} is an address: give the domain");
        return Err(Problem::invalid_request(message));
    }
    store::sender_entry(text).map_err(|err| Problem::invalid_request(format!("fromDomain: {err}")))
}

fn deadline(request: &ExpectRequest, now: i64) -> Result<i64, Problem> {
    let refuse = |message: String| Err(Problem::invalid_request(message));
    match (&request.deadline, request.timeout_seconds) {
        (Some(_), Some(_)) => refuse("give deadline or timeoutSeconds, not both".to_owned()),
        (None, None) => Ok(now + DEFAULT_SECONDS * SECOND),
        (None, Some(seconds @ 1..=MOST_SECONDS)) => Ok(now + seconds * SECOND),
        (None, Some(other)) => refuse(format!(
            "timeoutSeconds: {other} is not a whole number from 1 to {MOST_SECONDS}"
        )),
        (Some(text), None) => match parse_rfc3339(text) {
            Some(at) if at > now && at <= now + MOST_SECONDS * SECOND => Ok(at),
            Some(_) => refuse(format!("deadline: {text} is not within the next 7 days")),
            None => refuse(format!("deadline: {text:?} is not an RFC 3339 time")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_within_a_week() {
        let now = 1_000 * SECOND;
        let read = |rest: &str| {
            let request = format!(r#"{{"kind":"code"{rest}}}"#);
            let request: ExpectRequest = serde_json::from_str(&request).expect("a request");
            deadline(&request, now).map_err(|it| it.message)
        };
        assert_eq!(read(""), Ok(now + 600 * SECOND));
        assert_eq!(read(r#","timeoutSeconds":604800"#), Ok(now + MOST_SECONDS * SECOND));
        assert_eq!(read(r#","deadline":"1970-01-01T00:20:00Z""#), Ok(1_200 * SECOND));
        let refused = |rest: &str, why: &str| {
            let message = read(rest).expect_err(rest);
            assert!(message.contains(why), "{message}");
        };
        refused(r#","timeoutSeconds":0"#, "from 1 to 604800");
        refused(r#","timeoutSeconds":604801"#, "from 1 to 604800");
        refused(r#","deadline":"1970-01-01T00:10:00Z""#, "within the next 7 days");
        refused(r#","deadline":"1970-01-09T00:20:00Z""#, "within the next 7 days");
        refused(r#","deadline":"soon""#, "RFC 3339");
        refused(r#","deadline":"1970-01-01T00:20:00Z","timeoutSeconds":5"#, "not both");
    }

    #[test]
    fn a_domain_is_none_that_everybody_is_under() {
        assert_eq!(domain("Example.COM").map_err(|it| it.message), Ok("example.com".to_owned()));
        for text in ["com", "co.uk", "a@example.com", "a b", ""] {
            assert_eq!(domain(text).expect_err(text).status.as_u16(), 400, "{text}");
        }
    }

    #[test]
    fn a_message_id_has_no_blanks() {
        assert_eq!(message_id("<a@b>").map_err(|it| it.message), Ok("a@b".to_owned()));
        for text in ["<a b@c>", "a@b> <c@d", "a@b\u{0}", &format!("{}@b", "a".repeat(1_000))] {
            assert_eq!(message_id(text).expect_err(text).status.as_u16(), 400, "{text}");
        }
    }

    #[test]
    fn a_held_request_looks_again_when_time_is_over() {
        assert_eq!(pause(2 * SECOND, 0), Duration::from_secs(2));
        assert_eq!(pause(60 * SECOND, 0), LOOK_EVERY);
        assert_eq!(pause(0, SECOND), LOOK_SOON);
    }
}
