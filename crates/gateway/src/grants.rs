//! From what somebody asks for a new token to what it may do: never more than the token that he asks with.

use anyhow::Context as _;
use contract::{Grant, Right, Rights, SendLimits};
use mail::Address;
use serde::Deserialize;
use store::{Reader, Token};
use utoipa::ToSchema;

use crate::{
    inboxes,
    problem::Problem,
    time::{now_micros, parse_rfc3339},
};

const MAX_LABEL: usize = 100;
const MOST_IDS: usize = 100;
const MOST_RECIPIENTS: usize = 100;
const MOST_MAILS: u32 = 10_000;

/// A year.
const MOST_SECONDS: u32 = 366 * 24 * 60 * 60;

/// What is left out is as with the token that asks.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// For people: what it is for.
    #[schema(max_length = 100)]
    pub(crate) label: Option<String>,
    /// Some of "read", "send", "reply", "admin".
    #[schema(value_type = Option<Vec<String>>, example = json!(["read", "reply"]))]
    rights: Option<Vec<String>>,
    /// It sees only these inboxes; at most 100.
    inbox_ids: Option<Vec<String>>,
    /// It sees only these threads; at most 100. Not with "admin".
    thread_ids: Option<Vec<String>>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Instead of `expiresAt`: from now on, up to a year.
    expires_in_seconds: Option<u32>,
    limits: Option<LimitsRequest>,
}

/// How much it may send, and to whom.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitsRequest {
    /// Mails, in any `perSeconds`, or in all without it; at most 10,000.
    mails: Option<u32>,
    /// At most a year.
    per_seconds: Option<u32>,
    /// Addresses, or domains without their subdomains; at most 100.
    recipients: Option<Vec<String>>,
}

impl TokenRequest {
    /// What the new token may do, if `parent` may make it.
    pub(crate) async fn grant(self, reader: &Reader, parent: &Token) -> Result<Grant, Problem> {
        let of = &parent.grant;
        let now = now_micros();
        let rights = match self.rights {
            Some(names) => rights(&names)?,
            None => of.rights,
        };
        let limits = match self.limits {
            Some(limits) => limits.checked(&of.limits)?,
            None => of.limits.clone(),
        };
        let expires_at = match (self.expires_at, self.expires_in_seconds) {
            (Some(_), Some(_)) => {
                return Err(invalid("give either expiresAt or expiresInSeconds"));
            }
            (Some(text), None) => Some(moment(&text, now)?),
            (None, Some(seconds @ 1..=MOST_SECONDS)) => Some(now + i64::from(seconds) * 1_000_000),
            (None, Some(_)) => {
                return Err(invalid(format!("expiresInSeconds: give 1 to {MOST_SECONDS}")));
            }
            (None, None) => of.expires_at,
        };
        let mut grant = Grant {
            rights,
            inbox_ids: ids("inboxIds", self.inbox_ids)?.or_else(|| of.inbox_ids.clone()),
            thread_ids: ids("threadIds", self.thread_ids)?.or_else(|| of.thread_ids.clone()),
            expires_at,
            limits,
            // Where it asks with a token that is counted, its mails count for that one too.
            counted_for: parent.counted_for(),
        };
        if let Some(what) = grant.exceeds(of) {
            return Err(Problem::insufficient_scope(format!(
                "{what}: a token makes only tokens that may no more than itself"
            )));
        }
        if grant.thread_ids.is_some() && grant.allows(Right::Admin) {
            return Err(invalid("threadIds: \"admin\" is for inboxes, not for single threads"));
        }
        find(reader, &parent.account_id, &mut grant).await?;
        Ok(grant)
    }
}

impl LimitsRequest {
    /// What is left out of limits is as with the token that asks.
    fn checked(self, of: &SendLimits) -> Result<SendLimits, Problem> {
        let LimitsRequest { mails, per_seconds, recipients } = self;
        if mails.is_none() && per_seconds.is_some() {
            return Err(invalid("limits.perSeconds goes with limits.mails"));
        }
        if mails.is_some_and(|it| it > MOST_MAILS) {
            return Err(invalid(format!("limits.mails: give at most {MOST_MAILS}")));
        }
        if per_seconds.is_some_and(|it| !(1..=MOST_SECONDS).contains(&it)) {
            return Err(invalid(format!("limits.perSeconds: give 1 to {MOST_SECONDS}")));
        }
        let recipients = match recipients {
            Some(recipients) => Some(checked_recipients(&recipients)?),
            None => of.recipients.clone(),
        };
        let (mails, per_seconds) = match mails {
            Some(_) => (mails, per_seconds),
            None => (of.mails, of.per_seconds),
        };
        Ok(SendLimits { mails, per_seconds, recipients })
    }
}

/// The label and the grant that an operator asks for, as `POST /v1/tokens` takes them: nothing is too much
/// for him.
pub async fn operators_grant(
    reader: &Reader,
    account_id: &str,
    request: serde_json::Value,
) -> anyhow::Result<(String, Grant)> {
    let mut request: TokenRequest = serde_json::from_value(request).context("read the wishes")?;
    let operator = Token {
        hash: String::new(),
        account_id: account_id.to_owned(),
        label: String::new(),
        grant: Grant::default(),
        made_with: String::new(),
        created_at: 0,
        last_used_at: None,
        revoked_at: None,
    };
    let refused = |problem: Problem| anyhow::anyhow!(problem.message);
    let label = label(request.label.take()).map_err(refused)?;
    let grant = request.grant(reader, &operator).await.map_err(refused)?;
    Ok((label, grant))
}

