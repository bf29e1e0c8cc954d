//! The events of one inbox, one after the other, as far as they are taken.

use bus::Logged;
use store::{Lane, Webhook, WebhookAttempt};
use tokio::time::Instant;

use crate::{
    body::Body,
    caller::{Caller, attempt},
    client::Answer,
    now_micros,
};

/// What is to be done of an inbox in this round.
pub(crate) struct Work {
    pub(crate) inbox_id: String,
    /// Failed attempts at the first event.
    pub(crate) attempts: i64,
    /// In order.
    pub(crate) events: Vec<Logged>,
    /// Where the inbox goes on when all of these are taken; nowhere if there are no more.
    pub(crate) rest: Option<u64>,
}

/// What was done.
pub(crate) struct Outcome {
    pub(crate) inbox_id: String,
    /// What waits now.
    pub(crate) lane: Option<Lane>,
    pub(crate) attempts: Vec<WebhookAttempt>,
    pub(crate) answers: Vec<Answer>,
}

/// Begins no attempt after `deadline`, nor when the process is told to stop.
pub(crate) async fn deliver(
    caller: &Caller,
    webhook: &Webhook,
    work: Work,
    deadline: Instant,
) -> Outcome {
    let Work { inbox_id, mut attempts, events, rest } = work;
    let mut outcome = Outcome { inbox_id, lane: None, attempts: Vec::new(), answers: Vec::new() };
    for event in events {
        if Instant::now() > deadline || caller.stop.is_cancelled() {
            outcome.wait(event.sequence, attempts, now_micros());
            return outcome;
        }
        // Whoever has access to NATS can write there what is none.
        let Some(body) = Body::of(&event.payload, &webhook.id) else { continue };
        let answer = caller.call(webhook, &body, event.trace).await;
        let (failed, now) = (attempts + 1, now_micros());
        let next = match answer.is_success() || answer.status == 410 {
            true => None,
            false => caller.schedule.next(failed, &answer, now),
        };
        let word = match (answer.is_success(), next) {
            (true, _) => "delivered",
            (false, Some(_)) => "failed",
            (false, None) if answer.status == 410 => "failed",
            (false, None) => "given_up",
        };
        caller.metrics.attempted(word, answer.took);
        let mut noted = attempt(&body, event.sequence, failed, word, &answer);
        noted.next_attempt_at = next;
        outcome.attempts.push(noted);
        let is_gone = answer.status == 410;
        outcome.answers.push(answer);
        match next {
            Some(due_at) => {
                outcome.wait(event.sequence, failed, due_at);
                return outcome;
            }
            // It is kept for when its owner enables the webhook again.
            None if is_gone => {
                outcome.wait(event.sequence, 0, now);
                return outcome;
            }
            None => attempts = 0,
        }
    }
    if let Some(sequence) = rest {
        outcome.wait(sequence, 0, now_micros());
    }
    outcome
}

impl Outcome {
    fn wait(&mut self, sequence: u64, attempts: i64, due_at: i64) {
        let inbox_id = self.inbox_id.clone();
        self.lane = Some(Lane { inbox_id, sequence, attempts, due_at });
    }
}
