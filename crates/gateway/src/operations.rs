//! What each operation needs: the right, and how a token that does not see all of its account is held to
//! what it sees. What is not in this table, nobody gets to (see `gate`).

use axum::http::Method;
use contract::Right;

/// Which token is let in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Needs {
    /// None is asked for.
    Nothing,
    /// Any that is good.
    Token,
    Right(Right),
}

/// What an operation is about, as its path says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum About {
    /// The email in the path.
    Email,
    /// The inbox and the thread in the path.
    Thread,
    /// All of the inbox in the path.
    Inbox,
    /// What the handler picks out, by the token's grant. Is there an inbox in the path, it is one that
    /// the token sees, or sees something in.
    Choice,
    /// All of the account.
    Account,
}

pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) about: About,
    /// The answer may take its time: it ends when the token does.
    pub(crate) waits: bool,
}

const READ: Needs = Needs::Right(Right::Read);
const SEND: Needs = Needs::Right(Right::Send);
const REPLY: Needs = Needs::Right(Right::Reply);
const ADMIN: Needs = Needs::Right(Right::Admin);

const fn row(method: &'static str, path: &'static str, needs: Needs, about: About) -> Operation {
    Operation { method, path, needs, about, waits: false }
}

const fn waits(operation: Operation) -> Operation {
    Operation { waits: true, ..operation }
}

use About::{Account, Choice, Email, Inbox, Thread};

