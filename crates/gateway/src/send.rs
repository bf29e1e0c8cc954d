//! Sending: a request is checked, published where agents on NATS publish theirs, and answered once
//! the ledger has it.

mod lease;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::post,
};
use bus::Bus;
use bytes::Bytes;
use contract::{HoldReason, Rejection, SendRequest, submission_id};
use mail::{Address, Timing};
use serde::Serialize;
use store::{Account, Bearer, Inbox, LedgerEntry, Reader, Token, Writer, request_digest};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::ToSchema;
use uuid::Uuid;

use self::lease::is_under_its_lease;
use crate::{
    caller::Admitted,
    documentation::Errors,
    gateway::Gateway,
    octets::{Octets, json},
    params::{IdempotencyKey, PublicUrl},
    precheck::{Prechecks, Wishes},
    problem::Problem,
    threads,
    tier::Tiers,
    time::{now_micros, seconds_to_midnight},
    trace::about,
    waiters::Waiters,
};

/// So long an answer waits for the ledger, so that the email can be read when its id is known. The
/// request is safe by then; without an entry in time it is answered all the same.
const LEDGER_WAIT: Duration = Duration::from_secs(1);

/// So long an answer to a dry run waits for what the scanner and the ledger say.
const REHEARSAL_WAIT: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/emails/send", post(send))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Answer {
    Sent(Sent),
    Valid(Valid),
}

/// The answer to `validateOnly`: the request would be accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Valid {
    #[schema(example = "valid")]
    status: &'static str,
    /// Whom the mail would go to, each once.
    recipients: Vec<String>,
    /// When it would go; absent for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    send_at: Option<String>,
    /// Why it would wait for somebody's approval; absent if it would not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_because: Vec<HoldReason>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    /// Of the email.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    /// "queued", or "scheduled" with `sendAt`; also for a repeated request: it gets the first one's
    /// answer. "held" if somebody has to approve it, "declined" if somebody said no. What else became of
    /// it since is on the email.
    #[schema(example = "queued")]
    status: String,
    /// The key was used before, for a mail of other words. This is that mail; the new words were not
    /// sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    body_differs: bool,
}

/// What sending touches.
#[derive(Clone)]
pub(crate) struct Submitter {
    reader: Reader,
    writer: Writer,
    bus: Bus,
    waiters: Waiters,
    tiers: Tiers,
    prechecks: Prechecks,
}

impl FromRef<Gateway> for Submitter {
    fn from_ref(gateway: &Gateway) -> Submitter {
        Submitter {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            bus: Bus::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
            tiers: Tiers::from_ref(gateway),
            prechecks: Prechecks {
                reader: Reader::from_ref(gateway),
                uploads: Bus::from_ref(gateway).uploads(),
                public_url: PublicUrl::from_ref(gateway),
            },
        }
    }
}

/// Send an email
///
/// With the same `Idempotency-Key`, a request can be repeated as often as it takes: one mail goes out,
/// and every answer is that of the first. With `validateOnly`, everything is checked and nothing is
/// kept or sent.
#[utoipa::path(
    post, path = "/v1/emails/send", operation_id = "sendEmail", tag = "emails",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters; compared within the inbox")),
    request_body = SendRequest,
    responses((status = 200, description = "Accepted", body = Answer), Errors)
)]
pub(crate) async fn send(
    Admitted { bearer, .. }: Admitted,
    IdempotencyKey(key): IdempotencyKey,
    State(submitter): State<Submitter>,
    body: Octets,
) -> Result<Json<Answer>, Problem> {
    submitter.check_tier(&bearer.account)?;
    let octets = body.octets.clone();
    // Large ones take long to decode: not on the threads that serve everybody.
    let request = tokio::task::spawn_blocking(move || read(&octets)).await;
    let request = request.map_err(Problem::internal)??;
    let inbox = submitter.inbox(&bearer, &request.from).await?;
    submitter.send(&bearer, &inbox, key, &request, body.octets.clone()).await
}

