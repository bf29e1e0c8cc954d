//! A round of work on a webhook: what waits and is due, or else what is new.

use std::{collections::BTreeMap, time::Duration};

use bus::{Failure, Logged};
use contract::{EventSubject, event_subject};
use futures_util::{StreamExt as _, stream};
use store::{Lane, Round, Wanted, Webhook};
use tokio::time::Instant;

use crate::{
    caller::Caller,
    failure,
    lane::{self, Outcome, Work},
    now_micros,
};

/// So many inboxes are delivered for at once.
const INBOXES_AT_ONCE: usize = 8;

/// So many that wait are looked at in a round.
const LANES: usize = 16;

/// So many events of one that waits are delivered in a round.
const EVENTS_OF_A_LANE: usize = 32;

/// So many new events are looked at in a round.
const PAGE: usize = 128;

/// No attempt begins later in a round: its results are to be written, and the lease renewed.
const ROUND: Duration = Duration::from_secs(10);

/// In microseconds: longer than a round and the longest attempt together.
pub(crate) const LEASE: i64 = 60 * 1_000_000;

/// What a round came to.
pub(crate) enum Rounded {
    /// There may be more.
    Worked,
    /// There is nothing to do before that moment, of all events up to `seen`.
    Idle { due_at: Option<i64>, seen: u64 },
    /// Nobody is there to take anything before that moment.
    Absent { until: i64 },
    /// The webhook is disabled, or somebody else's now.
    Over,
}

pub(crate) async fn round(
    caller: &Caller,
    webhook: &mut Webhook,
    owner: &str,
) -> Result<Rounded, Failure> {
    let (reader, now) = (&caller.store.reader, now_micros());
    if webhook.progress.resume_at > now {
        return Ok(Rounded::Absent { until: webhook.progress.resume_at });
    }
    // Before anything is read: all up to its end is then looked at.
    let bounds = caller.log.bounds().await?;
    if bounds.stream != webhook.progress.stream {
        caller.store.writer.clear_lanes(&webhook.id).await.map_err(failure)?;
        (webhook.progress.stream, webhook.progress.position) = (bounds.stream, 0);
    }
    let limit = i64::try_from(LANES).unwrap_or(i64::MAX);
    let lanes = reader.lanes(&webhook.id, limit).await.map_err(failure)?;
    let (mut due, mut later): (Vec<Lane>, Vec<Lane>) =
        lanes.into_iter().partition(|it| it.due_at <= now);
    if webhook.progress.resume_at > 0 {
        // Who did not answer is asked with one event, and with nothing new.
        due.append(&mut later);
        due.truncate(1);
    }
    let (work, position) = if due.is_empty() {
        let (work, position) = new(caller, webhook).await?;
        if position == webhook.progress.position {
            return Ok(Rounded::Idle {
                due_at: later.first().map(|it| it.due_at),
                seen: bounds.last,
            });
        }
        (work, position)
    } else {
        (waiting(caller, webhook, due).await?, webhook.progress.position)
    };
    settle(caller, webhook, owner, work, position).await
}

async fn settle(
    caller: &Caller,
    webhook: &mut Webhook,
    owner: &str,
    work: Vec<Work>,
    position: u64,
) -> Result<Rounded, Failure> {
    let deadline = Instant::now() + ROUND;
    let mut outcomes: Vec<Outcome> = stream::iter(work)
        .map(|work| lane::deliver(caller, webhook, work, deadline))
        .buffer_unordered(INBOXES_AT_ONCE)
        .collect()
        .await;
    let now = now_micros();
    let mut round = Round { leased_until: now + LEASE, ..Round::default() };
    round.progress = webhook.progress.clone();
    round.progress.position = position;
    let mut answers = Vec::new();
    for outcome in &mut outcomes {
        answers.append(&mut outcome.answers);
        round.attempts.append(&mut outcome.attempts);
        match outcome.lane.take() {
            Some(lane) => round.lanes.push(lane),
            None => round.done.push(outcome.inbox_id.clone()),
        }
    }
    round.attempts.sort_by(|a, b| a.id.cmp(&b.id));
    caller.schedule.conclude(&webhook.progress, &answers, &mut round, now);
    let settled = caller.store.writer.settle_webhook(&webhook.id, owner, &round).await;
    if !settled.map_err(failure)? {
        return Ok(Rounded::Over);
    }
    if let Some(reason) = round.disabled {
        caller.metrics.disabled(reason);
        return Ok(Rounded::Over);
    }
    webhook.progress = round.progress;
    Ok(Rounded::Worked)
}

