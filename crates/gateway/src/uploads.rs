//! Uploads: octets that mail can have as attachments, without base64 and as often as it takes.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, header},
    routing::post,
};
use bus::{Bus, UPLOAD_LIFETIME, UPLOAD_LIMIT, Upload};
use data_encoding::HEXLOWER;
use serde::Serialize;
use store::Writer;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::Caller, documentation::Errors, gateway::Gateway, octets::Octets, params::Params,
    problem::Problem, time::now_micros,
};

/// As much an account may have uploaded in a day.
const MOST_BYTES: i64 = 1024 * 1024 * 1024;

const ANY_TYPE: &str = "application/octet-stream";

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/uploads", post(upload))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uploaded {
    /// For `uploadId` of an attachment.
    #[schema(example = "upl_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    upload_id: String,
    filename: String,
    content_type: String,
    size_bytes: u64,
    /// In hexadecimal.
    sha256: String,
    /// Until then it can be named, in as many mails as you like.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Upload an attachment
///
/// The body is the file, as it is; its type is that of the request. Mails of the same account can name
/// it instead of carrying it, for 24 hours.
#[utoipa::path(
    post, path = "/v1/uploads", operation_id = "uploadAttachment", tag = "emails",
    params(("filename" = String, Query, description = "What recipients see it as")),
    request_body(content = String, content_type = "application/octet-stream",
        description = "At most 25 MiB"),
    responses((status = 200, description = "It can be named now", body = Uploaded), Errors)
)]
pub(crate) async fn upload(
    Caller(account): Caller,
    params: Params,
    headers: HeaderMap,
    State(writer): State<Writer>,
    State(bus): State<Bus>,
    body: Octets,
) -> Result<Json<Uploaded>, Problem> {
    let Some(filename) = params.text("filename") else {
        return Err(Problem::invalid_request("filename: give ?filename=report.pdf"));
    };
    let content_type = headers.get(header::CONTENT_TYPE).map_or(Ok(ANY_TYPE), |it| it.to_str());
    let content_type = content_type
        .map_err(|_| Problem::invalid_request("Content-Type: it is not in visible ASCII"))?;
    mail::check_attachment(&filename, content_type)?;
    if body.octets.is_empty() {
        return Err(Problem::invalid_request("body: it is empty"));
    }
    if body.octets.len() > UPLOAD_LIMIT {
        return Err(Problem::payload_too_large(UPLOAD_LIMIT));
    }
    let upload = Upload {
        filename,
        content_type: content_type.to_owned(),
        size_bytes: body.octets.len() as u64,
        expires_at: now_micros() + UPLOAD_LIFETIME,
    };
    let upload_id = format!("upl_{}", Uuid::now_v7().simple());
    let size = i64::try_from(body.octets.len()).unwrap_or(i64::MAX);
    let (account_id, expires_at) = (&account.id, upload.expires_at);
    if !writer.note_upload(account_id, &upload_id, size, expires_at, MOST_BYTES).await? {
        let message = "this account has uploaded 1 GiB in the last 24 hours";
        return Err(Problem::rate_limited(message, 60 * 60));
    }
    let octets = body.octets.clone();
    let sha256 =
        tokio::task::spawn_blocking(move || HEXLOWER.encode(digest(&SHA256, &octets).as_ref()));
    let stored = bus.uploads().put(account_id, &upload_id, &upload, body.octets.clone()).await;
    stored.map_err(|err| {
        Problem::unavailable("the upload could not be stored now; try again").caused_by(err)
    })?;
    Ok(Json(Uploaded {
        upload_id,
        filename: upload.filename,
        content_type: upload.content_type,
        size_bytes: upload.size_bytes,
        sha256: sha256.await.map_err(Problem::internal)?,
        expires_at: store::rfc3339(upload.expires_at),
    }))
}
