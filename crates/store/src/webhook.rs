//! Webhooks: what an account asked for, how each gets on, and what was tried.

use aws_lc_rs::hmac;
use data_encoding::BASE64;

use crate::email::to_json;

/// The most webhooks of an account.
pub const MOST_WEBHOOKS: i64 = 200;

/// The attempts that are remembered of each webhook.
pub const ATTEMPTS_KEPT: i64 = 1_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub id: String,
    pub account_id: String,
    /// Only events of this inbox.
    pub inbox_id: Option<String>,
    pub url: String,
    /// Names of events; all if there are none.
    pub events: Vec<String>,
    pub created_at: i64,
    /// Of its secret: see `WebhookSecrets`.
    pub secret_number: i64,
    /// The secret before counts until then.
    pub previous_until: i64,
    pub enabled: bool,
    /// "account", "failing" or "gone"; empty while it is enabled.
    pub disabled_reason: String,
    pub disabled_at: Option<i64>,
    pub progress: Progress,
}

/// How far a webhook is, and how well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// When the stream of events was made.
    pub stream: i64,
    /// Every event up to here was delivered, or waits in a lane.
    pub position: u64,
    /// Failed attempts in a row, whatever the inbox.
    pub failures: i64,
    pub failing_since: Option<i64>,
    /// Nothing is tried before.
    pub resume_at: i64,
    pub last_success_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct NewWebhook {
    pub id: String,
    pub account_id: String,
    pub inbox_id: Option<String>,
    pub url: String,
    pub events: Vec<String>,
    /// From where in the stream of events on.
    pub stream: i64,
    pub position: u64,
}

/// What is to be otherwise of a webhook.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub switch: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Switch {
    Off,
    /// On from where it stopped.
    Resume,
    /// On from this place in the stream of events; what came before is left out.
    Skip {
        stream: i64,
        position: u64,
    },
}

/// An inbox whose events wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    pub inbox_id: String,
    /// The event that is next.
    pub sequence: u64,
    /// Of that event.
    pub attempts: i64,
    pub due_at: i64,
}

/// One attempt to deliver one event.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookAttempt {
    pub id: String,
    pub event_id: String,
    pub event: String,
    pub inbox_id: String,
    pub sequence: u64,
    /// 1 for the first; 0 for a ping or what was asked for again.
    pub attempt: i64,
    /// "delivered", "failed" or "given_up".
    pub outcome: String,
    /// Of HTTP; 0 without an answer.
    pub status: i64,
    pub error: String,
    pub duration_ms: i64,
    pub attempted_at: i64,
    pub next_attempt_at: Option<i64>,
}

/// What a round of work on a webhook came to.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub progress: Progress,
    /// These wait from now on, or for something else.
    pub lanes: Vec<Lane>,
    /// The inboxes of those that wait no more.
    pub done: Vec<String>,
    pub attempts: Vec<WebhookAttempt>,
    /// Why nothing is sent any more, if so.
    pub disabled: Option<&'static str>,
    pub leased_until: i64,
}

/// Whether one may work on a webhook.
#[derive(Clone, Debug, PartialEq)]
pub enum Leased {
    /// As long as the lease lasts nobody else does.
    Webhook(Box<Webhook>),
    /// Somebody else does until then.
    Busy { until: i64 },
    /// It is disabled or gone.
    Idle,
}

/// What a webhook wants to hear of.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub id: String,
    pub account_id: String,
    pub inbox_id: Option<String>,
    pub events: Vec<String>,
}

impl Wanted {
    pub fn wants(&self, event: &contract::EventSubject) -> bool {
        event.account_id == self.account_id
            && self.inbox_id.as_ref().is_none_or(|it| *it == event.inbox_id)
            && (self.events.is_empty() || self.events.contains(&event.event))
    }
}

impl Webhook {
    pub fn wanted(&self) -> Wanted {
        Wanted {
            id: self.id.clone(),
            account_id: self.account_id.clone(),
            inbox_id: self.inbox_id.clone(),
            events: self.events.clone(),
        }
    }

    pub fn summary(&self) -> contract::WebhookSummary {
        contract::WebhookSummary {
            id: self.id.clone(),
            url: self.url.clone(),
            enabled: self.enabled,
            disabled_reason: Some(self.disabled_reason.clone()).filter(|it| !it.is_empty()),
        }
    }

    pub(crate) fn events_json(events: &[String]) -> String {
        to_json(&events)
    }
}

/// Makes the secrets of webhooks, which are kept nowhere: each follows from a secret of the service, the
/// webhook and a number.
#[derive(Clone)]
pub struct WebhookSecrets(hmac::Key);

impl WebhookSecrets {
    /// `secret`: that of the name "webhooks".
    pub fn new(secret: &[u8]) -> WebhookSecrets {
        WebhookSecrets(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// As its owner sees it: "whsec_" and 32 octets in base64.
    pub fn secret(&self, webhook_id: &str, number: i64) -> String {
        let tag = hmac::sign(&self.0, format!("{webhook_id}/{number}").as_bytes());
        format!("whsec_{}", BASE64.encode(tag.as_ref()))
    }

    /// Those that count now: the current one, and the one before for a while.
    pub fn current(&self, webhook: &Webhook, now: i64) -> Vec<String> {
        let number = webhook.secret_number;
        let previous = (webhook.previous_until > now).then_some(number - 1);
        [number].into_iter().chain(previous).map(|it| self.secret(&webhook.id, it)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_by_webhook_and_number() {
        let secrets = WebhookSecrets::new(&[7; 32]);
        let secret = secrets.secret("whk_1", 1);
        assert_eq!(secret, WebhookSecrets::new(&[7; 32]).secret("whk_1", 1));
        assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
        for other in [secrets.secret("whk_1", 2), secrets.secret("whk_2", 1)] {
            assert_ne!(secret, other);
        }
    }
}