/// The events of inboxes that waited for their time.
async fn waiting(caller: &Caller, webhook: &Webhook, due: Vec<Lane>) -> Result<Vec<Work>, Failure> {
    let mut work = Vec::new();
    for lane in due {
        let filters = subjects(webhook, Some(&lane.inbox_id));
        let page =
            caller.log.read(filters, lane.sequence.saturating_sub(1), EVENTS_OF_A_LANE).await?;
        let read_to = page.events.last().map(|it| it.sequence);
        // What is behind the webhook's position comes with its new events.
        let mut events = page.events;
        events.retain(|it| it.sequence <= webhook.progress.position);
        let is_more = page.has_more && read_to.is_some_and(|it| it < webhook.progress.position);
        let rest = read_to.filter(|_| is_more).map(|it| it + 1);
        // The event it failed at may be gone, or be wanted no more.
        let is_same = events.first().is_some_and(|it| it.sequence == lane.sequence);
        let attempts = if is_same { lane.attempts } else { 0 };
        work.push(Work { inbox_id: lane.inbox_id, attempts, events, rest });
    }
    Ok(work)
}

/// The next new events, by inbox, without those of inboxes that wait; and how far that is.
async fn new(caller: &Caller, webhook: &Webhook) -> Result<(Vec<Work>, u64), Failure> {
    let after = webhook.progress.position;
    let page = caller.log.read(subjects(webhook, None), after, PAGE).await?;
    let position = page.events.last().map_or(after, |it| it.sequence);
    let wanted = webhook.wanted();
    let mut inboxes = by_inbox(page.events, &wanted);
    let ids: Vec<String> = inboxes.keys().cloned().collect();
    let waiting = caller.store.reader.waiting_lanes(&webhook.id, &ids).await.map_err(failure)?;
    inboxes.retain(|inbox_id, _| !waiting.contains(inbox_id));
    let work = inboxes.into_iter().map(|(inbox_id, events)| Work {
        inbox_id,
        attempts: 0,
        events,
        rest: None,
    });
    Ok((work.collect(), position))
}

fn by_inbox(events: Vec<Logged>, wanted: &Wanted) -> BTreeMap<String, Vec<Logged>> {
    let mut inboxes: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
    for event in events {
        if let Some(subject) = EventSubject::parse(&event.subject).filter(|it| wanted.wants(it)) {
            inboxes.entry(subject.inbox_id).or_default().push(event);
        }
    }
    inboxes
}

/// The filters of what a webhook wants, of one inbox or of all that it wants.
fn subjects(webhook: &Webhook, inbox_id: Option<&str>) -> Vec<String> {
    let inbox_id = inbox_id.or(webhook.inbox_id.as_deref()).unwrap_or("*");
    match &webhook.events[..] {
        [] => vec![event_subject(&webhook.account_id, inbox_id, ">")],
        events => {
            events.iter().map(|it| event_subject(&webhook.account_id, inbox_id, it)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parted_by_inbox_and_stay_in_order() {
        let logged = |sequence, place: &str| Logged {
            sequence,
            subject: format!("mail.v1.event.{place}"),
            payload: bytes::Bytes::new(),
            trace: None,
        };
        let wanted = Wanted {
            id: "whk_1".to_owned(),
            account_id: "acct_1".to_owned(),
            inbox_id: None,
            events: vec!["email.received".to_owned()],
        };
        let events = vec![
            logged(1, "acct_1.a.email.received"),
            logged(2, "acct_1.b.email.received"),
            logged(3, "acct_1.a.email.received"),
            logged(4, "acct_1.a.email.sent"),
            logged(5, "acct_2.a.email.received"),
        ];
        let parted: Vec<(String, Vec<u64>)> = by_inbox(events, &wanted)
            .into_iter()
            .map(|(inbox, events)| (inbox, events.iter().map(|it| it.sequence).collect()))
            .collect();
        assert_eq!(parted, [("a".to_owned(), vec![1, 3]), ("b".to_owned(), vec![2])]);
    }
}
