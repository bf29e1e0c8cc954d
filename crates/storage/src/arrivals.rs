//! `inbound.scanned` → inboxes, threads, search → `email.received`, or the quarantine →
//! `email.quarantined`; what reports on mail that was sent → its status, `email.bounced` and others

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context as _, anyhow};
use bus::{BatchStage, Claims, Failure, Traced};
use contract::{Emit, MailScanned, Purpose, Record};
use store::{Arrival, Store, Stored};
use tokio::sync::Notify;

use crate::{
    answerable, companions, failure, kept, matching, mentioned,
    metrics::Metrics,
    offers::{self, Offers},
    portions::portions,
    reports::Reports,
    together,
};

const STAGE: &str = "storage";

pub(crate) struct Arrivals {
    pub(crate) claims: Claims,
    pub(crate) store: Store,
    pub(crate) reports: Reports,
    pub(crate) offers: Offers,
    /// Something may have been settled that somebody waits for.
    pub(crate) settled: Arc<Notify>,
    pub(crate) companion_events: bool,
    pub(crate) metrics: Metrics,
}

impl BatchStage for Arrivals {
    const DURABLE: &'static str = STAGE;

    /// While one batch is committed, others are decoded and announced.
    const CONCURRENCY: usize = 4;

    type In = MailScanned;
    type Out = Vec<Record>;

    async fn handle(&self, mails: Vec<Traced<MailScanned>>) -> Result<Vec<Vec<Record>>, Failure> {
        let mails = mails.into_iter().map(|it| it.event).collect();
        let mut outs = Vec::new();
        for portion in portions(mails, |it| it.content.as_ref()) {
            outs.extend(self.store(portion).await?);
        }
        Ok(outs)
    }
}

/// A mail of a batch: to be stored, or stored already.
enum Mail {
    New(Box<Arrival>),
    Stored(Vec<Stored>),
}

impl Arrivals {
    async fn store(&self, scanned: Vec<MailScanned>) -> Result<Vec<Vec<Record>>, Failure> {
        let paths = scanned.iter().flat_map(|it| matching::paths(it, Purpose::Unspecified));
        let expecting = self.offers.expecting(paths.map(|it| it.inbox_id.as_str())).await?;
        let mut mails = Vec::new();
        for it in scanned {
            mails.push(self.load(it, &expecting).await?);
        }
        let (arrivals, known) = split(mails);
        // First, because it says what a redelivery needs as well: which mail is done with.
        let reported = self.reports.apply(&arrivals).await?;
        mentioned::note(&self.store, &arrivals).await?;
        let work = self.store.writer.store(&arrivals);
        let stored =
            self.metrics.transaction(STAGE, arrivals.len(), work).await.map_err(failure)?;
        if arrivals.iter().any(|it| it.offer.is_some()) {
            self.settled.notify_one();
        }
        for (arrival, copies) in arrivals.iter().zip(&stored) {
            self.note_orphans(arrival, copies)?;
        }
        for arrival in &arrivals {
            if let Some(content) = &arrival.scanned.content
                && let Err(err) = self.claims.remove(content).await
            {
                // The bucket lets go of it in time.
                tracing::debug!("leave a claim behind: {err:#}");
            }
        }
        let mut new = stored.into_iter().zip(reported);
        let outs = known.into_iter().map(|known| {
            let new = if known.is_none() { new.next() } else { None };
            let (copies, reported) = new.unwrap_or_default();
            let mut out = self.announce(known.unwrap_or(copies));
            out.extend(reported);
            out
        });
        Ok(outs.collect())
    }

    async fn load(&self, mail: MailScanned, expecting: &HashSet<String>) -> Result<Mail, Failure> {
        let content =
            mail.content.as_ref().context("the mail has no content").map_err(Failure::Permanent)?;
        let Some(octets) = self.claims.get(content).await? else {
            // Stored, and then this process or its ack was lost.
            let copies = self.store.reader.copies(&mail.mail_id).await.map_err(failure)?;
            if copies.is_empty() && inboxes(&mail) > 0 {
                let err = anyhow!("the content of mail {} is gone", mail.mail_id);
                return Err(Failure::Permanent(err));
            }
            return Ok(Mail::Stored(copies));
        };
        if mail.message.is_none() {
            // The scanner did not find the content. Nobody reads what was not scanned.
            let err = anyhow!("mail {} was not read by the scanner", mail.mail_id);
            return Err(Failure::Permanent(err));
        }
        let is_cut = mail.message.as_ref().is_some_and(|it| it.text_truncated);
        let whole_text = if is_cut { Some(whole_text(octets.clone()).await?) } else { None };
        let carried = carried(&mail).await?;
        let no_auto_reply = answerable::refusals(&self.store.reader, &mail, &octets);
        let no_auto_reply = no_auto_reply.await.map_err(failure)?;
        let offer = self.offers.of(&offers::entering(&mail, &octets), expecting).await?;
        let octets = delivered(&mail, &octets);
        let arrival = Arrival { scanned: mail, octets, whole_text, carried, no_auto_reply, offer };
        Ok(Mail::New(Box::new(arrival)))
    }

