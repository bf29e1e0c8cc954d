//! Mail that is expected: the service watches for it, whoever is there when it comes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::outgoing::without_nothing;
use crate::{
    api::{Api, Call, Id, ask},
    key,
    refusal::Refusal,
    tool::{About, ENDS, MAKES, READS_MAIL, Reply, Tool},
    untrusted::Untrusted,
    view::{code, word},
};

/// Seconds.
const PATIENCE: u32 = 25;
const MOST_PATIENCE: u32 = 25;
/// Seconds until it expires, unless the model says otherwise.
const DEADLINE: u32 = 60 * 60;
/// For so long the same call is the same expectation, in seconds, while it waits: who repeats a call whose
/// answer was lost is not to have two that compete for one code.
const WINDOW: u64 = 10 * 60;
/// Within a window, so many are over before the model has to give a key of its own.
const MOST_OVER: u32 = 20;
const WAITING: &str = "waiting";
/// Of what it could be, so many are told.
const CANDIDATES: usize = 10;
/// Characters of a link.
const LINK: usize = 1_000;

#[derive(Clone, Copy, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Reply,
    Code,
    Link,
    Any,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Reply => "reply",
            Kind::Code => "code",
            Kind::Link => "link",
            Kind::Any => "any",
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExpectEmail {
    inbox_id: Id,
    /// "reply": an answer; "code" and "link": a verification mail; "any": whatever comes.
    kind: Kind,
    /// Of a reply: what it answers, an emailId or a Message-ID.
    in_reply_to: Option<String>,
    /// Only from this domain.
    from_domain: Option<String>,
    /// Until it expires: 3600 without, 604800 at most.
    timeout_seconds: Option<u32>,
    /// Names this expectation for ever. Without it, the same call again within ten minutes is the same
    /// expectation while nothing has come.
    idempotency_key: Option<String>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExpectationFacts {
    /// For check_expectation.
    expectation_id: String,
    /// waiting, matched, expired, ambiguous or cancelled.
    state: String,
    kind: String,
    deadline: String,
    /// The email that came: read_email has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_id: Option<String>,
    /// The code that came. A link is in `untrusted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Of an ambiguous one: the emails that it could be, each as good as the others. Their codes and links are
    /// in `untrusted`, by emailId.
    candidates: Vec<String>,
    /// The newest email that came from where it was expected and does not count all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed_over: Option<PassedOver>,
}

#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct PassedOver {
    email_id: String,
    /// older, unauthenticated, automatic, no_code, no_link or handed_out.
    reason: String,
}

/// An expectation of the API.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Expectation {
    id: String,
    state: String,
    kind: String,
    from_domain: Option<String>,
    in_reply_to: Option<String>,
    created_at: String,
    deadline: String,
    email_id: Option<String>,
    code: Option<String>,
    link: Option<String>,
    candidates: Vec<Candidate>,
    passed_over: Option<PassedOver>,
}

#[derive(Deserialize)]
struct Expectations {
    data: Vec<Expectation>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Candidate {
    email_id: String,
    code: Option<String>,
    link: Option<String>,
}

impl From<Expectation> for Reply<ExpectationFacts> {
    fn from(it: Expectation) -> Reply<ExpectationFacts> {
        let mut words = Untrusted::default();
        words.long_field("Link", it.link.as_deref().unwrap_or_default(), LINK);
        let candidates = it.candidates.iter().take(CANDIDATES);
        for candidate in candidates.clone() {
            words.heading(&candidate.email_id);
            words.field("Code", candidate.code.as_deref().unwrap_or_default());
            words.long_field("Link", candidate.link.as_deref().unwrap_or_default(), LINK);
        }
        let facts = ExpectationFacts {
            expectation_id: it.id,
            state: word(&it.state),
            kind: word(&it.kind),
            deadline: it.deadline,
            email_id: it.email_id,
            code: code(it.code.as_deref()),
            candidates: candidates.map(|it| it.email_id.clone()).collect(),
            passed_over: it.passed_over,
        };
        Reply { facts, words }
    }
}

impl Tool for ExpectEmail {
    const ABOUT: About = About {
        name: "expect_email",
        title: "Expect an email",
        description: "Lets the service watch for a reply, a verification code or a link, from now on: ask \
                      for the mail after this. check_expectation says what came.",
        hints: MAKES,
    };
    type Output = ExpectationFacts;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<ExpectationFacts>, Refusal> {
        let body = without_nothing(json!({
            "kind": self.kind,
            "inReplyTo": self.in_reply_to,
            "fromDomain": self.from_domain,
            "timeoutSeconds": self.timeout_seconds.unwrap_or(DEADLINE),
        }));
        if self.idempotency_key.is_some() {
            return Ok(self.make(api, body, self.idempotency_key.clone()).await?.into());
        }
        let now = key::now();
        if let Some(waiting) = self.waiting(api, now).await? {
            return Ok(waiting.into());
        }
        let call = key::fingerprint(ExpectEmail::ABOUT.name, &(&self.inbox_id, &body));
        for over in 0..MOST_OVER {
            let key = format!("mcp-{call}-{}-{over}", now / WINDOW);
            let made = self.make(api, body.clone(), Some(key)).await?;
            // What has come since was asked for: this is about the next one.
            if made.state == WAITING {
                return Ok(made.into());
            }
        }
        let advice = "This very email was expected many times within ten minutes, and each time that has \
                      ended. Give an idempotencyKey of your own.";
        Err(Refusal::not_there("repeated_too_often", advice))
    }
}

impl ExpectEmail {
    async fn make<A: Api>(
        &self,
        api: &A,
        body: Value,
        key: Option<String>,
    ) -> Result<Expectation, Refusal> {
        let path = format!("/v1/inboxes/{}/expect", self.inbox_id);
        ask(api, Call::post(path, body).key(key)).await
    }

