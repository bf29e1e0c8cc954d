//! What the handlers of webhooks touch, and what a webhook may lead to.

use std::net::SocketAddr;

use axum::extract::FromRef;
use bus::{Bus, EventLog};
use outside::{Lookup, LookupError, Target};
use store::{Reader, WebhookSecrets, Writer};

use crate::{event_cursor::Place, gateway::Gateway, problem::Problem};

/// What the handlers touch.
#[derive(Clone)]
pub(crate) struct Door {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) bus: Bus,
    pub(super) secrets: WebhookSecrets,
    pub(super) targets: Targets,
}

impl FromRef<Gateway> for Door {
    fn from_ref(gateway: &Gateway) -> Door {
        Door {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            bus: Bus::from_ref(gateway),
            secrets: WebhookSecrets::from_ref(gateway),
            targets: Targets::from_ref(gateway),
        }
    }
}

/// What a webhook may lead to.
#[derive(Clone)]
pub(crate) struct Targets {
    lookup: Lookup,
    allow_private: bool,
}

impl Targets {
    pub(crate) fn new(servers: &[SocketAddr], allow_private: bool) -> anyhow::Result<Targets> {
        Ok(Targets { lookup: Lookup::new(servers, allow_private)?, allow_private })
    }

    /// posthouse-webhooks looks again at each connection: names change.
    pub(super) async fn check(&self, url: &str) -> Result<String, Problem> {
        let refused = |err: &dyn std::fmt::Display| {
            Problem::unprocessable("invalid_url", format!("url: {err}"))
        };
        let target = Target::parse(url, self.allow_private).map_err(|err| refused(&err))?;
        if let Some(name) = target.name() {
            match self.lookup.addresses(name).await {
                Ok(_) => (),
                Err(err @ LookupError::Unknown(..)) => {
                    return Err(refused(&err).caused_by(err));
                }
                Err(err) => return Err(refused(&err)),
            }
        }
        Ok(target.url().to_string())
    }
}

impl Door {
    pub(super) async fn own(&self, account_id: &str, id: &str) -> Result<store::Webhook, Problem> {
        self.reader.webhook(account_id, id).await?.ok_or_else(|| unknown(id))
    }

    pub(super) fn log(&self) -> EventLog {
        self.bus.event_log()
    }

    /// The end of the stream of events.
    pub(super) async fn now(&self) -> Result<Place, Problem> {
        let bounds = self.log().bounds().await.map_err(unreachable)?;
        Ok(Place { stream: bounds.stream, sequence: bounds.last })
    }
}

pub(super) fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("you have no webhook {id:?}"))
}

pub(super) fn unreachable(err: anyhow::Error) -> Problem {
    Problem::unavailable("NATS cannot be reached now; try again").caused_by(err)
}

pub(super) fn away(err: bus::PublishError) -> Problem {
    unreachable(err.into())
}
