//! Answering and passing on: a request to send is made of an email and what the agent adds, and goes
//! the way of every other.

use std::collections::BTreeMap;

use axum::{Json, Router, extract::State, routing::post};
use contract::{Email, Message, SendAttachment, SendBody, SendList, SendRequest};
use serde::Deserialize;
use store::{Inbox, Reader};
use utoipa::ToSchema;

use crate::{
    caller::Admitted,
    documentation::Errors,
    emails,
    gateway::Gateway,
    octets::Octets,
    params::{IdempotencyKey, Segments},
    problem::Problem,
    send::{Answer, Request, Submitter},
};

/// A mail passed on more often is in a loop of forwards, in which nothing else counts hops: each is a
/// new mail without Received fields.
const MAX_NESTING: usize = 10;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/emails/{emailId}/reply", post(reply))
        .route("/v1/emails/{emailId}/reply-all", post(reply_all))
        .route("/v1/emails/{emailId}/forward", post(forward))
}

/// What an answer adds to the mail answered. The fields are those of a request to send.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Reply {
    body: SendBody,
    /// Besides those who get it anyway.
    cc: Vec<String>,
    bcc: Vec<String>,
    attachments: Vec<SendAttachment>,
    headers: BTreeMap<String, String>,
    reply_to: String,
    #[schema(format = DateTime)]
    send_at: String,
    ttl_seconds: Option<u32>,
    on_unknown: String,
    validate_only: bool,
    notify: Vec<String>,
    /// As of a request to send; an answer of a machine without it.
    automatic: String,
    /// Answer although `autoReply` of the email says that machines should not.
    allow_auto_reply: bool,
    /// Of the email: the answer acks it, or does not go out.
    lease_id: String,
}

/// Who gets an email passed on, and what is added to it.
// Not `Reply` and more: schemas that refuse what they do not name cannot be put together.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Forward {
    #[schema(required)]
    to: Vec<String>,
    /// The original in the text, and its attachments beside it, instead of the whole as one attachment.
    inline: bool,
    /// Stands above the email.
    body: SendBody,
    cc: Vec<String>,
    bcc: Vec<String>,
    attachments: Vec<SendAttachment>,
    headers: BTreeMap<String, String>,
    reply_to: String,
    #[schema(format = DateTime)]
    send_at: String,
    ttl_seconds: Option<u32>,
    on_unknown: String,
    validate_only: bool,
    notify: Vec<String>,
    automatic: String,
    list: Option<SendList>,
    /// Of the email: passing it on acks it, or does not happen.
    lease_id: String,
}

/// An email that is answered or passed on.
struct Original {
    email_id: String,
    inbox: Inbox,
    thread_id: String,
    octets: Vec<u8>,
    message: Message,
    /// Why no machine may answer it.
    refusal: Option<String>,
}

/// Answer an email
///
/// To whoever its Reply-To or else its From names; of a mail this inbox sent, to those it went to.
/// Subject, In-Reply-To and References follow from the email. Refused with `auto_reply_refused` where
/// the email's `autoReply` says so, unless the answer is a person's or allowed all the same.
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/reply", operation_id = "replyToEmail", tag = "emails",
    params(
        ("emailId" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "As for sendEmail"),
    ),
    request_body = Reply,
    responses((status = 200, description = "Accepted", body = Answer), Errors)
)]
pub(crate) async fn reply(
    admitted: Admitted,
    Segments(email_id): Segments<String>,
    key: IdempotencyKey,
    State(submitter): State<Submitter>,
    body: Octets,
) -> Result<Json<Answer>, Problem> {
    let more = body.json::<Reply>()?;
    submit(admitted, &email_id, key, &submitter, |original| answer(original, more, false)).await
}