fn read(octets: &[u8]) -> Result<Request, Problem> {
    let request: SendRequest = json(octets)?;
    Request::of(&request)
}

/// What the gateway itself has to know of a request that is well-formed.
pub(crate) struct Request {
    from: String,
    thread_id: String,
    digest: String,
    validate_only: bool,
    recipients: Vec<String>,
    /// Later than now.
    send_at: Option<i64>,
    /// On the received mail that this one deals with.
    lease_id: Option<String>,
    wishes: Wishes,
}

impl Request {
    pub(crate) fn of(request: &SendRequest) -> Result<Request, Problem> {
        let now = now_micros();
        mail::check(request, now)?;
        let recipients = mail::forward_paths(request)?;
        Ok(Request {
            wishes: Wishes::of(request, &recipients),
            from: request.from.clone(),
            thread_id: request.thread_id.clone(),
            digest: request_digest(Some(request), &[]),
            validate_only: request.validate_only,
            recipients,
            send_at: Timing::of(request, now).send_at,
            lease_id: Some(request.lease_id.clone()).filter(|it| !it.is_empty()),
        })
    }

    /// What becomes of it at first.
    fn status(&self) -> &'static str {
        if self.send_at.is_some() { "scheduled" } else { "queued" }
    }

    fn valid(&self) -> Valid {
        let send_at = self.send_at.map(store::rfc3339);
        let recipients = self.recipients.clone();
        Valid { status: "valid", recipients, send_at, held_because: Vec::new() }
    }
}

impl Submitter {
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn check_tier(&self, account: &Account) -> Result<(), Problem> {
        if self.tiers.of(account.tier).can_send() {
            return Ok(());
        }
        let message = "this account can only receive: POST /v1/verify/{provider} unlocks sending";
        Err(Problem::insufficient_tier(message))
    }

    /// Hands a request on, as JSON, unless its key was used before.
    pub(crate) async fn send(
        &self,
        bearer: &Bearer,
        inbox: &Inbox,
        key: Option<String>,
        request: &Request,
        octets: Bytes,
    ) -> Result<Json<Answer>, Problem> {
        let Bearer { account, token } = bearer;
        // A lease is good for one mail, so it is a key.
        let key = key.or_else(|| request.lease_id.clone());
        let key = key.unwrap_or_else(|| Uuid::now_v7().simple().to_string());
        let first = self.reader.ledger_entry(&inbox.id, &key).await?;
        self.check_lease(inbox, request, first.as_ref()).await?;
        if let Some(first) = first {
            let answered = answer(first, request.status(), &request.digest);
            return self.with_room(token, answered).await;
        }
        if let Some(refusal) = self.reader.standing(inbox).await?.refusal(&inbox.id) {
            return Err(refusal.into());
        }
        self.check_thread(inbox, &request.thread_id).await?;
        self.check_token(token, inbox, request).await?;
        self.prechecks.check(inbox, &request.wishes).await?;
        self.check_day(account).await?;
        if request.validate_only {
            return self.rehearse(token, inbox, &key, request, octets).await;
        }
        self.submit(token, inbox, &key, request, octets).await
    }

    /// What would hold the mail, only the scanner and the ledger know.
    async fn rehearse(
        &self,
        token: &Token,
        inbox: &Inbox,
        key: &str,
        request: &Request,
        octets: Bytes,
    ) -> Result<Json<Answer>, Problem> {
        let mut rehearsal = self.waiters.rehearse(&submission_id(&inbox.id, key));
        let token_id = held_to(token);
        self.bus.submit(&token.account_id, &inbox.id, token_id, key, octets).await?;
        let said = timeout(REHEARSAL_WAIT, rehearsal.said()).await.ok().flatten();
        let said = said.ok_or_else(|| {
            Problem::unavailable("the request is well-formed, but it was not checked in time")
        })?;
        if let Some(error) = said.error {
            return Err(Rejection { code: error.code, message: error.message }.into());
        }
        let held_because = said.hold.map(|it| it.reasons).unwrap_or_default();
        Ok(Json(Answer::Valid(Valid { held_because, ..request.valid() })))
    }

