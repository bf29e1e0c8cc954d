//! Requests that wait for something to happen to an inbox or an email, and the feed that wakes them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bus::{Bus, Feed, Told};
use contract::Email;
use opentelemetry::trace::SpanContext;
use prometheus::IntGauge;
use tokio::{
    sync::{oneshot, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

/// How often everybody looks for themselves while events do not come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where in a trace that stands which woke somebody last.
type Trace = Option<SpanContext>;

/// Who waits for what. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Waiters {
    waiting: Arc<Mutex<HashMap<String, watch::Sender<Trace>>>>,
    rehearsals: Arc<Mutex<HashMap<String, oneshot::Sender<Email>>>>,
    gauge: IntGauge,
}

/// What who waits for work of an inbox waits for.
pub(crate) fn work_of(inbox_id: &str) -> String {
    format!("work/{inbox_id}")
}

/// Waits for one inbox or email, named by its identifier. Dropping it is leaving, as when the client
/// closes the connection.
pub(crate) struct Waiter {
    id: String,
    receiver: watch::Receiver<Trace>,
    waiters: Waiters,
}

/// Waits for what is said of a dry run, of which the database knows nothing. Dropping it is leaving.
pub(crate) struct Rehearsal {
    id: String,
    receiver: oneshot::Receiver<Email>,
    waiters: Waiters,
}

impl Rehearsal {
    /// `None` if somebody else asked with the same key meanwhile.
    pub(crate) async fn said(&mut self) -> Option<Email> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.receiver.close();
        let mut rehearsals = self.waiters.rehearsals.lock().unwrap_or_else(PoisonError::into_inner);
        // The place may be somebody else's by now.
        if rehearsals.get(&self.id).is_some_and(oneshot::Sender::is_closed) {
            rehearsals.remove(&self.id);
        }
    }
}

impl Waiters {
    /// The gauge counts those who wait.
    pub(crate) fn new(gauge: IntGauge) -> Waiters {
        Waiters { waiting: Arc::default(), rehearsals: Arc::default(), gauge }
    }

    /// From when this returns, nothing is missed: register first, then look.
    pub(crate) fn register(&self, id: &str) -> Waiter {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = waiting.entry(id.to_owned()).or_insert_with(|| watch::Sender::new(None));
        self.gauge.inc();
        Waiter { id: id.to_owned(), receiver: sender.subscribe(), waiters: self.clone() }
    }

    /// For the dry run of the mail with this identifier; register first, then ask.
    pub(crate) fn rehearse(&self, id: &str) -> Rehearsal {
        let (sender, receiver) = oneshot::channel();
        let mut rehearsals = self.rehearsals.lock().unwrap_or_else(PoisonError::into_inner);
        rehearsals.insert(id.to_owned(), sender);
        Rehearsal { id: id.to_owned(), receiver, waiters: self.clone() }
    }

    fn say(&self, email: &Email) {
        let mut rehearsals = self.rehearsals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = rehearsals.remove(&email.id) {
            // Who has left wants no answer.
            _ = sender.send(email.clone());
        }
    }

    pub(crate) fn wake(&self, id: &str) {
        self.wake_by(id, None);
    }

    /// As `wake`, by something that stands there in a trace.
    pub(crate) fn wake_by(&self, id: &str, trace: Trace) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(id) {
            sender.send_replace(trace);
        }
    }

    pub(crate) fn wake_all(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in waiting.values() {
            sender.send_replace(None);
        }
    }

    fn wake_for(&self, told: &Told) {
        let email = || told.event()?.data;
        let inbox_id = &told.subject.inbox_id;
        let wake = |id: &str| self.wake_by(id, told.trace.clone());
        match told.subject.event.as_str() {
            "email.received" => {
                wake(inbox_id);
                wake(&work_of(inbox_id));
            }
            "email.set_aside" => wake(&work_of(inbox_id)),
            "email.queued" | "email.rejected" | "email.sent" | "email.deferred"
            | "email.released" | "email.refused" => {
                if let Some(email) = email() {
                    wake(&email.id);
                    self.say(&email);
                }
                if told.subject.event == "email.queued" {
                    // It may have been sent under a lease, which is over then.
                    wake(&work_of(inbox_id));
                }
            }
            "email.validated" => email().iter().for_each(|it| self.say(it)),
            _ => (),
        }
    }

    /// Wakes as events come, until shutdown. While NATS is away, and once after it is back, everybody
    /// is woken every second: what happened meanwhile is in the database and nowhere else.
    pub(crate) async fn follow(&self, bus: &Bus, shutdown: &CancellationToken) {
        loop {
            match bus.feed().await {
                Ok(feed) => self.listen(feed, bus, shutdown).await,
                Err(err) => tracing::warn!("subscribe to events: {err:#}"),
            }
            self.wake_all();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => (),
            }
        }
    }

    async fn listen(&self, mut feed: Feed, bus: &Bus, shutdown: &CancellationToken) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_connected = true;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = feed.next() => match event {
                    Some(told) => self.wake_for(&told),
                    None => return,
                },
                _ = tick.tick() => {
                    let is_connected = bus.is_connected();
                    if !is_connected || !was_connected {
                        self.wake_all();
                    }
                    was_connected = is_connected;
                }
            }
        }
    }
}

