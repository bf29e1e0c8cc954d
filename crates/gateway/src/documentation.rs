//! The API's own description, OpenAPI 3.1, made from the handlers.

use std::sync::LazyLock;

use axum::{
    Json, Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    IntoResponses, Modify, OpenApi, ToSchema,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{
    accounts, attachments, audit, canaries, claims, deliveries, domains, emails, events,
    expectations, extraction, gateway::Gateway, holds, inboxes, labels, leases, outbound_allow,
    outbound_policy, outbox, policy, poll, problem::ProblemBody, quarantine, replies, reputation,
    resolve, reviews, safe, search, send, senders, suppressions, threads, tokens, unsubscribe,
    uploads, verdicts, webhooks, work,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/openapi.json", get(describe)).route("/v1/docs/openapi", get(describe))
}

/// `{}`, because clients want JSON in every answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Empty {}

#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// How any request can fail.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "a description: the variants are never made")]
pub(crate) enum Errors {
    /// The request is malformed, or a parameter has a value that is not accepted
    #[response(status = 400)]
    Invalid(ProblemBody<'static>),
    /// The token is missing or not valid
    #[response(status = 401)]
    Unauthorized(ProblemBody<'static>),
    /// The account's tier does not allow it, or the token has not the right that it needs
    #[response(status = 403)]
    Tier(ProblemBody<'static>),
    /// There is no such thing, or it is another account's
    #[response(status = 404)]
    NotFound(ProblemBody<'static>),
    /// The address or the domain is taken
    #[response(status = 409)]
    Collision(ProblemBody<'static>),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ProblemBody<'static>),
    /// The request is well-formed, but not to be honoured; `error` says why
    #[response(status = 422)]
    Unprocessable(ProblemBody<'static>),
    /// Too much at once; `Retry-After` says when again
    #[response(status = 429)]
    Limited(ProblemBody<'static>),
    /// NATS or the database is away, or the stream is full; `Retry-After` says when again
    #[response(status = 503)]
    Unavailable(ProblemBody<'static>),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Posthouse",
        description = "Email for agents: inboxes, received mail that has been scanned, and sending.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "accounts", description = "Who asks, and what they may do"),
        (name = "inboxes", description = "Addresses that take mail"),
        (name = "domains", description = "Domains that accounts bring with them"),
        (name = "emails", description = "Mail received and sent"),
        (name = "events", description = "What happens, as it happens and afterwards"),
        (name = "expectations", description = "Mail that is waited for"),
        (name = "webhooks", description = "Events pushed to a URL"),
        (name = "policy", description = "What is done with received mail, and what was decided on it"),
        (name = "work", description = "Mail for several workers on one inbox"),
        (name = "threads", description = "Conversations"),
        (name = "holds", description = "Mail that somebody has to approve before it goes"),
        (name = "suppressions", description = "Addresses that get no mail"),
        (name = "lists", description = "Leaving lists, for those who get their mail"),
        (name = "service", description = "The service itself"),
    ),
    paths(
        accounts::sign_up, accounts::account, accounts::verify,
        tokens::create, tokens::list, tokens::current, tokens::revoke,
        inboxes::create, inboxes::list, inboxes::look, inboxes::delete, reputation::reputation,
        domains::add, domains::list, domains::look, domains::verify, domains::zone,
        domains::delete, domains::rotate,
        emails::list, emails::read, emails::read_any, emails::raw, poll::poll,
        safe::of_inbox, safe::of_email, extraction::extract, extraction::extraction,
        labels::list, labels::update, labels::batch,
        events::events,
        expectations::expect, expectations::list, expectations::look, expectations::cancel,
        attachments::url, attachments::fetch,
        deliveries::of_email, deliveries::of_inbox,
        threads::list, threads::read,
        send::send, replies::reply, replies::reply_all, replies::forward, resolve::resolve,
        outbox::cancel, search::search,
        policy::of_account, policy::set_for_account, policy::of_inbox, policy::set_for_inbox,
        senders::of_account, senders::add_to_account, senders::remove_from_account,
        senders::of_inbox, senders::add_to_inbox, senders::remove_from_inbox,
        quarantine::list, reviews::release, reviews::refuse, audit::list,
        holds::list, holds::approve, holds::decline,
        outbound_policy::of_account, outbound_policy::set_for_account, outbound_policy::of_inbox,
        outbound_policy::set_for_inbox, outbound_policy::reset_for_inbox,
        outbound_allow::list, outbound_allow::add, outbound_allow::remove,
        canaries::list, canaries::add, canaries::remove,
        suppressions::list, suppressions::add, suppressions::read, suppressions::lift,
        unsubscribe::show, unsubscribe::leave, uploads::upload,
        verdicts::list,
        claims::claim, leases::read, leases::ack, leases::nak, leases::extend,
        work::look, work::set, work::set_aside, work::requeue,
        webhooks::create, webhooks::list, webhooks::read, webhooks::change, webhooks::delete,
        webhooks::rotate, webhooks::attempts::ping, webhooks::attempts::redeliver, webhooks::attempts::attempts,
        health, describe,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Token),
    security(("token" = [])),
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token that signing up answers with"))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What `/openapi.json` answers with, and what else is made of it.
pub fn description() -> Value {
    let mut description =
        serde_json::to_value(Description::openapi()).expect("strings become JSON");
    drop_foreign_defaults(&mut description);
    description
}

/// utoipa derives a default from the type in Rust: of octets, which are a string in JSON, it is a list. That of an
/// object says nothing, and generators take it for something else.
fn drop_foreign_defaults(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_foreign_defaults),
        Value::Object(fields) => {
            let is_foreign = fields.get("default").is_some_and(|default| {
                (default.is_array() && fields.get("type").is_some_and(|it| it == "string"))
                    || (default.is_object() && fields.contains_key("$ref"))
            });
            if is_foreign {
                fields.remove("default");
            }
            fields.values_mut().for_each(drop_foreign_defaults);
        }
        _ => (),
    }
}

/// The process answers
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "service", security(()),
    responses(
        (status = 200, description = "It does", body = Health),
        (status = "4XX", description = "The request is malformed", body = ProblemBody),
        (status = 503, description = "The service is starting", body = ProblemBody)
    )
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "describe", tag = "service", security(()),
    responses(
        (status = 200, description = "OpenAPI 3.1", body = Value),
        (status = "4XX", description = "The request is malformed", body = ProblemBody)
    )
)]
pub(crate) async fn describe() -> Response {
    static DESCRIPTION: LazyLock<Bytes> = LazyLock::new(|| description().to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Of two schemas with one name OpenAPI has one, and what refers to the other lies.
    #[test]
    fn every_schema_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("src") {
            let path = file.expect("a file").path();
            let Ok(source) = fs::read_to_string(&path) else { continue };
            for derived in source.split("ToSchema)]\n").skip(1) {
                let text = derived.split('{').next().unwrap_or_default();
                let renamed = text.split("schema(as = ").nth(1);
                let name = match renamed.and_then(|it| it.split([',', ')']).next()) {
                    Some(name) => name,
                    None => {
                        let words: Vec<&str> = text.split_whitespace().collect();
                        let kind = words.iter().position(|it| matches!(*it, "struct" | "enum"));
                        kind.and_then(|at| words.get(at + 1).copied()).expect("a name")
                    }
                };
                let name = name.split('<').next().unwrap_or(name).to_owned();
                assert!(names.insert(name.clone()), "{name} of {} is there twice", path.display());
            }
        }
        assert!(names.len() > 50, "{names:?}");
    }

    /// What the SDKs are made of. Operations that came since are no mistake; `api` has them untyped.
    #[test]
    fn the_sdks_ask_for_nothing_that_is_not_there() {
        let known = include_str!("../../../sdk/openapi.json");
        let known: Value = serde_json::from_str(known).expect("JSON");
        let actual = description();
        let mut missing = Vec::new();
        for (path, item) in known["paths"].as_object().expect("paths") {
            let methods = item.as_object().expect("operations").keys();
            missing.extend(methods.filter(|it| actual["paths"][path][it].is_null()));
        }
        for (name, schema) in known["components"]["schemas"].as_object().expect("schemas") {
            let there = &actual["components"]["schemas"][name]["properties"];
            let properties = schema["properties"].as_object().into_iter().flat_map(|it| it.keys());
            missing.extend(properties.filter(|it| there[it].is_null()));
        }
        assert!(missing.is_empty(), "run `just sdk` and commit what it makes: {missing:?}");
    }

    #[test]
    fn every_operation_is_described_once_and_can_fail() {
        let openapi = description();
        assert!(openapi["openapi"].as_str().is_some_and(|it| it.starts_with("3.1")));
        let mut ids = Vec::new();
        for (path, item) in openapi["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                ids.push(operation["operationId"].as_str().expect("id").to_owned());
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                let responses = operation["responses"].as_object().expect("responses");
                assert!(responses.keys().any(|it| it.starts_with('4')), "{method} {path}");
            }
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), count), (105, 105));
    }
}
