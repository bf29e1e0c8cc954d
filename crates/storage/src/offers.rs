//! What a mail has for those who expect something in its inboxes: codes, links, and who stands behind it.
//!
//! Read before the transaction that stores the mail, and only where somebody waits. Who begins to wait after
//! that look does so after the mail was received, and it is not for him.

use std::collections::{BTreeSet, HashSet};

use anyhow::Context as _;
use bus::Failure;
use bytes::Bytes;
use contract::{ForwardPath, MailScanned, Purpose};
use mail::Address;
use reading::{Mail, Reading};
use store::{Offer, Store};
use tokio::task::spawn_blocking;

use crate::{
    failure, matching,
    return_paths::{ReturnPaths, now},
};

/// Octets of a text, of an HTML body: as much as is shown of a mail.
const MAX_BODY: usize = 1024 * 1024;

/// Of codes or links that are as good, so many are kept.
const MOST: usize = 10;

#[derive(Clone)]
pub(crate) struct Offers {
    pub(crate) store: Store,
    pub(crate) return_paths: ReturnPaths,
}

/// A mail that is about to enter inboxes.
pub(crate) struct Entering<'a> {
    pub(crate) octets: &'a Bytes,
    /// The address in From.
    pub(crate) from: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) reverse_path: &'a str,
    /// The copies.
    pub(crate) paths: Vec<&'a ForwardPath>,
    /// The client was on this host.
    pub(crate) is_local: bool,
}

impl Offers {
    /// Those of these inboxes in which somebody waits.
    pub(crate) async fn expecting<'a>(
        &self,
        inbox_ids: impl Iterator<Item = &'a str>,
    ) -> Result<HashSet<String>, Failure> {
        let inbox_ids: BTreeSet<&str> = inbox_ids.collect();
        let inbox_ids: Vec<&str> = inbox_ids.into_iter().collect();
        self.store.reader.expecting(&inbox_ids).await.map_err(failure)
    }

    /// `None` where nobody waits.
    pub(crate) async fn of(
        &self,
        mail: &Entering<'_>,
        expecting: &HashSet<String>,
    ) -> Result<Option<Offer>, Failure> {
        if !mail.paths.iter().any(|it| expecting.contains(&it.inbox_id)) {
            return Ok(None);
        }
        let sent_here = self.sent_here(mail).await?;
        let (octets, is_agent) = (mail.octets.clone(), !sent_here.is_empty());
        let [from, subject, reverse_path] =
            [mail.from, mail.subject, mail.reverse_path].map(str::to_owned);
        let read = move || read(&octets, &from, &subject, &reverse_path, is_agent);
        let offer = spawn_blocking(read).await.context("read a mail")?;
        Ok(Some(Offer { sent_here, ..offer }))
    }

    /// The copies that the inbox in From has sent. Its domain cannot prove that where there is no DNS, as in
    /// development; the return path does, which nobody knows but whom the copy is for.
    async fn sent_here(&self, mail: &Entering<'_>) -> Result<HashSet<String>, Failure> {
        let none = HashSet::new();
        let Ok(path) = mail.reverse_path.parse::<Address>() else { return Ok(none) };
        if !mail::is_return_path(&path, now()) {
            return Ok(none);
        }
        let Ok(named) = self.return_paths.keys().await?.check(&path, now()) else {
            return Ok(none);
        };
        let reader = &self.store.reader;
        let Some(sent) = reader.sent(&named.mail_id).await.map_err(failure)? else {
            return Ok(none);
        };
        let inbox = reader.inbox(&sent.account_id, &sent.inbox_id).await.map_err(failure)?;
        if !inbox.is_some_and(|it| is_same(&it.address, mail.from)) {
            return Ok(none);
        }
        let is_for = |it: &&&ForwardPath| match named.position {
            Some(place) => sent.forward_paths.get(place).is_some_and(|to| is_same(to, &it.address)),
            // One that several recipients share: as good, if none of them is anywhere else.
            None => mail.is_local && are_all_at(&sent.forward_paths, path.domain(), &it.address),
        };
        let copies = mail.paths.iter().filter(is_for).map(|it| it.email_id.clone());
        Ok(copies.collect())
    }
}

/// What storage knows of a mail that has been scanned.
pub(crate) fn entering<'a>(mail: &'a MailScanned, octets: &'a Bytes) -> Entering<'a> {
    let message = mail.message.as_ref();
    let ip = mail.peer.as_ref().and_then(|it| it.ip.parse::<std::net::IpAddr>().ok());
    Entering {
        octets,
        from: author(mail.message.as_ref()),
        subject: message.map_or("", |it| &it.subject),
        reverse_path: mail.envelope.as_ref().map_or("", |it| &it.reverse_path),
        paths: matching::paths(mail, Purpose::Unspecified).collect(),
        is_local: ip.is_some_and(|it| it.is_loopback()),
    }
}

pub(crate) fn author(message: Option<&contract::Message>) -> &str {
    let addresses = message.into_iter().flat_map(|it| &it.from).map(|it| it.address.as_str());
    addresses.into_iter().find(|it| !it.is_empty()).unwrap_or_default()
}

fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<Address>(), other.parse::<Address>()) {
        (Ok(one), Ok(other)) => one.canonical() == other.canonical(),
        _ => false,
    }
}

fn are_all_at(forward_paths: &[String], domain: &str, address: &str) -> bool {
    let is_there = |it: &String| it.parse::<Address>().is_ok_and(|it| it.domain() == domain);
    forward_paths.iter().all(is_there) && forward_paths.iter().any(|it| is_same(it, address))
}

/// As it is shown to whoever asks for the mail.
fn read(octets: &[u8], from: &str, subject: &str, reverse_path: &str, is_agent: bool) -> Offer {
    let bodies = mail::bodies(octets, MAX_BODY);
    let reading = Reading::of(Mail {
        from,
        subject,
        text: &bodies.text,
        html: &bodies.html,
        has_plain_text: bodies.has_plain_text,
    });
    let links = reading::foremost_links(&reading).into_iter().take(MOST);
    Offer {
        is_automatic: mail::is_automatic_answer(octets, subject, reverse_path, is_agent),
        codes: reading::codes(&reading).into_iter().take(MOST).collect(),
        links: links.map(|it| it.url).collect(),
        ..Offer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_read_as_it_is_shown() {
        let octets = b"From: a@x.test\r\nSubject: Sign in\r\n\r\nYour code is 482913.\r\n\
            Or follow https://x.test/login/4f9d8a7b6c5e4d3c2b1a to log in.\r\n";
        let offer = read(octets, "a@x.test", "Sign in", "a@x.test", false);
        assert_eq!(offer.codes, ["482913"]);
        assert_eq!(offer.links, ["https://x.test/login/4f9d8a7b6c5e4d3c2b1a"]);
        assert!(!offer.is_automatic);
        assert!(read(octets, "a@x.test", "Sign in", "", false).is_automatic);
    }

    #[test]
    fn a_shared_return_path_proves_something_only_where_nobody_else_has_it() {
        let to = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let all = |paths: &[&str]| are_all_at(&to(paths), "us.test", "b@us.test");
        assert!(all(&["a@us.test", "b@us.test"]));
        assert!(!all(&["b@us.test", "m@elsewhere.test"]));
        assert!(!all(&["a@us.test", "c@us.test"]));
        assert!(!all(&["a@us.test", "b@us.test", "broken"]));
    }
}
