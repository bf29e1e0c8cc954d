//! The domains of an account, and what their DNS lacks.

use maud::{Markup, html};
use serde::Deserialize;

use super::{
    asking::Member,
    failure::Failure,
    html::{badge, nothing, page, status, trail},
    text::{line, moment, segment},
};
use crate::params::Segments;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Domain {
    id: String,
    domain: String,
    status: String,
    dns_records: Vec<Record>,
    checked_at: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    r#type: String,
    host: String,
    value: String,
    priority: Option<u16>,
    purpose: String,
    required: bool,
    status: String,
    reason: String,
}

#[derive(Deserialize)]
struct Domains {
    data: Vec<Domain>,
}

pub(super) async fn list(member: Member) -> Result<Markup, Failure> {
    let Domains { data } = member.get("/v1/domains").await?;
    let body = html! {
        h1 { "Domains" }
        p.quiet { "Your own. Inboxes on the service’s domains need nothing of this." }
        @if data.is_empty() { (nothing("No domain of your own.")) }
        ul.rows {
            @for it in &data {
                li {
                    a.row data-row href={ "/console/domains/" (segment(&it.id)) } {
                        span.main { strong { (line(&it.domain)) } (lacking(it)) }
                        span.side { (status(&it.status)) }
                    }
                }
            }
        }
    };
    Ok(page(&member.session, "Domains", body))
}

fn lacking(domain: &Domain) -> Markup {
    let is_lacking =
        |it: &&Record| matches!(it.status.as_str(), "missing" | "wrong" | "unreachable");
    let lacking: Vec<&str> =
        domain.dns_records.iter().filter(is_lacking).map(|it| it.purpose.as_str()).collect();
    html! { @if !lacking.is_empty() { span.quiet { "To be put right: " (lacking.join(", ").replace('_', " ")) } } }
}

pub(super) async fn show(
    member: Member,
    Segments(domain_id): Segments<String>,
) -> Result<Markup, Failure> {
    let domain: Domain = member.get(&format!("/v1/domains/{}", segment(&domain_id))).await?;
    let body = html! {
        (trail(&[("/console/domains", "Domains")]))
        h1 { (line(&domain.domain)) }
        p {
            (status(&domain.status))
            @if let Some(at) = &domain.checked_at { span.quiet { " DNS was looked at " (moment(at)) } }
        }
        ul.rows { @for it in &domain.dns_records { li { (record(it)) } } }
    };
    Ok(page(&member.session, &domain.domain, body))
}

fn record(it: &Record) -> Markup {
    html! {
        div.row {
            span.main {
                strong { (it.purpose.replace('_', " ")) @if !it.required { span.quiet { " (of use, not required)" } } }
                span { (line(&it.reason)) }
                code.record {
                    (line(&it.host)) " " (it.r#type) " "
                    @if let Some(priority) = it.priority { (priority) " " }
                    (line(&it.value))
                }
            }
            span.side {
                @match it.status.as_str() {
                    "retired" | "spare" => (badge("calm", &it.status)),
                    other => (status(other)),
                }
            }
        }
    }
}
