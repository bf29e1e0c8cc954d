//! Events with a cursor: what happened since, or as soon as something does; as one answer, or as a
//! stream of server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use contract::Grant;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use serde_json::Value;
use service::Traces;
use store::Reader;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    event_cursor::Place,
    gateway::{Gateway, Stop},
    happening::Happening,
    inboxes,
    params::Params,
    problem::{Problem, ProblemBody},
    selection::{Selection, Types},
    tail::{Step, Tail},
    trace::told,
    waiters::Waiter,
};

/// The longest that a request is held.
const LONGEST_SECONDS: u64 = 25;

const DEFAULT_LIMIT: usize = 100;
const MOST_LIMIT: usize = 1_000;

/// So many events are read ahead of a client that streams them.
const PAGE: usize = 64;

/// A comment comes so often where nothing happens, so that nobody on the way takes the connection for
/// dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/events", get(events))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventPage {
    /// Oldest first; each with the `cursor` behind it.
    #[schema(value_type = Vec<ShownEvent>)]
    data: Vec<Value>,
    /// Goes on behind all of them. Newer than the last event's where nothing of what came later fits, so
    /// that it stays good for longer.
    cursor: String,
    /// There is more now: ask again at once.
    has_more: bool,
}

/// Something that happened.
#[derive(ToSchema)]
#[schema(as = ReadEvent, rename_all = "camelCase")]
#[expect(dead_code, reason = "a description: events are passed on as they are stored")]
struct ShownEvent {
    /// The same for every copy of one occurrence.
    #[schema(example = "evt_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    event_id: String,
    /// What happened.
    #[schema(example = "email.received")]
    event: String,
    #[schema(format = DateTime)]
    timestamp: String,
    account_id: String,
    /// Empty if it is about no inbox.
    inbox_id: String,
    /// What it happened to, as REST shows it; an email without its body.
    #[schema(value_type = Object)]
    data: Value,
    /// Goes on behind this event.
    cursor: String,
}

/// What reading events touches.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) reader: Reader,
    pub(crate) tail: Tail,
    pub(crate) traces: Traces,
    pub(crate) stop: Stop,
}

impl FromRef<Gateway> for Events {
    fn from_ref(gateway: &Gateway) -> Events {
        Events {
            reader: Reader::from_ref(gateway),
            tail: Tail::from_ref(gateway),
            traces: Traces::from_ref(gateway),
            stop: Stop::from_ref(gateway),
        }
    }
}

/// Read events, or wait for them
///
/// Everything that happens to the account's mail, inboxes and domains, in the order of its happening.
/// Without `after` only what happens from now on. Answered as soon as there is an event, or with an empty
/// list when the time is over; go on with `cursor` either way. With `Accept: text/event-stream` the
/// answer does not end: server-sent events, whose `id` is the cursor; `Last-Event-ID` counts before
/// `after`.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "listEvents", tag = "events",
    params(
        ("after" = Option<String>, Query,
            description = "A cursor, or \"oldest\" for all that is kept (7 days); from now without"),
        ("types" = Option<String>, Query,
            description = "Names after commas, such as \"email.received,email.sent\"; \"email.*\" for all \
                           that begin so"),
        ("inbox" = Option<String>, Query, description = "Only events of this inbox"),
        ("limit" = Option<u32>, Query, description = "At most 1000; 100 without"),
        ("timeout" = Option<u32>, Query, description = "Seconds to wait; 25 without and at most"),
        ("Last-Event-ID" = Option<String>, Header, description = "A cursor, as browsers repeat it"),
    ),
    responses(
        (status = 200, description = "What happened, oldest first", body = EventPage),
        (status = 410, description = "Events behind the cursor are gone: go on from `oldestCursor`",
            body = ProblemBody),
        Errors
    )
)]
pub(crate) async fn events(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    params: Params,
    headers: HeaderMap,
    State(events): State<Events>,
) -> Result<Response, Problem> {
    let wanted = events.selection(&account.id, grant, &params).await?;
    let is_stream = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|it| it.to_str().is_ok_and(|it| it.contains("text/event-stream")));
    let last = headers.get("last-event-id").and_then(|it| it.to_str().ok()).map(str::to_owned);
    let after = last.filter(|it| !it.is_empty()).or_else(|| params.text("after"));
    // From then on nothing is missed.
    let waiter = events.tail.wait_for(&account.id);
    let place = events.tail.place(after.as_deref()).await?;
    let reading = Reading { events, wanted, place, waiter };
    if is_stream {
        let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
        return Ok(Sse::new(reading.stream()).keep_alive(keep_alive).into_response());
    }
    let limit = limit(&params)?;
    let window = Duration::from_secs(params.seconds("timeout", LONGEST_SECONDS)?);
    let page = reading.page(limit, window).await?;
    Ok(Json(page).into_response())
}

