//! What can be asked: the API's operations, as its description has them.

use anyhow::Context as _;
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Map, Value};
use url::Url;

use super::counts::Counts;
use crate::{documentation, problem::Problem};

/// Shorter names for what agents do every day.
const ALIASES: [(&str, &str); 22] = [
    ("account.get", "getAccount"),
    ("emails.forward", "forwardEmail"),
    ("emails.get", "getEmail"),
    ("emails.list", "listEmails"),
    ("emails.reply", "replyToEmail"),
    ("emails.replyAll", "replyAllToEmail"),
    ("emails.safe", "getSafeEmail"),
    ("emails.search", "searchEmails"),
    ("emails.send", "sendEmail"),
    ("emails.update", "updateEmail"),
    ("emails.wait", "waitForEmail"),
    ("events.list", "listEvents"),
    ("inboxes.claim", "claimEmails"),
    ("inboxes.create", "createInbox"),
    ("inboxes.delete", "deleteInbox"),
    ("inboxes.get", "getInbox"),
    ("inboxes.list", "listInboxes"),
    ("leases.ack", "ackLease"),
    ("leases.extend", "extendLease"),
    ("leases.nak", "nakLease"),
    ("threads.get", "getThread"),
    ("threads.list", "listThreads"),
];

/// All that can be asked.
pub(super) struct Operations(Vec<Operation>);

pub(super) struct Operation {
    /// OpenAPI's `operationId`.
    pub(super) id: String,
    pub(super) method: Method,
    /// With names in braces.
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) counts: Counts,
    query: Vec<String>,
    takes_body: bool,
}

impl Operations {
    pub(super) fn new() -> anyhow::Result<Operations> {
        let description = documentation::description();
        let mut operations = Vec::new();
        let paths = description["paths"].as_object().context("read the paths of OpenAPI")?;
        for (path, item) in paths {
            for (method, described) in item.as_object().context("read a path of OpenAPI")? {
                operations.extend(Operation::read(path, method, described)?);
            }
        }
        operations.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Operations(operations))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }

    pub(super) fn find(&self, name: &str) -> Result<&Operation, Problem> {
        let id = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, id)| *id);
        match self.0.binary_search_by(|it| it.id.as_str().cmp(id)) {
            Ok(place) => Ok(&self.0[place]),
            Err(_) => Err(Problem::not_found(format!("there is no operation {name:?}"))),
        }
    }
}

impl Operation {
    /// `None` for what needs no token, and for what takes anything but JSON.
    fn read(path: &str, method: &str, described: &Value) -> anyhow::Result<Option<Operation>> {
        let is_open =
            |it: &Value| it.as_array().is_some_and(|it| it.contains(&Value::Object(Map::new())));
        let body = &described["requestBody"]["content"];
        let takes_body = !body["application/json"].is_null();
        if is_open(&described["security"]) || body.is_object() && !takes_body {
            return Ok(None);
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let parameters = described["parameters"].as_array().into_iter().flatten();
        let query = parameters.filter(|it| it["in"] == "query");
        Ok(Some(Operation {
            id: text(&described["operationId"]).context("read an operation's id")?,
            method: method.to_uppercase().parse().context("read an operation's method")?,
            path: path.to_owned(),
            summary: text(&described["summary"]).unwrap_or_default(),
            counts: Counts::default(),
            query: query.filter_map(|it| text(&it["name"])).collect(),
            takes_body,
        }))
    }

    /// The request that these parameters make: those of the path and of the query by their names, the
    /// rest as the body.
    pub(super) fn request(&self, mut asked: Map<String, Value>) -> Result<Request<Body>, Problem> {
        let mut url = Url::parse("http://nats.invalid").expect("it is one");
        let mut segments = Vec::new();
        for part in self.path.split('/').skip(1) {
            segments.push(match part.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                Some(name) => segment(name, asked.remove(name))?,
                None => part.to_owned(),
            });
        }
        url.path_segments_mut().expect("it has a path").extend(segments);
        for name in &self.query {
            if let Some(value) = asked.remove(name).and_then(|it| plain(name, it).transpose()) {
                url.query_pairs_mut().append_pair(name, &value?);
            }
        }
        let request = Request::builder()
            .method(&self.method)
            .uri(url[url::Position::BeforePath..].to_owned())
            .header(header::ACCEPT, "application/json");
        let request = match (self.takes_body, asked.keys().next()) {
            (true, _) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Value::Object(asked).to_string().into()),
            (false, None) => request.body(Body::empty()),
            (false, Some(name)) => {
                let id = &self.id;
                let message = format!("{name}: {id} has no such parameter");
                return Err(Problem::invalid_request(message));
            }
        };
        request.map_err(Problem::internal)
    }
}

