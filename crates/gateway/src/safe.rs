//! The rendering of an email that is safe to show to a language model.

use aws_lc_rs::rand;
use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use contract::Email;
use data_encoding::HEXLOWER;
use reading::{Attached, Options, Reading, Safe, Stranger};
use serde::Serialize;
use store::Reader;
use utoipa::ToSchema;

use crate::{
    caller::Caller,
    documentation::Errors,
    emails,
    gateway::Gateway,
    inboxes,
    params::{Params, Segments},
    problem::Problem,
    reading::{MAX_BODY, Opened, ReadLink, Readings, mail_of},
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/emails/{emailId}/safe", get(of_inbox))
        .route("/v1/emails/{emailId}/safe", get(of_email))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SafeEmail {
    id: String,
    inbox_id: String,
    /// All of it, to be given to the model as it is.
    rendering: String,
    /// The first line of `rendering`, with a nonce of its own in each answer.
    begin: String,
    /// The last line.
    end: String,
    nonce: String,
    from: String,
    to: Vec<String>,
    subject: String,
    filenames: Vec<String>,
    /// The words alone, without the fence.
    content: String,
    /// What stands between words instead of a space, if that was asked for.
    #[schema(required, example = "^")]
    marker: Option<String>,
    injection_risk_score: f64,
    flags: Vec<String>,
    /// Text that a person would not have seen and that is not in `content`, by the way it was hidden.
    hidden: Vec<HiddenText>,
    /// Hosts that showing the images would have told of it.
    image_hosts: Vec<String>,
    /// How many invisible and control characters were taken out.
    removed_characters: usize,
    /// How many imitations of a fence were taken out.
    removed_boundaries: usize,
    /// The links whose hosts stand in `content`.
    links: Vec<ReadLink>,
    truncated: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HiddenText {
    /// Such as "display" or "font size".
    technique: &'static str,
    pieces: usize,
    /// Only with `hidden=show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

/// What a request asks for.
#[derive(Clone, Copy)]
struct Wanted {
    is_text: bool,
    datamark: bool,
    show_hidden: bool,
}

impl Wanted {
    fn of(params: &Params) -> Result<Wanted, Problem> {
        let yes_or_no = [("true", true), ("false", false)];
        Ok(Wanted {
            is_text: params.choice("format", &[("json", false), ("text", true)])?.unwrap_or(false),
            datamark: params.choice("datamark", &yes_or_no)?.unwrap_or(false),
            show_hidden: params
                .choice("hidden", &[("show", true), ("name", false)])?
                .unwrap_or(false),
        })
    }
}

/// An email, safe to show to a language model
///
/// In a fence with a new nonce in each answer; without what is hidden or invisible; links show the host
/// they lead to. `format=text` answers with the rendering alone.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/{emailId}/safe", operation_id = "getSafeEmail",
    tag = "emails",
    params(
        ("inboxId" = String, Path),
        ("emailId" = String, Path),
        ("format" = Option<String>, Query, description = "\"json\", also without, or \"text\""),
        ("datamark" = Option<bool>, Query, description = "A mark between words instead of a space"),
        ("hidden" = Option<String>, Query, description = "\"name\", also without, or \"show\": with the words"),
    ),
    responses(
        (status = 200, description = "The rendering", content(
            (SafeEmail = "application/json"), (String = "text/plain")
        )),
        Errors
    )
)]
pub(crate) async fn of_inbox(
    Caller(account): Caller,
    Segments((inbox_id, email_id)): Segments<(String, String)>,
    params: Params,
    State(reader): State<Reader>,
    State(readings): State<Readings>,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&params)?;
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let email = reader.email(&account.id, &inbox.id, &email_id).await?;
    let email = email.ok_or_else(|| emails::unknown(&email_id))?;
    answer(&readings, &account.id, email, wanted).await
}