/// By path.
pub(crate) const OPERATIONS: &[Operation] = &[
    row("GET", "/health", Needs::Nothing, Choice),
    row("GET", "/openapi.json", Needs::Nothing, Choice),
    // What its tools ask for is asked again.
    row("POST", "/mcp", Needs::Token, Choice),
    row("GET", "/v1/account", Needs::Token, Choice),
    row("GET", "/v1/audit", ADMIN, Account),
    row("GET", "/v1/canaries", ADMIN, Account),
    row("POST", "/v1/canaries", ADMIN, Account),
    row("DELETE", "/v1/canaries/{canaryId}", ADMIN, Account),
    row("GET", "/v1/docs/openapi", Needs::Nothing, Choice),
    row("GET", "/v1/domains", ADMIN, Account),
    row("POST", "/v1/domains", ADMIN, Account),
    row("GET", "/v1/domains/{domainId}", ADMIN, Account),
    row("DELETE", "/v1/domains/{domainId}", ADMIN, Account),
    row("POST", "/v1/domains/{domainId}/dkim/rotate", ADMIN, Account),
    row("POST", "/v1/domains/{domainId}/verify", ADMIN, Account),
    row("GET", "/v1/domains/{domainId}/zone", ADMIN, Account),
    row("GET", "/v1/downloads/{link}", Needs::Nothing, Choice),
    row("POST", "/v1/emails/batch", READ, Choice),
    row("GET", "/v1/emails/search", READ, Choice),
    row("POST", "/v1/emails/send", SEND, Choice),
    row("GET", "/v1/emails/{emailId}", READ, Email),
    row("PATCH", "/v1/emails/{emailId}", READ, Email),
    row("POST", "/v1/emails/{emailId}/approve", ADMIN, Email),
    row("POST", "/v1/emails/{emailId}/cancel", SEND, Email),
    row("POST", "/v1/emails/{emailId}/decline", ADMIN, Email),
    row("GET", "/v1/emails/{emailId}/deliveries", READ, Email),
    row("POST", "/v1/emails/{emailId}/forward", SEND, Email),
    row("POST", "/v1/emails/{emailId}/refuse", ADMIN, Email),
    row("POST", "/v1/emails/{emailId}/release", ADMIN, Email),
    row("POST", "/v1/emails/{emailId}/reply", REPLY, Email),
    row("POST", "/v1/emails/{emailId}/reply-all", REPLY, Email),
    row("POST", "/v1/emails/{emailId}/requeue", READ, Email),
    row("POST", "/v1/emails/{emailId}/resolve", SEND, Email),
    row("GET", "/v1/emails/{emailId}/safe", READ, Email),
    row("GET", "/v1/emails/{emailId}/verdicts", READ, Email),
    waits(row("GET", "/v1/events", READ, Choice)),
    waits(row("GET", "/v1/expectations/{expectationId}", READ, Choice)),
    row("DELETE", "/v1/expectations/{expectationId}", READ, Choice),
    row("GET", "/v1/holds", ADMIN, Choice),
    row("GET", "/v1/inboxes", READ, Choice),
    row("POST", "/v1/inboxes", ADMIN, Account),
    row("GET", "/v1/inboxes/{inboxId}", READ, Choice),
    row("DELETE", "/v1/inboxes/{inboxId}", ADMIN, Inbox),
    waits(row("POST", "/v1/inboxes/{inboxId}/claim", READ, Inbox)),
    row("GET", "/v1/inboxes/{inboxId}/emails", READ, Choice),
    waits(row("GET", "/v1/inboxes/{inboxId}/emails/poll", READ, Choice)),
    row("GET", "/v1/inboxes/{inboxId}/emails/{emailId}", READ, Email),
    row("GET", "/v1/inboxes/{inboxId}/emails/{emailId}/attachments/{index}", READ, Email),
    row("GET", "/v1/inboxes/{inboxId}/emails/{emailId}/deliveries", READ, Email),
    row("POST", "/v1/inboxes/{inboxId}/emails/{emailId}/extract", READ, Email),
    row("GET", "/v1/inboxes/{inboxId}/emails/{emailId}/extraction", READ, Email),
    row("GET", "/v1/inboxes/{inboxId}/emails/{emailId}/raw", READ, Email),
    row("GET", "/v1/inboxes/{inboxId}/emails/{emailId}/safe", READ, Email),
    row("POST", "/v1/inboxes/{inboxId}/expect", READ, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/expectations", READ, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/outbound-policy", ADMIN, Inbox),
    row("PUT", "/v1/inboxes/{inboxId}/outbound-policy", ADMIN, Inbox),
    row("DELETE", "/v1/inboxes/{inboxId}/outbound-policy", ADMIN, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/policy", ADMIN, Inbox),
    row("PUT", "/v1/inboxes/{inboxId}/policy", ADMIN, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/queue", READ, Inbox),
    row("PUT", "/v1/inboxes/{inboxId}/queue", ADMIN, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/reputation", READ, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/senders/{list}", ADMIN, Inbox),
    row("POST", "/v1/inboxes/{inboxId}/senders/{list}", ADMIN, Inbox),
    row("DELETE", "/v1/inboxes/{inboxId}/senders/{list}/{sender}", ADMIN, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/set-aside", READ, Inbox),
    row("GET", "/v1/inboxes/{inboxId}/threads", READ, Choice),
    row("GET", "/v1/inboxes/{inboxId}/threads/{threadId}", READ, Thread),
    row("GET", "/v1/labels", READ, Choice),
    row("GET", "/v1/leases/{leaseId}", READ, Choice),
    row("POST", "/v1/leases/{leaseId}/ack", READ, Choice),
    row("POST", "/v1/leases/{leaseId}/extend", READ, Choice),
    row("POST", "/v1/leases/{leaseId}/nak", READ, Choice),
    row("GET", "/v1/outbound-allow", ADMIN, Account),
    row("POST", "/v1/outbound-allow", ADMIN, Account),
    row("DELETE", "/v1/outbound-allow/{ruleId}", ADMIN, Account),
    row("GET", "/v1/outbound-policy", ADMIN, Account),
    row("PUT", "/v1/outbound-policy", ADMIN, Account),
    row("GET", "/v1/policy", ADMIN, Account),
    row("PUT", "/v1/policy", ADMIN, Account),
    row("GET", "/v1/quarantine", ADMIN, Choice),
    row("GET", "/v1/senders/{list}", ADMIN, Account),
    row("POST", "/v1/senders/{list}", ADMIN, Account),
    row("DELETE", "/v1/senders/{list}/{sender}", ADMIN, Account),
    row("POST", "/v1/signup", Needs::Nothing, Choice),
    row("GET", "/v1/suppressions", ADMIN, Account),
    row("POST", "/v1/suppressions", ADMIN, Account),
    row("GET", "/v1/suppressions/{address}", ADMIN, Account),
    row("DELETE", "/v1/suppressions/{address}", ADMIN, Account),
    row("GET", "/v1/tokens", ADMIN, Choice),
    row("POST", "/v1/tokens", ADMIN, Choice),
    row("GET", "/v1/tokens/current", Needs::Token, Choice),
    row("DELETE", "/v1/tokens/{tokenId}", ADMIN, Choice),
    row("GET", "/v1/unsubscribe/{token}", Needs::Nothing, Choice),
    row("POST", "/v1/unsubscribe/{token}", Needs::Nothing, Choice),
    row("POST", "/v1/uploads", REPLY, Choice),
    row("POST", "/v1/verify/{provider}", ADMIN, Account),
    row("GET", "/v1/webhooks", ADMIN, Account),
    row("POST", "/v1/webhooks", ADMIN, Account),
    row("GET", "/v1/webhooks/{id}", ADMIN, Account),
    row("PATCH", "/v1/webhooks/{id}", ADMIN, Account),
    row("DELETE", "/v1/webhooks/{id}", ADMIN, Account),
    row("GET", "/v1/webhooks/{id}/attempts", ADMIN, Account),
    row("POST", "/v1/webhooks/{id}/ping", ADMIN, Account),
    row("POST", "/v1/webhooks/{id}/redeliver", ADMIN, Account),
    row("POST", "/v1/webhooks/{id}/rotate", ADMIN, Account),
    waits(row("GET", "/v1/ws", READ, Choice)),
];

/// What is asked of a request; `None` if the table does not know it. HEAD is as GET.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Operation> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    OPERATIONS.iter().find(|it| it.path == path && it.method == method.as_str())
}

/// The methods of a path, as the field `Allow` has them. Empty for a path that is not in the table.
pub(crate) fn methods(path: &str) -> String {
    let of_path = OPERATIONS.iter().filter(|it| it.path == path);
    let methods = of_path.flat_map(|it| match it.method {
        "GET" => ["GET", "HEAD"].iter(),
        "POST" => ["POST"].iter(),
        "PUT" => ["PUT"].iter(),
        "PATCH" => ["PATCH"].iter(),
        _ => ["DELETE"].iter(),
    });
    methods.copied().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documentation;

    #[test]
    fn every_described_operation_is_in_the_table_and_asks_for_a_token_where_it_says_so() {
        let openapi = documentation::description();
        for (path, item) in openapi["paths"].as_object().expect("paths") {
            for (method, described) in item.as_object().expect("operations") {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("method");
                let operation = find(&method, path);
                let operation = operation.unwrap_or_else(|| panic!("{method} {path} needs a row"));
                let is_open = described["security"] == serde_json::json!([{}]);
                assert_eq!(operation.needs == Needs::Nothing, is_open, "{method} {path}");
            }
        }
    }

    #[test]
    fn paths_have_what_the_rows_say_they_are_about() {
        for Operation { method, path, about, .. } in OPERATIONS {
            let has = |name: &str| path.contains(name);
            let is_right = match about {
                Email => has("{emailId}"),
                Thread => has("{inboxId}") && has("{threadId}"),
                Inbox => has("{inboxId}") && !has("{emailId}") && !has("{threadId}"),
                Choice => !has("{emailId}") && !has("{threadId}"),
                Account => !has("{inboxId}") && !has("{emailId}") && !has("{threadId}"),
            };
            assert!(is_right, "{method} {path} is not about {about:?}");
        }
        let key = |it: &Operation| (it.path, it.method);
        let count = OPERATIONS.len();
        let mut rows: Vec<_> = OPERATIONS.iter().map(key).collect();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), count, "a row twice");
    }

    #[test]
    fn what_is_not_in_the_table_is_not_found() {
        assert!(find(&Method::GET, "/v1/secrets").is_none());
        assert!(find(&Method::PUT, "/v1/inboxes").is_none());
        assert!(find(&Method::HEAD, "/v1/inboxes").is_some());
        assert_eq!(methods("/v1/inboxes"), "GET,HEAD,POST");
        assert_eq!(methods("/v1/secrets"), "");
    }
}
