//! The long-poll: a request that is answered when a mail comes.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use contract::Email;
use serde::Serialize;
use service::Traces;
use store::{ArrivalFilter, Reader};
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::{Gateway, Stop},
    inboxes,
    params::{Params, Segments},
    problem::Problem,
    repeats::{Answer, Question, Repeats},
    time::now_micros,
    trace::told,
    waiters::Waiters,
};

/// The longest that a request is held. Clients give up 5 s after what they asked for, and ask for at
/// most this.
const LONGEST_SECONDS: u64 = 25;

/// So many of the mails have their text in the answer, as far as it is not more than `TEXT_LIMIT`
/// in all; clients fetch the rest when they want it.
const TEXTS: usize = 8;
const TEXT_LIMIT: usize = 1024 * 1024;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/inboxes/{inboxId}/emails/poll", get(poll))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Arrivals {
    /// Oldest first; the first ones with `body`.
    data: Vec<Email>,
}

/// What a poll touches.
#[derive(Clone)]
pub(crate) struct Poller {
    reader: Reader,
    waiters: Waiters,
    repeats: Repeats,
    traces: Traces,
    stop: Stop,
}

impl FromRef<Gateway> for Poller {
    fn from_ref(gateway: &Gateway) -> Poller {
        Poller {
            reader: Reader::from_ref(gateway),
            waiters: Waiters::from_ref(gateway),
            repeats: Repeats::from_ref(gateway),
            traces: Traces::from_ref(gateway),
            stop: Stop::from_ref(gateway),
        }
    }
}

/// Wait for mail
///
/// Answered as soon as the inbox has a mail that fits, or with 204 when none came in time. Mails come
/// oldest first: clients take the first that they can use, and one that goes on with that one's
/// `createdAt` as `since` works through what came meanwhile. Newest first would skip it. At most 50 are
/// given, the newest: so a new one always changes the answer, even behind hundreds that the client does
/// not want.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/poll", operation_id = "waitForEmail", tag = "emails",
    params(
        ("inboxId" = String, Path),
        ("timeout" = Option<u32>, Query, description = "Seconds to wait; 25 without and at most"),
        ("since" = Option<String>, Query, format = DateTime,
            description = "Only what could be read after this moment; now without"),
        ("from" = Option<String>, Query, description = "The sender's address, exactly"),
        ("subject" = Option<String>, Query, description = "Part of the subject, exactly"),
    ),
    responses(
        (status = 200, description = "Received mails that fit", body = Arrivals),
        (status = 204, description = "None came: ask again"),
        Errors
    )
)]
pub(crate) async fn poll(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(inbox_id): Segments<String>,
    params: Params,
    State(poller): State<Poller>,
) -> Result<Response, Problem> {
    let window = params.seconds("timeout", LONGEST_SECONDS)?;
    let filter = ArrivalFilter {
        since: params.moment("since")?.unwrap_or_else(now_micros),
        from: params.text("from"),
        subject: params.text("subject"),
        thread_ids: grant.thread_ids,
    };
    let window = Duration::from_secs(window);
    let data = poller.wait(&account.id, &inbox_id, &filter, window).await?;
    Ok(match data {
        Some(data) => Json(Arrivals { data }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

impl Poller {
    /// Looks first, and then whenever something happened, and once more when the window ends: events
    /// are a hint, the database is the truth.
    async fn wait(
        &self,
        account_id: &str,
        inbox_id: &str,
        filter: &ArrivalFilter,
        window: Duration,
    ) -> Result<Option<Vec<Email>>, Problem> {
        let end = tokio::time::Instant::now() + window;
        let mut waiter = self.waiters.register(inbox_id);
        let question = self.repeats.question(account_id, inbox_id, filter);
        let known = self.repeats.recent(question, Instant::now());
        let mut is_over = window.is_zero();
        loop {
            let found = self.look(account_id, inbox_id, filter, question, known).await?;
            if found.is_some() || is_over {
                if found.is_some() {
                    told(&self.traces, waiter.trace().as_ref(), "poll");
                }
                return Ok(found);
            }
            tokio::select! {
                () = waiter.woken() => (),
                () = tokio::time::sleep_until(end) => is_over = true,
                () = self.stop.0.cancelled() => return Ok(None),
            }
        }
    }

    /// The mails that fit, unless there are none or they are those that the client already has.
    async fn look(
        &self,
        account_id: &str,
        inbox_id: &str,
        filter: &ArrivalFilter,
        question: Question,
        known: Option<Answer>,
    ) -> Result<Option<Vec<Email>>, Problem> {
        inboxes::active(&self.reader, account_id, inbox_id).await?;
        let mut found = self.reader.arrivals(account_id, inbox_id, filter).await?;
        let answer = self.repeats.answer(&found);
        if found.is_empty() || known == Some(answer) {
            return Ok(None);
        }
        found.reverse();
        self.load_texts(account_id, inbox_id, &mut found).await?;
        self.repeats.answered(question, answer, Instant::now());
        Ok(Some(found))
    }

    /// Spares clients, who want the text next, a round trip.
    async fn load_texts(
        &self,
        account_id: &str,
        inbox_id: &str,
        emails: &mut [Email],
    ) -> Result<(), Problem> {
        let mut size = 0;
        for email in emails.iter_mut().take(TEXTS) {
            let Some(whole) = self.reader.email(account_id, inbox_id, &email.id).await? else {
                continue;
            };
            size += whole.body.as_ref().map_or(0, String::len);
            if size > TEXT_LIMIT {
                break;
            }
            email.body = whole.body;
        }
        Ok(())
    }
}
