//! A request that hands in a whole message: what the ledger takes of it. Pure.

use contract::{Message, Rejection, SendRequest, SubmissionScanned};
use mail::{Flaw, Whole};
use store::{Composed, Inbox};

use crate::request::handover;

/// The message as it goes out: the inbox's own, with what it lacks.
pub(crate) fn compose(
    submission: &SubmissionScanned,
    request: &SendRequest,
    inbox: &Inbox,
) -> Result<Composed, Rejection> {
    let octets = finish(submission, request, inbox)?;
    let message = mail::parse(&octets, usize::MAX);
    let reverse_path = inbox.address.clone();
    let forward_paths = mail::forward_paths(request)?;
    Ok(Composed {
        octets,
        message,
        verdict: submission.verdict.clone().unwrap_or_default(),
        handover: handover(submission, reverse_path.clone(), forward_paths.clone()),
        reverse_path,
        forward_paths,
        notify: request.notify.clone(),
        list_id: None,
        thread_id: None,
        send_at: submission.send_at_micros,
    })
}

fn finish(
    submission: &SubmissionScanned,
    request: &SendRequest,
    inbox: &Inbox,
) -> Result<Vec<u8>, Flaw> {
    let whole = Whole::read(&request.content)?;
    let address: Option<mail::Address> = inbox.address.parse().ok();
    whole.check_author(&address.map(|it| it.canonical()).unwrap_or_default())?;
    let unique = submission.mail_id.strip_prefix("eml_").unwrap_or(&submission.mail_id);
    let date = submission.requested_at_micros.max(submission.send_at_micros) / 1_000_000;
    Ok(whole.finish(&format!("{unique}@{}", inbox.domain), date))
}

/// What of a refused message is shown.
pub(crate) fn shown(request: &SendRequest) -> SendRequest {
    if request.content.is_empty() {
        return request.clone();
    }
    let Message { subject, .. } = mail::parse(&request.content, 0);
    SendRequest { subject, to: request.to.clone(), ..SendRequest::default() }
}