/// That there are such inboxes and threads, and of threads in which inboxes.
async fn find(reader: &Reader, account_id: &str, grant: &mut Grant) -> Result<(), Problem> {
    let own = reader.inboxes(account_id).await?;
    for inbox_id in grant.inbox_ids.iter().flatten() {
        if !own.iter().any(|it| it.id == *inbox_id) {
            return Err(inboxes::unknown(inbox_id));
        }
    }
    let Some(thread_ids) = &grant.thread_ids else { return Ok(()) };
    let places = reader.places_of_threads(account_id, thread_ids).await?;
    let mut inbox_ids = Vec::new();
    for thread_id in thread_ids {
        let place =
            places.iter().find(|(inbox_id, it)| it == thread_id && grant.sees_inbox(inbox_id));
        let Some((inbox_id, _)) = place else {
            return Err(Problem::not_found(format!("you have no thread {thread_id:?}")));
        };
        if !inbox_ids.contains(inbox_id) {
            inbox_ids.push(inbox_id.clone());
        }
    }
    grant.inbox_ids = Some(inbox_ids);
    Ok(())
}

pub(crate) fn label(label: Option<String>) -> Result<String, Problem> {
    let label = label.unwrap_or_default().trim().to_owned();
    if label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(invalid(format!(
            "label: at most {MAX_LABEL} characters on one line are taken"
        )));
    }
    Ok(label)
}

fn rights(names: &[String]) -> Result<Rights, Problem> {
    if names.is_empty() {
        return Err(invalid("rights: give at least one"));
    }
    let right = |it: &String| {
        Right::named(it).ok_or_else(|| {
            let all = Right::ALL.map(Right::name).join(", ");
            invalid(format!("rights: there is no {it:?}; there are {all}"))
        })
    };
    names.iter().map(right).collect()
}

fn ids(name: &str, ids: Option<Vec<String>>) -> Result<Option<Vec<String>>, Problem> {
    let Some(mut ids) = ids else { return Ok(None) };
    if !(1..=MOST_IDS).contains(&ids.len()) {
        return Err(invalid(format!("{name}: give 1 to {MOST_IDS}")));
    }
    ids.sort();
    ids.dedup();
    // As all identifiers of this service are.
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || *it == b'_';
    match ids.iter().find(|it| !it.bytes().all(|it| is_plain(&it))) {
        Some(odd) => Err(Problem::not_found(format!("{name}: you have no {odd:?}"))),
        None => Ok(Some(ids)),
    }
}

fn moment(text: &str, now: i64) -> Result<i64, Problem> {
    match parse_rfc3339(text) {
        Some(moment) if moment > now => Ok(moment),
        Some(_) => Err(invalid("expiresAt: this moment has passed")),
        None => Err(invalid(format!(
            "expiresAt={text:?} is not accepted: give an RFC 3339 time such as {}",
            store::rfc3339(0)
        ))),
    }
}

/// In lower case, with domains in A-labels.
fn checked_recipients(recipients: &[String]) -> Result<Vec<String>, Problem> {
    if !(1..=MOST_RECIPIENTS).contains(&recipients.len()) {
        return Err(invalid(format!("limits.recipients: give 1 to {MOST_RECIPIENTS}")));
    }
    let recipient = |it: &String| {
        let wrong = |err| invalid(format!("limits.recipients: {it:?}: {err}"));
        let address = if it.contains('@') { it.clone() } else { format!("x@{it}") };
        let address: Address = address.parse().map_err(wrong)?;
        Ok(if it.contains('@') { address.to_string() } else { address.domain().to_owned() })
    };
    let recipients = recipients.iter().map(recipient).collect::<Result<Vec<String>, Problem>>()?;
    Ok(recipients.into_iter().map(|it| it.to_lowercase()).collect())
}

fn invalid(message: impl std::fmt::Display) -> Problem {
    Problem::invalid_request(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_addresses_or_domains() {
        let check = |given: &str, expected: Option<&str>| {
            let checked = checked_recipients(&[given.to_owned()]).ok();
            assert_eq!(checked.map(|it| it[0].clone()).as_deref(), expected, "{given}");
        };
        check("Ada@Example.COM", Some("ada@example.com"));
        check("Example.COM", Some("example.com"));
        for wrong in ["", "a b", "@example.com", "a@", "a@b@c"] {
            check(wrong, None);
        }
    }

    #[test]
    fn limits_left_out_are_those_of_the_maker() {
        let of = SendLimits { mails: Some(5), per_seconds: Some(60), recipients: None };
        let asked = |mails, per_seconds| {
            LimitsRequest { mails, per_seconds, recipients: None }.checked(&of)
        };
        assert_eq!(asked(None, None).expect("limits"), of);
        let own = asked(Some(2), None).expect("limits");
        assert_eq!((own.mails, own.per_seconds), (Some(2), None));
        for wrong in [(None, Some(60)), (Some(1), Some(0)), (Some(10_001), None)] {
            assert_eq!(asked(wrong.0, wrong.1).expect_err("refuse").status.as_u16(), 400);
        }
    }

    #[test]
    fn what_is_no_right_or_no_identifier_is_refused() {
        let of =
            |names: &[&str]| rights(&names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["read", "read", "admin"]).expect("rights").iter().count(), 2);
        for wrong in [&[][..], &["write"], &["Read"]] {
            assert_eq!(of(wrong).expect_err("refuse").status.as_u16(), 400);
        }
        let odd = Some(vec!["ibx_1,ibx_2".to_owned()]);
        assert_eq!(ids("inboxIds", odd).expect_err("refuse").status.as_u16(), 404);
        assert_eq!(ids("inboxIds", Some(vec![])).expect_err("refuse").status.as_u16(), 400);
    }
}
