//! The emails of an inbox.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, READS_MAIL, Reply, Tool},
    view::{EmailFacts, Mail, listed},
};

#[derive(Clone, Copy, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    Inbound,
    Outbound,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListEmails {
    inbox_id: Id,
    /// Both without.
    direction: Option<Direction>,
    /// true: only what is not marked as read.
    unread: Option<bool>,
    /// Only what has this label.
    label: Option<String>,
    /// Only what came after this moment (RFC 3339).
    since: Option<String>,
    /// 20 without, 100 at most.
    limit: Option<u32>,
    /// Of the answer before.
    cursor: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Emails {
    /// Newest first. Who wrote them and what about is in `untrusted`, by emailId.
    pub(super) emails: Vec<EmailFacts>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Mail>,
    cursor: Option<String>,
}

impl Tool for ListEmails {
    const ABOUT: About = About {
        name: "list_emails",
        title: "List emails",
        description: "The emails of an inbox, newest first, without their texts: read_email has those.",
        hints: READS_MAIL,
    };
    type Output = Emails;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Emails>, Refusal> {
        let call = Call::get(format!("/v1/inboxes/{}/emails", self.inbox_id))
            .query("limit", self.limit)
            .query("since", self.since)
            .query("direction", self.direction)
            .query("label", self.label)
            .query("unread", self.unread)
            .query("cursor", self.cursor);
        let Page { data, cursor } = ask(api, call).await?;
        let (emails, words) = listed(&data);
        Ok(Reply { facts: Emails { emails, cursor }, words })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn a_list_is_asked_for_with_its_filters() {
        let api = Fake::default();
        let page = json!({ "data": [{ "id": "eml_1", "subject": "Hi" }], "cursor": "c" });
        let path =
            "/v1/inboxes/ibx_1/emails?limit=5&direction=inbound&label=a%3Ab&unread=true&cursor=x";
        api.answer(&format!("GET {path}"), 200, &page);
        let given = json!({
            "inboxId": "ibx_1", "limit": 5, "direction": "inbound", "label": "a:b", "unread": true,
            "cursor": "x",
        });
        let reply = api.run::<ListEmails>(given).await.expect("page");
        assert_eq!((reply.facts.emails.len(), reply.facts.cursor.as_deref()), (1, Some("c")));
        assert!(reply.words.fenced().expect("random").expect("words").contains("| Subject: Hi"));
    }

    #[tokio::test]
    async fn an_inbox_that_is_not_there_is_said() {
        let given = json!({ "inboxId": "ibx_9" });
        let refusal = Fake::default().run::<ListEmails>(given).await.expect_err("refuse");
        assert_eq!((&*refusal.code, refusal.status), ("not_found", Some(404)));
    }
}
