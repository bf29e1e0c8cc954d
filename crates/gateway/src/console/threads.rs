//! The conversations of an inbox, or its mails one by one, as agents see them.

use contract::Email;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    asking::Member,
    failure::Failure,
    html::{badge, more, nothing, page, status, tabs, trail},
    inboxes::{self, Inbox},
    text::{line, moment, query_value, segment},
};
use crate::params::{Params, Segments};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: String,
    subject: String,
    email_count: i64,
    last_email_at: String,
}

#[derive(Deserialize)]
struct Threads {
    data: Vec<Thread>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Conversation {
    #[serde(flatten)]
    thread: Thread,
    emails: Vec<InThread>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InThread {
    id: String,
    from: String,
    preview: Option<String>,
    created_at: String,
    is_injection_risk: bool,
}

#[derive(Deserialize)]
pub(super) struct Emails {
    pub(super) data: Vec<Email>,
    pub(super) cursor: Option<String>,
}

/// What of an inbox is listed: its word in the query, its name, and how the API is asked.
const KINDS: [(&str, &str, &str); 4] = [
    ("threads", "Threads", ""),
    ("received", "Received", "direction=inbound"),
    ("unread", "Unread", "direction=inbound&unread=true"),
    ("sent", "Sent", "direction=outbound"),
];

pub(super) async fn list(
    member: Member,
    Segments(inbox_id): Segments<String>,
    params: Params,
) -> Result<Markup, Failure> {
    let inbox = inboxes::find(&member, &inbox_id).await?;
    let kind = params.text("show").unwrap_or_default();
    let kind = KINDS.iter().find(|it| it.0 == kind).unwrap_or(&KINDS[0]);
    let path = format!("/console/inboxes/{}", segment(&inbox.id));
    let here = format!("{path}?show={}", kind.0);
    let cursor = params.text("cursor");
    let cursor = cursor.map_or_else(String::new, |it| format!("&cursor={}", query_value(&it)));
    let (rows, next) = rows(&member, &inbox, kind, &cursor).await?;
    let choices = KINDS.map(|it| (format!("{path}?show={}", it.0), it.1, it.0 == kind.0));
    let body = html! {
        (trail(&[("/console/inboxes", "Inboxes")]))
        h1 { (line(&inbox.address)) }
        p.quiet {
            @if let Some(name) = &inbox.display_name { (line(name)) " · " }
            (inbox.email_count) " received · "
            a href={ (path) "/reputation" } { "Reputation" }
        }
        (tabs("What is listed", &choices))
        (rows)
        (more(&here, next.as_deref()))
    };
    Ok(page(&member.session, &inbox.address, body))
}

async fn rows(
    member: &Member,
    inbox: &Inbox,
    (kind, _, asked): &(&str, &str, &str),
    cursor: &str,
) -> Result<(Markup, Option<String>), Failure> {
    let id = segment(&inbox.id);
    if *kind == "threads" {
        let path = format!("/v1/inboxes/{id}/threads?limit=50{cursor}");
        let Threads { data, cursor } = member.get(&path).await?;
        return Ok((threads(inbox, &data), cursor));
    }
    let path = format!("/v1/inboxes/{id}/emails?limit=50&{asked}{cursor}");
    let Emails { data, cursor } = member.get(&path).await?;
    Ok((emails(&data, "No mail here."), cursor))
}

fn threads(inbox: &Inbox, threads: &[Thread]) -> Markup {
    html! {
        @if threads.is_empty() { (nothing("No conversation yet.")) }
        ul.rows {
            @for it in threads {
                li {
                    a.row data-row
                        href={ "/console/inboxes/" (segment(&inbox.id)) "/threads/" (segment(&it.id)) } {
                        span.main { strong { (subject(&it.subject)) } }
                        span.side {
                            span.count { (it.email_count) @if it.email_count == 1 { " mail" } @else { " mails" } }
                            (moment(&it.last_email_at))
                        }
                    }
                }
            }
        }
    }
}

/// A list of mails, each with what became of it.
pub(super) fn emails(emails: &[Email], empty: &str) -> Markup {
    html! {
        @if emails.is_empty() { (nothing(empty)) }
        ul.rows {
            @for it in emails {
                li { a.row data-row href={ "/console/emails/" (segment(&it.id)) } { (summary(it)) } }
            }
        }
    }
}

fn summary(email: &Email) -> Markup {
    let is_out = email.direction == "outbound";
    let other = if is_out { email.to.join(", ") } else { email.from.clone() };
    let score = email.security.as_ref().map_or(0.0, |it| it.injection_risk_score);
    html! {
        span.main {
            span.quiet { @if is_out { "To " } (line(&other)) }
            strong.unread[!is_out && !email.is_read] { (subject(&email.subject)) }
            @if let Some(preview) = &email.preview { span.preview { (line(preview)) } }
        }
        span.side {
            @if score >= contract::RISK_THRESHOLD { (badge("bad", &format!("risk {score:.2}"))) }
            @if let Some(it) = &email.status { (status(it)) }
            (moment(&email.created_at))
        }
    }
}

pub(super) fn subject(text: &str) -> Markup {
    html! { @if text.is_empty() { em { "No subject" } } @else { (line(text)) } }
}

pub(super) async fn read(
    member: Member,
    Segments((inbox_id, thread_id)): Segments<(String, String)>,
) -> Result<Markup, Failure> {
    let inbox = inboxes::find(&member, &inbox_id).await?;
    let inbox_path = format!("/console/inboxes/{}", segment(&inbox.id));
    let path = format!("/v1/inboxes/{}/threads/{}", segment(&inbox.id), segment(&thread_id));
    let Conversation { thread, emails } = member.get(&path).await?;
    let body = html! {
        (trail(&[("/console/inboxes", "Inboxes"), (&inbox_path, &inbox.address)]))
        h1 { (subject(&thread.subject)) }
        p.quiet { (thread.email_count) @if thread.email_count == 1 { " mail" } @else { " mails, oldest first" } }
        ol.rows {
            @for it in &emails {
                li {
                    a.row data-row href={ "/console/emails/" (segment(&it.id)) } {
                        span.main {
                            strong { (line(&it.from)) }
                            @if let Some(preview) = &it.preview { span.preview { (line(preview)) } }
                        }
                        span.side {
                            @if it.is_injection_risk { (badge("bad", "risk")) }
                            (moment(&it.created_at))
                        }
                    }
                }
            }
        }
    };
    Ok(page(&member.session, "Thread", body))
}
