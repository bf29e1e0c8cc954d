//! What the gateway can say of a request before it is handed on, besides what the request itself tells:
//! so the sender hears at once, and his key stays free. The ledger looks at all of it again.

use bus::Uploads;
use contract::SendRequest;
use store::{Inbox, Reader, UNSUBSCRIBED};

use crate::{params::PublicUrl, problem::Problem, time::now_micros};

/// What this looks at.
#[derive(Clone)]
pub(crate) struct Prechecks {
    pub(crate) reader: Reader,
    pub(crate) uploads: Uploads,
    pub(crate) public_url: PublicUrl,
}

/// What of a request this is about.
pub(crate) struct Wishes {
    /// With the identifiers of uploads, without any octets.
    request: SendRequest,
    recipients: Vec<String>,
}

impl Wishes {
    pub(crate) fn of(request: &SendRequest, recipients: &[String]) -> Wishes {
        let attachments = request.attachments.iter().map(|it| contract::SendAttachment {
            upload_id: it.upload_id.clone(),
            ..Default::default()
        });
        let request = SendRequest {
            in_reply_to: request.in_reply_to.clone(),
            automatic: request.automatic.clone(),
            allow_auto_reply: request.allow_auto_reply,
            list: request.list.clone(),
            attachments: attachments.collect(),
            ..SendRequest::default()
        };
        Wishes { request, recipients: recipients.to_vec() }
    }
}

impl Prechecks {
    pub(crate) async fn check(&self, inbox: &Inbox, wishes: &Wishes) -> Result<(), Problem> {
        let request = &wishes.request;
        self.check_answer(inbox, request).await?;
        self.check_list(inbox, wishes).await?;
        let named = self.uploads.named(&inbox.account_id, request, now_micros()).await?;
        named.map(drop).map_err(Problem::from)
    }

    async fn check_answer(&self, inbox: &Inbox, request: &SendRequest) -> Result<(), Problem> {
        let message_id = mail::bare_id(&request.in_reply_to);
        if message_id.is_empty() {
            return Ok(());
        }
        let refusal = self.reader.auto_reply_refusal(&inbox.id, message_id).await?;
        mail::check_answer(request, refusal.as_deref()).map_err(Problem::from)
    }

    async fn check_list(&self, inbox: &Inbox, wishes: &Wishes) -> Result<(), Problem> {
        let Some(list) = &wishes.request.list else { return Ok(()) };
        if self.public_url.0.is_none() {
            return Err(mail::lists_unavailable().into());
        }
        let recipients = &wishes.recipients;
        let left = self.reader.unsubscribed(&inbox.account_id, &list.id, recipients).await?;
        let Some(first) = left.first() else { return Ok(()) };
        let message =
            format!("{} must not be sent mail to this list: {}", first.address, first.evidence);
        Err(Problem::unprocessable(UNSUBSCRIBED, message))
    }
}
