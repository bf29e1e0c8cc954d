//! What agents note of their emails: that they have read them, and labels. One, or many at once.
//!
//! The gateway writes it itself, so that the next list shows it. It is no part of the mail.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, patch, post},
};
use contract::Grant;
use serde::{Deserialize, Serialize};
use store::{
    Change, Changed, EmailFilter, MAX_LABEL, MAX_LABELS, MAX_LABELS_OF_EMAIL, Reader, Writer,
};
use utoipa::ToSchema;

use crate::{
    caller::{Allowed, Caller},
    documentation::Errors,
    emails,
    gateway::Gateway,
    inboxes,
    octets::Octets,
    params::Segments,
    problem::Problem,
};

/// Emails that one request changes.
const MOST_AT_ONCE: usize = 100;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/labels", get(list))
        .route("/v1/emails/{emailId}", patch(update))
        .route("/v1/emails/batch", post(batch))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LabelList {
    /// In alphabetical order.
    data: Vec<String>,
}

/// What to change of an email
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    read: Option<bool>,
    /// Each 1 to 64 letters, digits or "-", "_", ".", ":", "/"; an email has at most 20, an account 200.
    #[serde(default)]
    add_labels: Vec<String>,
    #[serde(default)]
    remove_labels: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Updated {
    id: String,
    is_read: bool,
    labels: Vec<String>,
}

/// What to change of many emails: those named by `ids`, or those that a filter finds
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Batch {
    /// At most 100.
    ids: Option<Vec<String>>,
    filter: Option<BatchFilter>,
    read: Option<bool>,
    #[serde(default)]
    add_labels: Vec<String>,
    #[serde(default)]
    remove_labels: Vec<String>,
}

/// The newest 100 emails of an inbox that fit; `cursor` goes on with the next
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BatchFilter {
    inbox_id: String,
    label: Option<String>,
    unread: Option<bool>,
    /// "inbound" or "outbound".
    direction: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BatchResult {
    /// The emails that are as was asked for.
    updated: Vec<String>,
    /// Those that were left as they were.
    failed: Vec<BatchFailure>,
    /// With a filter: goes on with the emails after these; null when there are none.
    #[schema(required)]
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct BatchFailure {
    id: String,
    #[schema(example = "not_found")]
    error: String,
    message: String,
}

/// The labels on your emails
///
/// A token for some inboxes or threads sees those on their emails.
#[utoipa::path(
    get, path = "/v1/labels", operation_id = "listLabels", tag = "emails",
    responses((status = 200, description = "All of them", body = LabelList), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    State(reader): State<Reader>,
) -> Result<Json<LabelList>, Problem> {
    let data = match grant.is_narrowed() {
        true => reader.labels_seen(&account.id, &grant).await?,
        false => reader.labels(&account.id).await?,
    };
    Ok(Json(LabelList { data }))
}

/// Change an email's read state and labels
///
/// All of it is done, or nothing. A label that is to be added and removed is added.
#[utoipa::path(
    patch, path = "/v1/emails/{emailId}", operation_id = "updateEmail", tag = "emails",
    params(("emailId" = String, Path)),
    request_body = Update,
    responses((status = 200, description = "It is as was asked for", body = Updated), Errors)
)]
pub(crate) async fn update(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<Updated>, Problem> {
    let Update { read, add_labels, remove_labels } = body.json()?;
    let change = change(read, add_labels, remove_labels)?;
    let email = emails::find(&reader, &account.id, &email_id).await?;
    let labels = outcome(writer.change(&account.id, &email.id, &change).await?, &email_id)?;
    Ok(Json(Updated { id: email.id, is_read: read.unwrap_or(email.is_read), labels }))
}

/// Change many emails at once
///
/// Each is changed wholly or not at all; the answer names those that were not, and why.
#[utoipa::path(
    post, path = "/v1/emails/batch", operation_id = "updateEmails", tag = "emails",
    request_body = Batch,
    responses((status = 200, description = "What became of each", body = BatchResult), Errors)
)]
pub(crate) async fn batch(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    body: Octets,
) -> Result<Json<BatchResult>, Problem> {
    let Batch { ids, filter, read, add_labels, remove_labels } = body.json()?;
    let change = change(read, add_labels, remove_labels)?;
    let (ids, cursor) = match (ids, filter) {
        (Some(ids), None) => (named(ids)?, None),
        (None, Some(filter)) => found(&reader, &account.id, &grant, filter).await?,
        _ => return Err(Problem::invalid_request("give either ids or filter")),
    };
    let mut result = BatchResult { updated: Vec::new(), failed: Vec::new(), cursor };
    for id in ids {
        let changed = async {
            let email = emails::find(&reader, &account.id, &id).await?;
            if !grant.sees(&email.inbox_id, email.thread_id.as_deref()) {
                return Err(emails::unknown_to_account(&id));
            }
            outcome(writer.change(&account.id, &id, &change).await?, &id)
        };
        match changed.await {
            Ok(_) => result.updated.push(id),
            // Nothing is wrong with the email: the request may be made again.
            Err(problem) if problem.status.is_server_error() => return Err(problem),
            Err(problem) => result.failed.push(BatchFailure {
                id,
                error: problem.code.into_owned(),
                message: problem.message,
            }),
        }
    }
    Ok(Json(result))
}

