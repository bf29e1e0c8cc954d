//! Mail on its way in: straight through if nothing speaks against it, else into the queue.

use std::collections::BTreeMap;

use contract::{Rejection, SubmissionAccepted};
use prost::Message as _;
use sqlx::AnyConnection;

use super::{
    Queue, Usage, load,
    recipients::{NotNow, Strangers},
};
use crate::{
    Error, Limit, LimitPolicy, RATE_LIMITED,
    allowance::{self, Held},
    dialect::Dialect,
    sql,
};

/// So much of an inbox may be under way before its mail takes turns with that of others.
const MOST_AT_ONCE: i64 = 64;

/// As much of it while the sender has enough to do as it is.
const MOST_IN_A_CROWD: i64 = 2;

/// So much under way is a crowd.
const CROWD: i64 = 256;

/// Further ahead nobody counts.
const MOST_COUNTED: i64 = 10_000;

/// An inbox that begins to wait is served before those that have been for a while, in microseconds.
const HEAD_START: i64 = 10_000_000;

/// What a mail is held for that somebody has to approve.
const APPROVAL: &str = "approval";

/// A mail that enters.
pub(in crate::writer) struct Outgoing<'a> {
    pub(in crate::writer) email_id: &'a str,
    pub(in crate::writer) inbox_id: &'a str,
    pub(in crate::writer) handover: &'a SubmissionAccepted,
    /// 0 for at once.
    pub(in crate::writer) send_at: i64,
    /// Its place among the mails of its inbox.
    pub(in crate::writer) position: i64,
    /// Somebody has to approve it first.
    pub(in crate::writer) is_held: bool,
}

/// What is to become of a mail.
enum Plan {
    Enters {
        state: &'static str,
        due_at: i64,
        new_recipients: Option<i64>,
        held: Option<Held>,
    },
    /// It is not looked at before somebody has approved it.
    AwaitsApproval {
        due_at: i64,
    },
    /// No day's limit of new recipients would ever let it pass.
    Refused {
        most: i64,
    },
}

/// What the mail itself says of it.
pub(in crate::writer) enum Decision {
    Enters { status: &'static str, held: Option<Limit> },
    Refused(Rejection),
}

impl Plan {
    fn decision(&self, now: i64) -> Decision {
        match self {
            Plan::Enters { held: Some(held), .. } => {
                Decision::Enters { status: "held", held: Some(held.limit) }
            }
            Plan::Enters { due_at, .. } => {
                let status = if *due_at > now { "scheduled" } else { "queued" };
                Decision::Enters { status, held: None }
            }
            Plan::AwaitsApproval { .. } => Decision::Enters { status: "held", held: None },
            Plan::Refused { most } => {
                let reason = Limit::NewRecipients.explain(*most);
                let message = format!("the mail has more new recipients than that: {reason}");
                Decision::Refused(Rejection { code: RATE_LIMITED.to_owned(), message })
            }
        }
    }
}

/// What is to become of mails, and the queues they enter.
pub(in crate::writer) struct Entering {
    /// One for each mail, in their order.
    plans: Vec<Plan>,
    queues: Vec<(Queue, Usage)>,
}

impl Entering {
    /// One for each mail, in their order.
    pub(in crate::writer) fn decisions(&self, now: i64) -> impl Iterator<Item = Decision> {
        self.plans.iter().map(move |it| it.decision(now))
    }
}

/// Decides for each mail, in their order, and keeps whom the inboxes write to.
pub(in crate::writer) async fn plan(
    connection: &mut AnyConnection,
    dialect: Dialect,
    policy: &LimitPolicy,
    mails: &[Outgoing<'_>],
    now: i64,
) -> Result<Entering, Error> {
    let mut by_inbox: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, mail) in mails.iter().enumerate() {
        by_inbox.entry(mail.inbox_id).or_default().push(n);
    }
    let inbox_ids: Vec<String> = by_inbox.keys().map(|it| (*it).to_owned()).collect();
    let at_once = if is_crowded(connection).await? { MOST_IN_A_CROWD } else { MOST_AT_ONCE };
    let mut plans: BTreeMap<usize, Plan> = BTreeMap::new();
    let mut queues = Vec::new();
    for queue in load(connection, dialect, policy, &inbox_ids).await? {
        let usage = queue.usage(connection, policy, now).await?;
        let places = by_inbox.remove(queue.inbox_id.as_str()).unwrap_or_default();
        let of_inbox = places.iter().map(|n| &mails[*n]);
        let addresses = of_inbox.clone().flat_map(|it| &it.handover.forward_paths);
        let mut entrance = Entrance {
            strangers: Strangers::load(connection, &queue, addresses, now).await?,
            ahead: ahead(connection, &queue, &usage, now).await?,
            usage,
            at_once: if queue.is_suspended { 0 } else { at_once },
            now,
        };
        let planned: Vec<Plan> = of_inbox.map(|it| entrance.admit(it)).collect();
        entrance.strangers.save(connection, &queue.inbox_id, now).await?;
        plans.extend(places.into_iter().zip(planned));
        queues.push((queue, entrance.usage));
    }
    if plans.len() != mails.len() {
        return Err(Error::NoInbox);
    }
    Ok(Entering { plans: plans.into_values().collect(), queues })
}

/// What the mails of an inbox meet.
struct Entrance {
    strangers: Strangers,
    usage: Usage,
    /// Mails that wait and are due.
    ahead: i64,
    at_once: i64,
    now: i64,
}

impl Entrance {
    fn admit(&mut self, mail: &Outgoing<'_>) -> Plan {
        let now = self.now;
        if mail.is_held {
            return Plan::AwaitsApproval { due_at: mail.send_at.max(now) };
        }
        let waiting = |due_at, new_recipients, held| Plan::Enters {
            state: "waiting",
            due_at,
            new_recipients,
            held,
        };
        if mail.send_at > now {
            return waiting(mail.send_at, None, None);
        }
        let recipients = &mail.handover.forward_paths;
        let new_recipients = match self.strangers.admit(mail.email_id, recipients, now) {
            Ok(count) => Some(count),
            Err(NotNow::Later(held)) => return waiting(held.until, None, Some(held)),
            Err(NotNow::Never { most }) => return Plan::Refused { most },
        };
        let usage = &mut self.usage;
        if self.ahead == 0 && usage.room() > 0 && usage.outstanding < self.at_once {
            usage.release(1);
            return Plan::Enters { state: "released", due_at: now, new_recipients, held: None };
        }
        let held = allowance::held(&usage.windows, self.ahead, now);
        self.ahead += 1;
        waiting(now, new_recipients, held)
    }
}

async fn is_crowded(connection: &mut AnyConnection) -> Result<bool, Error> {
    let statement = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox \
                     WHERE state IN ('releasing', 'released') LIMIT $1) AS t";
    let outstanding: i64 = sqlx::query_scalar(statement)
        .bind(CROWD)
        .fetch_one(connection)
        .await
        .map_err(Error::query("count all mails under way"))?;
    Ok(outstanding >= CROWD)
}

