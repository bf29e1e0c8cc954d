//! Events for agents. The identity is derived from what happened, so that whoever announces it again
//! announces the same.

use contract::{
    Action, Email, EmailError, Emit as _, Event, Hold, InboxEvent, MailRejudged, OutcomeResolved,
    RecipientReport, RecipientResult, Record, Rejection, Resolution, SubmissionScanned, Trace,
};
use store::{
    Composed, Entered, Fate, Found, GIVEN_UP, News, Reported, Resolved, Scrutiny, StandingChange,
    Stored, rfc3339,
};
use uuid::Uuid;

/// Of mail whose time was over.
pub(crate) const EXPIRED: &str = "email.expired";

pub(crate) fn received(stored: Stored) -> Event {
    let parts = [stored.email.id.as_str(), "email.received"];
    let timestamp = stored.email.created_at.clone();
    event(&parts, "email.received", timestamp, &stored.account_id, stored.email.clone())
}

/// A received mail was judged anew, and score or flags are others now.
pub(crate) fn verdict_changed(stored: Stored, rejudged: &MailRejudged) -> Event {
    let at = rejudged.rejudged_at_micros;
    let parts = [stored.email.id.as_str(), "email.verdict.changed", &at.to_string()];
    event(&parts, "email.verdict.changed", rfc3339(at), &stored.account_id, stored.email.clone())
}

/// The answer to a request: what it became, or what became of the first one with its key; `differs` if
/// that one had other words.
pub(crate) fn entered(entered: &Entered, submission: &SubmissionScanned, differs: bool) -> Event {
    let entry = &entered.entry;
    let mut email = entered.email.clone();
    let requested_at = submission.requested_at_micros;
    if entry.requested_at == requested_at {
        let name = if entry.rejection.is_some() { "email.rejected" } else { "email.queued" };
        let timestamp = email.created_at.clone();
        return event(&[&entry.email_id, name], name, timestamp, &entry.account_id, email);
    }
    email.repeated = true;
    email.body_differs = differs;
    let name = match entry.status.as_str() {
        "scheduled" => "email.queued".to_owned(),
        status => format!("email.{status}"),
    };
    let parts = [&*entry.email_id, "repeated", &requested_at.to_string()];
    event(&parts, &name, rfc3339(requested_at), &entry.account_id, email)
}

/// That a mail waits for a limit or for approval, said once when it is entered.
pub(crate) fn held(entered: &Entered) -> Option<Event> {
    let email = &entered.email;
    let is_held = !entered.repeated && email.held_reason.is_some();
    is_held.then(|| {
        let parts = [&*email.id, "email.held"];
        let timestamp = email.created_at.clone();
        event(&parts, "email.held", timestamp, &entered.entry.account_id, email.clone())
    })
}

/// What happened to a mail while it waited.
pub(crate) fn news(news: &News, now: i64) -> Vec<Record> {
    let parts = [&*news.email.id, &*news.event];
    let event = event(&parts, &news.event, rfc3339(now), &news.account_id, news.email.clone());
    let trace = news.trace.as_ref().and_then(Trace::context);
    event.records().into_iter().map(|it| Record { trace: trace.clone(), ..it }).collect()
}

/// The answer to a request of which nothing is stored: the account does not have its inbox, or it was
/// a dry run.
pub(crate) fn refused(submission: &SubmissionScanned, rejection: Rejection) -> Event {
    let email = Email {
        status: Some("rejected".to_owned()),
        error: Some(EmailError { code: rejection.code, message: rejection.message }),
        ..unstored(submission)
    };
    answer(submission, "email.rejected", email)
}

/// The answer to a dry run of what could be sent.
pub(crate) fn validated(
    submission: &SubmissionScanned,
    mail: &Composed,
    scrutiny: &Scrutiny,
) -> Event {
    let addresses = |list: &[contract::Mailbox]| list.iter().map(|it| it.address.clone()).collect();
    let recipients = mail
        .forward_paths
        .iter()
        .map(|it| RecipientResult { address: it.clone(), ..RecipientResult::default() });
    let email = Email {
        status: Some("valid".to_owned()),
        from: mail.reverse_path.clone(),
        to: addresses(&mail.message.to),
        cc: addresses(&mail.message.cc),
        subject: mail.message.subject.clone(),
        has_attachments: !mail.message.attachments.is_empty(),
        recipients: recipients.collect(),
        hold: scrutiny.hold.as_ref().map(|it| Hold {
            state: "none".to_owned(),
            reasons: it.reasons.clone(),
            ..Hold::default()
        }),
        ..unstored(submission)
    };
    answer(submission, "email.validated", email)
}

