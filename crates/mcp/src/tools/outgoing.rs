//! What sending, answering and passing on have in common.

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{Api, Call, ask},
    key::Key,
    refusal::Refusal,
    tool::Reply,
    untrusted::Untrusted,
    view::{addresses, word},
};

/// What the arguments of all sending tools say of the key.
macro_rules! key_doc {
    () => {
        "Names this mail: the same key is the same mail, for ever. Leave it out, and the same call is the same \
         mail for an hour; give a new one to send the same words again on purpose."
    };
}
pub(super) use key_doc;

/// A file, with its content as one of `text`, `base64` and `uploadId`.
#[derive(Clone, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    filename: Option<String>,
    /// Such as "text/csv".
    content_type: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    /// Of a file uploaded by POST /v1/uploads: the way for large ones.
    upload_id: Option<String>,
}

/// Files as the API takes them.
pub(super) fn files(files: &[File]) -> Result<Vec<Value>, Refusal> {
    files.iter().enumerate().map(|(n, it)| file(n, it)).collect()
}

fn file(n: usize, file: &File) -> Result<Value, Refusal> {
    let mut body = json!({});
    let content = match (&file.text, &file.base64, &file.upload_id) {
        (Some(text), None, None) => Some(BASE64.encode(text.as_bytes())),
        (None, Some(base64), None) => Some(base64.clone()),
        (None, None, Some(id)) => {
            body["uploadId"] = json!(id);
            None
        }
        _ => {
            let name = format!("attachments[{n}]");
            return Err(Refusal::argument(&name, "give one of text, base64 and uploadId"));
        }
    };
    let is_text = file.text.is_some() && file.content_type.is_none();
    let content_type = file.content_type.clone().or(is_text.then(|| "text/plain".to_owned()));
    let fields =
        [("filename", file.filename.clone()), ("contentType", content_type), ("content", content)];
    for (name, value) in fields {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    Ok(body)
}

/// Without what is null, false or empty: the API takes that for what it means, too, and old ones do not know
/// new fields.
pub(super) fn without_nothing(body: Value) -> Value {
    let Value::Object(fields) = body else { return body };
    let is_something = |it: &Value| match it {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    Value::Object(fields.into_iter().filter(|(_, it)| is_something(it)).collect())
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    /// Absent after a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_id: Option<String>,
    /// "queued"; "scheduled" with sendAt; "held" if somebody has to approve it; "declined"; "valid" after a dry
    /// run.
    status: String,
    /// Of this mail. Absent if the service chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idempotency_key: Option<String>,
    /// This mail was known already: nothing new goes out.
    already_sent: bool,
    /// The key was used before, for other words. Those were sent, these were not: give another key.
    body_differs: bool,
    /// Of a dry run: why somebody would have to approve it.
    would_be_held: Vec<String>,
    next: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    id: Option<String>,
    status: String,
    body_differs: bool,
    recipients: Vec<String>,
    held_because: Vec<Reason>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    kind: String,
    explanation: String,
}

/// Hands a request on; without a key, the service has one.
pub(super) async fn submit<A: Api>(
    api: &A,
    path: &str,
    body: Value,
    key: Option<Key>,
) -> Result<Reply<Sent>, Refusal> {
    let text = key.as_ref().map(|it| it.text.clone());
    let call = Call::post(path, without_nothing(body)).key(text.clone());
    let answer: Answer = ask(api, call).await?;
    let already_sent = answer.id.is_some() && key.is_some_and(|it| it.is_used);
    let status = word(&answer.status);
    let mut words = Untrusted::default();
    words.field("It would go to", &addresses(&answer.recipients));
    for it in &answer.held_because {
        words.field("It would be held", &it.explanation);
    }
    let facts = Sent {
        next: next(&status, already_sent, answer.body_differs).to_owned(),
        email_id: answer.id,
        status,
        idempotency_key: text,
        already_sent,
        body_differs: answer.body_differs,
        would_be_held: answer.held_because.iter().map(|it| word(&it.kind)).collect(),
    };
    Ok(Reply { facts, words })
}

fn next(status: &str, already_sent: bool, body_differs: bool) -> &'static str {
    match status {
        _ if body_differs => {
            "Not sent: this idempotencyKey belongs to an earlier mail with other words. To send these, call \
             again with another key."
        }
        "valid" => "Nothing was sent: this was a dry run.",
        "held" => {
            "It waits for somebody's approval. Do not send it again or in other words; \
             get_delivery_status says what became of it."
        }
        "declined" => {
            "Somebody declined it, and it does not go. Do not send it in other words: tell the user."
        }
        _ if already_sent => {
            "Nothing new goes out: this very mail is known already. To send the same again on purpose, \
             give another idempotencyKey."
        }
        _ => "It is on its way; get_delivery_status says what becomes of it.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_content() {
        let of = |it: Value| file(0, &serde_json::from_value(it).expect("a file"));
        assert_eq!(
            of(json!({ "filename": "a.txt", "text": "hi" })).expect("text"),
            json!({ "filename": "a.txt", "contentType": "text/plain", "content": "aGk=" })
        );
        assert_eq!(
            of(json!({ "uploadId": "upl_1" })).expect("upload"),
            json!({ "uploadId": "upl_1" })
        );
        for wrong in [json!({}), json!({ "text": "a", "base64": "YQ==" })] {
            assert_eq!(of(wrong).expect_err("refuse").code, "invalid_argument");
        }
    }

    #[test]
    fn nothing_is_left_out() {
        let body = json!({ "a": null, "b": false, "c": "", "d": [], "e": 0, "f": "x", "g": true });
        assert_eq!(without_nothing(body), json!({ "e": 0, "f": "x", "g": true }));
    }

    #[test]
    fn what_to_do_next_is_said() {
        let check = |status, already, differs, said: &str| {
            assert!(next(status, already, differs).contains(said), "{status}");
        };
        check("queued", false, false, "on its way");
        check("queued", true, false, "another idempotencyKey");
        check("queued", true, true, "Not sent");
        check("held", true, false, "approval");
        check("declined", false, false, "tell the user");
        check("valid", false, false, "dry run");
    }
}
