//! Deciding on mail: what comes in is released or refused, what goes out approved or declined. The API does
//! it, writes down who did and why, and says no where there is nothing to decide.

use axum::response::Redirect;
use contract::{Email, Hold};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    asking::Member,
    failure::Failure,
    form::Form,
    html::{csrf, status},
    session::Session,
    text::{line, moment, segment},
};
use crate::params::Segments;

pub(super) async fn decide(
    member: Member,
    Segments((email_id, decision)): Segments<(String, String)>,
    form: Form,
) -> Result<Redirect, Failure> {
    member.session.check(&form)?;
    let reason = form.text("reason");
    let mut body = json!({});
    if !reason.is_empty() {
        body["reason"] = Value::from(reason);
    }
    match decision.as_str() {
        "release" => body["allowSender"] = Value::from(form.text("allowSender") == "yes"),
        // Exactly what was looked at.
        "approve" => body["sha256"] = Value::from(form.text("sha256")),
        "refuse" | "decline" => (),
        _ => return Err(Failure::not_found()),
    }
    let id = segment(&email_id);
    let answer: Answer = member.post(&format!("/v1/emails/{id}/{decision}"), &body).await?;
    let later = if answer.is_later() { "?later=yes" } else { "" };
    Ok(Redirect::to(&format!("/console/emails/{id}{later}")))
}

/// What the API says of a decision.
#[derive(Deserialize)]
struct Answer {
    status: String,
}

impl Answer {
    /// It is safe, and storage has yet to carry it out.
    fn is_later(&self) -> bool {
        self.status == "quarantined"
    }
}

/// What there is to decide on a mail, and what was decided.
pub(super) fn card(session: &Session, email: &Email, is_later: bool) -> Markup {
    match (&email.hold, &email.decision, email.status.as_deref()) {
        (Some(hold), ..) => held(session, email, hold),
        (None, Some(it), _) => html! {
            section.card {
                p { (status(&it.action)) " " (moment(&it.decided_at)) " with the token " code { (it.decided_by) } }
                p { q { (line(&it.reason)) } }
            }
        },
        (None, None, Some("quarantined")) if is_later => html! {
            p.notice { "The decision is taken, and is carried out in a moment. Load the page again to see it." }
        },
        (None, None, Some("quarantined")) => quarantined(session, email),
        _ => html! {},
    }
}

fn quarantined(session: &Session, email: &Email) -> Markup {
    let path = format!("/console/emails/{}", segment(&email.id));
    html! {
        section.card.decide aria-labelledby="decide" {
            h2 #decide { "In quarantine" }
            p { "Agents do not see this mail. Released, it comes into its inbox as new; refused, it stays out for good." }
            @if session.is_admin() {
                form.stack method="post" action={ (path) "/refuse" } {
                    (csrf(session))
                    (reason(true))
                    @if email.sender_authenticated == Some(true) {
                        label.check {
                            input type="checkbox" name="allowSender" value="yes";
                            " With a release: deliver further mail of this sender"
                        }
                    }
                    div.actions {
                        // First, because Enter in a field presses it.
                        button.danger type="submit" { "Refuse" }
                        button.primary type="submit" formaction={ (path) "/release" } { "Release" }
                    }
                }
            } @else { (looking_on()) }
        }
    }
}

fn held(session: &Session, email: &Email, hold: &Hold) -> Markup {
    let path = format!("/console/emails/{}", segment(&email.id));
    html! {
        section.card.decide aria-labelledby="decide" {
            h2 #decide { "Held before sending " (status(&hold.state)) }
            ul.reasons {
                @for it in &hold.reasons {
                    li {
                        strong { (it.kind.replace('_', " ")) } " " (line(&it.detail))
                        p { (line(&it.explanation)) }
                        @if !it.excerpt.is_empty() { p { code { (line(&it.excerpt)) } } }
                        @if let Some(from) = &it.email_id {
                            p { a href={ "/console/emails/" (segment(from)) } { "The mail it came with" } }
                        }
                    }
                }
            }
            @if let Some(at) = &hold.decided_at {
                p { "Decided " (moment(at)) @if let Some(by) = &hold.decided_by { " with the token " code { (by) } } }
                @if let Some(note) = &hold.note { p { q { (line(note)) } } }
            } @else if let Some(at) = &hold.expires_at {
                p.quiet { "Without a decision it is not sent: " (moment(at)) }
            }
            @if hold.state == "waiting" && session.is_admin() {
                form.stack method="post" action={ (path) "/decline" } {
                    (csrf(session))
                    input type="hidden" name="sha256" value=(hold.sha256);
                    (reason(false))
                    div.actions {
                        button.danger type="submit" { "Decline" }
                        button.primary type="submit" formaction={ (path) "/approve" } { "Approve" }
                    }
                }
            } @else if hold.state == "waiting" { (looking_on()) }
        }
    }
}

fn reason(is_needed: bool) -> Markup {
    html! {
        label for="reason" { "Reason" @if !is_needed { span.quiet { " (if there is one)" } } }
        textarea #reason name="reason" rows="2" maxlength="1000" required[is_needed] data-reason
            aria-describedby="kept" {}
        p #kept .quiet { "It is kept on record, with the token you signed in with." }
    }
}

fn looking_on() -> Markup {
    html! { p.quiet { "Your token may look on. Deciding needs one that may " code { "admin" } "." } }
}
