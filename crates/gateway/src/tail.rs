//! The newest events in memory, and the older ones from their stream.
//!
//! One gateway follows the stream once, however many clients wait. Each client has a place of its own and
//! asks for what is behind it: from memory where that reaches back far enough, else from the stream. There
//! is no other path, so nothing is missed or repeated between the old and the new, and a slow client
//! costs no memory but its place.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bus::{Bounds, EventLog, Logged};
use prometheus::IntGauge;
use tokio_util::sync::CancellationToken;

use crate::{
    event_cursor::Place,
    happening::Happening,
    problem::Problem,
    selection::Selection,
    waiters::{Waiter, Waiters},
};

/// So many events are kept in memory, of so many octets.
const MOST_EVENTS: usize = 4_096;
const MOST_OCTETS: usize = 16 * 1024 * 1024;

/// Stands for the place before everything that is kept.
const OLDEST: &str = "oldest";

const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Cloning shares it.
#[derive(Clone)]
pub(crate) struct Tail {
    log: EventLog,
    recent: Arc<Mutex<Option<Recent>>>,
    readers: Waiters,
}

struct Recent {
    stream: i64,
    /// Everything behind this is here.
    from: u64,
    last: u64,
    events: VecDeque<Arc<Happening>>,
    octets: usize,
}

/// What is behind a place, as far as it goes.
pub(crate) struct Step {
    pub(crate) events: Vec<Arc<Happening>>,
    /// Where to go on.
    pub(crate) place: Place,
    /// There may be more already, even if `events` is empty.
    pub(crate) has_more: bool,
}

/// What memory knows of a place.
enum Remembered {
    Step(Step),
    /// Nothing; but it has everything behind this, which the stream knows too.
    From(u64),
    Nothing,
}

impl Tail {
    /// The gauge counts those who wait.
    pub(crate) fn new(log: EventLog, gauge: IntGauge) -> Tail {
        Tail { log, recent: Arc::default(), readers: Waiters::new(gauge) }
    }

    /// Woken when the account has a new event. Register first, then read.
    pub(crate) fn wait_for(&self, account_id: &str) -> Waiter {
        self.readers.register(account_id)
    }

    /// The place that a client names, if it can go on from there: "oldest", a cursor, or now.
    pub(crate) async fn place(&self, after: Option<&str>) -> Result<Place, Problem> {
        let given = after.filter(|it| *it != OLDEST).map(decode).transpose()?;
        // Asked each time: the stream may have been made anew, of which memory hears late.
        let bounds = self.log.bounds().await.map_err(away)?;
        if let Some(place) = given.filter(|it| it.stream == bounds.stream && self.reaches(*it)) {
            return Ok(place);
        }
        let place = |sequence| Place { stream: bounds.stream, sequence };
        match (given, after) {
            (Some(place), _) => check(place, bounds).map(|()| place),
            (None, Some(_)) => Ok(place(bounds.first - 1)),
            (None, None) => Ok(place(bounds.last)),
        }
    }

    /// Whether memory has everything behind a place.
    fn reaches(&self, place: Place) -> bool {
        self.lock().as_ref().is_some_and(|recent| {
            recent.stream == place.stream && (recent.from..=recent.last).contains(&place.sequence)
        })
    }

    /// What is wanted of the events behind a place, oldest first.
    pub(crate) async fn read(
        &self,
        wanted: &Selection,
        place: Place,
        most: usize,
    ) -> Result<Step, Problem> {
        let known = match self.remembered(wanted, place, most) {
            Remembered::Step(step) => return Ok(step),
            Remembered::From(known) => known,
            Remembered::Nothing => place.sequence,
        };
        // Rare and large: clients that wait have no room for it.
        Box::pin(self.replay(wanted, place, most, known)).await
    }

    async fn replay(
        &self,
        wanted: &Selection,
        place: Place,
        most: usize,
        known: u64,
    ) -> Result<Step, Problem> {
        let page = self.log.read(wanted.subjects(), place.sequence, most).await.map_err(away)?;
        // Only now: what was read may have been what the stream let go of a moment before.
        check(place, self.log.bounds().await.map_err(away)?)?;
        let read_to = page.events.last().map_or(place.sequence, |it| it.sequence);
        let read_to = if page.has_more { read_to } else { read_to.max(known) };
        let events = page.events.into_iter().filter_map(Happening::of).map(Arc::new);
        Ok(Step {
            events: events.filter(|it| wanted.wants(it)).collect(),
            place: Place { sequence: read_to, ..place },
            has_more: page.has_more || read_to > place.sequence,
        })
    }