    async fn inbox(&self, bearer: &Bearer, from: &str) -> Result<Inbox, Problem> {
        let address: Address = from.parse().map_err(|err| {
            Problem::unprocessable(
                "invalid_sender",
                format!("from: {err}: give an inbox's address"),
            )
        })?;
        let inbox = self.reader.inbox_by_address(&address.canonical()).await?;
        inbox
            .filter(|it| it.account_id == bearer.account.id)
            .filter(|it| bearer.token.grant.sees_inbox(&it.id))
            .ok_or_else(|| Problem::not_found(format!("from: you have no inbox {from:?}")))
    }

    async fn check_thread(&self, inbox: &Inbox, thread_id: &str) -> Result<(), Problem> {
        if thread_id.is_empty() || self.reader.ancestry(&inbox.id, thread_id).await?.is_some() {
            return Ok(());
        }
        Err(threads::unknown(thread_id))
    }

    /// What the ledger asks of a token, as far as it can be said at once.
    async fn check_token(
        &self,
        token: &Token,
        inbox: &Inbox,
        request: &Request,
    ) -> Result<(), Problem> {
        let grant = &token.grant;
        if grant.sends_freely() {
            return Ok(());
        }
        let (thread_id, inbox_id) = (&request.thread_id, &inbox.id);
        if !thread_id.is_empty()
            && let Some(present) = self.reader.present_thread(inbox_id, thread_id).await?
            && !grant.sees(inbox_id, Some(&present))
        {
            return Err(threads::unknown(thread_id));
        }
        if let Some(stranger) = request.recipients.iter().find(|it| !grant.limits.allow(it)) {
            let message = format!("your token may not send to {stranger:?}");
            return Err(Rejection { code: store::TOKEN_RECIPIENT.to_owned(), message }.into());
        }
        match self.reader.over_limit(token).await? {
            Some((rejection, free_at)) => {
                Err(Problem::from(rejection).later(free_at.map(seconds_until)))
            }
            None => Ok(()),
        }
    }

    /// What the ledger refuses because of a token's limit says when there is room again, like what is
    /// refused here. Its key is used up.
    async fn with_room(
        &self,
        token: &Token,
        answered: Result<Json<Answer>, Problem>,
    ) -> Result<Json<Answer>, Problem> {
        let Err(problem) = answered else { return answered };
        if problem.code != store::TOKEN_LIMIT {
            return Err(problem);
        }
        let free_at = match self.reader.over_limit(token).await? {
            Some((_, free_at)) => free_at,
            None => Some(now_micros()),
        };
        let message = format!("{}. Take another Idempotency-Key then", problem.message);
        Err(Problem { message, ..problem }.later(free_at.map(seconds_until)))
    }

    async fn check_day(&self, account: &Account) -> Result<(), Problem> {
        let most = self.tiers.of(account.tier).daily_email_limit;
        if self.reader.accepted_today(&account.id).await? < most {
            return Ok(());
        }
        let message = format!("this account may send {most} mails a day (UTC), and has");
        Err(Problem::rate_limited(message, seconds_to_midnight(now_micros())))
    }

    async fn submit(
        &self,
        token: &Token,
        inbox: &Inbox,
        key: &str,
        request: &Request,
        octets: Bytes,
    ) -> Result<Json<Answer>, Problem> {
        let id = submission_id(&inbox.id, key);
        about(&id);
        self.pin_lease(inbox, request).await?;
        let mut waiter = self.waiters.register(&id);
        let token_id = held_to(token);
        self.bus.submit(&token.account_id, &inbox.id, token_id, key, octets).await?;
        // What the ledger says of the token is to be heard in the answer, if that is possible at all.
        let patience = if token_id.is_some() { REHEARSAL_WAIT } else { LEDGER_WAIT };
        let end = Instant::now() + patience;
        loop {
            let is_over = timeout_at(end, waiter.woken()).await.is_err();
            // First: what is accepted under a lease is in the ledger when the lease has ended.
            let lost = self.ended_lease(inbox, request).await;
            // From here on the request is safe: whatever the database says, it will be sent.
            match (self.reader.ledger_entry(&inbox.id, key).await, lost) {
                (Ok(entry), Some(lost)) if !is_under_its_lease(entry.as_ref(), request) => {
                    return Err(lost.into());
                }
                (Ok(Some(entry)), _) => {
                    let answered = answer(entry, request.status(), &request.digest);
                    return self.with_room(token, answered).await;
                }
                (Ok(None), _) if !is_over => (),
                (Ok(None) | Err(_), _) => {
                    let status = request.status().to_owned();
                    return Ok(Json(Answer::Sent(Sent { id, status, body_differs: false })));
                }
            }
        }
    }
}

