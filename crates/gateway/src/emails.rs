//! Emails: the list of an inbox, one with its text, and its original octets.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use contract::Email;
use serde::Serialize;
use store::{EmailFilter, Reader};
use utoipa::ToSchema;

use crate::{
    attachments,
    caller::{Allowed, Caller},
    documentation::Errors,
    gateway::Gateway,
    inboxes,
    links::Links,
    params::{BaseUrl, Params, Segments},
    problem::Problem,
    quarantine,
    reading::{self, ReadEmail, Readings},
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/emails", get(list))
        .route("/v1/inboxes/{inboxId}/emails/{emailId}", get(read))
        .route("/v1/emails/{emailId}", get(read_any))
        .route("/v1/inboxes/{inboxId}/emails/{emailId}/raw", get(raw))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Emails {
    /// `body` is null: it is not loaded.
    data: Vec<Email>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

pub(crate) fn unknown(email_id: &str) -> Problem {
    Problem::not_found(format!("this inbox has no email {email_id:?}"))
}

pub(crate) fn unknown_to_account(email_id: &str) -> Problem {
    Problem::not_found(format!("you have no email {email_id:?}"))
}

/// The emails of an inbox, newest first
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails", operation_id = "listEmails", tag = "emails",
    params(
        ("inboxId" = String, Path),
        ("limit" = Option<u32>, Query, description = "20 without, 100 at most"),
        ("since" = Option<String>, Query, format = DateTime,
            description = "Only what could be read after this moment"),
        ("direction" = Option<String>, Query, description = "\"inbound\" or \"outbound\""),
        ("include" = Option<String>, Query,
            description = "\"quarantined\" for what is in quarantine as well"),
        ("label" = Option<String>, Query, description = "Only what has this label"),
        ("unread" = Option<bool>, Query, description = "Only what has not been read, or has"),
        ("cursor" = Option<String>, Query, description = "Of the page before"),
    ),
    responses((status = 200, description = "A page", body = Emails), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    Segments(inbox_id): Segments<String>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Json<Emails>, Problem> {
    let filter = EmailFilter {
        limit: params.limit()?,
        since: params.moment("since")?,
        direction: params.direction()?,
        include_quarantined: params.choice("include", &[("quarantined", ())])?.is_some(),
        label: params.text("label"),
        thread_ids: grant.thread_ids,
        is_read: params.choice("unread", &[("true", false), ("false", true)])?,
        cursor: params.text("cursor"),
    };
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let page = reader.emails(&account.id, &inbox.id, &filter).await?;
    Ok(Json(Emails { data: page.items, cursor: page.cursor }))
}

/// One email, with its text
///
/// One in quarantine is answered with 409 "quarantined", one that was refused there with 409 "refused",
/// unless `quarantined=true` asks for it.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/{emailId}", operation_id = "getEmail",
    tag = "emails",
    params(("inboxId" = String, Path), ("emailId" = String, Path), quarantine::Wanted),
    responses((status = 200, description = "The email", body = ReadEmail), Errors)
)]
pub(crate) async fn read(
    Caller(account): Caller,
    Segments((inbox_id, email_id)): Segments<(String, String)>,
    params: Params,
    BaseUrl(base): BaseUrl,
    State(reader): State<Reader>,
    State(links): State<Links>,
    State(readings): State<Readings>,
) -> Result<Json<ReadEmail>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let email = quarantine::readable(&reader, &inbox, &email_id, &params).await?;
    let mut email = email.ok_or_else(|| unknown(&email_id))?;
    attachments::link(&mut email, &account.id, &links, &base);
    readings.with(&account.id, email, reading::read).await.map(Json)
}

