//! Whether machines may answer a mail that has arrived (RFC 3834).

use std::collections::BTreeMap;

use contract::{Envelope, MailScanned};
use mail::AutoReplyRefusal;
use store::{Error, Reader};

/// For each copy that no machine may answer: why.
pub(crate) async fn refusals(
    reader: &Reader,
    mail: &MailScanned,
    content: &[u8],
) -> Result<BTreeMap<String, String>, Error> {
    let none = Envelope::default();
    let envelope = mail.envelope.as_ref().unwrap_or(&none);
    let mut refusals = BTreeMap::new();
    let mut is_own = None;
    for path in &envelope.forward_paths {
        let found = mail::auto_reply_refusal(content, &envelope.reverse_path, &path.address);
        let Some(refusal) = found else { continue };
        // Between agents of this service, the brakes on automatic mail end a loop. Without this
        // exception no two of them could talk.
        if refusal == AutoReplyRefusal::AutoSubmitted {
            let known = match is_own {
                Some(known) => known,
                None => is_sent_here(reader, mail).await?,
            };
            is_own = Some(known);
            if known {
                continue;
            }
        }
        refusals.insert(path.email_id.clone(), refusal.to_string());
    }
    Ok(refusals)
}

/// The identifiers of our mail say which row of the database they are about.
async fn is_sent_here(reader: &Reader, mail: &MailScanned) -> Result<bool, Error> {
    let message_id = mail.message.as_ref().map_or("", |it| &it.message_id);
    let Some((unique, _)) = message_id.split_once('@') else { return Ok(false) };
    reader.is_sent_here(&format!("eml_{unique}"), message_id).await
}