/// Answer an email to everybody
///
/// As a reply, and to those it was sent to, except for this inbox.
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/reply-all", operation_id = "replyAllToEmail",
    tag = "emails",
    params(
        ("emailId" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "As for sendEmail"),
    ),
    request_body = Reply,
    responses((status = 200, description = "Accepted", body = Answer), Errors)
)]
pub(crate) async fn reply_all(
    admitted: Admitted,
    Segments(email_id): Segments<String>,
    key: IdempotencyKey,
    State(submitter): State<Submitter>,
    body: Octets,
) -> Result<Json<Answer>, Problem> {
    let more = body.json::<Reply>()?;
    submit(admitted, &email_id, key, &submitter, |original| answer(original, more, true)).await
}

/// Pass an email on
///
/// As an attachment with everything it came with, or with `inline` in the text. What was passed on ten
/// times already is refused with `forward_loop`.
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/forward", operation_id = "forwardEmail", tag = "emails",
    params(
        ("emailId" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "As for sendEmail"),
    ),
    request_body = Forward,
    responses((status = 200, description = "Accepted", body = Answer), Errors)
)]
pub(crate) async fn forward(
    admitted: Admitted,
    Segments(email_id): Segments<String>,
    key: IdempotencyKey,
    State(submitter): State<Submitter>,
    body: Octets,
) -> Result<Json<Answer>, Problem> {
    let more = body.json::<Forward>()?;
    submit(admitted, &email_id, key, &submitter, |original| passed_on(original, more)).await
}

async fn submit(
    Admitted { bearer, .. }: Admitted,
    email_id: &str,
    IdempotencyKey(key): IdempotencyKey,
    submitter: &Submitter,
    make: impl FnOnce(Original) -> Result<SendRequest, Problem> + Send + 'static,
) -> Result<Json<Answer>, Problem> {
    submitter.check_tier(&bearer.account)?;
    let reader = submitter.reader();
    let inbox = reader.inbox_of_email(&bearer.account.id, email_id).await?;
    let inbox = inbox.ok_or_else(|| emails::unknown_to_account(email_id))?;
    let (email, octets) = read(reader, &inbox, email_id).await?;
    let original_inbox = inbox.clone();
    // A large mail takes long to read: not on the threads that serve everybody.
    let made = tokio::task::spawn_blocking(move || {
        let message = mail::parse(&octets, usize::MAX);
        let refusal = email.auto_reply.map(|it| it.reason).filter(|it| !it.is_empty());
        let thread_id = email.thread_id.unwrap_or_default();
        let request = make(Original {
            email_id: email.id,
            inbox: original_inbox,
            thread_id,
            octets,
            message,
            refusal,
        })?;
        let octets = serde_json::to_vec(&request).map_err(Problem::internal)?;
        Ok::<_, Problem>((Request::of(&request)?, octets))
    });
    let (request, octets) = made.await.map_err(Problem::internal)??;
    submitter.check_lease_is_on(email_id, &inbox, &request).await?;
    submitter.send(&bearer, &inbox, key, &request, octets.into()).await
}

/// An email and its content.
async fn read(reader: &Reader, inbox: &Inbox, email_id: &str) -> Result<(Email, Vec<u8>), Problem> {
    let email = reader.email(&inbox.account_id, &inbox.id, email_id).await?;
    let email = email.ok_or_else(|| emails::unknown_to_account(email_id))?;
    let original = reader.original(&inbox.account_id, &inbox.id, email_id).await?;
    let original = original.ok_or_else(|| {
        let message = format!("email {email_id:?} was refused and never became a mail");
        Problem::unprocessable("invalid_request", message)
    })?;
    Ok((email, original.octets))
}

