//! The ports that are served.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use tokio::net::{TcpListener, TcpStream};

use crate::Config;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    /// Mail from the world for the inboxes here.
    World,
    /// Mail of the inboxes here for the world, with STARTTLS and AUTH (RFC 6409).
    Submission,
    /// The same, with TLS from the first octet (RFC 8314 section 3.3).
    Submissions,
}

impl Door {
    pub(crate) fn is_submission(self) -> bool {
        self != Door::World
    }

    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Door::World => "mail from the world",
            Door::Submission => "submission with STARTTLS",
            Door::Submissions => "submission with TLS",
        }
    }
}

/// The listeners of a server, each with what it is for.
pub struct Listeners {
    listeners: Vec<(Door, TcpListener)>,
    /// Which is asked first: each in its turn, so that none can keep the others waiting.
    first: usize,
}

impl Listeners {
    pub fn new(listeners: Vec<(Door, TcpListener)>) -> Listeners {
        Listeners { listeners, first: 0 }
    }

    /// Those that are configured.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Listeners> {
        let mut listeners = vec![(Door::World, service::listen(config.listen, "listen").await?)];
        for (door, address, key) in [
            (Door::Submission, config.submission, "submission"),
            (Door::Submissions, config.submissions, "submissions"),
        ] {
            if let Some(address) = address {
                listeners.push((door, service::listen(address, key).await?));
            }
        }
        Ok(Listeners::new(listeners))
    }

    pub(crate) fn addresses(&self) -> io::Result<Vec<(Door, SocketAddr)>> {
        self.listeners.iter().map(|(door, it)| Ok((*door, it.local_addr()?))).collect()
    }

    /// The next connection on any of them.
    pub(crate) async fn accept(&mut self) -> (Door, io::Result<(TcpStream, SocketAddr)>) {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(Door, io::Result<(TcpStream, SocketAddr)>)> {
        let count = self.listeners.len();
        for n in 0..count {
            let at = (self.first + n) % count;
            let (door, listener) = &self.listeners[at];
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                self.first = (at + 1) % count;
                return Poll::Ready((*door, accepted));
            }
        }
        Poll::Pending
    }
}