/// An email, safe to show to a language model, whichever inbox it is in
#[utoipa::path(
    get, path = "/v1/emails/{emailId}/safe", operation_id = "getAnySafeEmail", tag = "emails",
    params(
        ("emailId" = String, Path),
        ("format" = Option<String>, Query, description = "\"json\", also without, or \"text\""),
        ("datamark" = Option<bool>, Query, description = "A mark between words instead of a space"),
        ("hidden" = Option<String>, Query, description = "\"name\", also without, or \"show\": with the words"),
    ),
    responses(
        (status = 200, description = "The rendering", content(
            (SafeEmail = "application/json"), (String = "text/plain")
        )),
        Errors
    )
)]
pub(crate) async fn of_email(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    params: Params,
    State(reader): State<Reader>,
    State(readings): State<Readings>,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&params)?;
    let email = emails::find(&reader, &account.id, &email_id).await?;
    answer(&readings, &account.id, email, wanted).await
}

async fn answer(
    readings: &Readings,
    account_id: &str,
    email: Email,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let nonce = nonce()?;
    let safe = readings.with(account_id, email, move |it| render(&it, nonce, wanted)).await?;
    if wanted.is_text {
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        let guards = [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
        return Ok((kind, guards, safe.rendering).into_response());
    }
    Ok(Json(safe).into_response())
}

/// 128 bits that nobody can guess.
fn nonce() -> Result<String, Problem> {
    let mut octets = [0; 16];
    rand::fill(&mut octets).map_err(|_| Problem::internal(anyhow::anyhow!("no random octets")))?;
    Ok(HEXLOWER.encode(&octets))
}

fn render(opened: &Opened, nonce: String, wanted: Wanted) -> SafeEmail {
    let email = &opened.email;
    let bodies = mail::bodies(&opened.octets, MAX_BODY);
    let security = email.security.clone().unwrap_or_default();
    let [spf, dkim, dmarc] = [&security.spf, &security.dkim, &security.dmarc];
    let attachments = email.attachments.iter().map(|it| Attached {
        filename: &it.filename,
        content_type: &it.content_type,
        size_bytes: it.size_bytes,
    });
    let stranger = Stranger {
        from: &email.from,
        to: &email.to,
        subject: &email.subject,
        date: email.received_at.as_deref().unwrap_or(&email.created_at),
        score: security.injection_risk_score,
        flags: &security.flags,
        authentication: [spf, dkim, dmarc].map(|it| it.as_deref().unwrap_or_default()),
        attachments: attachments.collect(),
        text: &bodies.text,
        html: &bodies.html,
    };
    let options =
        Options { nonce: &nonce, datamark: wanted.datamark, show_hidden: wanted.show_hidden };
    let safe = reading::render(&stranger, options);
    let links = reading::links(&Reading::of(mail_of(email, &bodies)));
    let links = links.into_iter().map(ReadLink::from).collect();
    shown(email, safe, links, nonce, bodies.truncated)
}

fn shown(email: &Email, safe: Safe, links: Vec<ReadLink>, nonce: String, cut: bool) -> SafeEmail {
    let security = email.security.clone().unwrap_or_default();
    let hidden = safe.hidden.into_iter().map(|it| HiddenText {
        technique: it.way,
        pieces: it.pieces,
        words: it.words,
    });
    SafeEmail {
        id: email.id.clone(),
        inbox_id: email.inbox_id.clone(),
        rendering: safe.rendering,
        begin: safe.begin,
        end: safe.end,
        nonce,
        from: safe.from,
        to: safe.to,
        subject: safe.subject,
        filenames: safe.filenames,
        content: safe.content,
        marker: safe.marker.map(String::from),
        injection_risk_score: security.injection_risk_score,
        flags: security.flags,
        hidden: hidden.collect(),
        image_hosts: safe.image_hosts,
        removed_characters: safe.removed_characters,
        removed_boundaries: safe.removed_boundaries,
        links,
        truncated: safe.truncated || cut,
    }
}
