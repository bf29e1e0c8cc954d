//! Events as they happen, for those who are listening; the stream has them for everybody else.

use contract::Event;

use crate::Bus;

/// A live subscription to every event. It mends itself; what happened while NATS was away is missed.
pub struct Feed {
    subscriber: async_nats::Subscriber,
}

impl Bus {
    pub async fn feed(&self) -> anyhow::Result<Feed> {
        unimplemented!()
    }
}

impl Feed {
    /// The next event; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Event> {
        unimplemented!()
    }
}