/// One email, with its text, whichever inbox it is in
///
/// As by its inbox, also if it is in quarantine.
#[utoipa::path(
    get, path = "/v1/emails/{emailId}", operation_id = "getAnyEmail", tag = "emails",
    params(("emailId" = String, Path), quarantine::Wanted),
    responses((status = 200, description = "The email", body = ReadEmail), Errors)
)]
pub(crate) async fn read_any(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    params: Params,
    BaseUrl(base): BaseUrl,
    State(reader): State<Reader>,
    State(links): State<Links>,
    State(readings): State<Readings>,
) -> Result<Json<ReadEmail>, Problem> {
    let unknown = || unknown_to_account(&email_id);
    let inbox = reader.inbox_of_email(&account.id, &email_id).await?.ok_or_else(unknown)?;
    let email = quarantine::readable(&reader, &inbox, &email_id, &params).await?;
    let mut email = email.ok_or_else(unknown)?;
    attachments::link(&mut email, &account.id, &links, &base);
    readings.with(&account.id, email, reading::read).await.map(Json)
}

/// An email of the account, in whichever of its active inboxes.
pub(crate) async fn find(
    reader: &Reader,
    account_id: &str,
    email_id: &str,
) -> Result<Email, Problem> {
    let unknown = || unknown_to_account(email_id);
    let inbox = reader.inbox_of_email(account_id, email_id).await?.ok_or_else(unknown)?;
    reader.email(account_id, &inbox.id, email_id).await?.ok_or_else(unknown)
}

/// An email's original
///
/// The octets as they were received or sent, below the trace lines this service put on top.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/{emailId}/raw", operation_id = "getRawEmail",
    tag = "emails",
    params(("inboxId" = String, Path), ("emailId" = String, Path), quarantine::Wanted),
    responses(
        (status = 200, description = "RFC 5322", body = String, content_type = "message/rfc822"),
        Errors
    )
)]
pub(crate) async fn raw(
    Caller(account): Caller,
    Segments((inbox_id, email_id)): Segments<(String, String)>,
    params: Params,
    State(reader): State<Reader>,
) -> Result<Response, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    quarantine::readable(&reader, &inbox, &email_id, &params).await?;
    let original = reader.any_original(&account.id, &inbox.id, &email_id).await?;
    let original = original.ok_or_else(|| unknown(&email_id))?;
    let filename = format!("{email_id}.eml");
    Ok(download(original.octets, "message/rfc822", &filename))
}

/// Octets from a stranger: to be kept, never to be shown or run in this API's origin.
pub(crate) fn download(octets: Vec<u8>, content_type: &str, filename: &str) -> Response {
    let octet_stream = HeaderValue::from_static("application/octet-stream");
    let content_type = HeaderValue::from_str(content_type).unwrap_or(octet_stream);
    let disposition = HeaderValue::from_str(&disposition(filename))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let fields = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    (fields, octets).into_response()
}

/// RFC 6266: the name in ASCII for everybody, and in full (RFC 8187) for those who can.
fn disposition(filename: &str) -> String {
    let is_plain = |it: char| it.is_ascii_graphic() && !matches!(it, '"' | '\\' | '%' | '/');
    let plain: String =
        filename.chars().map(|it| if is_plain(it) || it == ' ' { it } else { '_' }).collect();
    let full: String = filename.bytes().map(attribute_char).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

fn attribute_char(octet: u8) -> String {
    match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filename_cannot_break_out_of_its_field() {
        assert_eq!(
            disposition("a\"; filename=\"b\r\nX: y.exe"),
            "attachment; filename=\"a_; filename=_b__X: y.exe\"; \
             filename*=UTF-8''a%22%3B%20filename%3D%22b%0D%0AX%3A%20y.exe"
        );
        assert!(disposition("Öl.pdf").ends_with("filename*=UTF-8''%C3%96l.pdf"));
    }

    #[test]
    fn a_strange_type_is_octets() {
        let response = download(b"x".to_vec(), "text/html\r\nX: y", "x.html");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(
            response.headers()[header::CONTENT_SECURITY_POLICY],
            "sandbox; default-src 'none'"
        );
    }
}
