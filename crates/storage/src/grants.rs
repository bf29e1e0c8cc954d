//! What the ledger asks of the token that a request was made with. Nobody can have a request judged by
//! another's token, or by none: the subject names it, and NATS says who may publish there.

use anyhow::Context as _;
use bus::Failure;
use contract::{Grant, Rejection, Right, SendRequest, SubmissionScanned};
use store::{INSUFFICIENT_SCOPE, Inbox, Reader, TOKEN_RECIPIENT, TOKEN_REVOKED, Token};

use crate::failure;

/// What a request may cost its token.
#[derive(Default)]
pub(crate) struct Judged {
    /// Hashes of the tokens whose limits it counts for.
    pub(crate) counted_for: Vec<String>,
    /// The hash of the token, where there is one.
    pub(crate) used: Option<String>,
    pub(crate) refusal: Option<Rejection>,
}

/// Asks the token of a request, if its subject names one. How many mails it may send is for the ledger's
/// transaction to say, but for dry runs.
pub(crate) async fn judge(
    reader: &Reader,
    submission: &SubmissionScanned,
    request: &SendRequest,
    inbox: &Inbox,
) -> Result<Judged, Failure> {
    if submission.token.is_empty() {
        return Ok(Judged::default());
    }
    let refused = |refusal| Judged { refusal: Some(refusal), ..Judged::default() };
    let token = reader.token(&submission.account_id, &submission.token).await.map_err(failure)?;
    let Some(token) = token else {
        let message = format!("the account has no token {:?}", submission.token);
        return Ok(refused(rejection(INSUFFICIENT_SCOPE, message)));
    };
    if !token.is_good_at(submission.requested_at_micros) {
        let message = "the token was revoked, or had expired, when this was asked for".to_owned();
        return Ok(refused(rejection(TOKEN_REVOKED, message)));
    }
    let recipients = mail::forward_paths(request).unwrap_or_default();
    let mut refusal = by_itself(&token.grant, &inbox.id, &recipients).err();
    if refusal.is_none() {
        refusal = by_thread(reader, &token, request, inbox, &recipients).await?;
    }
    if refusal.is_none() && request.validate_only {
        refusal = reader.over_limit(&token).await.map_err(failure)?.map(|(refusal, _)| refusal);
    }
    Ok(Judged { counted_for: token.counted_for(), used: Some(token.hash), refusal })
}

/// What the token says without a look at any mail.
fn by_itself(grant: &Grant, inbox_id: &str, recipients: &[String]) -> Result<(), Rejection> {
    if !grant.sees_inbox(inbox_id) {
        let message = format!("your token is not for the inbox {inbox_id}");
        return Err(rejection(INSUFFICIENT_SCOPE, message));
    }
    if !grant.allows(Right::Reply) {
        let message = "sending needs a token with the right \"send\", or \"reply\" for answers";
        return Err(rejection(INSUFFICIENT_SCOPE, message.to_owned()));
    }
    match recipients.iter().find(|it| !grant.limits.allow(it)) {
        Some(recipient) => {
            let message = format!("your token may not send to {recipient:?}");
            Err(rejection(TOKEN_RECIPIENT, message))
        }
        None => Ok(()),
    }
}

