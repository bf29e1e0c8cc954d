//! Where accepted mail goes and recipients are known from: NATS. Every wait here has an end.

use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, Claims, Directory, KnownToken, PublishError, Resolution};
use bytes::Bytes;
use contract::{Content, MailReceived, content::Place};
use mail::Address;
use service::Traces;
use time::OffsetDateTime;
use tokio::time::timeout;

const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);
const CLAIM_PATIENCE: Duration = Duration::from_secs(15);
const PUBLISH_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Post {
    bus: Bus,
    claims: Claims,
    directory: Directory,
}

/// Why a mail was not taken. The sender's queue is where it waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refusal {
    Full,
    Unavailable,
}

impl Post {
    pub(crate) fn new(bus: Bus) -> Post {
        Post { claims: bus.claims(), directory: bus.directory(), bus }
    }

    pub(crate) fn traces(&self) -> &Traces {
        self.bus.traces()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.bus.is_connected()
    }

    /// Which inbox the address means; `None` if that cannot be known now.
    pub(crate) async fn resolve(&self, address: &Address) -> Option<Resolution> {
        // Asking would only wait for the connection, once for each recipient.
        if !self.is_open() {
            return None;
        }
        let canonical = address.canonical();
        let resolution = self.directory.resolve(&canonical, address.domain());
        match timeout(LOOKUP_PATIENCE, resolution).await.context("time out").flatten() {
            Ok(resolution) => Some(resolution),
            Err(err) => {
                tracing::warn!("recipient not looked up: {err:#}");
                None
            }
        }
    }

    /// Whose token has this hash, if it is anybody's and has not expired; `None` if that cannot be known
    /// now.
    pub(crate) async fn token(&self, token_hash: &str) -> Option<Option<KnownToken>> {
        if !self.is_open() {
            return None;
        }
        let lookup = timeout(LOOKUP_PATIENCE, self.directory.token(token_hash)).await;
        match lookup.context("time out").flatten() {
            Ok(token) => Some(token.filter(|it| !it.grant.has_expired(now_micros()))),
            Err(err) => {
                tracing::warn!("token not looked up: {err:#}");
                None
            }
        }
    }

    /// Returns once the request to send is durable, where those of agents go.
    pub(crate) async fn submit(
        &self,
        account_id: &str,
        inbox_id: &str,
        token: Option<&str>,
        key: &str,
        request: Bytes,
    ) -> Result<(), Refusal> {
        let submitted = self.bus.submit(account_id, inbox_id, token, key, request);
        match timeout(CLAIM_PATIENCE + PUBLISH_PATIENCE, submitted).await.context("time out") {
            Ok(Ok(())) => Ok(()),
            Ok(Err(PublishError::Full { .. })) => {
                tracing::warn!("mail not taken: the stream is full");
                Err(Refusal::Full)
            }
            Ok(Err(err)) => {
                tracing::warn!("mail not taken: {:#}", anyhow::Error::new(err));
                Err(Refusal::Unavailable)
            }
            Err(err) => {
                tracing::warn!("mail not taken: {err:#}");
                Err(Refusal::Unavailable)
            }
        }
    }

    /// Returns once the mail is durable; its `content` is filled in here.
    pub(crate) async fn take(&self, mut mail: MailReceived, octets: Bytes) -> Result<(), Refusal> {
        let mail_id = mail.mail_id.clone();
        let key = format!("in/{mail_id}");
        let put = timeout(CLAIM_PATIENCE, self.claims.put(&key, octets)).await;
        let content = put.context("time out").flatten().map_err(|err| {
            tracing::warn!(mail.id = mail_id, "content not kept: {err:#}");
            Refusal::Unavailable
        })?;
        mail.content = Some(content.clone());
        let published = timeout(PUBLISH_PATIENCE, self.bus.publish(mail)).await;
        match published {
            Ok(Ok(())) => Ok(()),
            Ok(Err(PublishError::Full { .. })) => {
                tracing::warn!(mail.id = mail_id, "mail not taken: the stream is full");
                self.withdraw(&mail_id, &content).await;
                Err(Refusal::Full)
            }
            // It may be stored after all, so its content stays; the bucket forgets old ones.
            Ok(Err(err)) => {
                let err = anyhow::Error::new(err);
                tracing::warn!(mail.id = mail_id, "mail not taken: {err:#}");
                Err(Refusal::Unavailable)
            }
            Err(_) => {
                tracing::warn!(mail.id = mail_id, "mail not taken: NATS did not answer in time");
                Err(Refusal::Unavailable)
            }
        }
    }

    /// Removes a content that nothing refers to.
    async fn withdraw(&self, mail_id: &str, content: &Content) {
        if !matches!(content.place, Some(Place::Claim(_))) {
            return;
        }
        let removed = timeout(LOOKUP_PATIENCE, self.claims.remove(content)).await;
        if let Err(err) = removed.context("time out").flatten() {
            tracing::warn!(mail.id = mail_id, "content not removed: {err:#}");
        }
    }
}

fn now_micros() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}
