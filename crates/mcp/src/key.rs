//! The idempotency key of a mail, or of what is expected, for which the model gave none.
//!
//! It follows from the tool, its arguments and the time, so that a call that is made again, by whoever and
//! through whichever gateway, is the same mail for an hour. A session has no part in it: a client that lost
//! its connection retries in another one.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{Api, Call, ask_if_there},
    refusal::Refusal,
    view::Mail,
};

/// How long the same call is the same mail, in seconds.
pub(crate) const WINDOW: u64 = 60 * 60;

/// A mail that was refused or called back does not count; so many of them, one after another.
const MOST_DEAD: u32 = 10;

/// A key, and whether a mail of this key is known already.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) is_used: bool,
}

/// `given` is the model's own, which counts for ever.
pub(crate) async fn of<A: Api, T: Serialize + Sync>(
    api: &A,
    inbox_id: &str,
    given: Option<String>,
    tool: &str,
    arguments: &T,
) -> Result<Key, Refusal> {
    if let Some(text) = given {
        let is_used = known(api, inbox_id, &text).await?.is_some();
        return Ok(Key { text, is_used });
    }
    let now = now();
    let call = fingerprint(tool, arguments);
    // The hour before this one, too: a window does not begin anew on the hour.
    for hour in [now / WINDOW - 1, now / WINDOW] {
        for dead in 0..MOST_DEAD {
            let text = format!("mcp-{call}-{hour}-{dead}");
            match known(api, inbox_id, &text).await? {
                None if hour == now / WINDOW => return Ok(Key { text, is_used: false }),
                None => break,
                Some(mail) if is_dead(&mail) => (),
                Some(mail) if is_fresh(&mail, now) => return Ok(Key { text, is_used: true }),
                Some(_) => (),
            }
        }
    }
    let advice = "This very mail was refused or called back several times within the hour. Change it, or \
                  give an idempotencyKey of your own.";
    Err(Refusal::not_there("repeated_too_often", advice))
}

/// The mail of a key, if the ledger has it.
async fn known<A: Api>(api: &A, inbox_id: &str, key: &str) -> Result<Option<Mail>, Refusal> {
    let id = contract::submission_id(inbox_id, key);
    ask_if_there(api, Call::get(format!("/v1/emails/{id}"))).await
}

/// It never went out, and never will: the same words may be sent.
fn is_dead(mail: &Mail) -> bool {
    matches!(mail.status.as_deref(), Some("rejected" | "cancelled"))
}

fn is_fresh(mail: &Mail, now: u64) -> bool {
    is_within(&mail.created_at, now, WINDOW)
}

/// Whether a moment of the API is less than so many seconds ago.
pub(crate) fn is_within(moment: &str, now: u64, seconds: u64) -> bool {
    let moment = OffsetDateTime::parse(moment, &Rfc3339);
    moment.is_ok_and(|it| it.unix_timestamp() > now.saturating_sub(seconds).cast_signed())
}

/// Names a call: the tool and all of its arguments.
pub(crate) fn fingerprint<T: Serialize>(tool: &str, arguments: &T) -> String {
    // Maps of strings and plain fields: they always become JSON.
    let arguments = serde_json::to_string(arguments).unwrap_or_default();
    let hash = digest(&SHA256, format!("{tool}\n{arguments}").as_bytes());
    HEXLOWER.encode(&hash.as_ref()[..16])
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::Fake;

    const INBOX: &str = "ibx_1";

    async fn key(api: &Fake, words: &str) -> Result<Key, Refusal> {
        of(api, INBOX, None, "send_email", &json!({ "text": words })).await
    }

    fn stored(api: &Fake, key: &str, status: &str, seconds_ago: i64) {
        let id = contract::submission_id(INBOX, key);
        let created = OffsetDateTime::now_utc() - time::Duration::seconds(seconds_ago);
        let created = created.format(&Rfc3339).expect("format");
        let mail = json!({ "id": id, "status": status, "createdAt": created });
        api.answer(&format!("GET /v1/emails/{id}"), 200, &mail);
    }

    #[tokio::test]
    async fn the_same_call_has_the_same_key_within_the_hour() {
        let api = Fake::default();
        let first = key(&api, "hi").await.expect("key");
        assert!(!first.is_used && first.text.len() < 255, "{first:?}");
        // Not in the ledger yet: a retry that overtakes it has its key all the same.
        assert_eq!(key(&api, "hi").await.expect("key").text, first.text);
        assert_ne!(key(&api, "ho").await.expect("key").text, first.text);
        stored(&api, &first.text, "sent", 5);
        assert_eq!(key(&api, "hi").await.expect("key"), Key { is_used: true, ..first });
    }

    #[tokio::test]
    async fn a_window_goes_over_the_hour_and_ends() {
        let before = |text: &str| {
            let mut parts: Vec<String> = text.split('-').map(str::to_owned).collect();
            parts[2] = (parts[2].parse::<u64>().expect("hour") - 1).to_string();
            parts.join("-")
        };
        let api = Fake::default();
        let fresh = key(&api, "hi").await.expect("key").text;
        stored(&api, &before(&fresh), "sent", 3500);
        assert_eq!(key(&api, "hi").await.expect("key").text, before(&fresh));
        stored(&api, &before(&fresh), "sent", 3700);
        assert_eq!(key(&api, "hi").await.expect("key").text, fresh);
    }

    #[tokio::test]
    async fn what_never_went_out_does_not_count() {
        let api = Fake::default();
        let first = key(&api, "hi").await.expect("key").text;
        stored(&api, &first, "rejected", 5);
        let second = key(&api, "hi").await.expect("key");
        assert!(second.text != first && !second.is_used);
        for dead in 1..MOST_DEAD {
            stored(&api, &format!("{}{dead}", &first[..first.len() - 1]), "cancelled", 5);
        }
        assert_eq!(key(&api, "hi").await.expect_err("refuse").code, "repeated_too_often");
    }

    #[tokio::test]
    async fn a_key_that_is_given_is_taken() {
        let api = Fake::default();
        let of = async || super::of(&api, INBOX, Some("k".to_owned()), "t", &Value::Null).await;
        assert_eq!(of().await.expect("key"), Key { text: "k".to_owned(), is_used: false });
        stored(&api, "k", "sent", 100_000);
        assert!(of().await.expect("key").is_used);
    }
}