    /// A mail that no inbox took is for an operator to look at. Where others took it, a copy for an
    /// inbox that was purged meets the fate of all its mail.
    fn note_orphans(&self, arrival: &Arrival, copies: &[Stored]) -> Result<(), Failure> {
        let mail_id = &arrival.scanned.mail_id;
        let paths = inboxes(&arrival.scanned);
        if copies.is_empty() && paths > 0 {
            let err =
                anyhow!("mail {mail_id} is for {paths} inboxes of which none exists any more");
            return Err(Failure::Permanent(err));
        }
        let orphans = paths.saturating_sub(copies.len());
        if orphans > 0 {
            tracing::warn!(mail.id = mail_id, orphans, "copies for inboxes that are gone");
            self.metrics.orphans.inc_by(orphans as u64);
        }
        Ok(())
    }

    fn announce(&self, copies: Vec<Stored>) -> Vec<Record> {
        if !copies.is_empty() && copies.iter().all(|it| it.repeated) {
            self.metrics.note_repeats(STAGE, 1);
        }
        for it in copies.iter().filter(|it| !it.repeated) {
            let security = it.email.security.as_ref();
            self.metrics.screening.note_screened(security.and_then(|it| it.action.as_deref()));
        }
        let announced = copies.into_iter().flat_map(|it| {
            let companions = if self.companion_events { companions::of(&it) } else { Vec::new() };
            let arrived = kept::arrived(it);
            // What is kept from agents is told of in one way only.
            let is_there = arrived.event == "email.received";
            let mut events = arrived.records();
            events.extend(companions.into_iter().filter(|_| is_there).flat_map(Emit::records));
            events
        });
        announced.collect()
    }
}

/// How many inboxes a mail is for; one that only reports is for none.
fn inboxes(mail: &MailScanned) -> usize {
    matching::paths(mail, Purpose::Unspecified).count()
}

/// What is to be stored, and for each mail what is known of it already.
fn split(mails: Vec<Mail>) -> (Vec<Arrival>, Vec<Option<Vec<Stored>>>) {
    let mut arrivals = Vec::new();
    let known = mails.into_iter().map(|mail| match mail {
        Mail::New(arrival) => {
            arrivals.push(*arrival);
            None
        }
        Mail::Stored(copies) => Some(copies),
    });
    let known = known.collect();
    (arrivals, known)
}

async fn whole_text(octets: impl AsRef<[u8]> + Send + 'static) -> anyhow::Result<String> {
    let read = move || mail::parse(octets.as_ref(), usize::MAX).text;
    tokio::task::spawn_blocking(read).await.context("read the whole text")
}

/// What its sender wrote.
async fn carried(mail: &MailScanned) -> anyhow::Result<String> {
    let text = mail.message.as_ref().map(|it| it.text.clone()).unwrap_or_default();
    if text.is_empty() {
        return Ok(text);
    }
    let read = move || together::carried(&text);
    tokio::task::spawn_blocking(read).await.context("read what its sender wrote")
}

/// The content below a Return-Path, because this is the final delivery (RFC 5321 section 4.4), and an
/// Authentication-Results field (RFC 8601).
fn delivered(mail: &MailScanned, content: &[u8]) -> Vec<u8> {
    let reverse_path = mail.envelope.as_ref().map_or("", |it| &it.reverse_path);
    let results = mail.authentication.as_ref().map_or("", |it| &it.results);
    let added = reverse_path.len() + results.len() + 64;
    let mut octets = Vec::with_capacity(content.len() + added);
    octets.extend(format!("Return-Path: <{}>\r\n", reverse_path.replace(['\r', '\n'], "")).bytes());
    if !results.is_empty() {
        octets.extend(b"Authentication-Results: ");
        octets.extend(folded(results).as_bytes());
        octets.extend(b"\r\n");
    }
    octets.extend(content);
    octets
}

/// Line breaks only where the next line begins with a space, so that the value stays one field.
fn folded(value: &str) -> String {
    let lines: Vec<&str> = value.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    lines.join("\r\n\t")
}

#[cfg(test)]
mod tests {
    use contract::{Authentication, Envelope};

    use super::*;

    fn mail(results: &str) -> MailScanned {
        let results = results.to_owned();
        let authentication = Some(Authentication { results, ..Authentication::default() });
        let envelope = Some(Envelope { reverse_path: "a@x".to_owned(), ..Envelope::default() });
        MailScanned { envelope, authentication, ..MailScanned::default() }
    }

    #[track_caller]
    fn check(results: &str, expected: &str) {
        let octets = delivered(&mail(results), b"Subject: x\r\n\r\n\0");
        let expected = format!("Return-Path: <a@x>\r\n{expected}");
        assert_eq!(String::from_utf8_lossy(&octets), expected);
    }

    #[test]
    fn results_stand_above_the_content() {
        check("mx; spf=pass", "Authentication-Results: mx; spf=pass\r\nSubject: x\r\n\r\n\0");
        check("", "Subject: x\r\n\r\n\0");
    }

    #[test]
    fn results_stay_one_field() {
        check(
            "mx;\r\n\tspf=pass\nTo: y\r\n\r\nbody",
            "Authentication-Results: mx;\r\n\tspf=pass\r\n\tTo: y\r\n\tbody\r\nSubject: x\r\n\r\n\0",
        );
    }
}
