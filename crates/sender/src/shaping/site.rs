//! Everything that goes to one provider from one pool of addresses: who is there now, the sessions
//! that are kept, and whether there is room for one more mail.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntGauge;
use tokio::sync::Notify;

use super::{
    backlog::Backlog,
    hands::Hand,
    rate::{Meter, Part},
    table::SiteName,
    warm::Portion,
};
use crate::smtp::{Session, Target};

/// An idle session is closed after this. Servers wait for five minutes (RFC 5321 section 4.5.3.2.7),
/// but what lies between forgets connections sooner.
const IDLE: Duration = Duration::from_secs(30);

/// A site that finds a session too many does with fewer for so long.
const CEILING: Duration = Duration::from_secs(10 * 60);

/// What a mail is taken to need until some have been seen, in seconds.
const FIRST_GUESS: f64 = 0.2;

/// The weight of the newest mail in what a mail needs.
const NEWEST: f64 = 0.2;

pub(crate) struct Site {
    pub(crate) name: SiteName,
    state: Mutex<State>,
    /// A slot came free.
    pub(crate) freed: Notify,
    /// Open connections, those being opened included; `None` where there are none.
    connections: Option<IntGauge>,
}

struct State {
    busy: Vec<Busy>,
    /// The one used last stands last.
    idle: Vec<Idle>,
    waiting: u32,
    next_id: u64,
    messages: Meter,
    dials: Meter,
    /// How long a mail occupies a slot, in seconds: a moving average.
    needs: f64,
    backlog: Backlog,
    /// No more than this many connections until then.
    ceiling: Option<(u32, Instant)>,
    portion: Portion,
}

struct Busy {
    id: u64,
    since: Instant,
    /// Where its connection goes, once it has one.
    address: Option<SocketAddr>,
}

struct Idle {
    session: Session,
    since: Instant,
}

/// What this replica may do at a site now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections: u32,
    pub(crate) messages_per_connection: u32,
    pub(crate) messages: Option<Part>,
    pub(crate) dials: Option<Part>,
    /// The pace of all replicas together, for one that has no part of it.
    pub(crate) messages_per_second: f64,
}

/// Why there is no room, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hold {
    pub(crate) reason: &'static str,
    /// To be waited for in any case.
    pub(crate) least: Duration,
    /// Until it is this mail's turn; `None` if nobody can tell.
    pub(crate) turn: Option<Duration>,
    /// How fast mail goes there.
    pub(crate) per_second: f64,
}

/// The right to have one connection to a site, and one mail's turn. Dropping it frees the place, and
/// closes the connection unless it is `settled`.
pub(crate) struct Slot {
    site: Arc<Site>,
    id: u64,
    /// So many mails a session takes.
    limit: u32,
    dials: Option<Part>,
    session: Option<Session>,
    /// The new connection was counted already.
    dial_is_paid: bool,
    is_kept: bool,
    /// `None` if there is no mail, just a session to be closed.
    hand: Option<Hand>,
}

/// One that waits for room.
pub(crate) struct Waiting<'a>(&'a Site);

impl Site {
    pub(crate) fn new(name: SiteName, connections: Option<IntGauge>) -> Site {
        let now = Instant::now();
        let state = State {
            busy: Vec::new(),
            idle: Vec::new(),
            waiting: 0,
            next_id: 0,
            messages: Meter::new(now),
            dials: Meter::new(now),
            needs: FIRST_GUESS,
            backlog: Backlog::default(),
            ceiling: None,
            portion: Portion::default(),
        };
        Site { name, state: Mutex::new(state), freed: Notify::new(), connections }
    }

    /// A place for a mail, if there is room now. Its session, if it has one, is for a target as good
    /// as the first of `targets`, or is there to be closed for a new one.
    pub(crate) fn try_enter(
        self: &Arc<Site>,
        bounds: &Bounds,
        targets: &[&Target],
    ) -> Result<Slot, Hold> {
        let now = Instant::now();
        let mut state = self.lock();
        let connections = state.ceiling(now).min(bounds.connections);
        let bounds = Bounds { connections, ..*bounds };
        let kept = state.look(&bounds, targets, now)?;
        let session = kept.map(|at| state.idle.remove(at).session);
        let serves = session.as_ref().is_some_and(|it| serves(it, targets));
        if let Some(part) = &bounds.messages {
            state.messages.take(part, now);
        }
        if let (false, Some(part)) = (serves, &bounds.dials) {
            state.dials.take(part, now);
        }
        state.portion.take();
        if session.is_none() {
            self.count(1);
        }
        let id = state.occupy(session.as_ref().map(|it| it.target.address), now);
        let site = Arc::clone(self);
        Ok(Slot {
            site,
            id,
            limit: bounds.messages_per_connection,
            dials: bounds.dials,
            session,
            dial_is_paid: !serves,
            is_kept: false,
            hand: None,
        })
    }

