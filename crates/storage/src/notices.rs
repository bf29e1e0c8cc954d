//! Delivery status notifications of our own (RFC 3464), for requests that ask for them. They go to the
//! inbox that sent the mail and to nobody else, on the path of every mail that comes in. Their
//! identifiers follow from what they tell, so that one is stored once.

use anyhow::Context as _;
use bus::{Claims, Failure};
use contract::{Email, Envelope, ForwardPath, MailReceived, Peer, RecipientResult};
use mail::{Notification, NotifiedAction, NotifiedRecipient};
use store::{Fate, Found, Notifiable, Reader, Reported, Source};
use uuid::Uuid;

use crate::{failure, return_paths::now};

/// Begins the identifiers of the mails made here; those that intake gives begin otherwise.
const PREFIX: &str = "dsn_";

/// A mail is late after four hours (RFC 5321 section 4.5.4.1 has senders told of such delays).
const LATE_AFTER: i64 = 4 * 60 * 60 * 1_000_000;

#[derive(Clone)]
pub(crate) struct Notices {
    pub(crate) claims: Claims,
    pub(crate) reader: Reader,
}

/// What is told of a mail at once.
struct Told {
    /// With the mail's identifier, what names it.
    name: String,
    recipients: Vec<NotifiedRecipient>,
}

impl Notices {
    /// Whether a mail was made here.
    pub(crate) fn made(mail_id: &str) -> bool {
        mail_id.starts_with(PREFIX)
    }

    /// What attempts lead to, by the mail's identifier: one notification when the last recipient is
    /// settled, and one before if it takes long.
    pub(crate) async fn of_attempts(
        &self,
        reported: &[Reported],
    ) -> Result<Vec<(String, MailReceived)>, Failure> {
        // What came too late was told already.
        let news = reported.iter().filter(|it| !it.report.recipients.is_empty());
        let mut mail_ids: Vec<String> = news.map(|it| it.email.id.clone()).collect();
        mail_ids.sort();
        mail_ids.dedup();
        let mut notices = Vec::new();
        for it in self.reader.notifiable(&mail_ids).await.map_err(failure)? {
            let attempts = reported.iter().filter(|reported| reported.email.id == it.email.id);
            let at = attempts.map(|it| it.report.attempted_at_micros).max().unwrap_or_default();
            if let Some(told) = settled(&it).or_else(|| late(&it, at)) {
                let notice = self.notice(&it, told).await?;
                notices.push((it.email.id, notice));
            }
        }
        Ok(notices)
    }

    /// Of mail whose time was over before anybody attempted it.
    pub(crate) async fn of_expired(
        &self,
        mail_ids: &[String],
    ) -> Result<Vec<MailReceived>, Failure> {
        let mut notices = Vec::new();
        for it in self.reader.notifiable(mail_ids).await.map_err(failure)? {
            if let Some(told) = settled(&it) {
                notices.push(self.notice(&it, told).await?);
            }
        }
        Ok(notices)
    }

    /// A host took the mail, and then sent it back.
    pub(crate) async fn of_late_failure(
        &self,
        found: &Found,
    ) -> Result<Option<MailReceived>, Failure> {
        let finding = &found.finding;
        if finding.fate != Fate::Failed || finding.source != Source::Notification {
            return Ok(None);
        }
        let mail_ids = [finding.mail_id.clone()];
        let wanting = self.reader.notifiable(&mail_ids).await.map_err(failure)?;
        let Some(it) = wanting.first().filter(|it| wants(it, "failure")) else { return Ok(None) };
        let recipients = it.email.recipients.iter();
        let failed = recipients.filter(|it| it.address == finding.forward_path);
        let told = Told {
            name: format!("late/{}", finding.forward_path),
            recipients: failed.map(|it| notified(it, NotifiedAction::Failed)).collect(),
        };
        Ok(Some(self.notice(it, told).await?))
    }

