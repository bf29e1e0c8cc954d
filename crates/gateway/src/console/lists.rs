//! Lists that are about a whole account: what waits for a decision, who gets no mail, what was decided.

use maud::{Markup, html};
use serde::Deserialize;

use super::{
    asking::Member,
    failure::Failure,
    html::{more, nothing, page, status, tabs},
    text::{line, moment, query_value, segment},
    threads::{Emails, emails},
};
use crate::params::Params;

/// A choice of a list: how the API calls it, and its name.
type Choice = (&'static str, &'static str);

/// What of a list is asked for, and where its pages are.
struct Chosen {
    value: &'static str,
    /// Of the page, without a cursor.
    here: String,
    tabs: Markup,
    /// For the API's query.
    cursor: String,
}

fn chosen(path: &str, name: &str, choices: &[Choice], params: &Params) -> Chosen {
    let asked = params.text(name).unwrap_or_default();
    let (value, _) = choices.iter().find(|it| it.0 == asked).unwrap_or(&choices[0]);
    let tab = |it: &Choice| (format!("{path}?{name}={}", it.0), it.1, it.0 == *value);
    let cursor = params.text("cursor");
    Chosen {
        value,
        here: format!("{path}?{name}={value}"),
        tabs: tabs("What is listed", &choices.iter().map(tab).collect::<Vec<_>>()),
        cursor: cursor.map_or_else(String::new, |it| format!("&cursor={}", query_value(&it))),
    }
}

pub(super) async fn quarantine(member: Member, params: Params) -> Result<Markup, Failure> {
    let choices = [("quarantined", "Waiting"), ("refused", "Refused")];
    let Chosen { value, here, tabs, cursor } =
        chosen("/console/quarantine", "status", &choices, &params);
    let path = format!("/v1/quarantine?status={value}&limit=50{cursor}");
    let Emails { data, cursor } = member.get(&path).await?;
    let body = html! {
        h1 { "Quarantine" }
        p.quiet { "Mail that a policy keeps from agents until somebody decides." }
        (tabs)
        (emails(&data, "Nothing here."))
        (more(&here, cursor.as_deref()))
    };
    Ok(page(&member.session, "Quarantine", body))
}

pub(super) async fn holds(member: Member, params: Params) -> Result<Markup, Failure> {
    let choices = [
        ("waiting", "Waiting"),
        ("approved", "Approved"),
        ("declined", "Declined"),
        ("expired", "Expired"),
        ("cancelled", "Cancelled"),
    ];
    let Chosen { value, here, tabs, cursor } = chosen("/console/holds", "state", &choices, &params);
    let path = format!("/v1/holds?state={value}&limit=50{cursor}");
    let Emails { data, cursor } = member.get(&path).await?;
    let body = html! {
        h1 { "Held before sending" }
        p.quiet { "What agents wrote and somebody has to approve: a secret, a canary, words of a stranger." }
        (tabs)
        (emails(&data, "Nothing here."))
        (more(&here, cursor.as_deref()))
    };
    Ok(page(&member.session, "Held before sending", body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suppression {
    address: String,
    scope: String,
    reason: String,
    evidence: String,
    email_id: Option<String>,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Suppressions {
    data: Vec<Suppression>,
    cursor: Option<String>,
}

pub(super) async fn suppressions(member: Member, params: Params) -> Result<Markup, Failure> {
    let choices = [("account", "No mail at all"), ("lists", "Left a list")];
    let Chosen { value, here, tabs, cursor } =
        chosen("/console/suppressions", "scope", &choices, &params);
    let path = format!("/v1/suppressions?scope={value}&limit=50{cursor}");
    let Suppressions { data, cursor } = member.get(&path).await?;
    let body = html! {
        h1 { "Suppressed addresses" }
        p.quiet { "Nothing is sent to them, because of what their hosts or they themselves said." }
        (tabs)
        @if data.is_empty() { (nothing("Nobody is suppressed.")) }
        ul.rows { @for it in &data { li { (suppression(it)) } } }
        (more(&here, cursor.as_deref()))
    };
    Ok(page(&member.session, "Suppressed addresses", body))
}

fn suppression(it: &Suppression) -> Markup {
    html! {
        div.row {
            span.main {
                strong { (line(&it.address)) }
                span { (line(&it.reason.replace('_', " "))) span.quiet { " · " (line(&it.scope)) } }
                @if !it.evidence.is_empty() { span.preview { (line(&it.evidence)) } }
                @if let Some(id) = &it.email_id {
                    a href={ "/console/emails/" (segment(id)) "?view=timeline" } { "The mail that found it out" }
                }
            }
            span.side {
                span { "since " (moment(&it.created_at)) }
                @if let Some(at) = &it.expires_at { span { "until " (moment(at)) } }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    action: String,
    email_id: Option<String>,
    by: String,
    reason: String,
    at: String,
}

#[derive(Deserialize)]
struct Audit {
    data: Vec<Entry>,
    cursor: Option<String>,
}

pub(super) async fn record(member: Member, params: Params) -> Result<Markup, Failure> {
    let cursor = params.text("cursor");
    let cursor = cursor.map_or_else(String::new, |it| format!("&cursor={}", query_value(&it)));
    let Audit { data, cursor } = member.get(&format!("/v1/audit?limit=50{cursor}")).await?;
    let body = html! {
        h1 { "Record" }
        p.quiet { "What was decided, with which token, when and why. Decisions on held mail stand with the mail." }
        @if data.is_empty() { (nothing("Nothing was decided yet.")) }
        ul.rows { @for it in &data { li { (entry(it)) } } }
        (more("/console/record", cursor.as_deref()))
    };
    Ok(page(&member.session, "Record", body))
}

fn entry(it: &Entry) -> Markup {
    let (subject, verb) = it.action.split_once('.').unwrap_or(("", &it.action));
    html! {
        div.row {
            span.main {
                span { (status(verb)) " " (subject) " with the token " code { (it.by) } }
                @if !it.reason.is_empty() { q { (line(&it.reason)) } }
                @if let Some(id) = &it.email_id { a href={ "/console/emails/" (segment(id)) } { "The mail" } }
            }
            span.side { (moment(&it.at)) }
        }
    }
}