/// How many mails of an inbox wait that are due. Without limits it matters only whether any does.
async fn ahead(
    connection: &mut AnyConnection,
    queue: &Queue,
    usage: &Usage,
    now: i64,
) -> Result<i64, Error> {
    if queue.next_release.is_none() {
        return Ok(0);
    }
    let statement = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE inbox_id = $1 \
                     AND state = 'waiting' AND due_at <= $2 LIMIT $3) AS t";
    sqlx::query_scalar(statement)
        .bind(queue.inbox_id.clone())
        .bind(now)
        .bind(if usage.windows.is_empty() { 1 } else { MOST_COUNTED })
        .fetch_one(connection)
        .await
        .map_err(Error::query("count waiting mails"))
}

/// Inserts mails as planned, and gives their inboxes their turns.
pub(in crate::writer) async fn insert(
    connection: &mut AnyConnection,
    policy: &LimitPolicy,
    entering: Entering,
    mails: &[Outgoing<'_>],
    now: i64,
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO outbox (email_id, inbox_id, state, due_at, position, expires_at, handover, \
             new_recipients, held_reason, held_until, released_at, announce) {rows}"
        )
    };
    let rows: Vec<Row<'_>> = mails.iter().zip(&entering.plans).filter_map(row).collect();
    sql::insert(connection, &rows, 12, statement, |query, row| {
        let held_reason = row.held_reason.clone();
        query
            .bind(row.mail.email_id.to_owned())
            .bind(row.mail.inbox_id.to_owned())
            .bind(row.state)
            .bind(row.due_at)
            .bind(row.mail.position)
            .bind(row.mail.handover.expires_at_micros)
            .bind(row.mail.handover.encode_to_vec())
            .bind(row.new_recipients)
            .bind(held_reason)
            .bind(row.held_until)
            .bind((row.state == "released").then_some(now))
            // The ledger announces what it enters.
            .bind("")
    })
    .await
    .map_err(Error::query("fill the outbox"))?;
    for (queue, usage) in entering.queues {
        let usage = queue.refresh(connection, policy, usage, now).await?;
        let turn = queue.next_release.filter(|it| *it <= now).unwrap_or(now - HEAD_START);
        queue.reschedule(connection, &usage, turn, now).await?;
    }
    Ok(())
}

/// A row of `outbox`.
struct Row<'a> {
    mail: &'a Outgoing<'a>,
    state: &'static str,
    due_at: i64,
    new_recipients: Option<i64>,
    held_reason: Option<String>,
    held_until: Option<i64>,
}

fn row<'a>((mail, plan): (&'a Outgoing<'a>, &'a Plan)) -> Option<Row<'a>> {
    match plan {
        Plan::Enters { state, due_at, new_recipients, held } => Some(Row {
            mail,
            state,
            due_at: *due_at,
            new_recipients: *new_recipients,
            held_reason: held.as_ref().map(|it| it.reason.clone()),
            held_until: held.as_ref().map(|it| it.until),
        }),
        Plan::AwaitsApproval { due_at } => Some(Row {
            mail,
            state: "approval",
            due_at: *due_at,
            new_recipients: None,
            held_reason: Some(APPROVAL.to_owned()),
            held_until: None,
        }),
        Plan::Refused { .. } => None,
    }
}
