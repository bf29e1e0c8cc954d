//! Attachments: a link to each, and what the link leads to.

use axum::{Json, Router, extract::State, response::Response, routing::get};
use contract::Email;
use serde::Serialize;
use store::Reader;
use utoipa::ToSchema;

use crate::{
    caller::Caller,
    documentation::Errors,
    emails::{self, download},
    gateway::Gateway,
    inboxes,
    links::{Links, Refused, Target},
    params::{BaseUrl, Params, Segments},
    problem::Problem,
    quarantine,
    time::now_micros,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/emails/{emailId}/attachments/{index}", get(url))
        .route("/v1/downloads/{link}", get(fetch))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Download {
    /// Absolute; needs no token and expires.
    #[schema(format = "uri")]
    download_url: String,
}

/// Gives every attachment of an email its link.
pub(crate) fn link(email: &mut Email, account_id: &str, links: &Links, base: &str) {
    let now = now_micros() / 1_000_000;
    for (index, attachment) in email.attachments.iter_mut().enumerate() {
        let target = Target {
            account_id: account_id.to_owned(),
            inbox_id: email.inbox_id.clone(),
            email_id: email.id.clone(),
            index,
        };
        attachment.download_url = Some(format!("{base}/v1/downloads/{}", links.sign(&target, now)));
    }
}

fn unknown(index: &str, count: usize) -> Problem {
    Problem::not_found(format!("this email has no attachment {index:?}: it has {count}, from 0 on"))
}

/// A link to an attachment
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/{emailId}/attachments/{index}",
    operation_id = "getAttachment", tag = "emails",
    params(
        ("inboxId" = String, Path),
        ("emailId" = String, Path),
        ("index" = u32, Path, description = "Its place in the email's `attachments`, from 0"),
        quarantine::Wanted,
    ),
    responses((status = 200, description = "The link", body = Download), Errors)
)]
pub(crate) async fn url(
    Caller(account): Caller,
    Segments((inbox_id, email_id, index)): Segments<(String, String, String)>,
    params: Params,
    BaseUrl(base): BaseUrl,
    State(reader): State<Reader>,
    State(links): State<Links>,
) -> Result<Json<Download>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let email = quarantine::readable(&reader, &inbox, &email_id, &params).await?;
    let mut email = email.ok_or_else(|| emails::unknown(&email_id))?;
    link(&mut email, &account.id, &links, &base);
    let attachment = index.parse().ok().and_then(|it: usize| email.attachments.get_mut(it));
    let download_url = attachment.and_then(|it| it.download_url.take());
    let download_url = download_url.ok_or_else(|| unknown(&index, email.attachments.len()))?;
    Ok(Json(Download { download_url }))
}

/// An attachment's octets
///
/// Needs no token: the link is its own proof, for as long as it is valid.
#[utoipa::path(
    get, path = "/v1/downloads/{link}", operation_id = "downloadAttachment", tag = "emails",
    security(()),
    params(("link" = String, Path, description = "From a `downloadUrl`")),
    responses(
        (status = 200, description = "The octets", body = String,
            content_type = "application/octet-stream"),
        Errors
    )
)]
pub(crate) async fn fetch(
    Segments(link): Segments<String>,
    State(reader): State<Reader>,
    State(links): State<Links>,
) -> Result<Response, Problem> {
    let target = links.verify(&link, now_micros() / 1_000_000).map_err(|why| {
        Problem::authentication(match why {
            Refused::Expired => "this link has expired: ask the API for a new one",
            Refused::Forged => "this is not a link that this service made",
        })
    })?;

    let Target { account_id, inbox_id, email_id, index } = target;
    let inbox = inboxes::active(&reader, &account_id, &inbox_id).await?;
    // Whoever has the link of one in quarantine has asked for that.
    let original = reader.any_original(&account_id, &inbox.id, &email_id).await?;
    let original = original.ok_or_else(|| emails::unknown(&email_id))?;
    // A large mail takes long to read: not on the threads that serve everybody.
    let part = tokio::task::spawn_blocking(move || mail::part(&original.octets, index)).await;
    let part = part.map_err(Problem::internal)?;
    let part = part.ok_or_else(|| {
        Problem::internal(anyhow::anyhow!("attachment {index} is listed, but not in the mail"))
    })?;
    Ok(download(part.octets, &part.content_type, &part.filename))
}
