//! An inbox as a queue: several workers, one mail each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::outgoing::without_nothing;
use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, Reply, SETS, TAKES, Tool},
    untrusted::Untrusted,
    view::{EmailFacts, Mail, tell, word},
};

/// A model thinks longer than a program: seconds of a lease, unless the model says otherwise.
const LEASE: u32 = 300;
const MOST: u32 = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClaimEmails {
    inbox_id: Id,
    /// Emails: 1 without, 20 at most.
    max: Option<u32>,
    /// How long they are yours: 300 without, 5 to 3600.
    lease_seconds: Option<u32>,
    /// Who works on them, for people; "mcp" without.
    worker: Option<String>,
    /// Seconds to wait for mail: 0 without, 25 at most.
    timeout_seconds: Option<u32>,
    /// Names this claim, of this worker: the same again is given the same emails while their leases last. Use
    /// another one for each claim.
    idempotency_key: Option<String>,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Claimed {
    /// Empty if there is nothing to do. Who wrote them and what about is in `untrusted`, by emailId.
    leases: Vec<LeaseFacts>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeaseFacts {
    /// For reply_to_email, ack_email, nak_email and extend_lease.
    lease_id: String,
    email_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    /// 1 for the first; more if it was given up before.
    attempt: u32,
    /// Until then it is yours.
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Only when it is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<EmailFacts>,
}

/// A lease of the API.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lease {
    lease_id: String,
    email_id: String,
    thread_id: Option<String>,
    attempt: u32,
    expires_at: String,
    state: Option<String>,
    email: Option<Mail>,
}

#[derive(Deserialize)]
struct Leases {
    data: Vec<Lease>,
}

impl From<&Lease> for LeaseFacts {
    fn from(it: &Lease) -> LeaseFacts {
        LeaseFacts {
            lease_id: it.lease_id.clone(),
            email_id: it.email_id.clone(),
            thread_id: it.thread_id.clone(),
            attempt: it.attempt,
            expires_at: it.expires_at.clone(),
            state: it.state.as_deref().map(word),
            email: it.email.as_ref().map(EmailFacts::from),
        }
    }
}

impl Tool for ClaimEmails {
    const ABOUT: About = About {
        name: "claim_emails",
        title: "Claim emails to work on",
        description: "Takes mail of an inbox that several workers share: nobody else gets it while the lease \
                      lasts. Read it with read_email, then end it: reply_to_email with leaseId, ack_email, or \
                      nak_email. One that is not ended comes again.",
        hints: TAKES,
    };
    type Output = Claimed;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<Claimed>, Refusal> {
        let body = json!({
            "max": self.max.unwrap_or(1).clamp(1, MOST),
            "leaseSeconds": self.lease_seconds.unwrap_or(LEASE),
            "worker": self.worker.unwrap_or_else(|| "mcp".to_owned()),
            "timeout": self.timeout_seconds.unwrap_or(0),
        });
        let path = format!("/v1/inboxes/{}/claim", self.inbox_id);
        let call = Call::post(path, body).key(self.idempotency_key);
        let Leases { data } = ask(api, call).await?;
        let mut words = Untrusted::default();
        for mail in data.iter().filter_map(|it| it.email.as_ref()) {
            tell(mail, &mut words);
        }
        let leases = data.iter().map(LeaseFacts::from).collect();
        Ok(Reply { facts: Claimed { leases }, words })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AckEmail {
    lease_id: Id,
}

impl Tool for AckEmail {
    const ABOUT: About = About {
        name: "ack_email",
        title: "End a claimed email",
        description: "Says that a claimed email is dealt with: nobody gets it again. Not needed after \
                      reply_to_email with leaseId.",
        hints: SETS,
    };
    type Output = LeaseFacts;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<LeaseFacts>, Refusal> {
        settle(api, &self.lease_id, "ack", json!({})).await
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NakEmail {
    lease_id: Id,
    /// Seconds before anybody gets it again: 0 without, 86400 at most.
    delay_seconds: Option<u32>,
    /// Why, for people.
    reason: Option<String>,
}

impl Tool for NakEmail {
    const ABOUT: About = About {
        name: "nak_email",
        title: "Give a claimed email back",
        description: "Gives a claimed email back for another try. After several tries it is set aside for \
                      people.",
        hints: SETS,
    };
    type Output = LeaseFacts;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<LeaseFacts>, Refusal> {
        let body = json!({ "delaySeconds": self.delay_seconds, "reason": self.reason });
        settle(api, &self.lease_id, "nak", without_nothing(body)).await
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExtendLease {
    lease_id: Id,
    /// From now on: 300 without, 5 to 3600.
    lease_seconds: Option<u32>,
}

impl Tool for ExtendLease {
    const ABOUT: About = About {
        name: "extend_lease",
        title: "Keep a claimed email longer",
        description: "Keeps a claimed email for longer, before its lease is over.",
        hints: SETS,
    };
    type Output = LeaseFacts;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<LeaseFacts>, Refusal> {
        let body = json!({ "leaseSeconds": self.lease_seconds.unwrap_or(LEASE) });
        settle(api, &self.lease_id, "extend", body).await
    }
}

async fn settle<A: Api>(
    api: &A,
    lease_id: &Id,
    action: &str,
    body: serde_json::Value,
) -> Result<Reply<LeaseFacts>, Refusal> {
    let path = format!("/v1/leases/{lease_id}/{action}");
    let lease: Lease = ask(api, Call::post(path, body)).await?;
    // Its mail was told when it was claimed.
    Ok(LeaseFacts { email: None, ..LeaseFacts::from(&lease) }.into())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fake::Fake;

    fn lease() -> Value {
        json!({
            "leaseId": "lease_1", "emailId": "eml_1", "threadId": null, "inboxId": "ibx_1", "worker": "mcp",
            "attempt": 2, "expiresAt": "2026-11-24T10:05:00.000Z",
        })
    }

    #[tokio::test]
    async fn mail_is_claimed() {
        let api = Fake::default();
        let mut claimed = lease();
        claimed["email"] =
            json!({ "id": "eml_1", "direction": "inbound", "subject": "Hi", "body": "STRANGE" });
        api.answer("POST /v1/inboxes/ibx_1/claim", 200, &json!({ "data": [claimed] }));
        let reply = api
            .run::<ClaimEmails>(json!({ "inboxId": "ibx_1", "max": 50 }))
            .await
            .expect("claimed");
        let asked = json!({ "max": 20, "leaseSeconds": 300, "worker": "mcp", "timeout": 0 });
        assert_eq!(api.last().body, Some(asked));
        let facts = serde_json::to_value(&reply.facts).expect("JSON");
        assert_eq!(
            (&facts["leases"][0]["leaseId"], &facts["leases"][0]["attempt"]),
            (&"lease_1".into(), &2.into())
        );
        assert!(!facts.to_string().contains("Hi"), "{facts}");
        let words = reply.words.fenced().expect("random").expect("words");
        assert!(words.contains("| [eml_1]\n| Subject: Hi"), "{words}");
    }

    #[tokio::test]
    async fn a_lease_is_ended_given_back_and_kept() {
        let api = Fake::default();
        for action in ["ack", "nak", "extend"] {
            api.answer(&format!("POST /v1/leases/lease_1/{action}"), 200, &lease());
        }
        let given = json!({ "leaseId": "lease_1" });
        let facts = api.run::<AckEmail>(given.clone()).await.expect("acked").facts;
        assert_eq!((&*facts.lease_id, facts.attempt), ("lease_1", 2));
        let nak = json!({ "leaseId": "lease_1", "delaySeconds": 60, "reason": "later" });
        api.run::<NakEmail>(nak).await.expect("given back");
        assert_eq!(api.last().body, Some(json!({ "delaySeconds": 60, "reason": "later" })));
        api.run::<ExtendLease>(given).await.expect("kept");
        assert_eq!(api.last().body, Some(json!({ "leaseSeconds": 300 })));
    }

    #[tokio::test]
    async fn a_lost_lease_is_said() {
        let api = Fake::default();
        let lost = json!({ "error": "lease_lost", "message": "it has expired" });
        api.answer("POST /v1/leases/lease_1/ack", 409, &lost);
        let refusal =
            api.run::<AckEmail>(json!({ "leaseId": "lease_1" })).await.expect_err("refuse");
        assert_eq!(refusal.code, "lease_lost");
    }
}