fn answer(original: Original, more: Reply, everybody: bool) -> Result<SendRequest, Problem> {
    let Original { inbox, thread_id, message, refusal, .. } = original;
    let mail::Recipients { to, mut cc } = mail::recipients(&message, &inbox.address, everybody);
    if to.is_empty() {
        let message = "this email names nobody to answer, apart from this inbox";
        return Err(Problem::unprocessable("invalid_request", message));
    }
    cc.extend(more.cc);
    let automatic = if more.automatic.is_empty() { "auto-replied" } else { &more.automatic };
    let request = SendRequest {
        from: inbox.address,
        to,
        cc,
        subject: mail::reply_subject(&message.subject),
        in_reply_to: mail::answered_id(&message).unwrap_or_default().to_owned(),
        thread_id,
        body: Some(more.body),
        bcc: more.bcc,
        attachments: more.attachments,
        headers: more.headers,
        reply_to: more.reply_to,
        send_at: more.send_at,
        ttl_seconds: more.ttl_seconds,
        on_unknown: more.on_unknown,
        validate_only: more.validate_only,
        automatic: automatic.to_owned(),
        allow_auto_reply: more.allow_auto_reply,
        notify: more.notify,
        lease_id: more.lease_id,
        ..SendRequest::default()
    };
    // Not every mail has a Message-ID that the request could name it by.
    mail::check_answer(&request, refusal.as_deref())?;
    Ok(request)
}

/// A conversation of its own: it goes to other people.
fn passed_on(original: Original, forward: Forward) -> Result<SendRequest, Problem> {
    let Original { email_id, inbox, octets, message, .. } = original;
    if mail::nesting(&octets, MAX_NESTING) >= MAX_NESTING {
        let message = format!(
            "this email has {MAX_NESTING} mails in one another: it goes round in circles, each time passed on \
             as an attachment"
        );
        return Err(Problem::unprocessable("forward_loop", message));
    }
    let mut attachments = forward.attachments;
    let body = if forward.inline {
        attachments.extend(mail::attachments(&message, &octets));
        with_quote(forward.body, &mail::quoted(&message))
    } else {
        attachments.push(mail::enclosed(&message, octets));
        with_notice(forward.body)
    };
    Ok(SendRequest {
        from: inbox.address,
        to: forward.to,
        cc: forward.cc,
        subject: mail::forward_subject(&message.subject),
        body: Some(body),
        bcc: forward.bcc,
        attachments,
        headers: forward.headers,
        reply_to: forward.reply_to,
        send_at: forward.send_at,
        ttl_seconds: forward.ttl_seconds,
        on_unknown: forward.on_unknown,
        validate_only: forward.validate_only,
        notify: forward.notify,
        automatic: forward.automatic,
        list: forward.list,
        forwards: email_id,
        lease_id: forward.lease_id,
        ..SendRequest::default()
    })
}

/// A mail has a body.
fn with_notice(body: SendBody) -> SendBody {
    if body.text.is_empty() && body.html.is_empty() {
        return SendBody { text: "The forwarded message is attached.\n".to_owned(), ..body };
    }
    body
}

fn with_quote(SendBody { text, html }: SendBody, quoted: &str) -> SendBody {
    let html = if html.is_empty() { html } else { format!("{html}<pre>{}</pre>", escaped(quoted)) };
    let text = match text.as_str() {
        // The text is derived from the HTML then.
        "" if !html.is_empty() => text,
        "" => quoted.to_owned(),
        _ => format!("{}\n\n{quoted}", text.trim_end()),
    };
    SendBody { text, html }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, html: &str) -> SendBody {
        SendBody { text: text.to_owned(), html: html.to_owned() }
    }

    #[test]
    fn a_quote_stands_below_what_was_added() {
        assert_eq!(with_quote(body("", ""), "q"), body("q", ""));
        assert_eq!(with_quote(body("See:\n", ""), "q"), body("See:\n\nq", ""));
        let html = with_quote(body("", "<p>See"), "<b>&");
        assert_eq!(html, body("", "<p>See<pre>&lt;b&gt;&amp;</pre>"));
    }

    #[test]
    fn an_enclosed_mail_needs_no_words() {
        assert!(!with_notice(body("", "")).text.is_empty());
        assert_eq!(with_notice(body("", "<p>x")), body("", "<p>x"));
    }
}
