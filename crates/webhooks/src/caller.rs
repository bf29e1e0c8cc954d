//! `webhooks.due` → HTTP → `webhooks.due`, later, where something waits

use std::sync::Arc;

use anyhow::Context as _;
use bus::{EventLog, Failure, Stage};
use contract::{
    EventSubject, Record, TRACEPARENT, TRACESTATE, WebhookDue, traceparent, tracestate,
};
use opentelemetry::{
    KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind},
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use service::{Traces, current_trace};
use store::{Store, Webhook, WebhookAttempt, WebhookSecrets, rfc3339};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    body::Body,
    client::{Answer, Client},
    failure,
    metrics::Metrics,
    now_micros, run,
    schedule::Schedule,
    signature,
};

pub(crate) struct Caller {
    pub(crate) log: EventLog,
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) secrets: WebhookSecrets,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) metrics: Metrics,
    pub(crate) traces: Traces,
    pub(crate) stop: CancellationToken,
}

impl Stage for Caller {
    const DURABLE: &'static str = "webhook-caller";

    /// Each is a webhook, most of which wait for somebody else's server.
    const CONCURRENCY: usize = 256;

    type In = WebhookDue;
    type Out = Vec<Record>;

    async fn handle(&self, due: WebhookDue) -> Result<Vec<Record>, Failure> {
        if due.ping {
            self.ping(&due).await?;
        } else if due.again > 0 {
            self.again(&due).await?;
        } else {
            return run::run(self, &due.webhook_id).await;
        }
        Ok(Vec::new())
    }
}

impl Caller {
    /// Beside the order of events, and once.
    async fn ping(&self, due: &WebhookDue) -> Result<(), Failure> {
        let Some(webhook) = self.webhook(due).await? else { return Ok(()) };
        let body = Body::ping(due.request_id.clone(), rfc3339(now_micros()), &webhook);
        self.once(&webhook, 0, body, None).await
    }

    async fn again(&self, due: &WebhookDue) -> Result<(), Failure> {
        let Some(webhook) = self.webhook(due).await? else { return Ok(()) };
        // The gateway looked; an event is not kept for ever.
        let Some(event) = self.log.get(due.again).await? else { return Ok(()) };
        let subject = EventSubject::parse(&event.subject);
        if subject.is_none_or(|it| it.account_id != webhook.account_id) {
            return Ok(());
        }
        let body = Body::of(&event.payload, &webhook.id).context("read an event");
        self.once(&webhook, due.again, body.map_err(Failure::Permanent)?, event.trace).await
    }

    async fn webhook(&self, due: &WebhookDue) -> Result<Option<Webhook>, Failure> {
        self.store.reader.webhook_by_id(&due.webhook_id).await.map_err(failure)
    }

    async fn once(
        &self,
        webhook: &Webhook,
        sequence: u64,
        body: Body,
        trace: Option<SpanContext>,
    ) -> Result<(), Failure> {
        let answer = self.call(webhook, &body, trace).await;
        let outcome = if answer.is_success() { "delivered" } else { "failed" };
        self.metrics.attempted(outcome, answer.took);
        let attempt = attempt(&body, sequence, 0, outcome, &answer);
        self.store.writer.note_webhook_attempt(&webhook.id, &attempt).await.map_err(failure)
    }

    /// Signs and sends. The receiver goes on in the trace of the event, not in that of whatever woke the
    /// webhook, which is linked to.
    pub(crate) async fn call(
        &self,
        webhook: &Webhook,
        body: &Body,
        trace: Option<SpanContext>,
    ) -> Answer {
        let now = now_micros();
        let secrets = self.secrets.current(webhook, now);
        let step = self.traces.begin(trace, || span(body));
        let answer = match headers(&secrets, now / 1_000_000, body, step.context()) {
            Ok(headers) => self.client.post(&webhook.url, headers, body.octets.clone()).await,
            Err(err) => Answer { error: format!("{err:#}"), ..Answer::default() },
        };
        if answer.status > 0 {
            step.set(|| KeyValue::new("http.response.status_code", i64::from(answer.status)));
        }
        if !answer.is_success() {
            step.fail(if answer.status > 0 { "refused" } else { "no_answer" });
        }
        answer
    }
}

/// The URL may hold a secret of its own.
fn span(body: &Body) -> SpanBuilder {
    let mut span =
        SpanBuilder::from_name("POST webhook").with_kind(SpanKind::Client).with_attributes([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("mail.event", body.event.clone()),
        ]);
    span.links = current_trace().map(|it| vec![Link::with_context(it)]);
    span
}

fn headers(
    secrets: &[String],
    timestamp: i64,
    body: &Body,
    trace: Option<&SpanContext>,
) -> anyhow::Result<HeaderMap> {
    let signature = signature::standard(secrets, &body.event_id, timestamp, &body.octets);
    let current = secrets.first().map_or("", String::as_str);
    let fields = [
        ("webhook-id", body.event_id.clone()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
        ("x-lobstermail-signature", signature::of_the_contract(current, &body.octets)),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in fields {
        headers.insert(name, HeaderValue::try_from(value).context("write a header field")?);
    }
    let trace =
        trace.map(|it| [(TRACEPARENT, Some(traceparent(it))), (TRACESTATE, tracestate(it))]);
    for (name, value) in trace.into_iter().flatten() {
        let Some(value) = value else { continue };
        headers.insert(name, HeaderValue::try_from(value).context("write a header field")?);
    }
    Ok(headers)
}

/// As it is remembered.
pub(crate) fn attempt(
    body: &Body,
    sequence: u64,
    number: i64,
    outcome: &str,
    answer: &Answer,
) -> WebhookAttempt {
    let took = i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX);
    WebhookAttempt {
        id: format!("wha_{}", Uuid::now_v7().simple()),
        event_id: body.event_id.clone(),
        event: body.event.clone(),
        inbox_id: body.inbox_id.clone(),
        sequence,
        attempt: number,
        outcome: outcome.to_owned(),
        status: answer.status.into(),
        error: answer.error.clone(),
        duration_ms: took,
        attempted_at: now_micros() - took.saturating_mul(1_000),
        next_attempt_at: None,
    }
}
