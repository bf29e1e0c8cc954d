//! One mail: what it says, what it was judged and why, what became of it.

use contract::{Email, EmailSecurity, SecurityReason};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::{
    asking::Member,
    decisions,
    failure::Failure,
    html::{badge, bar, page, status, tabs, trail},
    inboxes,
    marks::{self, Passage},
    text::{block, line, moment, octets, segment},
    threads::subject,
    timeline,
};
use crate::{
    params::{Params, Segments},
    problem::Problem,
};

/// Reasons that are shown and marked.
const MOST_REASONS: usize = 100;

/// As the API shows it to agents.
#[derive(Deserialize)]
struct Read {
    #[serde(flatten)]
    email: Email,
    text: String,
    html: Option<String>,
    code: Option<String>,
    links: Vec<Link>,
    headers: Vec<Field>,
    truncated: bool,
}

#[derive(Deserialize)]
struct Link {
    host: String,
    purpose: String,
    text: String,
    deceptive: bool,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    value: String,
}

/// As it is shown to a language model.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Safe {
    content: String,
    hidden: Vec<Hidden>,
    image_hosts: Vec<String>,
    removed_characters: usize,
}

#[derive(Deserialize)]
struct Hidden {
    technique: String,
    pieces: usize,
    words: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum View {
    Marked,
    Text,
    Model,
    Html,
    Fields,
    Timeline,
}

const VIEWS: [(View, &str, &str); 6] = [
    (View::Marked, "marked", "Marked"),
    (View::Text, "text", "Text"),
    (View::Model, "model", "For models"),
    (View::Html, "html", "HTML"),
    (View::Fields, "fields", "Header"),
    (View::Timeline, "timeline", "Timeline"),
];

pub(super) async fn show(
    member: Member,
    Segments(email_id): Segments<String>,
    params: Params,
) -> Result<Markup, Failure> {
    let id = segment(&email_id);
    let mut read: Read = member.get(&format!("/v1/emails/{id}?quarantined=true")).await?;
    if let Some(security) = &mut read.email.security {
        security.reasons.truncate(MOST_REASONS);
    }
    let email = &read.email;
    let inbox = inboxes::find(&member, &email.inbox_id).await?;
    let inbox_path = format!("/console/inboxes/{}", segment(&inbox.id));
    let view = view(&read, &params);
    let content = match view {
        View::Marked => marked(&member, email).await?,
        View::Text => text(&read),
        View::Model => model(&member, email).await?,
        View::Html => frame(&id),
        View::Fields => fields(&read.headers),
        View::Timeline => timeline::of(&member, email).await?,
    };
    let path = format!("/console/emails/{id}");
    let choices = VIEWS.iter().filter(|it| is_there(&read, it.0));
    let choices = choices.map(|it| (format!("{path}?view={}", it.1), it.2, it.0 == view));
    let choices: Vec<_> = choices.collect();
    let body = html! {
        (trail(&[("/console/inboxes", "Inboxes"), (&inbox_path, &inbox.address)]))
        h1 { (subject(&email.subject)) }
        (head(email, &inbox_path))
        (decisions::card(&member.session, email, params.text("later").is_some()))
        @if let Some(security) = &email.security { (verdict(email, security)) }
        (recipients(email))
        section.mail aria-label="The mail" {
            (tabs("How the mail is shown", &choices))
            (content)
        }
        (attachments(email))
    };
    Ok(page(&member.session, &email.subject, body))
}

/// The one that is asked for, or else what there is to say first.
fn view(read: &Read, params: &Params) -> View {
    let asked = params.text("view").unwrap_or_default();
    let asked = VIEWS.iter().find(|it| it.1 == asked).map(|it| it.0);
    let first = if is_there(read, View::Marked) { View::Marked } else { View::Text };
    asked.filter(|it| is_there(read, *it)).unwrap_or(first)
}

fn is_there(read: &Read, view: View) -> bool {
    match view {
        View::Marked => read.email.security.as_ref().is_some_and(|it| !it.reasons.is_empty()),
        View::Html => read.html.is_some(),
        View::Fields => !read.headers.is_empty(),
        View::Text | View::Model | View::Timeline => true,
    }
}

fn head(email: &Email, inbox_path: &str) -> Markup {
    let addresses = [("To", &email.to), ("Cc", &email.cc)];
    html! {
        dl.head {
            dt { "From" } dd {
                (line(&email.from)) " "
                @match email.sender_authenticated {
                    Some(true) => (badge("good", "sender proved")),
                    Some(false) => (badge("warn", "sender not proved")),
                    None => {}
                }
            }
            @for (name, list) in addresses {
                @if !list.is_empty() { dt { (name) } dd { (line(&list.join(", "))) } }
            }
            dt { "When" } dd { (moment(&email.created_at)) }
            dt { "State" } dd {
                @if let Some(it) = &email.status { (status(it)) " " }
                @for it in &email.labels { (badge("calm", it)) " " }
            }
            @if let Some(id) = &email.thread_id {
                dt { "Thread" } dd { a href={ (inbox_path) "/threads/" (segment(id)) } { "The conversation" } }
            }
            @if let Some(error) = &email.error { dt { "Refused" } dd { (line(&error.message)) } }
        }
    }
}

fn verdict(email: &Email, security: &EmailSecurity) -> Markup {
    let score = security.injection_risk_score;
    let tone = if score >= contract::RISK_THRESHOLD { "bad" } else { "good" };
    let is_in = email.direction == "inbound";
    html! {
        section.card aria-labelledby="verdict" {
            h2 #verdict { "Verdict" }
            p.score { strong { (format!("{score:.2}")) } " injection risk, of 1" }
            (bar(tone, score * 100.0))
            p {
                @if let Some(action) = &security.action { (status(action)) " " }
                @for it in &security.flags { (badge("bad", &it.replace('_', " "))) " " }
                @if security.first_contact == Some(true) { (badge("calm", "first contact")) }
            }
            @if is_in {
                p.quiet {
                    @for (name, result) in [("SPF", &security.spf), ("DKIM", &security.dkim), ("DMARC", &security.dmarc)] {
                        (name) " " (result.as_deref().unwrap_or("not looked at")) " · "
                    }
                    "detectors " (line(&security.version))
                }
            }
            @if !security.reasons.is_empty() {
                ol.reasons { @for (at, it) in security.reasons.iter().enumerate() { (reason(at, it)) } }
            }
        }
    }
}

fn reason(at: usize, it: &SecurityReason) -> Markup {
    html! {
        li id={ "reason-" (at + 1) } {
            strong { (it.flag.replace('_', " ")) } span.quiet { " in " (line(&it.part)) }
            p { (line(&it.explanation)) }
            @if !it.excerpt.is_empty() { p { code { (line(&it.excerpt)) } } }
        }
    }
}

async fn marked(member: &Member, email: &Email) -> Result<Markup, Failure> {
    let (inbox_id, id) = (segment(&email.inbox_id), segment(&email.id));
    let path = format!("/v1/inboxes/{inbox_id}/emails/{id}/raw?quarantined=true");
    let _turn = member.session.console.turns.acquire().await.map_err(Problem::internal)?;
    let content = member.octets(&path).await?;
    let reasons = email.security.clone().unwrap_or_default().reasons;
    let found = spawn_blocking(move || marks::passages(&content, &reasons)).await;
    let found = found.map_err(Problem::internal)?;
    Ok(html! {
        @if found.is_empty() {
            p.quiet { "What the verdict rests on stands in none of the mail’s own texts: the reasons above have excerpts." }
        }
        @for it in &found { (passage(it)) }
    })
}

fn passage(passage: &Passage) -> Markup {
    html! {
        h3 { "In " (line(&passage.part)) }
        div.text {
            @if passage.is_cut.0 { span.quiet { "… " } }
            @for piece in &passage.pieces {
                @if piece.reasons.is_empty() { (block(&piece.text)) }
                @else {
                    mark { (block(&piece.text)) }
                    @for at in &piece.reasons {
                        a.ref href={ "#reason-" (at + 1) } aria-label={ "Reason " (at + 1) } { (at + 1) }
                    }
                }
            }
            @if passage.is_cut.1 { span.quiet { " …" } }
        }
    }
}

fn text(read: &Read) -> Markup {
    html! {
        @if let Some(code) = &read.code { p { "Code " code.code { (line(code)) } } }
        div.text { @if read.text.is_empty() { em { "No text" } } @else { (block(&read.text)) } }
        @if read.truncated { p.quiet { "There is more: the raw mail has all of it." } }
        @if !read.links.is_empty() {
            h3 { "Links" }
            ul.links {
                @for it in &read.links {
                    li {
                        (badge("calm", &it.purpose)) " " (line(&it.text)) " → " code { (line(&it.host)) }
                        @if it.deceptive { " " (badge("bad", "deceptive")) }
                    }
                }
            }
        }
    }
}

async fn model(member: &Member, email: &Email) -> Result<Markup, Failure> {
    let path = format!("/v1/emails/{}/safe?quarantined=true&hidden=show", segment(&email.id));
    let Safe { content, hidden, image_hosts, removed_characters } = member.get(&path).await?;
    Ok(html! {
        p.quiet {
            "What a language model gets, without what nobody sees: "
            (removed_characters) " characters were taken out."
            @if !image_hosts.is_empty() { " Images would tell " (line(&image_hosts.join(", "))) "." }
        }
        div.text { (block(&content)) }
        @if !hidden.is_empty() {
            h3 { "Hidden from people" }
            dl {
                @for it in &hidden {
                    dt { (line(&it.technique)) ", " (it.pieces) " times" }
                    dd { (line(it.words.as_deref().unwrap_or_default())) }
                }
            }
        }
    })
}

fn frame(id: &str) -> Markup {
    html! {
        p.quiet { "As it was sent, with scripts, forms and whatever would be loaded from elsewhere shut out." }
        iframe.frame title="The HTML of the mail" src={ "/console/emails/" (id) "/html" } sandbox=""
            referrerpolicy="no-referrer" loading="lazy" {}
    }
}

fn fields(headers: &[Field]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Header fields" {
            table.fields {
                tbody { @for it in headers { tr { th scope="row" { (line(&it.name)) } td { (line(&it.value)) } } } }
            }
        }
    }
}

fn recipients(email: &Email) -> Markup {
    html! {
        @if !email.recipients.is_empty() {
            section.card aria-labelledby="recipients" {
                h2 #recipients { "Recipients" }
                ul.rows.small {
                    @for it in &email.recipients {
                        li {
                            (line(&it.address)) " "
                            @if it.action.is_empty() { (badge("calm", "not tried yet")) } @else { (status(&it.action)) }
                            @if !it.diagnostic.is_empty() { p.quiet { (line(&it.diagnostic)) } }
                        }
                    }
                }
            }
        }
    }
}

fn attachments(email: &Email) -> Markup {
    html! {
        @if !email.attachments.is_empty() {
            h2 { "Attachments" }
            ul.links {
                @for it in &email.attachments {
                    li {
                        @match &it.download_url {
                            Some(url) => a href=(url) download="" { (line(&it.filename)) },
                            None => (line(&it.filename)),
                        }
                        span.quiet { " " (line(&it.content_type)) ", " (octets(it.size_bytes)) }
                    }
                }
            }
        }
    }
}
