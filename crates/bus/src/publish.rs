use bytes::Bytes;
use contract::{Content, Emit};

use crate::Bus;

/// Why a publish was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The stream is at its limit (`DiscardNew`): whoever sends has to wait.
    #[error("stream for {subject} is full")]
    Full { subject: String },
    /// NATS cannot be reached or did not answer in time. It may have stored the message.
    #[error("publish {subject}")]
    Unavailable { subject: String, #[source] source: anyhow::Error },
}

impl Bus {
    /// Publishes, and returns once JetStream has stored every record.
    pub async fn publish(&self, emit: impl Emit) -> Result<(), PublishError> {
        unimplemented!()
    }

    /// Publishes a request to send on the subject that agents on NATS use too, and returns once it is
    /// durable. `request` is the SendRequest as JSON, `key` the idempotency key.
    pub async fn submit(
        &self,
        account_id: &str,
        inbox_id: &str,
        key: &str,
        request: Bytes,
    ) -> Result<(), PublishError> {
        unimplemented!()
    }
}
