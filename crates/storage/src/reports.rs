//! Reports on mail that was sent, which come as mail: bounces, complaints, receipts. Read as data,
//! matched with the mail they are about, applied, announced.
//!
//! What comes to a return path or to an address for complaints is not stored and shown to nobody. A
//! report that comes to an inbox is mail as well.

use std::collections::BTreeSet;

use anyhow::Context as _;
use bus::Failure;
use contract::{Emit as _, Purpose, Record};
use mail::{Class, ReturnPathKeys, Suppression};
use store::{Arrival, Evidence, Fate, Found, Source, Store, Weight};

use crate::{
    events, failure,
    matching::{self, Dropped, Matched, Reading},
    metrics::Metrics,
    notices::Notices,
    return_paths::{ReturnPaths, now},
};

/// A content is read so far; what is reported stands in front of what was sent.
const MAX_READ: usize = 1024 * 1024;

/// So much of a content tells whether it may be a report.
const MAX_LOOKED_AT: usize = 16 * 1024;

pub(crate) struct Reports {
    pub(crate) store: Store,
    pub(crate) return_paths: ReturnPaths,
    pub(crate) notices: Notices,
    /// The domains whose complaints count without a return path.
    pub(crate) reporters: Vec<String>,
    /// An address that complained to so many accounts gets no mail from anybody; 0 for never.
    pub(crate) complaints_for_all: i64,
    pub(crate) metrics: Metrics,
}

impl Reports {
    /// Applies what these mails report; gives for each what is to be announced.
    pub(crate) async fn apply(&self, arrivals: &[Arrival]) -> Result<Vec<Vec<Record>>, Failure> {
        let mut outs: Vec<Vec<Record>> = arrivals.iter().map(|_| Vec::new()).collect();
        let candidates = arrivals.iter().enumerate().filter(|(_, it)| may_be_report(it));
        let candidates: Vec<_> = candidates.collect();
        if candidates.is_empty() {
            return Ok(outs);
        }
        let keys = self.return_paths.keys().await?;
        let (mut of, mut matched) = (Vec::new(), Vec::new());
        for (n, arrival) in candidates {
            match self.matched(arrival, &keys).await? {
                Ok(found) => {
                    of.resize(of.len() + found.len(), n);
                    matched.extend(found);
                }
                Err(why) if is_for_nobody(arrival) => self.metrics.note_report(why.as_str()),
                // Mail to an inbox is no worse for not being a report on mail of ours.
                Err(_) => (),
            }
        }
        for (n, records) in of.into_iter().zip(self.record(&matched).await?) {
            outs[n].extend(records);
        }
        Ok(outs)
    }

    async fn matched(
        &self,
        arrival: &Arrival,
        keys: &ReturnPathKeys,
    ) -> Result<Result<Vec<Matched>, Dropped>, Failure> {
        let Some(reading) = read(arrival).await? else { return Ok(Err(Dropped::NoReport)) };
        let mail = &arrival.scanned;
        let subject = match matching::subject(mail, &reading, keys, now()) {
            Ok(subject) => subject,
            Err(why) => return Ok(Err(why)),
        };
        let Some(sent) = self.store.reader.sent(&subject.mail_id).await.map_err(failure)? else {
            return Ok(Err(Dropped::UnknownMail));
        };
        Ok(matching::findings(mail, &reading.report, &subject, &sent, &self.reporters))
    }

    /// All in one transaction; gives for each what is to be announced.
    async fn record(&self, matched: &[Matched]) -> Result<Vec<Vec<Record>>, Failure> {
        let findings: Vec<_> = matched.iter().map(|it| it.finding.clone()).collect();
        let applied = self.store.writer.apply(&findings).await.map_err(failure)?;
        let found = applied.iter().flatten().cloned();
        let classes = applied.iter().zip(matched).filter(|it| it.0.is_some());
        let found: Vec<(Found, Class)> = found.zip(classes.map(|it| it.1.class)).collect();
        found.iter().for_each(|(it, class)| self.metrics.outcomes.note_reported(it, *class));
        self.note_bounces(&found).await?;
        self.note_complaints(&found).await?;
        let mut outs = Vec::new();
        for it in &applied {
            let mut records = Vec::new();
            if let Some(it) = it {
                self.metrics.note_report(if it.repeated { "repeated" } else { "applied" });
                if it.is_news {
                    records.extend(events::found(it).records());
                    records.extend(self.notices.of_late_failure(it).await?.records());
                }
            }
            outs.push(records);
        }
        Ok(outs)
    }