fn unstored(submission: &SubmissionScanned) -> Email {
    Email {
        id: submission.mail_id.clone(),
        inbox_id: submission.inbox_id.clone(),
        direction: "outbound".to_owned(),
        security: Some(contract::EmailSecurity::default()),
        created_at: rfc3339(submission.requested_at_micros),
        idempotency_key: Some(submission.idempotency_key.clone()),
        ..Email::default()
    }
}

fn answer(submission: &SubmissionScanned, name: &str, email: Email) -> Event {
    let requested_at = submission.requested_at_micros;
    let parts = [&*submission.mail_id, name, &requested_at.to_string()];
    event(&parts, name, rfc3339(requested_at), &submission.account_id, email)
}

/// One event for each thing that became of recipients.
pub(crate) fn reported(reported: &Reported) -> Vec<Event> {
    let report = &reported.report;
    let names = [
        "email.sent",
        "email.deferred",
        "email.bounced",
        EXPIRED,
        "email.suppressed",
        "email.unknown",
    ];
    let of_class = |name: &str| {
        let concerned: Vec<&str> = report
            .recipients
            .iter()
            .filter(|it| event_of(it) == Some(name))
            .map(|it| it.forward_path.as_str())
            .collect();
        if concerned.is_empty() {
            return None;
        }
        let mut email = reported.email.clone();
        email.recipients.retain(|it| concerned.contains(&it.address.as_str()));
        let attempt = report.attempt.to_string();
        let parts = [&*email.id, name, &*report.domain, &*attempt];
        let timestamp = rfc3339(report.attempted_at_micros);
        Some(event(&parts, name, timestamp, &reported.account_id, email.clone()))
    };
    names.into_iter().filter_map(of_class).collect()
}

/// The event that announces what became of a recipient.
fn event_of(recipient: &RecipientReport) -> Option<&'static str> {
    match recipient.action() {
        Action::Delivered => Some("email.sent"),
        Action::Delayed => Some("email.deferred"),
        Action::Unknown => Some("email.unknown"),
        Action::Failed if recipient.suppressed => Some("email.suppressed"),
        Action::Failed if recipient.status == GIVEN_UP => Some(EXPIRED),
        Action::Failed => Some("email.bounced"),
        Action::Unspecified => None,
    }
}

/// What an agent's decision made of recipients; nothing, if it was about none.
pub(crate) fn resolved(decision: &OutcomeResolved, resolved: Resolved) -> Option<Event> {
    if resolved.recipients.is_empty() {
        return None;
    }
    let name = match decision.resolution() {
        Resolution::Retry => "email.deferred",
        _ => "email.sent",
    };
    let mut email = resolved.email;
    email.recipients.retain(|it| resolved.recipients.iter().any(|(path, _)| *path == it.address));
    let at = decision.resolved_at_micros;
    let parts = [&*decision.mail_id, "resolved", &at.to_string()];
    Some(event(&parts, name, rfc3339(at), &resolved.account_id, email))
}

/// What a report that came as mail says of a recipient.
pub(crate) fn found(found: &Found) -> Option<Event> {
    let finding = &found.finding;
    let name = match finding.fate {
        Fate::Failed => "email.bounced",
        Fate::Delayed => "email.deferred",
        Fate::Delivered => "email.delivered",
        Fate::Complained => "email.complained",
        Fate::Read(_) => return None,
    };
    let mut email = found.email.clone();
    email.recipients.retain(|it| it.address == finding.forward_path);
    for it in &mut email.recipients {
        if finding.fate == Fate::Delayed {
            it.action = "delayed".to_owned();
        }
        it.status.clone_from(&finding.status);
        it.diagnostic.clone_from(&finding.diagnostic);
        it.remote_host.clone_from(&finding.remote_host);
    }
    let parts = [&*email.id, name, "report", &*finding.forward_path];
    let timestamp = rfc3339(finding.reported_at);
    Some(event(&parts, name, timestamp, &found.account_id, email.clone()))
}

/// The state of an inbox changed.
pub(crate) fn standing(change: StandingChange) -> InboxEvent {
    let number = change.number.to_string();
    InboxEvent {
        event_id: event_id(&[&change.inbox_id, &change.event, &number]),
        event: change.event,
        timestamp: rfc3339(change.changed_at),
        account_id: change.account_id,
        inbox_id: change.inbox_id,
        data: Some(change.standing),
    }
}

fn event_id(parts: &[&str]) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x1f4a_77c2_5b1e_4d0a_8f63_0c9d_2a41_e6b7);
    let id = Uuid::new_v5(&NAMESPACE, parts.join("/").as_bytes());
    format!("evt_{}", id.simple())
}