    async fn notice(&self, about: &Notifiable, told: Told) -> Result<MailReceived, Failure> {
        let mail_id = identifier(&about.email.id, &told.name);
        let content = mail::notification(&notification(about, told, &mail_id));
        let content = self.claims.put(&format!("in/{PREFIX}{mail_id}"), content.into()).await;
        let domain = domain(&about.address);
        Ok(MailReceived {
            mail_id: format!("{PREFIX}{mail_id}"),
            envelope: Some(Envelope {
                // RFC 3464 section 2: nobody is told that this could not be delivered.
                reverse_path: String::new(),
                forward_paths: vec![ForwardPath {
                    address: about.address.clone(),
                    account_id: about.account_id.clone(),
                    inbox_id: about.email.inbox_id.clone(),
                    email_id: format!("eml_{mail_id}"),
                    ..ForwardPath::default()
                }],
                smtputf8: false,
            }),
            peer: Some(Peer {
                ip: "127.0.0.1".to_owned(),
                helo: domain.to_owned(),
                tls: String::new(),
            }),
            content: Some(content.context("keep a notification")?),
            received_at_micros: now(),
        })
    }
}

fn identifier(email_id: &str, name: &str) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x5b1d_e0a4_93c7_4f2e_a6f8_1d70_42b9_c35e);
    Uuid::new_v5(&NAMESPACE, format!("{email_id}/{name}").as_bytes()).simple().to_string()
}

fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
}

fn wants(it: &Notifiable, what: &str) -> bool {
    it.notify.iter().any(|wanted| wanted == what)
}

/// What is told when no recipient is open any more.
fn settled(it: &Notifiable) -> Option<Told> {
    let recipients = &it.email.recipients;
    let is_settled = |it: &RecipientResult| matches!(it.action.as_str(), "delivered" | "failed");
    if recipients.is_empty() || !recipients.iter().all(is_settled) {
        return None;
    }
    let told = |recipient: &RecipientResult| match recipient.action.as_str() {
        "failed" if wants(it, "failure") => Some(notified(recipient, NotifiedAction::Failed)),
        "delivered" if wants(it, "success") => Some(notified(recipient, NotifiedAction::Relayed)),
        _ => None,
    };
    let recipients: Vec<_> = recipients.iter().filter_map(told).collect();
    (!recipients.is_empty()).then(|| Told { name: "settled".to_owned(), recipients })
}

/// What is told when recipients have waited long.
fn late(it: &Notifiable, at: i64) -> Option<Told> {
    if !wants(it, "delay") || at - goes_at(&it.octets, it.requested_at) < LATE_AFTER {
        return None;
    }
    let delayed = it.email.recipients.iter().filter(|it| it.action == "delayed");
    let recipients: Vec<_> = delayed.map(|it| notified(it, NotifiedAction::Delayed)).collect();
    (!recipients.is_empty()).then(|| Told { name: "late".to_owned(), recipients })
}

/// A mail that is to go later is dated then.
fn goes_at(content: &[u8], requested_at: i64) -> i64 {
    mail::parse(content, 0).date_micros.max(requested_at)
}

fn notified(it: &RecipientResult, action: NotifiedAction) -> NotifiedRecipient {
    NotifiedRecipient {
        address: it.address.clone(),
        action,
        status: it.status.clone(),
        diagnostic: it.diagnostic.clone(),
        remote_host: it.remote_host.clone(),
    }
}

fn notification(about: &Notifiable, told: Told, id: &str) -> Notification {
    let Email { subject, message_id, .. } = &about.email;
    let domain = domain(&about.address);
    let original = message_id.as_deref().unwrap_or_default();
    Notification {
        reporting_host: domain.to_owned(),
        domain: domain.to_owned(),
        message_id: format!("{id}@{domain}"),
        to: about.address.clone(),
        date: now() / 1_000_000,
        arrival_date: about.requested_at / 1_000_000,
        original_message_id: mail::bare_id(original).to_owned(),
        subject: subject.clone(),
        original: about.octets.clone(),
        recipients: told.recipients,
    }
}