    /// What failed recipients say about mail to come, if it is proven. After the statuses, as that of
    /// attempts is: what is noted twice counts once.
    async fn note_bounces(&self, found: &[(Found, Class)]) -> Result<(), Failure> {
        let is_proven = |it: &Found| {
            it.finding.fate == Fate::Failed && it.finding.source == Source::Notification
        };
        let bounces = found.iter().filter(|(it, _)| is_proven(it));
        let evidence: Vec<Evidence> = bounces
            .filter_map(|(it, class)| {
                let finding = &it.finding;
                let source = finding.mail_id.clone();
                evidence(&it.account_id, &finding.forward_path, source, *class, &finding.diagnostic)
            })
            .collect();
        self.store.writer.note_evidence(&evidence).await.map_err(failure)
    }

    /// Who complains gets no more mail from the account, and after complaints to several, from nobody.
    async fn note_complaints(&self, found: &[(Found, Class)]) -> Result<(), Failure> {
        let complaints: Vec<&Found> =
            found.iter().map(|it| &it.0).filter(|it| it.finding.fate == Fate::Complained).collect();
        let evidence: Vec<Evidence> = complaints
            .iter()
            .filter_map(|it| {
                let finding = &it.finding;
                // The same mail may have bounced.
                let source = format!("{}/{}", finding.mail_id, Class::Complaint.as_str());
                let (path, said) = (&finding.forward_path, &finding.diagnostic);
                self::evidence(&it.account_id, path, source, Class::Complaint, said)
            })
            .collect();
        let writer = &self.store.writer;
        writer.note_evidence(&evidence).await.map_err(failure)?;
        let addresses: BTreeSet<String> =
            complaints.iter().map(|it| it.finding.forward_path.clone()).collect();
        let new = writer.suppress_globally(&addresses, self.complaints_for_all).await;
        if new.map_err(failure)? > 0 {
            tracing::warn!("an address complained to several accounts: nobody can send to it now");
        }
        Ok(())
    }
}

/// What a failure says about mail to come; nothing if it says nothing of the recipient.
pub(crate) fn evidence(
    account_id: &str,
    address: &str,
    source: String,
    class: Class,
    said: &str,
) -> Option<Evidence> {
    let weight = match class.suppression() {
        Suppression::AtOnce => Weight::Fact,
        Suppression::Count => Weight::Strike,
        Suppression::Never => return None,
    };
    Some(Evidence {
        account_id: account_id.to_owned(),
        address: address.to_owned(),
        source,
        reason: class.as_str().to_owned(),
        evidence: said.to_owned(),
        weight,
    })
}

/// No inbox gets it.
pub(crate) fn is_for_nobody(arrival: &Arrival) -> bool {
    matching::paths(&arrival.scanned, Purpose::Unspecified).next().is_none()
}

/// Whether it is worth a closer look: all that comes to a return path, and what looks like a report
/// elsewhere, unless we sent it ourselves.
fn may_be_report(arrival: &Arrival) -> bool {
    let mail = &arrival.scanned;
    if Notices::made(&mail.mail_id) {
        return false;
    }
    if is_for_nobody(arrival) || matching::paths(mail, Purpose::ReturnPath).next().is_some() {
        return true;
    }
    let path = mail.envelope.as_ref().map_or("", |it| &it.reverse_path).to_lowercase();
    let head = &arrival.octets[..arrival.octets.len().min(MAX_LOOKED_AT)];
    path.is_empty()
        || path.starts_with("mailer-daemon@")
        || path.starts_with("postmaster@")
        || String::from_utf8_lossy(head).to_ascii_lowercase().contains("multipart/report")
}

/// `None` if it is no report.
async fn read(arrival: &Arrival) -> Result<Option<Reading>, Failure> {
    let octets = arrival.octets[..arrival.octets.len().min(MAX_READ)].to_vec();
    let is_at_return_path = matching::paths(&arrival.scanned, Purpose::ReturnPath).next().is_some();
    let read = move || {
        let report = match is_at_return_path {
            true => mail::report_to_return_path(&octets),
            false => mail::report(&octets),
        }?;
        Some(Reading { report, return_paths: mail::return_paths(&octets) })
    };
    Ok(tokio::task::spawn_blocking(read).await.context("read a report")?)
}
