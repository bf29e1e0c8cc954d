//! The inboxes of an account, and how each of them stands.

use contract::{Figures, Standing};
use futures_util::{StreamExt as _, stream};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    asking::Member,
    failure::Failure,
    html::{self, badge, bar, nothing, page, status, trail},
    text::{line, moment, segment},
};
use crate::params::{Params, Segments};

/// Inboxes on a page. For each of them two things are asked.
const ON_A_PAGE: usize = 25;

/// So many of them are asked about at once.
const AT_ONCE: usize = 8;

/// Unread mails are counted up to here.
const MOST_COUNTED: usize = 100;

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inbox {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) display_name: Option<String>,
    pub(super) email_count: i64,
}

#[derive(Deserialize)]
struct Inboxes {
    data: Vec<Inbox>,
}

/// As many as are there of something, without what they are.
#[derive(Deserialize)]
struct Counted {
    data: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reputation {
    window_days: u32,
    standing: Standing,
    domain: OnDomain,
    account: Figures,
    thresholds: Thresholds,
}

#[derive(Deserialize)]
struct OnDomain {
    domain: String,
    figures: Figures,
}

#[derive(Deserialize)]
struct Thresholds {
    bounces: Threshold,
    complaints: Threshold,
}

#[derive(Deserialize)]
struct Threshold {
    warn: f64,
    stop: f64,
}

struct Row {
    inbox: Inbox,
    unread: usize,
    /// `None` where the token sees some threads only.
    standing: Option<Standing>,
}

pub(super) async fn find(member: &Member, inbox_id: &str) -> Result<Inbox, Failure> {
    member.get(&format!("/v1/inboxes/{}", segment(inbox_id))).await
}

pub(super) async fn list(member: Member, params: Params) -> Result<Markup, Failure> {
    let Inboxes { data } = member.get("/v1/inboxes").await?;
    let page_number = params.text("page").and_then(|it| it.parse().ok()).unwrap_or(0_usize);
    let wanted = params.text("find").unwrap_or_default().to_lowercase();
    let data: Vec<Inbox> = data.into_iter().filter(|it| matches(it, &wanted)).collect();
    let skipped = page_number.saturating_mul(ON_A_PAGE);
    let has_more = data.len() > skipped.saturating_add(ON_A_PAGE);
    let shown = data.into_iter().skip(skipped).take(ON_A_PAGE);
    let rows = stream::iter(shown).map(|inbox| row(&member, inbox)).buffered(AT_ONCE);
    let rows: Vec<Row> = rows.collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
    let body = html! {
        h1 { "Inboxes" }
        (waiting(&member).await?)
        form.find role="search" action="/console/inboxes" {
            label.hidden for="find" { "Find an inbox" }
            input #find type="search" name="find" value=(wanted) placeholder="Address or name" data-find;
            button type="submit" { "Find" }
        }
        @if rows.is_empty() { (nothing("No inbox here.")) } @else { (table(&rows)) }
        @if has_more {
            p.more {
                a.button rel="next"
                    href={ "/console/inboxes?page=" (page_number + 1) "&find=" (super::text::query_value(&wanted)) }
                    { "More" }
            }
        }
    };
    Ok(page(&member.session, "Inboxes", body))
}

fn matches(inbox: &Inbox, wanted: &str) -> bool {
    let name = inbox.display_name.as_deref().unwrap_or_default();
    inbox.address.contains(wanted) || name.to_lowercase().contains(wanted)
}

async fn row(member: &Member, inbox: Inbox) -> Result<Row, Failure> {
    let id = segment(&inbox.id);
    let unread =
        format!("/v1/inboxes/{id}/emails?direction=inbound&unread=true&limit={MOST_COUNTED}");
    let unread: Counted = member.get(&unread).await?;
    let standing = match member.get::<Reputation>(&format!("/v1/inboxes/{id}/reputation")).await {
        Ok(reputation) => Some(reputation.standing),
        Err(Failure::Refused { status, .. }) if status.is_client_error() => None,
        Err(failure) => return Err(failure),
    };
    Ok(Row { inbox, unread: unread.data.len(), standing })
}

fn table(rows: &[Row]) -> Markup {
    html! {
        ul.rows {
            @for Row { inbox, unread, standing } in rows {
                li {
                    a.row data-row href={ "/console/inboxes/" (segment(&inbox.id)) } {
                        span.main {
                            strong { (line(&inbox.address)) }
                            @if let Some(name) = &inbox.display_name { span.quiet { (line(name)) } }
                        }
                        span.side {
                            @if *unread >= MOST_COUNTED { (badge("calm", "over 99 unread")) }
                            @else if *unread > 0 { (badge("calm", &format!("{unread} unread"))) }
                            @if let Some(standing) = standing { (short(standing)) }
                            span.count { (inbox.email_count) " received" }
                        }
                    }
                }
            }
        }
    }
}

fn short(standing: &Standing) -> Markup {
    let score = standing.figures.map_or(100, |it| it.score);
    html! { span title="Reputation, from 0 to 100" { (status(&standing.state)) " " span.count { (score) } } }
}

/// What waits for somebody's decision, in all inboxes that he sees.
async fn waiting(member: &Member) -> Result<Markup, Failure> {
    if !member.session.is_admin() {
        return Ok(html! {});
    }
    let quarantined: Counted = member.get("/v1/quarantine?limit=100").await?;
    let held: Counted = member.get("/v1/holds?state=waiting&limit=100").await?;
    let counts = [
        ("/console/quarantine", "in quarantine", quarantined.data.len()),
        ("/console/holds", "held before sending", held.data.len()),
    ];
    Ok(html! {
        @if counts.iter().any(|it| it.2 > 0) {
            p.notice {
                strong { "Waiting for a decision: " }
                @for (path, what, count) in counts {
                    @if count > 0 { a href=(path) { (count) @if count == 100 { "+" } " " (what) } " " }
                }
            }
        }
    })
}

pub(super) async fn reputation(
    member: Member,
    Segments(inbox_id): Segments<String>,
) -> Result<Markup, Failure> {
    let inbox = find(&member, &inbox_id).await?;
    let path = format!("/console/inboxes/{}", segment(&inbox.id));
    let asked = format!("/v1/inboxes/{}/reputation", segment(&inbox.id));
    let Reputation { window_days, standing, domain, account, thresholds } =
        member.get(&asked).await?;
    let own = standing.figures.unwrap_or_default();
    let body = html! {
        (trail(&[("/console/inboxes", "Inboxes"), (&path, &inbox.address)]))
        h1 { "Reputation" }
        section.card {
            p { (status(&standing.state)) " since " (moment(&standing.since)) }
            @if let Some(why) = &standing.explanation { p { (line(why)) } }
            p.score { strong { (own.score) } " of 100" }
            (bar(tone(&standing.state), f64::from(own.score)))
        }
        h2 { "What became of recipients in " (window_days) " days" }
        (figures(&[
            ("This inbox", own),
            (&format!("Yours at {}", domain.domain), domain.figures),
            ("All of yours", account),
        ]))
        h2 { "When it counts" }
        p {
            "Bounces over " (percent(thresholds.bounces.warn)) " warn and over "
            (percent(thresholds.bounces.stop)) " stop; complaints over "
            (percent(thresholds.complaints.warn)) " and " (percent(thresholds.complaints.stop))
            ". An operator lets a stopped inbox send again."
        }
    };
    Ok(html::page(&member.session, "Reputation", body))
}

fn tone(state: &str) -> &'static str {
    match state {
        "good" => "good",
        "warned" => "warn",
        _ => "bad",
    }
}

/// A figure as it is shown.
type Shown = fn(&Figures) -> String;

fn figures(columns: &[(&str, Figures)]) -> Markup {
    let rows: [(&str, Shown); 8] = [
        ("Tried", |it| it.attempted.to_string()),
        ("Delivered", |it| it.delivered.to_string()),
        ("Put off at first", |it| it.deferred.to_string()),
        ("Bounced", |it| format!("{} ({})", it.bounced, percent(it.bounce_rate))),
        ("Refused", |it| it.refused.to_string()),
        ("Complained", |it| format!("{} ({})", it.complained, percent(it.complaint_rate))),
        ("Suppressed, not tried", |it| it.suppressed.to_string()),
        ("Score", |it| it.score.to_string()),
    ];
    html! {
        div.scroll tabindex="0" role="group" aria-label="Figures" {
            table {
                thead { tr { td {} @for (name, _) in columns { th scope="col" { (line(name)) } } } }
                tbody {
                    @for (name, of) in rows {
                        tr { th scope="row" { (name) } @for (_, it) in columns { td.number { (of(it)) } } }
                    }
                }
            }
        }
    }
}

fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}
