//! Waiting for mail.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{Api, Call, Id, ask_if_any},
    refusal::Refusal,
    tool::{About, READS_MAIL, Reply, Tool},
    view::{EmailFacts, Mail, listed},
};

/// Seconds. Clients give up a call after 60.
const PATIENCE: u64 = 25;
const MOST_PATIENCE: u64 = 50;
/// Seconds of one request to the API.
const ONE_POLL: u64 = 25;
/// Mail is often faster than the call that waits for it: so far back it counts, in minutes.
const BACK: i64 = 10;
const EMAILS: usize = 5;
const MOST_EMAILS: usize = 20;
/// The API gives the newest so many.
const POLLED: usize = 50;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WaitForEmail {
    inbox_id: Id,
    /// The sender's address, exactly.
    from: Option<String>,
    /// Part of the subject, exactly.
    subject: Option<String>,
    /// Of the answer before: only what came after that.
    cursor: Option<String>,
    /// Only what came after this moment (RFC 3339), such as when you asked for the mail. Without this and a
    /// cursor: the last 10 minutes count, too.
    since: Option<String>,
    /// Seconds to wait: 25 without, 50 at most.
    timeout_seconds: Option<u64>,
    /// Emails in the answer: 5 without, 20 at most.
    limit: Option<usize>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Arrived {
    /// Oldest first; empty if none came in time. Who wrote them and what about is in `untrusted`, by emailId.
    emails: Vec<EmailFacts>,
    /// For the next call, also if none came: what comes after this.
    cursor: String,
    /// There are more already: call again with the cursor.
    has_more: bool,
    /// More than 50 came at once. The older ones are not here: list_emails has them.
    older_left_out: bool,
}

#[derive(Deserialize)]
struct Polled {
    data: Vec<Mail>,
}

impl Tool for WaitForEmail {
    const ABOUT: About = About {
        name: "wait_for_email",
        title: "Wait for an email",
        description: "Answers as soon as mail that fits has come into an inbox, or with none when the time \
                      is over: call again with the cursor then.",
        hints: READS_MAIL,
    };
    type Output = Arrived;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Arrived>, Refusal> {
        let since = self.since()?;
        let patience = self.timeout_seconds.unwrap_or(PATIENCE).min(MOST_PATIENCE);
        let end = Instant::now() + Duration::from_secs(patience);
        let mut seconds = patience.min(ONE_POLL);
        let mut found = loop {
            let asked = Instant::now();
            let call = Call::get(format!("/v1/inboxes/{}/emails/poll", self.inbox_id))
                .query("timeout", Some(seconds))
                .query("since", Some(&since))
                .query("from", self.from.as_ref())
                .query("subject", self.subject.as_ref());
            if let Some(Polled { data }) = ask_if_any(api, call).await? {
                break data;
            }
            // A gateway that stops answers early: another one, or the next call, goes on.
            let is_early = asked.elapsed() + Duration::from_secs(1) < Duration::from_secs(seconds);
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            if is_early || left == 0 {
                break Vec::new();
            }
            seconds = left.min(ONE_POLL);
        };
        let older_left_out = found.len() >= POLLED;
        let limit = self.limit.unwrap_or(EMAILS).clamp(1, MOST_EMAILS);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let cursor = found.last().map_or(since, |it| it.created_at.clone());
        let (emails, words) = listed(&found);
        Ok(Reply { facts: Arrived { emails, cursor, has_more, older_left_out }, words })
    }
}

impl WaitForEmail {
    /// Emails of an inbox are created one after another, each in a millisecond of its own: that is a cursor.
    fn since(&self) -> Result<String, Refusal> {
        if let Some(given) = self.cursor.as_ref().or(self.since.as_ref()) {
            return Ok(given.clone());
        }
        let back = OffsetDateTime::now_utc() - time::Duration::minutes(BACK);
        let back = back.replace_nanosecond(0).unwrap_or(back).format(&Rfc3339);
        back.map_err(|err| Refusal::argument("since", err))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::Fake;

    const SINCE: &str = "2026-11-24T10:00:00.000Z";

    fn poll(timeout: u64) -> String {
        let since = SINCE.replace(':', "%3A");
        format!("GET /v1/inboxes/ibx_1/emails/poll?timeout={timeout}&since={since}")
    }

    fn mails(count: usize) -> Value {
        let mail = |n: usize| {
            json!({
                "id": format!("eml_{n}"), "inboxId": "ibx_1", "direction": "inbound", "subject": "Hi",
                "createdAt": format!("2026-11-24T10:00:{:02}.000Z", n + 1),
            })
        };
        json!({ "data": (0..count).map(mail).collect::<Vec<_>>() })
    }

    async fn wait(api: &Fake, timeout: u64) -> Arrived {
        let given = json!({ "inboxId": "ibx_1", "since": SINCE, "timeoutSeconds": timeout });
        api.run::<WaitForEmail>(given).await.expect("waited").facts
    }

    #[tokio::test]
    async fn what_comes_is_given_oldest_first_with_a_cursor() {
        let api = Fake::default();
        api.answer(&poll(7), 200, &mails(2));
        let arrived = wait(&api, 7).await;
        assert_eq!((arrived.emails.len(), arrived.has_more), (2, false));
        assert_eq!(arrived.cursor, "2026-11-24T10:00:02.000Z");
        api.answer(&poll(7), 200, &mails(50));
        let arrived = wait(&api, 7).await;
        assert_eq!(
            (arrived.emails.len(), arrived.has_more, arrived.older_left_out),
            (5, true, true)
        );
        assert_eq!(arrived.cursor, "2026-11-24T10:00:05.000Z");
    }

    #[tokio::test]
    async fn nothing_is_an_answer_too() {
        let api = Fake::default();
        api.answer_octets(&poll(0), 204, b"");
        let arrived = wait(&api, 0).await;
        assert_eq!((arrived.emails.len(), &*arrived.cursor), (0, SINCE));
        assert_eq!(api.asked().len(), 1);
    }

    #[tokio::test]
    async fn an_early_end_is_no_reason_to_ask_in_a_loop() {
        let api = Fake::default();
        api.answer_octets(&poll(25), 204, b"");
        assert!(wait(&api, 50).await.emails.is_empty());
        assert_eq!(api.asked().len(), 1);
    }

    #[tokio::test]
    async fn mail_of_the_last_minutes_counts() {
        let given = json!({ "inboxId": "ibx_1", "from": "a@x.test", "subject": "Code" });
        let waiting: WaitForEmail = serde_json::from_value(given).expect("arguments");
        let since =
            OffsetDateTime::parse(&waiting.since().expect("since"), &Rfc3339).expect("time");
        let back = OffsetDateTime::now_utc() - since;
        assert!((595..=605).contains(&back.whole_seconds()), "{back}");
    }
}
