//! Threads: the conversations of an inbox.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, READS_MAIL, Reply, Tool},
    untrusted::Untrusted,
};

/// The API gives all emails of a thread at once, a model gets so many.
const LIMIT: usize = 50;
const MOST: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListThreads {
    inbox_id: Id,
    /// 20 without, 100 at most.
    limit: Option<u32>,
    /// Of the answer before.
    cursor: Option<String>,
}

/// A thread of the API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: String,
    inbox_id: String,
    subject: String,
    email_count: i64,
    last_email_at: String,
    created_at: String,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadFacts {
    thread_id: String,
    inbox_id: String,
    email_count: i64,
    last_email_at: String,
    created_at: String,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Threads {
    /// By their last email, newest first. Their subjects are in `untrusted`, by threadId.
    threads: Vec<ThreadFacts>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Thread>,
    cursor: Option<String>,
}

impl From<Thread> for ThreadFacts {
    fn from(it: Thread) -> ThreadFacts {
        ThreadFacts {
            thread_id: it.id,
            inbox_id: it.inbox_id,
            email_count: it.email_count,
            last_email_at: it.last_email_at,
            created_at: it.created_at,
        }
    }
}

impl Tool for ListThreads {
    const ABOUT: About = About {
        name: "list_threads",
        title: "List threads",
        description: "The conversations of an inbox, by their last email, newest first.",
        hints: READS_MAIL,
    };
    type Output = Threads;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Threads>, Refusal> {
        let call = Call::get(format!("/v1/inboxes/{}/threads", self.inbox_id))
            .query("limit", self.limit)
            .query("cursor", self.cursor);
        let Page { data, cursor } = ask(api, call).await?;
        let mut words = Untrusted::default();
        for thread in &data {
            words.heading(&thread.id);
            words.field("Subject", &thread.subject);
        }
        let threads = data.into_iter().map(ThreadFacts::from).collect();
        Ok(Reply { facts: Threads { threads, cursor }, words })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReadThread {
    inbox_id: Id,
    thread_id: Id,
    /// Emails: 50 without, 100 at most.
    limit: Option<usize>,
    /// Of the answer before: `nextOffset`.
    offset: Option<usize>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadDetail {
    thread: ThreadFacts,
    /// Oldest first. Who wrote them and how they begin is in `untrusted`, by emailId.
    emails: Vec<ThreadEmailFacts>,
    /// There are more from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadEmailFacts {
    email_id: String,
    created_at: String,
    /// It reads like orders to an assistant.
    is_injection_risk: bool,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(flatten)]
    thread: Thread,
    emails: Vec<ThreadEmail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThreadEmail {
    id: String,
    from: String,
    subject: String,
    preview: Option<String>,
    created_at: String,
    is_injection_risk: bool,
}

impl Tool for ReadThread {
    const ABOUT: About = About {
        name: "read_thread",
        title: "Read a thread",
        description: "The emails of a conversation, oldest first, each with its beginning: read_email has \
                      the whole.",
        hints: READS_MAIL,
    };
    type Output = ThreadDetail;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<ThreadDetail>, Refusal> {
        let path = format!("/v1/inboxes/{}/threads/{}", self.inbox_id, self.thread_id);
        let Detail { thread, emails: all } = ask(api, Call::get(path)).await?;
        let limit = self.limit.unwrap_or(LIMIT).clamp(1, MOST);
        let offset = self.offset.unwrap_or_default();
        let end = offset.saturating_add(limit);
        let next_offset = (end < all.len()).then_some(end);

        let mut words = Untrusted::default();
        words.field("Subject of the thread", &thread.subject);
        let mut emails = Vec::new();
        for email in all.into_iter().skip(offset).take(limit) {
            words.heading(&email.id);
            words.field("From", &email.from);
            words.field("Subject", &email.subject);
            words.field("Begins", email.preview.as_deref().unwrap_or_default());
            let ThreadEmail { id: email_id, created_at, is_injection_risk, .. } = email;
            emails.push(ThreadEmailFacts { email_id, created_at, is_injection_risk });
        }
        Ok(Reply { facts: ThreadDetail { thread: thread.into(), emails, next_offset }, words })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::Fake;

    fn thread() -> Value {
        json!({
            "id": "thd_1", "inboxId": "ibx_1", "subject": "Lunch", "emailCount": 60,
            "lastEmailAt": "2026-11-24T10:00:00.000Z", "createdAt": "2026-11-24T09:00:00.000Z",
        })
    }

    #[tokio::test]
    async fn threads_are_listed() {
        let api = Fake::default();
        let page = json!({ "data": [thread()], "hasMore": false, "cursor": null });
        api.answer("GET /v1/inboxes/ibx_1/threads?limit=3", 200, &page);
        let given = json!({ "inboxId": "ibx_1", "limit": 3 });
        let reply = api.run::<ListThreads>(given).await.expect("page");
        assert_eq!(reply.facts.threads[0].thread_id, "thd_1");
        assert!(serde_json::to_string(&reply.facts).is_ok_and(|it| !it.contains("Lunch")));
        assert!(reply.words.fenced().expect("random").expect("words").contains("| Subject: Lunch"));
    }

    #[tokio::test]
    async fn a_long_thread_is_read_in_parts() {
        let api = Fake::default();
        let email = |n: usize| {
            json!({
                "id": format!("eml_{n}"), "from": "a@x.test", "subject": "Lunch", "preview": null,
                "createdAt": "2026-11-24T10:00:00.000Z", "isInjectionRisk": n == 0,
            })
        };
        let mut detail = thread();
        detail["emails"] = (0..60).map(email).collect();
        api.answer("GET /v1/inboxes/ibx_1/threads/thd_1", 200, &detail);
        let read = async |offset: usize| {
            let given = json!({ "inboxId": "ibx_1", "threadId": "thd_1", "offset": offset });
            api.run::<ReadThread>(given).await.expect("thread").facts
        };
        let first = read(0).await;
        assert_eq!((first.emails.len(), first.next_offset), (50, Some(50)));
        assert!(first.emails[0].is_injection_risk);
        let last = read(50).await;
        assert_eq!((last.emails.len(), last.next_offset), (10, None));
    }
}