/// Each once, in their order.
fn named(ids: Vec<String>) -> Result<Vec<String>, Problem> {
    if ids.is_empty() || ids.len() > MOST_AT_ONCE {
        let message = format!("ids: give 1 to {MOST_AT_ONCE}, not {}", ids.len());
        return Err(Problem::invalid_request(message));
    }
    let mut seen = BTreeSet::new();
    Ok(ids.into_iter().filter(|it| seen.insert(it.clone())).collect())
}

async fn found(
    reader: &Reader,
    account_id: &str,
    grant: &Grant,
    filter: BatchFilter,
) -> Result<(Vec<String>, Option<String>), Problem> {
    if !grant.sees_inbox(&filter.inbox_id) {
        return Err(inboxes::unknown(&filter.inbox_id));
    }
    let inbox = inboxes::active(reader, account_id, &filter.inbox_id).await?;
    let direction = match filter.direction.as_deref() {
        None => None,
        Some("inbound") => Some(store::Direction::Inbound),
        Some("outbound") => Some(store::Direction::Outbound),
        Some(other) => {
            let message = format!(
                "filter.direction={other:?} is not accepted: give \"inbound\" or \"outbound\""
            );
            return Err(Problem::invalid_request(message));
        }
    };
    let filter = EmailFilter {
        limit: MOST_AT_ONCE as i64,
        direction,
        label: filter.label,
        is_read: filter.unread.map(|it| !it),
        cursor: filter.cursor,
        thread_ids: grant.thread_ids.clone(),
        ..EmailFilter::default()
    };
    let page = reader.emails(account_id, &inbox.id, &filter).await?;
    Ok((page.items.into_iter().map(|it| it.id).collect(), page.cursor))
}

fn change(read: Option<bool>, add: Vec<String>, remove: Vec<String>) -> Result<Change, Problem> {
    if read.is_none() && add.is_empty() && remove.is_empty() {
        let message = "nothing to change: give read, addLabels or removeLabels";
        return Err(Problem::invalid_request(message));
    }
    if add.len() > MAX_LABELS || remove.len() > MAX_LABELS {
        return Err(Problem::invalid_request(format!("labels: give at most {MAX_LABELS} at once")));
    }
    for label in &add {
        check(label)?;
    }
    Ok(Change { read, add, remove })
}

/// Letters of any script, so that a label can be a word; nothing that could be taken for markup.
fn check(label: &str) -> Result<(), Problem> {
    let is_plain = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.' | ':' | '/');
    let length = label.chars().count();
    if (1..=MAX_LABEL).contains(&length) && label.chars().all(is_plain) {
        return Ok(());
    }
    let shown: String = label.chars().take(MAX_LABEL).collect();
    Err(Problem::unprocessable(
        "invalid_label",
        format!(
            "the label {shown:?} is not accepted: give 1 to {MAX_LABEL} letters, digits or any of - _ . : /"
        ),
    ))
}

fn outcome(changed: Changed, email_id: &str) -> Result<Vec<String>, Problem> {
    let too_many = |what: &str, most: usize| {
        Problem::unprocessable(
            "too_many_labels",
            format!("{what} would have more than {most} labels"),
        )
    };
    match changed {
        Changed::Done(labels) => Ok(labels),
        Changed::Unknown => Err(emails::unknown_to_account(email_id)),
        Changed::TooManyOfEmail => Err(too_many("the email", MAX_LABELS_OF_EMAIL)),
        Changed::TooMany => Err(too_many("your account", MAX_LABELS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words() {
        for label in ["a", "to-do", "x/y:z.1", "wichtig_ü", &"x".repeat(64)] {
            check(label).expect(label);
        }
        for label in ["", "a b", "<b>", "a\u{200b}", "\"", &"x".repeat(65)] {
            let problem = check(label).expect_err(label);
            assert_eq!((problem.status.as_u16(), &*problem.code), (422, "invalid_label"));
        }
    }

    #[test]
    fn a_change_changes_something() {
        assert_eq!(change(None, vec![], vec![]).expect_err("nothing").status.as_u16(), 400);
        change(Some(true), vec![], vec![]).expect("read");
    }

    #[test]
    fn ids_are_bounded_and_each_counts_once() {
        let ids = |n: usize| (0..n).map(|it| format!("eml_{it}")).collect::<Vec<_>>();
        assert_eq!(named([ids(2), ids(2)].concat()).expect("ids"), ids(2));
        assert_eq!(named(ids(0)).expect_err("none").status.as_u16(), 400);
        assert_eq!(named(ids(101)).expect_err("too many").status.as_u16(), 400);
    }
}