impl Waiter {
    /// Returns when something happened since it was registered or last woken.
    pub(crate) async fn woken(&mut self) {
        // The sender lives in the map as long as this waiter does.
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn trace(&self) -> Trace {
        self.receiver.borrow().clone()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.gauge.dec();
        let mut waiting = self.waiters.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = waiting.get(&self.id).is_some_and(|it| it.receiver_count() == 1);
        if is_last {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn waiters() -> Waiters {
        Waiters::new(IntGauge::new("mail_gateway_waiters", "Requests held.").expect("gauge"))
    }

    #[tokio::test]
    async fn what_happens_after_registering_is_not_missed() {
        let waiters = waiters();
        let mut waiter = waiters.register("ibx_1");
        assert!(waiter.woken().now_or_never().is_none());
        waiters.wake("ibx_2");
        assert!(waiter.woken().now_or_never().is_none());
        waiters.wake("ibx_1");
        assert!(waiter.woken().now_or_never().is_some());
        assert!(waiter.woken().now_or_never().is_none(), "once is once");
    }

    #[tokio::test]
    async fn a_dry_run_is_answered_once_and_leaves_nothing() {
        let waiters = waiters();
        let email = |id: &str| Email { id: id.to_owned(), ..Email::default() };
        let mut rehearsal = waiters.rehearse("eml_1");
        waiters.say(&email("eml_2"));
        assert!(rehearsal.said().now_or_never().is_none());
        waiters.say(&email("eml_1"));
        assert_eq!(rehearsal.said().await.map(|it| it.id).as_deref(), Some("eml_1"));
        let mut first = waiters.rehearse("eml_1");
        let second = waiters.rehearse("eml_1");
        assert_eq!(first.said().await, None, "somebody else has its place");
        drop(first);
        assert_eq!(waiters.rehearsals.lock().expect("lock").len(), 1);
        drop(second);
        assert!(waiters.rehearsals.lock().expect("lock").is_empty());
    }

    #[tokio::test]
    async fn everybody_who_waits_is_woken() {
        let waiters = waiters();
        let (mut one, mut other) = (waiters.register("ibx_1"), waiters.register("ibx_1"));
        waiters.wake("ibx_1");
        assert!(one.woken().now_or_never().is_some());
        assert!(other.woken().now_or_never().is_some());
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let waiters = waiters();
        let (one, other) = (waiters.register("ibx_1"), waiters.register("ibx_1"));
        assert_eq!(waiters.gauge.get(), 2);
        drop(one);
        assert_eq!(waiters.waiting.lock().expect("lock").len(), 1);
        drop(other);
        assert_eq!(waiters.gauge.get(), 0);
        assert!(waiters.waiting.lock().expect("lock").is_empty());
    }

    #[tokio::test]
    async fn an_event_wakes_those_it_concerns() {
        let waiters = waiters();
        let told = |event: &str| {
            let payload = format!(r#"{{"event":"{event}","data":{{"id":"eml_1"}}}}"#);
            let subject = format!("mail.v1.event.acct_1.ibx_1.{event}");
            Told::new(&subject, payload.into(), None).expect("an event")
        };
        let (mut inbox, mut email) = (waiters.register("ibx_1"), waiters.register("eml_1"));
        let mut worker = waiters.register(&work_of("ibx_1"));
        for (event, wakes) in [
            ("email.queued", [false, true, true]),
            ("email.sent", [false, true, false]),
            ("email.set_aside", [false, false, true]),
            ("email.received", [true, false, true]),
        ] {
            waiters.wake_for(&told(event));
            let woken = [&mut inbox, &mut email, &mut worker].map(|it| it.woken().now_or_never());
            assert_eq!(woken.map(|it| it.is_some()), wakes, "{event}");
        }
    }
}
