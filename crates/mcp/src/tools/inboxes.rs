//! Inboxes: making and listing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    api::{Api, Call, ask},
    refusal::Refusal,
    tool::{About, MAKES, READS_OWN, Reply, Tool},
};

/// The API lists all at once, a model gets so many.
const LIMIT: usize = 50;
const MOST: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateInbox {
    /// What stands before the "@": 3 to 64 of a-z, 0-9, ".", "_" and "-". Chosen at random without.
    local_part: Option<String>,
    /// The name that recipients see beside the address.
    display_name: Option<String>,
    /// A domain of this service or a verified one of the account; the service's first one without.
    domain: Option<String>,
}

/// All that this service says of an inbox; its owner chose the names.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inbox {
    #[serde(alias = "id")]
    inbox_id: String,
    pub(super) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    /// Mails received.
    email_count: i64,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Tool for CreateInbox {
    const ABOUT: About = About {
        name: "create_inbox",
        title: "Create an inbox",
        description: "Makes an email address that takes mail from now on. Its inboxId is what the other \
                      tools want.",
        hints: MAKES,
    };
    type Output = Inbox;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Inbox>, Refusal> {
        let mut body = json!({});
        let fields = [
            ("localPart", self.local_part),
            ("displayName", self.display_name),
            ("domain", self.domain),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        let inbox: Inbox = ask(api, Call::post("/v1/inboxes", body)).await?;
        Ok(inbox.into())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListInboxes {
    /// 50 without, 100 at most.
    limit: Option<usize>,
    /// Of the answer before: `nextOffset`.
    offset: Option<usize>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inboxes {
    /// Newest first.
    inboxes: Vec<Inbox>,
    total: usize,
    /// There are more from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<Inbox>,
}

impl Tool for ListInboxes {
    const ABOUT: About = About {
        name: "list_inboxes",
        title: "List inboxes",
        description: "The inboxes that this token may use, newest first.",
        hints: READS_OWN,
    };
    type Output = Inboxes;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Inboxes>, Refusal> {
        let Listed { data } = ask(api, Call::get("/v1/inboxes")).await?;
        let total = data.len();
        let limit = self.limit.unwrap_or(LIMIT).clamp(1, MOST);
        let offset = self.offset.unwrap_or_default();
        let end = offset.saturating_add(limit);
        let inboxes = data.into_iter().skip(offset).take(limit).collect();
        let next_offset = (end < total).then_some(end);
        Ok(Inboxes { inboxes, total, next_offset }.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fake::Fake;

    fn inbox(id: usize) -> Value {
        json!({
            "id": format!("ibx_{id}"), "address": "a@x.test", "displayName": null, "domain": "x.test",
            "isActive": true, "emailCount": 3, "expiresAt": null, "createdAt": "2026-11-24T10:00:00.000Z",
        })
    }

    #[tokio::test]
    async fn an_inbox_is_made_as_asked() {
        let api = Fake::default();
        api.answer("POST /v1/inboxes", 200, &inbox(1));
        let made = api.run::<CreateInbox>(json!({ "localPart": "ada" })).await.expect("made");
        assert_eq!(api.last().body, Some(json!({ "localPart": "ada" })));
        let facts = serde_json::to_value(&made.facts).expect("JSON");
        assert_eq!((&facts["inboxId"], &facts["emailCount"]), (&"ibx_1".into(), &3.into()));
        assert!(facts.get("displayName").is_none(), "what is not there is left out: {facts}");
    }

    #[tokio::test]
    async fn many_inboxes_come_in_pages() {
        let api = Fake::default();
        let all: Vec<Value> = (0..120).map(inbox).collect();
        api.answer("GET /v1/inboxes", 200, &json!({ "data": all }));
        let page = async |given| api.run::<ListInboxes>(given).await.expect("page").facts;
        let first = page(json!({})).await;
        assert_eq!((first.inboxes.len(), first.total, first.next_offset), (50, 120, Some(50)));
        let last = page(json!({ "offset": 100, "limit": 500 })).await;
        assert_eq!((last.inboxes.len(), last.next_offset), (20, None));
        assert_eq!(last.inboxes[0].inbox_id, "ibx_100");
    }
}