/// One that may only answer, or is for some threads only, has to name a mail or a thread that it sees;
/// one that may only answer writes to nobody else.
async fn by_thread(
    reader: &Reader,
    token: &Token,
    request: &SendRequest,
    inbox: &Inbox,
    recipients: &[String],
) -> Result<Option<Rejection>, Failure> {
    let grant = &token.grant;
    let answers_only = !grant.allows(Right::Send);
    if !answers_only && grant.thread_ids.is_none() {
        return Ok(None);
    }
    let refused = |message: &str| Ok(Some(rejection(INSUFFICIENT_SCOPE, message.to_owned())));
    if !request.content.is_empty() {
        return refused("a whole message needs a token with the right \"send\", for all threads");
    }
    let named = match request.thread_id.as_str() {
        "" => None,
        thread_id => {
            let present = reader.present_thread(&inbox.id, thread_id).await.map_err(failure)?;
            // One that is not there is told of as such.
            let Some(present) = present else { return Ok(None) };
            Some(present)
        }
    };
    let answered = match mail::bare_id(&request.in_reply_to) {
        "" => None,
        id => {
            let found = reader.answered(&inbox.id, id).await.map_err(failure)?;
            let Some((email_id, Some(thread_id))) = found else {
                return refused("inReplyTo: your token sees no such mail, and may only answer");
            };
            Some((email_id, thread_id))
        }
    };
    let thread_id = match (&named, &answered) {
        (Some(named), Some((_, answered))) if named != answered => {
            return refused("threadId is not the thread of the mail that inReplyTo names");
        }
        (Some(thread_id), _) | (None, Some((_, thread_id))) => thread_id.clone(),
        (None, None) => {
            return refused("your token may only answer: name the mail with inReplyTo");
        }
    };
    if !grant.sees(&inbox.id, Some(&thread_id)) {
        return refused("your token does not see the thread that this continues");
    }
    if !answers_only {
        return Ok(None);
    }
    let email_id = answered.map(|(email_id, _)| email_id);
    let outsider = outsider(reader, inbox, &thread_id, email_id, recipients).await?;
    Ok(outsider.map(|it| {
        let message = format!(
            "your token may only answer, and {it:?} is not in the thread: a token with the right \
             \"send\" may write to others"
        );
        rejection(TOKEN_RECIPIENT, message)
    }))
}

/// The first recipient who takes no part in the thread, and to whom the mail answered does not want its
/// answers either.
async fn outsider<'a>(
    reader: &Reader,
    inbox: &Inbox,
    thread_id: &str,
    answered: Option<String>,
    recipients: &'a [String],
) -> Result<Option<&'a String>, Failure> {
    let mut inside = reader.participants(&inbox.id, thread_id).await.map_err(failure)?;
    let outside = |inside: &std::collections::BTreeSet<String>| {
        recipients.iter().find(|it| !inside.contains(&it.to_lowercase()))
    };
    if let (Some(_), Some(email_id)) = (outside(&inside), answered) {
        let original = reader.original(&inbox.account_id, &inbox.id, &email_id).await;
        if let Some(original) = original.map_err(failure)? {
            let own = inbox.address.clone();
            let wanted = move || {
                let message = mail::parse(&original.octets, usize::MAX);
                mail::recipients(&message, &own, false).to
            };
            let wanted = tokio::task::spawn_blocking(wanted).await.context("read a mail")?;
            inside.extend(wanted.iter().map(|it| it.to_lowercase()));
        }
    }
    Ok(outside(&inside))
}

fn rejection(code: &str, message: String) -> Rejection {
    Rejection { code: code.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use contract::{Rights, SendLimits};

    use super::*;

    fn grant(rights: &[Right]) -> Grant {
        Grant { rights: rights.iter().copied().collect::<Rights>(), ..Grant::default() }
    }

    #[test]
    fn a_token_says_no_without_a_look_at_mail() {
        let check = |grant: &Grant, code| {
            let recipients = ["a@x.test".to_owned(), "b@y.test".to_owned()];
            let refusal = by_itself(grant, "ibx_1", &recipients).err();
            assert_eq!(refusal.map(|it| it.code).as_deref(), code);
        };
        check(&grant(&[Right::Send]), None);
        check(&grant(&[Right::Reply]), None);
        check(&grant(&[Right::Read, Right::Admin]), Some(INSUFFICIENT_SCOPE));
        let elsewhere = Grant { inbox_ids: Some(vec!["ibx_2".to_owned()]), ..Grant::default() };
        check(&elsewhere, Some(INSUFFICIENT_SCOPE));
        let to = |recipients: &[&str]| {
            let recipients = Some(recipients.iter().map(|it| (*it).to_owned()).collect());
            Grant { limits: SendLimits { recipients, ..SendLimits::default() }, ..Grant::default() }
        };
        check(&to(&["x.test", "b@y.test"]), None);
        check(&to(&["x.test"]), Some(TOKEN_RECIPIENT));
    }
}