fn limit(params: &Params) -> Result<usize, Problem> {
    let Some(text) = params.text("limit") else { return Ok(DEFAULT_LIMIT) };
    match text.parse::<usize>() {
        Ok(limit) if limit > 0 => Ok(limit.min(MOST_LIMIT)),
        _ => Err(Problem::invalid_request(format!(
            "limit={text:?} is not accepted: give a whole number from 1 to {MOST_LIMIT}"
        ))),
    }
}

impl Events {
    pub(crate) fn told(&self, event: &Happening, door: &'static str) {
        told(&self.traces, event.trace.as_ref(), door);
    }

    /// What the parameters ask for, of this account.
    pub(crate) async fn selection(
        &self,
        account_id: &str,
        grant: Grant,
        params: &Params,
    ) -> Result<Selection, Problem> {
        let types = Types::parse(params.text("types").as_deref())?;
        let inbox = params.text("inbox");
        if let Some(inbox_id) = &inbox
            && (!grant.sees_inbox(inbox_id)
                || self.reader.inbox(account_id, inbox_id).await?.is_none())
        {
            return Err(inboxes::unknown(inbox_id));
        }
        Ok(Selection::new(account_id.to_owned(), inbox, types, grant))
    }
}

/// A client on its way through the events.
struct Reading {
    events: Events,
    wanted: Selection,
    place: Place,
    waiter: Waiter,
}

impl Reading {
    async fn page(mut self, limit: usize, window: Duration) -> Result<EventPage, Problem> {
        let end = Instant::now() + window;
        let mut is_over = false;
        loop {
            let Step { events, place, has_more } =
                self.events.tail.read(&self.wanted, self.place, limit).await?;
            self.place = place;
            if !events.is_empty() || (is_over && !has_more) {
                events.iter().for_each(|it| self.events.told(it, "events"));
                let data = events.iter().map(|it| it.event(place.stream)).collect();
                return Ok(EventPage { data, cursor: place.encode(), has_more });
            }
            if has_more {
                continue;
            }
            tokio::select! {
                () = self.waiter.woken() => (),
                () = sleep_until(end) => is_over = true,
                () = self.events.stop.0.cancelled() => is_over = true,
            }
        }
    }

    /// Goes on until the gateway stops, or what comes next is gone or cannot be had now: then the client
    /// asks again from where it is, and is told.
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let pages = stream::unfold(self, |mut reading| async {
            loop {
                let step = reading.events.tail.read(&reading.wanted, reading.place, PAGE).await;
                let Step { events, place, has_more } = step.ok()?;
                reading.place = place;
                if !events.is_empty() {
                    events.iter().for_each(|it| reading.events.told(it, "event-stream"));
                    let events: Vec<_> =
                        events.iter().map(|it| sent(&it.event(place.stream))).collect();
                    return Some((stream::iter(events), reading));
                }
                if has_more {
                    continue;
                }
                tokio::select! {
                    () = reading.waiter.woken() => (),
                    () = reading.events.stop.0.cancelled() => return None,
                }
            }
        });
        pages.flatten()
    }
}

fn sent(event: &Value) -> Result<Event, Infallible> {
    let field = |name: &str| event[name].as_str().unwrap_or_default();
    Ok(Event::default().id(field("cursor")).event(field("event")).data(event.to_string()))
}
