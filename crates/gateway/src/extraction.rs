//! What the contract calls extraction: people, dates, amounts, meetings and actions in an email.
//!
//! By rules, which cost little: nothing is kept, and the same email gives the same answer.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use reading::{Extraction, Facts, RULES, Reading};
use serde::Serialize;
use store::Reader;
use utoipa::ToSchema;

use crate::{
    caller::Caller,
    documentation::Errors,
    emails,
    gateway::Gateway,
    inboxes,
    params::Segments,
    problem::Problem,
    reading::{MAX_BODY, Opened, Readings, mail_of},
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes/{inboxId}/emails/{emailId}/extract", post(extract))
        .route("/v1/inboxes/{inboxId}/emails/{emailId}/extraction", get(extraction))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExtractionResult {
    #[schema(example = "ext_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    email_id: String,
    #[schema(example = "completed")]
    status: &'static str,
    contacts: Vec<Contact>,
    dates: Vec<Moment>,
    amounts: Vec<Amount>,
    scheduling: Vec<Scheduled>,
    actions: Vec<Action>,
    metadata: BTreeMap<&'static str, String>,
    /// The rules and their version: there is no model.
    #[schema(required, example = "rules-1")]
    model_used: Option<&'static str>,
    #[schema(required)]
    input_tokens: Option<u32>,
    #[schema(required)]
    output_tokens: Option<u32>,
    #[schema(required)]
    processing_ms: Option<u32>,
    #[schema(required)]
    error_message: Option<String>,
    created_at: String,
    #[schema(required)]
    completed_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExtractedContact)]
struct Contact {
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    email: Option<String>,
    #[schema(required)]
    phone: Option<String>,
    /// "sender", or null.
    #[schema(required)]
    role: Option<&'static str>,
    #[schema(required)]
    organization: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExtractedDate)]
struct Moment {
    /// "2026-05-01" or "2026-05-01T10:00:00", in the writer's own time.
    value: String,
    /// The sentence it stands in.
    label: String,
    is_estimate: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExtractedAmount)]
struct Amount {
    value: f64,
    /// ISO 4217.
    currency: &'static str,
    label: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExtractedEvent)]
struct Scheduled {
    event_type: &'static str,
    /// Empty when it is not said.
    start_time: String,
    end_time: String,
    #[schema(required)]
    location: Option<String>,
    attendees: Vec<String>,
    summary: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExtractedAction)]
struct Action {
    r#type: &'static str,
    description: String,
    #[schema(required)]
    url: Option<String>,
    #[schema(required)]
    deadline: Option<String>,
}

/// Extract facts from an email
///
/// People, dates, amounts, meetings and what is asked for, by rules, from what the sender wrote. Asking
/// again gives the same.
#[utoipa::path(
    post, path = "/v1/inboxes/{inboxId}/emails/{emailId}/extract", operation_id = "extractEmail",
    tag = "emails",
    params(("inboxId" = String, Path), ("emailId" = String, Path)),
    responses((status = 200, description = "The facts", body = ExtractionResult), Errors)
)]
pub(crate) async fn extract(
    caller: Caller,
    segments: Segments<(String, String)>,
    reader: State<Reader>,
    readings: State<Readings>,
) -> Result<Json<ExtractionResult>, Problem> {
    extraction(caller, segments, reader, readings).await
}

/// The facts extracted from an email
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}/emails/{emailId}/extraction",
    operation_id = "getExtraction", tag = "emails",
    params(("inboxId" = String, Path), ("emailId" = String, Path)),
    responses((status = 200, description = "The facts", body = ExtractionResult), Errors)
)]
pub(crate) async fn extraction(
    Caller(account): Caller,
    Segments((inbox_id, email_id)): Segments<(String, String)>,
    State(reader): State<Reader>,
    State(readings): State<Readings>,
) -> Result<Json<ExtractionResult>, Problem> {
    let inbox = inboxes::active(&reader, &account.id, &inbox_id).await?;
    let email = reader.email(&account.id, &inbox.id, &email_id).await?;
    let email = email.ok_or_else(|| emails::unknown(&email_id))?;
    readings.with(&account.id, email, |it| result(&it)).await.map(Json)
}

fn result(opened: &Opened) -> ExtractionResult {
    let email = &opened.email;
    let bodies = mail::bodies(&opened.octets, MAX_BODY);
    let message = mail::parse(&opened.octets, 0);
    let name = message.from.first().map_or("", |it| it.name.as_str());
    let facts = Facts {
        from: (name, &email.from),
        date_micros: message.date_micros,
        calendar: &bodies.calendar,
    };
    let found = reading::extract(&Reading::of(mail_of(email, &bodies)), facts);
    let Extraction { contacts, dates, amounts, scheduling, actions } = found;
    ExtractionResult {
        id: email.id.replacen("eml_", "ext_", 1),
        email_id: email.id.clone(),
        status: "completed",
        contacts: contacts.into_iter().map(Contact::from).collect(),
        dates: dates.into_iter().map(Moment::from).collect(),
        amounts: amounts.into_iter().map(Amount::from).collect(),
        scheduling: scheduling.into_iter().map(Scheduled::from).collect(),
        actions: actions.into_iter().map(Action::from).collect(),
        metadata: BTreeMap::from([("method", "rules".to_owned())]),
        model_used: Some(RULES),
        input_tokens: None,
        output_tokens: None,
        processing_ms: None,
        error_message: None,
        created_at: email.created_at.clone(),
        completed_at: Some(email.created_at.clone()),
    }
}

impl From<reading::Contact> for Contact {
    fn from(it: reading::Contact) -> Contact {
        let reading::Contact { name, email, phone, role } = it;
        Contact { name, email, phone, role, organization: None }
    }
}

impl From<reading::Moment> for Moment {
    fn from(it: reading::Moment) -> Moment {
        Moment { value: it.value, label: it.label, is_estimate: it.is_estimate }
    }
}

impl From<reading::Amount> for Amount {
    fn from(it: reading::Amount) -> Amount {
        Amount { value: it.value, currency: it.currency, label: it.label }
    }
}

impl From<reading::Scheduled> for Scheduled {
    fn from(it: reading::Scheduled) -> Scheduled {
        Scheduled {
            event_type: it.event_type,
            start_time: it.start.unwrap_or_default(),
            end_time: it.end.unwrap_or_default(),
            location: it.location,
            attendees: it.attendees,
            summary: it.summary,
        }
    }
}

impl From<reading::Action> for Action {
    fn from(it: reading::Action) -> Action {
        let reading::Action { kind, description, url, deadline } = it;
        Action { r#type: kind, description, url, deadline }
    }
}
