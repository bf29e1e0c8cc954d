//! What received mail names is kept, before an agent can read it: see `flow`.

use anyhow::Context as _;
use bus::Failure;
use contract::{MailScanned, Mailbox, Purpose, Verdict};
use injection::Sample;
use store::{Arrival, Mentions, Reader, Store};

use crate::{failure, matching};

/// So much of a mail is read if the scanner has not said what it names.
const MAX_TEXT: usize = 512 * 1024;

/// Keeps what mails name that are about to be stored. Doing it again changes nothing.
pub(crate) async fn note(store: &Store, arrivals: &[Arrival]) -> Result<(), Failure> {
    let mut all = Vec::new();
    for arrival in arrivals {
        let scanned = &arrival.scanned;
        let verdict = scanned.verdict.clone().unwrap_or_default();
        let items = items(arrival, mail::is_suspicious(&verdict)).await?;
        if items.is_empty() {
            continue;
        }
        for path in matching::paths(scanned, Purpose::Unspecified) {
            let (account_id, inbox_id) = (&path.account_id, &path.inbox_id);
            let trusted = is_trusted(&store.reader, scanned, &verdict, account_id, inbox_id);
            all.push(Mentions {
                inbox_id: path.inbox_id.clone(),
                email_id: path.email_id.clone(),
                trusted: trusted.await.map_err(failure)?,
                suspicious: mail::is_suspicious(&verdict),
                items: items.clone(),
            });
        }
    }
    store.writer.note_mentions(&all).await.map_err(failure)
}

async fn items(arrival: &Arrival, is_suspicious: bool) -> Result<Vec<i64>, Failure> {
    let scanned = &arrival.scanned;
    if let Some(mentions) = &scanned.mentions {
        return Ok(mentions.items.clone());
    }
    // A scanner of an earlier version.
    let octets = arrival.octets[..arrival.octets.len().min(MAX_TEXT)].to_vec();
    let message = scanned.message.clone().unwrap_or_default();
    let read = tokio::task::spawn_blocking(move || {
        let parts = Sample::from(mail::surfaces(&octets, MAX_TEXT)).parts;
        mail::named_items(&message, &parts, is_suspicious)
    });
    Ok(read.await.context("read what a mail names")?)
}

/// Proven to be from somebody whom the inbox has written to or whom a list allows, or from an inbox of the
/// same account.
async fn is_trusted(
    reader: &Reader,
    scanned: &MailScanned,
    verdict: &Verdict,
    account_id: &str,
    inbox_id: &str,
) -> Result<bool, store::Error> {
    let Some(message) = &scanned.message else { return Ok(false) };
    let [from] = message.from.as_slice() else { return Ok(false) };
    let address = [from.address.clone()];
    if is_proven(scanned, from) {
        if !reader.correspondents(inbox_id, &address).await?.is_empty() {
            return Ok(true);
        }
        // What no list silences in a mail speaks against what it names as well.
        let is_believed = store::is_silenced(verdict.flags.iter().map(String::as_str));
        if is_believed && reader.is_allowed(account_id, inbox_id, &from.address).await? {
            return Ok(true);
        }
    }
    let Some(email_id) = mail_of(&message.message_id) else { return Ok(false) };
    if !reader.is_sent_here(&email_id, &message.message_id).await? {
        return Ok(false);
    }
    let own: Vec<String> = mail::canonical(&from.address).into_iter().collect();
    Ok(!reader.own_addresses(account_id, &own).await?.is_empty()
        || !reader.correspondents(inbox_id, &address).await?.is_empty())
}

/// His domain stands for it that he wrote it.
fn is_proven(scanned: &MailScanned, from: &Mailbox) -> bool {
    let author = scanned.authentication.as_ref().map_or("", |it| &it.author);
    !author.is_empty() && author.eq_ignore_ascii_case(&from.address)
}

/// The identifiers of our mail say which row of the database they are about.
fn mail_of(message_id: &str) -> Option<String> {
    message_id.split_once('@').map(|(unique, _)| format!("eml_{unique}"))
}
