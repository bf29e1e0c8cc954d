//! One host is offered one letter: over a session that is there, or over a new one.

use crate::{
    metrics::Metrics,
    reply::Outcome,
    shaping::{Shaping, Slot},
    smtp::{Cause, Client, Letter, Refusal, Session, Target},
};

pub(crate) struct Visitor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) shaping: &'a Shaping,
    pub(crate) metrics: &'a Metrics,
}

/// What came of offering a letter to a host.
pub(crate) struct Attempted {
    /// In the order of the recipients.
    pub(crate) outcomes: Vec<Outcome>,
    /// The TLS version; empty without TLS.
    pub(crate) tls: &'static str,
    /// The outcomes are the host's own words.
    pub(crate) answered: bool,
}

impl Visitor<'_> {
    /// `None` if that takes a new connection and the site may not have one now.
    pub(crate) async fn visit(
        &self,
        slot: &mut Slot,
        target: &Target,
        letter: &Letter,
        recipients: &[String],
    ) -> Option<Attempted> {
        if let Some(session) = slot.take_session() {
            let reused = self.reuse(session, slot, target, letter, recipients).await;
            if reused.is_some() {
                return reused;
            }
        }
        if !slot.may_dial(target.address) {
            return None;
        }
        match self.client.open(target).await {
            Ok(session) => {
                self.shaping.route_works(target).await;
                self.metrics.session("new");
                Some(transact(session, slot, letter, recipients).await)
            }
            Err(refusal) => Some(self.refused(refusal, slot, target, recipients).await),
        }
    }

    /// `None` if the session is for another host, or was gone. That is nobody's failure: every server
    /// closes what is idle in the end, and the mail has not been offered.
    async fn reuse(
        &self,
        mut session: Session,
        slot: &mut Slot,
        target: &Target,
        letter: &Letter,
        recipients: &[String],
    ) -> Option<Attempted> {
        if !session.target.is_same(target) {
            session.quit().await;
            return None;
        }
        if session.is_quiet() {
            let (tls, outcomes) = (session.tls, session.transact(letter, recipients).await);
            if !session.was_stale {
                slot.put_session(session);
                self.shaping.route_works(target).await;
                self.metrics.session("reused");
                return Some(Attempted { outcomes, tls, answered: true });
            }
        }
        self.metrics.session("stale");
        None
    }

    async fn refused(
        &self,
        refusal: Refusal,
        slot: &Slot,
        target: &Target,
        recipients: &[String],
    ) -> Attempted {
        let was_too_many = refusal.answered && slot.was_too_many(target.address);
        if refusal.cause == Cause::Down && !was_too_many {
            self.shaping.route_failed(target, &refusal.outcome).await;
        }
        let outcomes = vec![refusal.outcome; recipients.len()];
        Attempted { outcomes, tls: "", answered: refusal.answered }
    }
}

async fn transact(
    mut session: Session,
    slot: &mut Slot,
    letter: &Letter,
    recipients: &[String],
) -> Attempted {
    let (tls, outcomes) = (session.tls, session.transact(letter, recipients).await);
    slot.put_session(session);
    Attempted { outcomes, tls, answered: true }
}
