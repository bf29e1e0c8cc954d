//! Leaving a list, by the link that is in each of its mails (RFC 8058). Whoever has the link is the
//! recipient: there is no login, no cookie and no redirect.
//!
//! GET only shows a page, because mail filters and previews follow links. POST is what counts.

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use bus::Bus;
use contract::{Event, RecipientResult};
use store::{ALL_LISTS, Reader, Subscription, UnsubscribeTokens, Writer, rfc3339};
use uuid::Uuid;

use crate::{
    documentation::Errors, gateway::Gateway, octets::Octets, params::Segments, problem::Problem,
    time::now_micros,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/unsubscribe/{token}", get(show).post(leave))
}

/// Ask whether to leave a list
///
/// A page for people, which changes nothing.
#[utoipa::path(
    get, path = "/v1/unsubscribe/{token}", operation_id = "showUnsubscribe", tag = "lists",
    security(()),
    params(("token" = String, Path, description = "From a List-Unsubscribe field")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        Errors
    )
)]
pub(crate) async fn show(
    Segments(token): Segments<String>,
    State(tokens): State<UnsubscribeTokens>,
) -> Result<Response, Problem> {
    let subscription = tokens.read(&token).ok_or_else(unknown)?;
    let (address, list) = (escaped(&subscription.address), escaped(&subscription.list_id));
    Ok(page(&format!(
        "<h1>Unsubscribe</h1><p>Shall {address} get no more mail from the list {list}?</p>\
             <form method=\"post\"><p><button name=\"scope\" value=\"list\">Leave this list</button> \
             <button name=\"scope\" value=\"all\">Leave all lists of this sender</button></p></form>"
    )))
}

/// Leave a list
///
/// At once, as RFC 8058 has it: the body `List-Unsubscribe=One-Click`, or none, leaves this list;
/// `scope=all` leaves all lists of the account.
#[utoipa::path(
    post, path = "/v1/unsubscribe/{token}", operation_id = "unsubscribe", tag = "lists",
    security(()),
    params(("token" = String, Path, description = "From a List-Unsubscribe field")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "He has left it", body = String, content_type = "text/html"),
        Errors
    )
)]
pub(crate) async fn leave(
    Segments(token): Segments<String>,
    State(tokens): State<UnsubscribeTokens>,
    State(reader): State<Reader>,
    State(writer): State<Writer>,
    State(bus): State<Bus>,
    body: Octets,
) -> Result<Response, Problem> {
    let subscription = tokens.read(&token).ok_or_else(unknown)?;
    let all = says_all(&body.octets);
    let list_id = if all { ALL_LISTS } else { &subscription.list_id };
    let is_new = writer.unsubscribe(&subscription, list_id).await?;
    if is_new && let Err(err) = announce(&reader, &bus, &subscription).await {
        // Who wants to know for certain asks the API.
        tracing::warn!(mail.id = subscription.mail_id, "announce that a list was left: {err:#}");
    }
    let (address, list) = (escaped(&subscription.address), escaped(&subscription.list_id));
    let left = if all { "any list of this sender".to_owned() } else { format!("the list {list}") };
    let text = format!("<h1>Unsubscribed</h1><p>{address} gets no more mail from {left}.</p>");
    Ok(page(&text))
}

/// Fields of a form come in any order. A form with parts (RFC 8058 allows it too) is one-click only.
fn says_all(body: &[u8]) -> bool {
    body.split(|it| *it == b'&').any(|it| it.trim_ascii() == b"scope=all")
}

/// The mail may be long gone: then nobody is told.
async fn announce(reader: &Reader, bus: &Bus, subscription: &Subscription) -> anyhow::Result<()> {
    let Subscription { account_id, mail_id, address, .. } = subscription;
    let Some(inbox) = reader.inbox_of_email(account_id, mail_id).await? else { return Ok(()) };
    let Some(mut email) = reader.email(account_id, &inbox.id, mail_id).await? else {
        return Ok(());
    };
    email.body = None;
    email.recipients = vec![RecipientResult { address: address.clone(), ..Default::default() }];
    let event = Event {
        event_id: format!("evt_{}", Uuid::now_v7().simple()),
        event: "email.unsubscribed".to_owned(),
        timestamp: rfc3339(now_micros()),
        account_id: account_id.clone(),
        inbox_id: inbox.id,
        data: Some(email),
    };
    Ok(bus.publish(event).await?)
}

fn unknown() -> Problem {
    Problem::not_found("this is no link of this service: take it whole from the mail")
}

fn page(body: &str) -> Response {
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Unsubscribe</title></head>\
         <body>{body}</body></html>"
    );
    let policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'";
    let fields = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (fields, Html(text)).into_response()
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_click_leaves_one_list() {
        for body in ["", "List-Unsubscribe=One-Click", "scope=list", "scope=allow", "x=scope=all"] {
            assert!(!says_all(body.as_bytes()), "{body}");
        }
        assert!(says_all(b"List-Unsubscribe=One-Click&scope=all"));
    }

    #[test]
    fn an_address_is_no_markup() {
        assert_eq!(escaped("\"<b>\"&@x.test"), "&quot;&lt;b&gt;&quot;&amp;@x.test");
    }
}