pub(crate) fn event(
    parts: &[&str],
    name: &str,
    timestamp: String,
    account_id: &str,
    email: Email,
) -> Event {
    Event {
        event_id: event_id(parts),
        event: name.to_owned(),
        timestamp,
        account_id: account_id.to_owned(),
        inbox_id: email.inbox_id.clone(),
        data: Some(email),
    }
}

#[cfg(test)]
mod tests {
    use contract::{DeliveryReported, RecipientResult};
    use store::LedgerEntry;

    use super::*;

    fn email(recipients: &[&str]) -> Email {
        let recipients = recipients
            .iter()
            .map(|it| RecipientResult { address: (*it).to_owned(), ..RecipientResult::default() });
        Email {
            id: "eml_1".to_owned(),
            inbox_id: "ibx_1".to_owned(),
            recipients: recipients.collect(),
            ..Email::default()
        }
    }

    fn answered(status: &str, first_at: i64, now_at: i64) -> Event {
        let entry = LedgerEntry {
            email_id: "eml_1".to_owned(),
            account_id: "acct_1".to_owned(),
            inbox_id: "ibx_1".to_owned(),
            idempotency_key: "k".to_owned(),
            request_digest: String::new(),
            status: status.to_owned(),
            rejection: (status == "rejected").then(Rejection::default),
            requested_at: first_at,
            hold: None,
            lease_id: None,
        };
        let repeated = first_at != now_at;
        let email = email(&[]);
        let known = Entered { entry, email, repeated, to_send: false, held: None, is_kept: true };
        let submission =
            SubmissionScanned { requested_at_micros: now_at, ..SubmissionScanned::default() };
        entered(&known, &submission, true)
    }

    #[test]
    fn the_same_request_is_the_same_event() {
        let first = answered("queued", 1, 1);
        assert_eq!(first.event, "email.queued");
        assert_eq!(answered("sent", 1, 1).event, "email.queued", "delivered again, much later");
        assert_eq!(answered("sent", 1, 1).event_id, first.event_id);
        assert_eq!(answered("rejected", 1, 1).event, "email.rejected");
    }

    #[test]
    fn a_repeat_says_what_became_of_the_first() {
        let repeat = answered("sent", 1, 2);
        assert_eq!(repeat.event, "email.sent");
        assert_eq!(answered("scheduled", 1, 2).event, "email.queued");
        assert!(repeat.data.as_ref().is_some_and(|it| it.repeated && it.body_differs));
        let first = answered("sent", 1, 1);
        assert!(first.data.is_some_and(|it| !it.repeated && !it.body_differs));
        assert_ne!(repeat.event_id, answered("sent", 1, 1).event_id);
        assert_ne!(repeat.event_id, answered("sent", 1, 3).event_id);
        assert_eq!(repeat.event_id, answered("sent", 1, 2).event_id);
    }

    #[test]
    fn each_outcome_is_an_event_with_its_recipients() {
        let recipients = [
            ("a@x.example", Action::Failed),
            ("b@x.example", Action::Delivered),
            ("c@x.example", Action::Failed),
            ("e@x.example", Action::Failed),
        ];
        let recipients = recipients.map(|(path, action)| RecipientReport {
            forward_path: path.to_owned(),
            action: action.into(),
            status: if path.starts_with('e') { GIVEN_UP.to_owned() } else { String::new() },
            ..RecipientReport::default()
        });
        let known = Reported {
            report: DeliveryReported {
                domain: "x.example".to_owned(),
                attempt: 1,
                recipients: recipients.to_vec(),
                ..DeliveryReported::default()
            },
            account_id: "acct_1".to_owned(),
            email: email(&[
                "a@x.example",
                "b@x.example",
                "c@x.example",
                "d@y.example",
                "e@x.example",
            ]),
            idempotency_key: "k".to_owned(),
            repeated: false,
        };
        let events = reported(&known);
        let summary: Vec<_> = events
            .iter()
            .map(|it| {
                let email = it.data.as_ref().expect("an email");
                let about: Vec<_> = email.recipients.iter().map(|it| &*it.address).collect();
                (it.event.as_str(), about)
            })
            .collect();
        assert_eq!(
            summary,
            [
                ("email.sent", vec!["b@x.example"]),
                ("email.bounced", vec!["a@x.example", "c@x.example"]),
                ("email.expired", vec!["e@x.example"])
            ]
        );
        assert_ne!(events[0].event_id, events[1].event_id);
    }
}