    /// How long a mail is put off that is not let in.
    pub(crate) fn put_off(&self, hold: &Hold, chance: f64) -> Duration {
        let mut state = self.lock();
        state.backlog.put_off(Instant::now(), hold.least, hold.per_second, chance)
    }

    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.lock().waiting += 1;
        Waiting(self)
    }

    /// How many mails are here, waiting ones included, and when it is the next one's turn.
    pub(crate) fn in_hand(&self) -> (usize, Duration) {
        let state = self.lock();
        let turn = f64::from(state.waiting + 1) / state.pace();
        (state.busy.len() + state.waiting as usize, Duration::from_secs_f64(turn))
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_at_rest(&self) -> bool {
        let (mut state, now) = (self.lock(), Instant::now());
        state.open() == 0
            && state.waiting == 0
            && state.messages.is_rested(now)
            && state.dials.is_rested(now)
            && state.backlog.is_empty(now)
            && state.ceiling.is_none_or(|(_, until)| until < now)
            && !state.portion.is_in_use()
    }

    /// How many mails a second go there, as things are.
    pub(crate) fn pace(&self) -> f64 {
        self.lock().pace()
    }

    pub(crate) fn portion<T>(&self, work: impl FnOnce(&mut Portion) -> T) -> T {
        work(&mut self.lock().portion)
    }

    /// Takes out the sessions that have been idle for too long, and those above `connections`, to be
    /// closed.
    pub(crate) fn take_surplus(self: &Arc<Site>, connections: u32) -> Vec<Slot> {
        let now = Instant::now();
        let mut state = self.lock();
        let connections = state.ceiling(now).min(connections) as usize;
        let surplus = state.open().saturating_sub(connections).min(state.idle.len());
        let old = state.idle.iter().take_while(|it| it.since.elapsed() >= IDLE).count();
        let taken: Vec<_> = state.idle.drain(..surplus.max(old)).map(|it| it.session).collect();
        let slot = |session: Session| Slot {
            site: Arc::clone(self),
            id: state.occupy(Some(session.target.address), now),
            limit: 0,
            dials: None,
            session: Some(session),
            dial_is_paid: false,
            is_kept: false,
            hand: None,
        };
        taken.into_iter().map(slot).collect()
    }

    fn count(&self, connections: i64) {
        if let Some(gauge) = &self.connections {
            gauge.add(connections);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&self) -> usize {
        self.busy.len() + self.idle.len()
    }

    fn occupy(&mut self, address: Option<SocketAddr>, since: Instant) -> u64 {
        self.next_id += 1;
        self.busy.push(Busy { id: self.next_id, since, address });
        self.next_id
    }

    fn ceiling(&self, now: Instant) -> u32 {
        self.ceiling.filter(|(_, until)| *until > now).map_or(u32::MAX, |it| it.0)
    }

    /// Whether there is room, and which of the idle sessions goes with it.
    fn look(
        &self,
        bounds: &Bounds,
        targets: &[&Target],
        now: Instant,
    ) -> Result<Option<usize>, Hold> {
        let needs = self.needs_at(now);
        let no_part = Hold {
            reason: "share",
            least: Duration::ZERO,
            turn: None,
            per_second: needs.recip().min(bounds.messages_per_second),
        };
        let messages = bounds.messages.as_ref().ok_or(no_part)?;
        if bounds.connections == 0 {
            return Err(no_part);
        }
        self.metered("message rate", &self.messages, messages, now)?;
        if self.busy.len() >= bounds.connections as usize {
            let per_second = f64::from(bounds.connections) / needs;
            let turn = Duration::from_secs_f64(f64::from(self.waiting + 1) / per_second);
            let (reason, least) = ("connections", Duration::ZERO);
            return Err(Hold { reason, least, turn: Some(turn), per_second });
        }
        if let Some(at) = self.idle.iter().rposition(|it| serves(&it.session, targets)) {
            return Ok(Some(at));
        }
        let dials = bounds.dials.as_ref().ok_or(no_part)?;
        self.metered("connection rate", &self.dials, dials, now)?;
        let is_full = self.open() >= bounds.connections as usize;
        Ok(is_full.then_some(0))
    }

    fn pace(&self) -> f64 {
        self.busy.len().max(1) as f64 / self.needs_at(Instant::now())
    }

    fn metered(
        &self,
        reason: &'static str,
        meter: &Meter,
        part: &Part,
        now: Instant,
    ) -> Result<(), Hold> {
        let wait = meter.wait(part, now);
        if wait.is_zero() {
            return Ok(());
        }
        let per_second = part.per_second();
        let turn = wait + Duration::from_secs_f64(f64::from(self.waiting) / per_second);
        Err(Hold { reason, least: wait, turn: Some(turn), per_second })
    }

    /// How long a mail occupies a slot, in seconds. Those that are not done yet say something too: a
    /// server that never answers would else look fast.
    fn needs_at(&self, now: Instant) -> f64 {
        let oldest = self.busy.iter().map(|it| now.saturating_duration_since(it.since)).max();
        // Not nothing: it is divided by.
        self.needs.max(oldest.unwrap_or_default().as_secs_f64()).max(1e-6)
    }
}

fn serves(session: &Session, targets: &[&Target]) -> bool {
    let best = targets.first().map(|it| it.preference);
    let mut equals = targets.iter().take_while(|it| Some(it.preference) == best);
    equals.any(|it| it.is_same(&session.target))
}

impl Slot {
    /// The mail that is here keeps one of the sender's hands busy.
    pub(crate) fn with(self, hand: Hand) -> Slot {
        let mut slot = self;
        slot.hand = Some(hand);
        slot
    }

    pub(crate) fn take_session(&mut self) -> Option<Session> {
        self.session.take()
    }

    pub(crate) fn put_session(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// Whether a new connection may be opened now; then it is counted.
    pub(crate) fn may_dial(&mut self, address: SocketAddr) -> bool {
        let now = Instant::now();
        let mut state = self.site.lock();
        if !std::mem::take(&mut self.dial_is_paid) {
            let Some(part) = &self.dials else { return false };
            if !state.dials.wait(part, now).is_zero() {
                return false;
            }
            state.dials.take(part, now);
        }
        if let Some(busy) = state.busy.iter_mut().find(|it| it.id == self.id) {
            busy.address = Some(address);
        }
        true
    }

    /// The address does not talk to us. If there are other sessions with it, then because this one
    /// was too many: from here on there are fewer for a while. False if there are none.
    pub(crate) fn was_too_many(&self, address: SocketAddr) -> bool {
        let mut state = self.site.lock();
        let busy = state.busy.iter().filter(|it| it.address == Some(address)).count();
        let idle = state.idle.iter().filter(|it| it.session.target.address == address).count();
        let others = (busy + idle).saturating_sub(1);
        if others > 0 {
            let others = u32::try_from(others).unwrap_or(u32::MAX);
            state.ceiling = Some((others, Instant::now() + CEILING));
        }
        others > 0
    }

    /// Frees the place. The session is kept if it is good for another mail, else it is closed first.
    pub(crate) async fn settle(mut self) {
        if let Some(session) = &mut self.session {
            self.is_kept = session.is_reusable(self.limit) && session.reset().await;
        }
        if !self.is_kept {
            self.close().await;
        }
    }

    pub(crate) async fn close(mut self) {
        self.is_kept = false;
        // Until the other side has heard it, the connection is one of those that may be open.
        if let Some(session) = self.session.take() {
            session.quit().await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let session = self.session.take().filter(|_| self.is_kept);
        let mut state = self.site.lock();
        if let Some(at) = state.busy.iter().position(|it| it.id == self.id) {
            let busy = state.busy.remove(at);
            if self.hand.is_some() {
                let needed = now.saturating_duration_since(busy.since).as_secs_f64();
                state.needs = (1.0 - NEWEST) * state.needs + NEWEST * needed;
            }
        }
        match session {
            Some(session) => state.idle.push(Idle { session, since: now }),
            None => self.site.count(-1),
        }
        drop(state);
        self.site.freed.notify_one();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}
