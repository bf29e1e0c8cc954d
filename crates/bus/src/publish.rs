use anyhow::bail;
use async_nats::{
    HeaderMap,
    connection::State,
    header,
    jetstream::{
        self, ErrorCode,
        context::{PublishAckFuture, PublishErrorKind},
    },
};
use bytes::Bytes;
use contract::{Emit, Record, claim_prefix, content::Place, send_subject};
use futures_util::future::{try_join, try_join_all};
use service::current_trace;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{Bus, INLINE_LIMIT, batch, trace};

/// The request is the object of this key in the claim bucket, and the payload is empty.
pub(crate) const CLAIM_HEADER: &str = "Mail-Claim";

/// Why a publish was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The stream is at its limit (`DiscardNew`), or its disk is full: whoever sends has to wait.
    #[error("the stream for {subject} is full")]
    Full { subject: String },
    /// NATS cannot be reached or did not answer in time. It may have stored the message.
    #[error("publish {subject}")]
    Unavailable {
        subject: String,
        #[source]
        source: anyhow::Error,
    },
}

impl Bus {
    /// Publishes, and returns once JetStream has stored every record. Those that are in no trace come
    /// into that of whoever calls.
    pub async fn publish(&self, emit: impl Emit) -> Result<(), PublishError> {
        let mut records = emit.records();
        if let Some(trace) = current_trace() {
            for record in &mut records {
                record.trace.get_or_insert_with(|| trace.clone());
            }
        }
        let batched = batch::take(&mut records);
        let batched = async {
            let rest = batch::publish(&self.client, batched).await?;
            self.publish_each(rest).await
        };
        try_join(batched, self.publish_each(records)).await?;
        Ok(())
    }

    async fn publish_each(&self, records: Vec<Record>) -> Result<(), PublishError> {
        let (mut acks, mut bundled) = (Vec::new(), Vec::new());
        for record in records {
            if let Some(bundler) = self.bundlers.of(&record) {
                bundled.push(bundler.add(record).await?);
                continue;
            }
            let (subject, headers) = address(&record)?;
            acks.push(self.start(subject, headers, record.payload.into()).await?);
        }
        let acks = try_join_all(acks.into_iter().map(settle));
        try_join(acks, try_join_all(bundled)).await?;
        Ok(())
    }

    /// Publishes a request to send on the subject that agents on NATS use too, and returns once it is
    /// durable. `request` is the SendRequest as JSON, `key` the idempotency key.
    pub async fn submit(
        &self,
        account_id: &str,
        inbox_id: &str,
        token: Option<&str>,
        key: &str,
        request: Bytes,
    ) -> Result<(), PublishError> {
        let subject = send_subject(account_id, inbox_id, token);
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, key);
        trace::insert(&mut headers, current_trace().as_ref());
        let mut claimed = None;
        let payload = if request.len() <= INLINE_LIMIT {
            request
        } else {
            let claim =
                format!("{}{}", claim_prefix(account_id, inbox_id), Uuid::now_v7().simple());
            let content =
                self.claims().put(&claim, request).await.map_err(|source| {
                    PublishError::Unavailable { subject: subject.clone(), source }
                })?;
            if let Some(Place::Claim(claim)) = &content.place {
                headers.insert(CLAIM_HEADER, claim.as_str());
            }
            claimed = Some(content);
            Bytes::new()
        };
        let submitted = settle(self.start(subject, headers, payload).await?).await;
        // Only then is it certain that nothing refers to it.
        if let (Err(PublishError::Full { .. }), Some(content)) = (&submitted, claimed)
            && let Err(err) = self.claims().remove(&content).await
        {
            tracing::debug!("leave a claim behind: {err:#}");
        }
        submitted
    }

    pub(crate) async fn start(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(String, PublishAckFuture), PublishError> {
        start(&self.client, &self.jetstream, subject, headers, payload).await
    }
}

pub(crate) async fn start(
    client: &async_nats::Client,
    jetstream: &jetstream::Context,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<(String, PublishAckFuture), PublishError> {
    let unavailable = |source| PublishError::Unavailable { subject: subject.clone(), source };
    check_connected(client).map_err(unavailable)?;
    let ack = jetstream
        .publish_with_headers(subject.clone(), headers, payload)
        .await
        .map_err(|err| unavailable(err.into()))?;
    Ok((subject, ack))
}

/// The client would keep a message for when NATS is back, long after the caller was told it failed.
pub(crate) fn check_connected(client: &async_nats::Client) -> anyhow::Result<()> {
    if client.connection_state() != State::Connected {
        bail!("NATS is away");
    }
    Ok(())
}

pub(crate) async fn settle((subject, ack): (String, PublishAckFuture)) -> Result<(), PublishError> {
    match ack.await {
        Ok(_) => Ok(()),
        Err(err) if is_full(&err) => Err(PublishError::Full { subject }),
        Err(err) => Err(PublishError::Unavailable { subject, source: err.into() }),
    }
}

fn is_full(err: &jetstream::context::PublishError) -> bool {
    use std::error::Error as _;
    err.kind() == PublishErrorKind::Other
        && err
            .source()
            .and_then(|it| it.downcast_ref::<jetstream::Error>())
            .is_some_and(|it| it.error_code() == ErrorCode::STREAM_STORE_FAILED)
}

/// Where a record goes and under which identity. One that is due later goes to a subject of its own,
/// from where JetStream moves it.
fn address(record: &Record) -> Result<(String, HeaderMap), PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, record.identity.as_str());
    trace::insert(&mut headers, record.trace.as_ref());
    let Some(due) = record.due else {
        return Ok((record.subject.clone(), headers));
    };
    let at = OffsetDateTime::from(due).format(&Rfc3339).map_err(|err| {
        PublishError::Unavailable { subject: record.subject.clone(), source: err.into() }
    })?;
    headers.insert(header::NATS_SCHEDULE, format!("@at {at}"));
    headers.insert(header::NATS_SCHEDULE_TARGET, record.subject.as_str());
    // A later record of the same identity replaces this one: only one of them fires.
    let place = Uuid::new_v5(&Uuid::NAMESPACE_OID, record.identity.as_bytes()).simple();
    let stages = record.subject.split('.').next().unwrap_or_default();
    Ok((format!("{stages}.later.{place}"), headers))
}