/// Rounded up: who waits so long does not come too early.
fn seconds_until(moment: i64) -> u64 {
    (moment - now_micros()).max(0).unsigned_abs() / 1_000_000 + 1
}

/// The token that the ledger has to ask, named in the subject.
fn held_to(token: &Token) -> Option<&str> {
    Some(token.id()).filter(|_| !token.grant.sends_freely())
}

/// `digest` is that of the request that is answered.
fn answer(entry: LedgerEntry, status: &str, digest: &str) -> Result<Json<Answer>, Problem> {
    let body_differs = entry.request_digest != digest;
    match entry.rejection {
        Some(mut rejection) => {
            if body_differs {
                let message = &rejection.message;
                rejection.message =
                    format!("this key was used before, for other words, and refused: {message}");
            }
            Err(rejection.into())
        }
        None => {
            // What waits for a limit goes by itself.
            let status = match entry.hold.as_deref() {
                Some("waiting") => "held",
                Some("declined") => "declined",
                _ => status,
            };
            let status = status.to_owned();
            let id = entry.email_id;
            Ok(Json(Answer::Sent(Sent { id, status, body_differs })))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rejection: Option<contract::Rejection>) -> LedgerEntry {
        LedgerEntry {
            email_id: "eml_1".to_owned(),
            account_id: "acct_1".to_owned(),
            inbox_id: "ibx_1".to_owned(),
            idempotency_key: "k".to_owned(),
            request_digest: "d".to_owned(),
            status: "bounced".to_owned(),
            rejection,
            requested_at: 0,
            hold: None,
            lease_id: None,
        }
    }

    #[track_caller]
    fn sent(answer: Result<Json<Answer>, Problem>) -> Sent {
        match answer.expect("an answer").0 {
            Answer::Sent(sent) => sent,
            Answer::Valid(valid) => panic!("{valid:?}"),
        }
    }

    #[test]
    fn a_repeat_gets_the_firsts_result() {
        let sent = |digest| self::sent(answer(entry(None), "queued", digest));
        let same = sent("d");
        assert_eq!((&*same.id, &*same.status, same.body_differs), ("eml_1", "queued", false));
        assert!(sent("another").body_differs);
        for (hold, status) in
            [("waiting", "held"), ("declined", "declined"), ("approved", "scheduled")]
        {
            let held = LedgerEntry { hold: Some(hold.to_owned()), ..entry(None) };
            assert_eq!(self::sent(answer(held, "scheduled", "d")).status, status);
        }
        let rejection =
            contract::Rejection { code: "invalid_recipient".to_owned(), message: "to".to_owned() };
        let other = answer(entry(Some(rejection.clone())), "queued", "another");
        let message = other.expect_err("rejected").message;
        assert!(message.ends_with("for other words, and refused: to"), "{message}");
        let problem = answer(entry(Some(rejection)), "queued", "d").expect_err("rejected");
        assert_eq!((problem.status.as_u16(), &*problem.code), (422, "invalid_recipient"));
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let problem = read(br#"{"from":"a@b.test","bdoy":{}}"#).err().expect("refuse");
        assert_eq!(problem.status.as_u16(), 400);
        assert!(problem.message.contains("bdoy"), "{}", problem.message);
    }
}
