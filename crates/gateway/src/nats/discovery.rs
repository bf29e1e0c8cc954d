//! `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`: what tools for NATS services (ADR-32) ask, of one replica or
//! of all.

use std::sync::Arc;

use async_nats::{Client, Subscriber};
use futures_util::{StreamExt as _, stream::select_all};
use nats_login::API;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{GROUP, operations::Operations};

const NAME: &str = "posthouse";

/// Whatever else a question wants answered is no client's inbox.
const INBOX: &str = "_INBOX";

pub(super) struct Discovery {
    client: Client,
    operations: Arc<Operations>,
    /// Of this replica.
    id: String,
    started: String,
}

impl Discovery {
    pub(super) fn new(client: Client, operations: Arc<Operations>) -> Discovery {
        let started = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        Discovery { client, operations, id: Uuid::now_v7().simple().to_string(), started }
    }

    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut questions = match self.subscribe().await {
            Ok(subscriptions) => select_all(subscriptions),
            Err(err) => return tracing::error!("answer who looks for services: {err}"),
        };
        loop {
            let question = tokio::select! {
                question = questions.next() => question,
                () = stop.cancelled() => return,
            };
            let Some(question) = question else { return };
            let Some(reply) = question.reply.filter(|it| it.starts_with(INBOX)) else { continue };
            let Some(answer) = self.answer(&question.subject) else { continue };
            if let Err(err) = self.client.publish(reply, answer.to_string().into()).await {
                tracing::debug!("answer who looks for services: {err}");
            }
        }
    }

    async fn subscribe(&self) -> Result<Vec<Subscriber>, async_nats::SubscribeError> {
        let mut subscriptions = Vec::new();
        for verb in ["PING", "INFO", "STATS"] {
            let all = format!("$SRV.{verb}");
            let named = format!("{all}.{NAME}");
            let one = format!("{named}.{}", self.id);
            for subject in [all, named, one] {
                subscriptions.push(self.client.subscribe(subject).await?);
            }
        }
        Ok(subscriptions)
    }

    fn answer(&self, subject: &str) -> Option<Value> {
        let verb = subject.split('.').nth(1)?;
        let kind = verb.to_lowercase();
        let mut answer = json!({
            "type": format!("io.nats.micro.v1.{kind}_response"),
            "name": NAME,
            "id": self.id,
            "version": "1.0.0",
            "metadata": {},
        });
        match verb {
            "PING" => (),
            "INFO" => {
                answer["description"] =
                    json!("Email for agents: the REST API, by request and reply");
                answer["endpoints"] = self
                    .operations
                    .iter()
                    .map(|it| {
                        let mut endpoint = endpoint(&it.id);
                        endpoint["metadata"] = json!({
                            "method": it.method.as_str(), "path": it.path, "summary": it.summary,
                        });
                        endpoint
                    })
                    .collect();
            }
            "STATS" => {
                answer["started"] = json!(self.started);
                answer["endpoints"] = self
                    .operations
                    .iter()
                    .map(|it| {
                        let mut endpoint = endpoint(&it.id);
                        for (name, value) in it.counts.stats() {
                            endpoint[name] = value;
                        }
                        endpoint
                    })
                    .collect();
            }
            _ => return None,
        }
        Some(answer)
    }
}

fn endpoint(operation: &str) -> Value {
    json!({
        "name": operation, "subject": format!("{API}.*.*.{operation}"), "queue_group": GROUP,
    })
}
