//! What agents have uploaded to attach it to mail, each under its account, until it expires.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    object_store::{self, InfoErrorKind, ObjectMetadata},
};
use bytes::Bytes;
use contract::{Rejection, SendRequest, topology::UPLOADS};
use tokio::{io::AsyncReadExt as _, time::timeout};

/// The largest upload, in octets: as much as a mail may have.
pub const UPLOAD_LIMIT: usize = 25 * 1024 * 1024;

/// How long an upload can be named in requests, in microseconds. The bucket keeps it a little longer.
pub const UPLOAD_LIFETIME: i64 = 24 * 60 * 60 * 1_000_000;

/// For writing or reading one. An object whose octets have gone would be waited for without end.
const PATIENCE: Duration = Duration::from_secs(60);

const FILENAME: &str = "filename";
const CONTENT_TYPE: &str = "content-type";
const EXPIRES_AT: &str = "expires-at";

/// What is known of an upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    pub filename: String,
    pub content_type: String,
    pub size_bytes: u64,
    /// In microseconds since 1970.
    pub expires_at: i64,
}

#[derive(Clone)]
pub struct Uploads {
    jetstream: jetstream::Context,
}

impl Uploads {
    pub(crate) fn new(jetstream: jetstream::Context) -> Uploads {
        Uploads { jetstream }
    }

    /// Durable when it returns.
    pub async fn put(
        &self,
        account_id: &str,
        upload_id: &str,
        upload: &Upload,
        octets: Bytes,
    ) -> anyhow::Result<()> {
        let metadata = ObjectMetadata {
            name: key(account_id, upload_id),
            chunk_size: Some(512 * 1024),
            metadata: HashMap::from([
                (FILENAME.to_owned(), upload.filename.clone()),
                (CONTENT_TYPE.to_owned(), upload.content_type.clone()),
                (EXPIRES_AT.to_owned(), upload.expires_at.to_string()),
            ]),
            ..Default::default()
        };
        let bucket = self.bucket().await?;
        let stored = timeout(PATIENCE, bucket.put(metadata, &mut octets.as_ref())).await;
        stored.context("store an upload in time")?.context("store an upload")?;
        Ok(())
    }

    /// `None` if the account has no such upload, or it has expired by `at`.
    pub async fn find(
        &self,
        account_id: &str,
        upload_id: &str,
        at: i64,
    ) -> anyhow::Result<Option<Upload>> {
        let info = match self.bucket().await?.info(key(account_id, upload_id)).await {
            Ok(info) if info.deleted => return Ok(None),
            Ok(info) => info,
            Err(err) if err.kind() == InfoErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).context("find an upload"),
        };
        let text = |name: &str| info.metadata.get(name).cloned().unwrap_or_default();
        let upload = Upload {
            filename: text(FILENAME),
            content_type: text(CONTENT_TYPE),
            size_bytes: info.size as u64,
            expires_at: text(EXPIRES_AT).parse().unwrap_or_default(),
        };
        Ok(Some(upload).filter(|it| it.expires_at > at))
    }

    /// The uploads that a request of the account's names, or why it cannot be honoured; `at` is when it
    /// was made.
    pub async fn named(
        &self,
        account_id: &str,
        request: &SendRequest,
        at: i64,
    ) -> anyhow::Result<Result<Vec<Option<Upload>>, Rejection>> {
        let mut named = Vec::new();
        let mut octets = 0_u64;
        for (n, attachment) in request.attachments.iter().enumerate() {
            let upload_id = &attachment.upload_id;
            if upload_id.is_empty() {
                named.push(None);
                continue;
            }
            let Some(upload) = self.find(account_id, upload_id, at).await? else {
                return Ok(Err(unknown(n, upload_id)));
            };
            octets += upload.size_bytes;
            named.push(Some(upload));
        }
        if octets > UPLOAD_LIMIT as u64 {
            let message = format!(
                "attachments: {octets} octets of uploads are more than {UPLOAD_LIMIT} (25 MiB)"
            );
            return Ok(Err(Rejection { code: "too_large".to_owned(), message }));
        }
        Ok(Ok(named))
    }

    /// Puts what was uploaded in its places in a request of the account's, or says why it cannot be
    /// honoured.
    pub async fn resolve(
        &self,
        account_id: &str,
        request: &mut SendRequest,
        at: i64,
    ) -> anyhow::Result<Result<(), Rejection>> {
        let named = match self.named(account_id, request, at).await? {
            Ok(named) => named,
            Err(rejection) => return Ok(Err(rejection)),
        };
        for (n, (attachment, upload)) in request.attachments.iter_mut().zip(named).enumerate() {
            let Some(upload) = upload else { continue };
            let Some(octets) = self.octets(account_id, &attachment.upload_id).await? else {
                return Ok(Err(unknown(n, &attachment.upload_id)));
            };
            attachment.content = octets;
            attachment.upload_id.clear();
            if attachment.filename.is_empty() {
                attachment.filename = upload.filename;
            }
            if attachment.content_type.is_empty() {
                attachment.content_type = upload.content_type;
            }
        }
        Ok(Ok(()))
    }

    async fn octets(&self, account_id: &str, upload_id: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let bucket = self.bucket().await?;
        let read = async {
            let object = match bucket.get(key(account_id, upload_id)).await {
                Ok(object) => object,
                Err(err) if err.kind() == object_store::GetErrorKind::NotFound => return Ok(None),
                Err(err) => return Err(err).context("find an upload"),
            };
            let mut octets = Vec::with_capacity(object.info().size.min(UPLOAD_LIMIT));
            let read = object.take(UPLOAD_LIMIT as u64).read_to_end(&mut octets).await;
            read.context("read an upload")?;
            Ok(Some(octets))
        };
        timeout(PATIENCE, read).await.context("read an upload in time")?
    }

    async fn bucket(&self) -> anyhow::Result<object_store::ObjectStore> {
        self.jetstream.get_object_store(UPLOADS).await.context("open uploads")
    }
}

/// Of its account, so that a foreign one does not exist.
fn key(account_id: &str, upload_id: &str) -> String {
    format!("{account_id}/{upload_id}")
}

fn unknown(n: usize, upload_id: &str) -> Rejection {
    let message = format!(
        "attachments[{n}].uploadId: you have no upload {upload_id:?}, or it has expired: an upload can be \
         used for 24 hours"
    );
    Rejection { code: "upload_not_found".to_owned(), message }
}
