//! What happened to a mail, in order.

use contract::{Email, EmailSecurity};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    asking::Member,
    failure::Failure,
    html::{nothing, status},
    text::{line, moment, segment},
};
use crate::time::parse_rfc3339;

#[derive(Deserialize)]
struct Verdicts {
    data: Vec<Verdict>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    judged_at: String,
    security: EmailSecurity,
}

#[derive(Deserialize)]
struct Deliveries {
    data: Vec<Delivery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    attempted_at: String,
    recipient: String,
    source: String,
    attempt: i64,
    action: String,
    status: String,
    diagnostic: String,
    remote_host: Option<String>,
    tls: Option<String>,
    next_attempt_at: Option<String>,
}

/// One thing that happened.
struct Event {
    at: String,
    what: Markup,
    details: Markup,
}

impl Event {
    fn new(at: &str, what: Markup, details: Markup) -> Event {
        Event { at: at.to_owned(), what, details }
    }
}

pub(super) async fn of(member: &Member, email: &Email) -> Result<Markup, Failure> {
    let id = segment(&email.id);
    let mut events = Vec::new();
    if email.direction == "inbound" {
        let Verdicts { data } = member.get(&format!("/v1/emails/{id}/verdicts")).await?;
        received(email, &data, &mut events);
    } else {
        let Deliveries { data } = member.get(&format!("/v1/emails/{id}/deliveries")).await?;
        sent(email, &data, &mut events);
    }
    events.sort_by_key(|it| parse_rfc3339(&it.at));
    Ok(html! {
        @if events.is_empty() { (nothing("Nothing has happened yet.")) }
        ol.timeline {
            @for Event { at, what, details } in &events {
                li { (moment(at)) div { p { (what) } (details) } }
            }
        }
    })
}

fn received(email: &Email, verdicts: &[Verdict], events: &mut Vec<Event>) {
    if let Some(at) = &email.received_at {
        events.push(Event::new(at, html! { "Received from " (line(&email.from)) }, html! {}));
    }
    for Verdict { judged_at, security } in verdicts {
        let action = security.action.as_deref().unwrap_or("judged");
        let what = html! { "Judged: risk " (format!("{:.2}", security.injection_risk_score)) " " (status(action)) };
        let details = html! {
            p.quiet {
                "Detectors " (line(&security.version))
                @if !security.rules.is_empty() { ", by the policy’s " (security.rules.join(", ")) }
            }
        };
        events.push(Event::new(judged_at, what, details));
    }
    if let Some(it) = &email.decision {
        events.push(decided(&it.decided_at, &it.action, &it.decided_by, &it.reason));
    }
}

fn sent(email: &Email, deliveries: &[Delivery], events: &mut Vec<Event>) {
    events.push(Event::new(&email.created_at, html! { "Handed in" }, html! {}));
    if let Some(hold) = &email.hold
        && let Some(at) = &hold.decided_at
    {
        let by = hold.decided_by.as_deref().unwrap_or_default();
        events.push(decided(at, &hold.state, by, hold.note.as_deref().unwrap_or_default()));
    }
    events.extend(deliveries.iter().map(delivery));
}

fn decided(at: &str, action: &str, by: &str, reason: &str) -> Event {
    let details = html! { @if !reason.is_empty() { p { q { (line(reason)) } } } };
    Event::new(at, html! { (status(action)) " with the token " code { (by) } }, details)
}

fn delivery(it: &Delivery) -> Event {
    let what = html! {
        (status(&it.action)) " " (line(&it.recipient))
        @match it.source.as_str() {
            "session" => { " (attempt " (it.attempt) ")" }
            other => { " (told by a report: " (other) ")" }
        }
    };
    let details = html! {
        p { code { (line(&it.status)) " " (line(&it.diagnostic)) } }
        p.quiet {
            @if let Some(host) = &it.remote_host { "By " (line(host)) " " }
            @if let Some(tls) = &it.tls { "over " (line(tls)) ". " }
            @if let Some(next) = &it.next_attempt_at { "Next attempt " (moment(next)) "." }
        }
    };
    Event::new(&it.attempted_at, what, details)
}