    fn remembered(&self, wanted: &Selection, place: Place, most: usize) -> Remembered {
        let recent = self.lock();
        let Some(recent) = recent.as_ref().filter(|it| it.stream == place.stream) else {
            return Remembered::Nothing;
        };
        if place.sequence < recent.from {
            return Remembered::From(recent.from);
        }
        let begin = recent.events.partition_point(|it| it.sequence <= place.sequence);
        let fitting = recent.events.range(begin..).filter(|it| wanted.wants(it));
        let events: Vec<Arc<Happening>> = fitting.take(most).cloned().collect();
        let has_more = events.len() == most;
        let reached = match events.last() {
            Some(last) if has_more => last.sequence,
            _ => recent.last,
        };
        // A client may be ahead of us: it has heard of a newer one elsewhere.
        let place = Place { sequence: reached.max(place.sequence), ..place };
        Remembered::Step(Step { events, place, has_more })
    }

    /// Keeps up with the stream until told to stop.
    pub(crate) async fn follow(&self, stop: &CancellationToken) {
        loop {
            let followed = tokio::select! {
                followed = self.keep_up() => followed,
                () = stop.cancelled() => return,
            };
            if let Err(err) = followed {
                tracing::warn!("follow events: {err:#}");
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_EVERY) => (),
                () = stop.cancelled() => return,
            }
        }
    }

    async fn keep_up(&self) -> anyhow::Result<()> {
        let bounds = self.log.bounds().await?;
        let after = self.begin(bounds);
        let mut events = self.log.follow(after).await?;
        while let Some(event) = events.next().await {
            self.add(event?);
        }
        anyhow::bail!("the server ended it")
    }

    /// Where to follow from: on from the last one, or from now in a stream that is new to us.
    fn begin(&self, bounds: Bounds) -> u64 {
        let mut recent = self.lock();
        match &*recent {
            Some(recent) if recent.stream == bounds.stream && recent.last <= bounds.last => {
                recent.last
            }
            _ => {
                let (stream, last) = (bounds.stream, bounds.last);
                let (events, octets) = (VecDeque::new(), 0);
                *recent = Some(Recent { stream, from: last, last, events, octets });
                drop(recent);
                self.readers.wake_all();
                last
            }
        }
    }

    fn add(&self, event: Logged) {
        let account_id = {
            let mut recent = self.lock();
            let Some(recent) = recent.as_mut() else { return };
            recent.last = event.sequence;
            let subject = event.subject.clone();
            let Some(event) = Happening::of(event) else {
                tracing::warn!(subject, "not an event");
                return;
            };
            let account_id = event.subject.account_id.clone();
            recent.push(event);
            account_id
        };
        self.readers.wake(&account_id);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn push(&mut self, event: Happening) {
        self.octets += event.payload.len();
        self.events.push_back(Arc::new(event));
        while self.events.len() > MOST_EVENTS || self.octets > MOST_OCTETS {
            let Some(oldest) = self.events.pop_front() else { return };
            self.octets -= oldest.payload.len();
            self.from = oldest.sequence;
        }
    }
}

fn decode(text: &str) -> Result<Place, Problem> {
    Place::decode(text).ok_or_else(|| {
        Problem::invalid_request(format!(
            "after={text:?} is no cursor: take one unchanged from an event or an answer, or {OLDEST:?}"
        ))
    })
}

/// Whether the stream still has everything behind a place.
fn check(place: Place, bounds: Bounds) -> Result<(), Problem> {
    let oldest = Place { stream: bounds.stream, sequence: bounds.first - 1 };
    if place.stream != bounds.stream || place.sequence > bounds.last {
        let message = "the cursor is of a stream of events that is gone. What happened before cannot be \
                       told any more: look at the inboxes, and go on from oldestCursor, from \
                       after=oldest, or without a cursor from now";
        return Err(Problem::gone("cursor_unknown", message, oldest.encode()));
    }
    if place.sequence < oldest.sequence {
        let message = "the cursor is older than the oldest event that is kept; some that came after it are \
                       gone. Look at the inboxes, and go on from oldestCursor, from after=oldest, or \
                       without a cursor from now";
        return Err(Problem::gone("cursor_expired", message, oldest.encode()));
    }
    Ok(())
}

fn away(err: anyhow::Error) -> Problem {
    Problem::unavailable("NATS cannot be reached now; your cursor stays good, try again")
        .caused_by(err)
}