/// A path's parameter. What would lead to another path is none.
fn segment(name: &str, value: Option<Value>) -> Result<String, Problem> {
    let value = value.and_then(|it| plain(name, it).transpose()).transpose()?;
    match value.as_deref() {
        None | Some("") => Err(Problem::invalid_request(format!("{name} is missing"))),
        Some("." | "..") => Err(Problem::not_found(format!("{name}: there is none of that name"))),
        Some(value) => Ok(value.to_owned()),
    }
}

/// As it stands in a URL; lists with commas. Null is as if it were not there.
fn plain(name: &str, value: Value) -> Result<Option<String>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) => Ok(Some(value.to_string())),
        Value::Array(values) => {
            let values = values.into_iter().map(|it| plain(name, it));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            Ok(Some(values.into_iter().flatten().collect::<Vec<_>>().join(",")))
        }
        Value::Object(_) => {
            Err(Problem::invalid_request(format!("{name}: give a text or a number, no object")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operations() -> Operations {
        Operations::new().expect("read")
    }

    fn check(name: &str, asked: Value, expected: Result<(&str, &str), &str>) {
        let operations = operations();
        let operation = operations.find(name).expect("find");
        let Value::Object(asked) = asked else { panic!("an object") };
        match (operation.request(asked), expected) {
            (Ok(request), Ok((method, uri))) => {
                assert_eq!((request.method().as_str(), &*request.uri().to_string()), (method, uri));
            }
            (Err(problem), Err(expected)) => {
                assert!(problem.message.contains(expected), "{}", problem.message);
            }
            (found, expected) => panic!("{name}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn parameters_find_their_place() {
        check("inboxes.list", json!({}), Ok(("GET", "/v1/inboxes")));
        check(
            "listEmails",
            json!({ "inboxId": "ibx_1", "limit": 5 }),
            Ok(("GET", "/v1/inboxes/ibx_1/emails?limit=5")),
        );
        check("inboxes.create", json!({ "localPart": "x" }), Ok(("POST", "/v1/inboxes")));
        check(
            "events.list",
            json!({ "types": ["email.sent", "email.*"], "after": null, "timeout": 0 }),
            Ok(("GET", "/v1/events?types=email.sent%2Cemail.*&timeout=0")),
        );
        check(
            "emails.get",
            json!({ "inboxId": "ibx_1", "emailId": "a/b?c" }),
            Ok(("GET", "/v1/inboxes/ibx_1/emails/a%2Fb%3Fc")),
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("emails.get", json!({ "inboxId": "ibx_1" }), Err("emailId is missing"));
        check("inboxes.get", json!({ "inboxId": "" }), Err("inboxId is missing"));
        check("inboxes.delete", json!({ "inboxId": ".." }), Err("inboxId"));
        check("inboxes.get", json!({ "inboxId": { "$ne": 1 } }), Err("inboxId"));
        check("inboxes.get", json!({ "inboxId": "ibx_1", "x": 1 }), Err("x: getInbox has no"));
        let operations = operations();
        for name in ["", "inboxes", "signUp", "uploadAttachment", "describe", "health", ">"] {
            assert!(operations.find(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_alias_means_something() {
        let operations = operations();
        for (alias, id) in ALIASES {
            assert_eq!(operations.find(alias).expect(alias).id, id);
        }
    }

    /// Parameters and body share one object: none may hide another.
    #[test]
    fn no_name_means_two_things() {
        let description = documentation::description();
        let operations = operations();
        assert!(operations.iter().count() > 70);
        for operation in operations.iter() {
            let method = operation.method.as_str().to_lowercase();
            let described = &description["paths"][&operation.path][method];
            let schema = &described["requestBody"]["content"]["application/json"]["schema"];
            let named = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next());
            let schema = match named {
                Some(name) => &description["components"]["schemas"][name],
                None => schema,
            };
            for parameter in described["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("name");
                assert!(schema["properties"][name].is_null(), "{}: {name}", operation.id);
            }
        }
    }
}
