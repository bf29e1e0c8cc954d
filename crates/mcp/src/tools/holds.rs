//! Mail that waits for somebody's approval. Deciding is no tool: an agent must not approve its own mail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Api, Call, ask},
    refusal::Refusal,
    tool::{About, READS_MAIL, Reply, Tool},
    untrusted::Untrusted,
    view::{Mail, addresses, word},
};

#[derive(Clone, Copy, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Waiting,
    Approved,
    Declined,
    Expired,
    Cancelled,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListHolds {
    /// All without.
    state: Option<State>,
    /// 20 without, 100 at most.
    limit: Option<u32>,
    /// Of the answer before.
    cursor: Option<String>,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Holds {
    /// Those held last first. To whom, about what and why in words is in `untrusted`, by emailId.
    holds: Vec<HoldFacts>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldFacts {
    email_id: String,
    inbox_id: String,
    state: String,
    /// secret, canary, information_flow, injection, not_scanned or approval.
    reasons: Vec<String>,
    /// Nobody having decided by then, it does not go.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Mail>,
    cursor: Option<String>,
}

impl Tool for ListHolds {
    const ABOUT: About = About {
        name: "list_holds",
        title: "List held mail",
        description: "Mails that wait, or waited, for somebody's approval, and why. Only people decide, \
                      elsewhere: tell the user what waits.",
        hints: READS_MAIL,
    };
    type Output = Holds;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Holds>, Refusal> {
        let state = self.state.map(|it| match it {
            State::Waiting => "waiting",
            State::Approved => "approved",
            State::Declined => "declined",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
        });
        let call = Call::get("/v1/holds")
            .query("state", state)
            .query("limit", self.limit)
            .query("cursor", self.cursor);
        let Page { data, cursor } = ask(api, call).await?;
        let mut words = Untrusted::default();
        let holds = data.into_iter().map(|mail| fact(mail, &mut words)).collect();
        Ok(Reply { facts: Holds { holds, cursor }, words })
    }
}

fn fact(mail: Mail, words: &mut Untrusted) -> HoldFacts {
    let hold = mail.hold.unwrap_or_default();
    words.heading(&mail.id);
    words.field("To", &addresses(&mail.to));
    words.field("Subject", &mail.subject);
    for it in &hold.reasons {
        let why = format!("{} {} {}", it.explanation, it.detail, it.excerpt);
        words.field(&format!("Reason ({})", word(&it.kind)), &why);
    }
    HoldFacts {
        email_id: mail.id,
        inbox_id: mail.inbox_id,
        state: word(&hold.state),
        reasons: hold.reasons.iter().map(|it| word(&it.kind)).collect(),
        expires_at: hold.expires_at,
        decided_at: hold.decided_at,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn what_waits_is_listed_with_its_reasons() {
        let api = Fake::default();
        let reason = json!({ "kind": "information_flow", "detail": "recipient", "excerpt": "x@evil.test",
            "explanation": "A stranger's mail named this recipient." });
        let mail = json!({ "id": "eml_1", "inboxId": "ibx_1", "to": ["x@evil.test"], "subject": "Hi",
            "hold": { "state": "waiting", "reasons": [reason], "expiresAt": "2026-11-27T10:00:00.000Z" } });
        api.answer("GET /v1/holds?state=waiting", 200, &json!({ "data": [mail] }));
        let reply = api.run::<ListHolds>(json!({ "state": "waiting" })).await.expect("holds");
        let facts = serde_json::to_value(&reply.facts).expect("JSON");
        assert_eq!(facts["holds"][0]["reasons"], json!(["information_flow"]));
        assert!(!facts.to_string().contains("evil.test"), "{facts}");
        let words = reply.words.fenced().expect("random").expect("words");
        assert!(words.contains("recipient x@evil.test"), "{words}");
    }
}
