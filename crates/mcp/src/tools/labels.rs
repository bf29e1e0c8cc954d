//! What an agent notes of emails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::outgoing::without_nothing;
use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, Reply, SETS, Tool},
    view::word,
};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UpdateEmails {
    /// 1 to 100.
    email_ids: Vec<Id>,
    /// Mark as read, or as unread.
    read: Option<bool>,
    /// Each 1 to 64 letters, digits or "-", "_", ".", ":", "/".
    #[serde(default)]
    add_labels: Vec<String>,
    #[serde(default)]
    remove_labels: Vec<String>,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Updated {
    /// The emails that are as was asked for.
    updated: Vec<String>,
    /// Those that were left as they were.
    failed: Vec<Failed>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    email_id: String,
    error: String,
}

#[derive(Deserialize)]
struct Outcome {
    updated: Vec<String>,
    failed: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    id: String,
    error: String,
}

impl Tool for UpdateEmails {
    const ABOUT: About = About {
        name: "update_emails",
        title: "Mark and label emails",
        description: "Marks emails as read or unread, and puts labels on them or takes them off. Reading an \
                      email does not mark it.",
        hints: SETS,
    };
    type Output = Updated;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Updated>, Refusal> {
        let mut body = without_nothing(json!({
            "ids": self.email_ids,
            "addLabels": self.add_labels,
            "removeLabels": self.remove_labels,
        }));
        if let Some(read) = self.read {
            body["read"] = read.into();
        }
        let Outcome { updated, failed } = ask(api, Call::post("/v1/emails/batch", body)).await?;
        let failed =
            failed.into_iter().map(|it| Failed { email_id: it.id, error: word(&it.error) });
        Ok(Updated { updated, failed: failed.collect() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn emails_are_marked_and_labelled() {
        let api = Fake::default();
        let failure = json!({ "id": "eml_2", "error": "not_found", "message": "no" });
        let outcome = json!({ "updated": ["eml_1"], "failed": [failure], "cursor": null });
        api.answer("POST /v1/emails/batch", 200, &outcome);
        let given = json!({ "emailIds": ["eml_1", "eml_2"], "read": false, "addLabels": ["todo"] });
        let facts = api.run::<UpdateEmails>(given).await.expect("done").facts;
        let asked = json!({ "ids": ["eml_1", "eml_2"], "read": false, "addLabels": ["todo"] });
        assert_eq!(api.last().body, Some(asked));
        assert_eq!((&*facts.updated[0], &*facts.failed[0].error), ("eml_1", "not_found"));
    }
}