    /// What the same call has made in the window before this one, and still waits: windows have an end, and
    /// a call may be repeated beyond it.
    async fn waiting<A: Api>(&self, api: &A, now: u64) -> Result<Option<Expectation>, Refusal> {
        let path = format!("/v1/inboxes/{}/expectations?state={WAITING}&limit=100", self.inbox_id);
        let Expectations { data } = ask(api, Call::get(path)).await?;
        let is_same = |it: &Expectation| {
            it.kind == self.kind.name()
                && it.from_domain == self.from_domain.as_ref().map(|it| it.to_lowercase())
                && it.in_reply_to == self.in_reply_to
                && key::is_within(&it.created_at, now, WINDOW)
        };
        Ok(data.into_iter().find(is_same))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CheckExpectation {
    expectation_id: Id,
    /// Seconds to wait while nothing has come: 25 without and at most.
    timeout_seconds: Option<u32>,
}

impl Tool for CheckExpectation {
    const ABOUT: About = About {
        name: "check_expectation",
        title: "Check an expectation",
        description: "What became of expect_email; waits a while if nothing has come. Call again while it is \
                      \"waiting\".",
        hints: READS_MAIL,
    };
    type Output = ExpectationFacts;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<ExpectationFacts>, Refusal> {
        let patience = self.timeout_seconds.unwrap_or(PATIENCE).min(MOST_PATIENCE);
        let path = format!("/v1/expectations/{}", self.expectation_id);
        let call = Call::get(path).query("timeout", Some(patience));
        Ok(ask::<A, Expectation>(api, call).await?.into())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CancelExpectation {
    expectation_id: Id,
}

impl Tool for CancelExpectation {
    const ABOUT: About = About {
        name: "cancel_expectation",
        title: "Cancel an expectation",
        description: "Stops watching. Mail that comes is in the inbox all the same.",
        hints: ENDS,
    };
    type Output = ExpectationFacts;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<ExpectationFacts>, Refusal> {
        let path = format!("/v1/expectations/{}", self.expectation_id);
        Ok(ask::<A, Expectation>(api, Call::delete(path)).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    use super::*;
    use crate::fake::Fake;

    const LIST: &str = "GET /v1/inboxes/ibx_1/expectations?state=waiting&limit=100";

    fn expectation(state: &str) -> Value {
        json!({
            "id": "exp_1", "inboxId": "ibx_1", "kind": "code", "state": state,
            "createdAt": "2026-11-24T10:00:00.000Z", "deadline": "2026-11-24T11:00:00.000Z",
        })
    }

    #[tokio::test]
    async fn a_mail_is_expected_and_comes() {
        let api = Fake::default();
        api.answer("POST /v1/inboxes/ibx_1/expect", 201, &expectation("waiting"));
        let given = json!({ "inboxId": "ibx_1", "kind": "code", "fromDomain": "x.test" });
        api.answer(LIST, 200, &json!({ "data": [] }));
        let facts = api.run::<ExpectEmail>(given).await.expect("expected").facts;
        let asked = json!({ "kind": "code", "fromDomain": "x.test", "timeoutSeconds": 3600 });
        assert_eq!(api.last().body, Some(asked));
        assert_eq!((&*facts.expectation_id, &*facts.state), ("exp_1", "waiting"));

        let mut matched = expectation("matched");
        matched["emailId"] = json!("eml_1");
        matched["code"] = json!("204117");
        matched["link"] = json!("https://x.test/?t=1");
        matched["passedOver"] = json!({ "emailId": "eml_0", "reason": "older" });
        api.answer("GET /v1/expectations/exp_1?timeout=25", 200, &matched);
        let reply =
            api.run::<CheckExpectation>(json!({ "expectationId": "exp_1" })).await.expect("came");
        assert_eq!(
            (reply.facts.email_id.as_deref(), reply.facts.code.as_deref()),
            (Some("eml_1"), Some("204117"))
        );
        let words = reply.words.fenced().expect("random").expect("words");
        assert!(words.contains("| Link: https://x.test/?t=1\n"), "{words}");
        assert_eq!(reply.facts.passed_over.map(|it| it.reason).as_deref(), Some("older"));
    }

    #[tokio::test]
    async fn a_call_that_is_repeated_is_one_expectation() {
        let api = Fake::default();
        api.answer(LIST, 200, &json!({ "data": [] }));
        api.answer("POST /v1/inboxes/ibx_1/expect", 201, &expectation("waiting"));
        let call = json!({ "inboxId": "ibx_1", "kind": "code", "fromDomain": "X.test" });
        let key = async |call: &Value| {
            api.run::<ExpectEmail>(call.clone()).await.expect("expected");
            api.last().idempotency_key.expect("a key")
        };
        let first = key(&call).await;
        assert!(first.starts_with("mcp-") && first.ends_with("-0"), "{first}");
        let mut other = call.clone();
        other["fromDomain"] = json!("y.test");
        assert_ne!(key(&other).await[..36], first[..36]);
        other["idempotencyKey"] = json!("mine");
        assert_eq!(key(&other).await, "mine");

        // The window before had it, and it waits.
        let mut waiting = expectation("waiting");
        waiting["id"] = json!("exp_0");
        waiting["fromDomain"] = json!("x.test");
        let ago = |seconds| {
            let at = OffsetDateTime::now_utc() - time::Duration::seconds(seconds);
            json!(at.format(&Rfc3339).expect("format"))
        };
        for (seconds, id) in [(30, "exp_0"), (660, "exp_1")] {
            waiting["createdAt"] = ago(seconds);
            api.answer(LIST, 200, &json!({ "data": [waiting] }));
            let facts = api.run::<ExpectEmail>(call.clone()).await.expect("expected").facts;
            assert_eq!(facts.expectation_id, id);
        }
    }

    #[tokio::test]
    async fn what_is_over_is_not_expected_again() {
        let api = Fake::default();
        api.answer(LIST, 200, &json!({ "data": [] }));
        api.answer("POST /v1/inboxes/ibx_1/expect", 201, &expectation("matched"));
        let given = json!({ "inboxId": "ibx_1", "kind": "code" });
        let refusal = api.run::<ExpectEmail>(given).await.err().expect("refused");
        assert_eq!(refusal.code, "repeated_too_often");
        let keys = api.keys();
        assert_eq!(keys.len(), usize::try_from(MOST_OVER).expect("few"));
        assert!(keys[0].ends_with("-0") && keys[1].ends_with("-1"), "{keys:?}");
    }

    #[tokio::test]
    async fn what_it_could_be_is_told() {
        let api = Fake::default();
        let mut ambiguous = expectation("ambiguous");
        ambiguous["candidates"] = json!([
            { "emailId": "eml_2", "code": "111111" }, { "emailId": "eml_3", "link": "https://x.test/" },
        ]);
        api.answer("GET /v1/expectations/exp_1?timeout=0", 200, &ambiguous);
        let given = json!({ "expectationId": "exp_1", "timeoutSeconds": 0 });
        let reply = api.run::<CheckExpectation>(given).await.expect("came");
        assert_eq!(reply.facts.candidates, ["eml_2", "eml_3"]);
        let words = reply.words.fenced().expect("random").expect("words");
        let told = "| [eml_2]\n| Code: 111111\n| [eml_3]\n| Link: https://x.test/\n";
        assert!(words.contains(told), "{words}");
    }

    #[tokio::test]
    async fn an_expectation_is_called_off() {
        let api = Fake::default();
        api.answer("DELETE /v1/expectations/exp_1", 200, &expectation("cancelled"));
        let given = json!({ "expectationId": "exp_1" });
        let facts = api.run::<CancelExpectation>(given).await.expect("cancelled").facts;
        assert_eq!(facts.state, "cancelled");
    }
}
