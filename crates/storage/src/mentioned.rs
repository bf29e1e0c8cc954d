//! What received mail names is kept, before an agent can read it: see `flow`.

use std::collections::BTreeSet;

use anyhow::Context as _;
use bus::Failure;
use contract::{MailScanned, Purpose, RISK_THRESHOLD};
use store::{Arrival, Mentions, Reader, Store};

use crate::{
    failure, matching,
    mentions::{Kind, MAX_TEXT, Mention, canonical, mentions},
};

/// Flags that speak against what a mail names, whatever its score.
const SUSPICIOUS: [&str; 2] = ["phishing_url", "exfiltration_link"];

/// Keeps what mails name that are about to be stored. Doing it again changes nothing.
pub(crate) async fn note(store: &Store, arrivals: &[Arrival]) -> Result<(), Failure> {
    let read: Vec<(Vec<u8>, Vec<String>, bool)> = arrivals.iter().map(reading).collect();
    let read = tokio::task::spawn_blocking(move || {
        let of = |(octets, senders, is_suspicious): (Vec<u8>, Vec<String>, bool)| {
            named(&octets, &senders, is_suspicious)
        };
        read.into_iter().map(of).collect::<Vec<Vec<i64>>>()
    });
    let named = read.await.context("read what mails name")?;
    let mut all = Vec::new();
    for (arrival, items) in arrivals.iter().zip(named) {
        let scanned = &arrival.scanned;
        for path in matching::paths(scanned, Purpose::Unspecified) {
            let trusted = is_trusted(&store.reader, scanned, &path.account_id, &path.inbox_id);
            all.push(Mentions {
                inbox_id: path.inbox_id.clone(),
                email_id: path.email_id.clone(),
                trusted: trusted.await.map_err(failure)?,
                suspicious: is_suspicious(scanned),
                items: items.clone(),
            });
        }
    }
    store.writer.note_mentions(&all).await.map_err(failure)
}

/// The beginning of a mail, who wrote it, and whether it is suspicious.
fn reading(arrival: &Arrival) -> (Vec<u8>, Vec<String>, bool) {
    let octets = arrival.octets[..arrival.octets.len().min(MAX_TEXT)].to_vec();
    (octets, senders(&arrival.scanned), is_suspicious(&arrival.scanned))
}

fn named(octets: &[u8], senders: &[String], is_suspicious: bool) -> Vec<i64> {
    let surfaces = mail::surfaces(octets, MAX_TEXT);
    // Decoding is slow, and what is encoded to steer somebody is suspicious.
    let mut found: BTreeSet<Mention> = mentions(&surfaces.list, is_suspicious);
    for sender in senders {
        let address = Mention::new(Kind::Address, sender);
        // That somebody names himself, as under a letter, says nothing.
        if is_suspicious {
            found.insert(address);
        } else {
            found.remove(&address);
        }
        found.insert(Mention::new(Kind::Sender, sender));
    }
    found.iter().map(Mention::item).collect()
}

fn senders(scanned: &MailScanned) -> Vec<String> {
    let message = scanned.message.iter();
    let mailboxes = message.flat_map(|it| it.from.iter().chain(&it.reply_to));
    mailboxes.filter_map(|it| canonical(&it.address)).collect()
}

fn is_suspicious(scanned: &MailScanned) -> bool {
    scanned.verdict.as_ref().is_some_and(|it| {
        it.score >= RISK_THRESHOLD || it.flags.iter().any(|it| SUSPICIOUS.contains(&&**it))
    })
}

/// Proven to be from somebody whom the inbox has written to, or from an inbox of the same account.
async fn is_trusted(
    reader: &Reader,
    scanned: &MailScanned,
    account_id: &str,
    inbox_id: &str,
) -> Result<bool, store::Error> {
    let Some(message) = &scanned.message else { return Ok(false) };
    let [from] = message.from.as_slice() else { return Ok(false) };
    let is_proven = scanned.authentication.as_ref().is_some_and(|it| it.dmarc == "pass");
    let address = [from.address.clone()];
    if is_proven && !reader.correspondents(inbox_id, &address).await?.is_empty() {
        return Ok(true);
    }
    let Some(email_id) = mail_of(&message.message_id) else { return Ok(false) };
    if !reader.is_sent_here(&email_id, &message.message_id).await? {
        return Ok(false);
    }
    let own: Vec<String> = canonical(&from.address).into_iter().collect();
    Ok(!reader.own_addresses(account_id, &own).await?.is_empty()
        || !reader.correspondents(inbox_id, &address).await?.is_empty())
}

/// The identifiers of our mail say which row of the database they are about.
fn mail_of(message_id: &str) -> Option<String> {
    message_id.split_once('@').map(|(unique, _)| format!("eml_{unique}"))
}

#[cfg(test)]
mod tests {
    use contract::{Mailbox, Message, Verdict};

    use super::*;

    fn items(content: &str, is_suspicious: bool) -> Vec<i64> {
        named(content.as_bytes(), &["evil@x.test".to_owned()], is_suspicious)
    }

    #[test]
    fn the_sender_of_an_ordinary_mail_is_not_named_by_it() {
        let address = Mention::new(Kind::Address, "evil@x.test").item();
        let sender = Mention::new(Kind::Sender, "evil@x.test").item();
        let content = "Subject: Hi\r\n\r\nRegards, evil@x.test";
        let ordinary = items(content, false);
        assert!(!ordinary.contains(&address) && ordinary.contains(&sender));
        assert!(items(content, true).contains(&address));
    }

    #[test]
    fn what_is_hidden_counts() {
        let content = "Content-Type: text/html\r\n\r\n<p>Hi<i style='display:none'>to b@y.test</i>\
                       <a href='https://evil.test/'>x</a>";
        let items = items(content, false);
        for mention in
            [Mention::new(Kind::Address, "b@y.test"), Mention::new(Kind::Domain, "evil.test")]
        {
            assert!(items.contains(&mention.item()), "{mention:?}");
        }
    }

    #[test]
    fn who_wrote_and_what_is_suspicious() {
        let mailbox = |it: &str| Mailbox { address: it.to_owned(), ..Mailbox::default() };
        let message = Message {
            from: vec![mailbox("A.b@x.test")],
            reply_to: vec![mailbox("c@y.test"), mailbox("none")],
            ..Message::default()
        };
        let scanned = MailScanned { message: Some(message), ..MailScanned::default() };
        assert_eq!(senders(&scanned), ["ab@x.test", "c@y.test"]);
        let with = |score, flag: &str| MailScanned {
            verdict: Some(Verdict { score, flags: vec![flag.to_owned()], ..Verdict::default() }),
            ..MailScanned::default()
        };
        assert!(!is_suspicious(&scanned) && !is_suspicious(&with(0.4, "hidden_text")));
        assert!(is_suspicious(&with(0.5, "")) && is_suspicious(&with(0.0, "phishing_url")));
    }
}
