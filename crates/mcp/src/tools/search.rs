//! Full-text search.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, READS_MAIL, Reply, Tool},
    tools::list::{Direction, Emails},
    view::{Mail, listed},
};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SearchEmails {
    /// Words that must all occur, in subject, addresses or text. Everything without.
    words: Option<String>,
    /// All inboxes without.
    inbox_id: Option<Id>,
    direction: Option<Direction>,
    /// Part of the sender's address.
    from: Option<String>,
    /// RFC 3339.
    since: Option<String>,
    /// RFC 3339.
    until: Option<String>,
    has_attachments: Option<bool>,
    /// 20 without, 100 at most.
    limit: Option<u32>,
    /// Of the answer before.
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    data: Vec<Mail>,
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    cursor: Option<String>,
}

impl Tool for SearchEmails {
    const ABOUT: About = About {
        name: "search_emails",
        title: "Search emails",
        description: "Finds emails by their words, newest first, in one inbox or all.",
        hints: READS_MAIL,
    };
    type Output = Emails;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Emails>, Refusal> {
        let call = Call::get("/v1/emails/search")
            .query("q", self.words)
            .query("inboxId", self.inbox_id)
            .query("direction", self.direction)
            .query("from", self.from)
            .query("since", self.since)
            .query("until", self.until)
            .query("hasAttachments", self.has_attachments)
            .query("limit", self.limit)
            .query("cursor", self.cursor);
        let Found { data, pagination } = ask(api, call).await?;
        let (emails, words) = listed(&data);
        Ok(Reply { facts: Emails { emails, cursor: pagination.cursor }, words })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn words_are_searched_for() {
        let api = Fake::default();
        let found = json!({ "data": [{ "id": "eml_1" }], "pagination": { "hasMore": true, "cursor": "c" } });
        let path = "/v1/emails/search?q=two+words&inboxId=ibx_1&hasAttachments=true";
        api.answer(&format!("GET {path}"), 200, &found);
        let given = json!({ "words": "two words", "inboxId": "ibx_1", "hasAttachments": true });
        let facts = api.run::<SearchEmails>(given).await.expect("found").facts;
        assert_eq!((facts.emails.len(), facts.cursor.as_deref()), (1, Some("c")));
    }
}
