//! Rows and `contract::Email`, the shape agents see, in both directions.

use std::collections::HashMap;

use contract::{
    Attachment, Authentication, AutoReply, Email, EmailAttachment, EmailError, EmailSecurity, Hold,
    Mailbox, Message, RecipientResult, SecurityReason, Verdict,
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use crate::{Direction, Error, labels, moment::rfc3339, screening::Screening, sql, threading};

/// All of an email but its body and recipients.
pub(crate) const COLUMNS: &str = "e.id, e.mail_id, e.inbox_id, e.account_id, e.direction, e.status, \
     e.is_read, e.thread_id, e.created_at, e.received_at, m.from_address, m.to_addresses, \
     m.cc_addresses, m.subject, m.preview, m.message_id, m.attachments, m.security, \
     l.idempotency_key, l.rejection_code, l.rejection_message, l.send_at, \
     o.held_reason, CASE WHEN o.state = 'waiting' AND st.state = 'stopped' THEN 1 ELSE 0 END \
     AS is_stopped, o.held_until, e.no_auto_reply, e.screening, h.state AS hold_state, h.reasons AS hold_reasons, \
     h.sha256 AS hold_sha256, h.expires_at AS hold_expires_at, h.decided_at AS hold_decided_at, \
     h.decided_by AS hold_decided_by, h.note AS hold_note";

/// Of what agents see.
pub(crate) const TABLES: &str = "emails e JOIN mails m ON m.id = e.mail_id AND e.hidden = 0 \
     LEFT JOIN ledger l ON l.email_id = e.id LEFT JOIN outbox o ON o.email_id = e.id \
     LEFT JOIN holds h ON h.email_id = e.id LEFT JOIN standings st ON st.inbox_id = e.inbox_id";

/// What is in quarantine as well, or was refused there.
pub(crate) const ALL_TABLES: &str = "emails e JOIN mails m ON m.id = e.mail_id \
     LEFT JOIN ledger l ON l.email_id = e.id LEFT JOIN outbox o ON o.email_id = e.id \
     LEFT JOIN holds h ON h.email_id = e.id LEFT JOIN standings st ON st.inbox_id = e.inbox_id";

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// An email as read, with what its JSON does not show.
pub(crate) struct Read {
    pub(crate) email: Email,
    pub(crate) mail_id: String,
    pub(crate) account_id: String,
    pub(crate) created_at: i64,
}

/// Reads rows of `COLUMNS`, and the recipients of those that were sent.
pub(crate) async fn read(
    connection: &mut AnyConnection,
    rows: Vec<AnyRow>,
) -> Result<Vec<Read>, Error> {
    let mut emails = rows.iter().map(from_row).collect::<Result<Vec<_>, Error>>()?;
    let sent: Vec<String> = emails
        .iter()
        .filter(|it| it.email.direction == Direction::Outbound.as_str())
        .map(|it| it.mail_id.clone())
        .collect();
    let mut recipients = recipients(connection, &sent).await?;
    let email_ids: Vec<String> = emails.iter().map(|it| it.email.id.clone()).collect();
    let mut labels = labels::of(connection, &email_ids).await?;
    for it in &mut emails {
        it.email.recipients = recipients.remove(&it.mail_id).unwrap_or_default();
        it.email.labels = labels.remove(&it.email.id).unwrap_or_default();
    }
    Ok(emails)
}

/// The emails with these identifiers, as they are now.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    email_ids: &[String],
) -> Result<HashMap<String, Read>, Error> {
    let statement =
        |ids| format!("SELECT {COLUMNS} FROM {ALL_TABLES} WHERE e.id IN (VALUES {ids})");
    let rows = sql::fetch(connection, email_ids, 1, statement, |query, id| query.bind(id.clone()))
        .await
        .map_err(Error::query("read stored emails"))?;
    let emails = read(connection, rows).await?;
    Ok(emails.into_iter().map(|it| (it.email.id.clone(), it)).collect())
}

async fn recipients(
    connection: &mut AnyConnection,
    mail_ids: &[String],
) -> Result<HashMap<String, Vec<RecipientResult>>, Error> {
    let failed = Error::query("read recipients");
    let statement = |ids| {
        format!(
            "SELECT mail_id, forward_path, action, status, diagnostic, remote_host FROM recipients \
             WHERE mail_id IN (VALUES {ids}) ORDER BY mail_id, position"
        )
    };
    let rows = sql::fetch(connection, mail_ids, 1, statement, |query, id| query.bind(id.clone()))
        .await
        .map_err(&failed)?;
    let mut recipients: HashMap<String, Vec<RecipientResult>> = HashMap::new();
    for row in rows {
        let mail_id = row.try_get("mail_id").map_err(&failed)?;
        let recipient = RecipientResult {
            address: row.try_get("forward_path").map_err(&failed)?,
            action: row.try_get("action").map_err(&failed)?,
            status: row.try_get("status").map_err(&failed)?,
            diagnostic: row.try_get("diagnostic").map_err(&failed)?,
            remote_host: row.try_get("remote_host").map_err(&failed)?,
        };
        recipients.entry(mail_id).or_default().push(recipient);
    }
    Ok(recipients)
}

fn from_row(row: &AnyRow) -> Result<Read, Error> {
    let failed = Error::query("read an email");
    let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
    let optional = |column: &str| row.try_get::<Option<String>, _>(column).map_err(&failed);
    let id = text("id")?;
    let mut attachments: Vec<EmailAttachment> = from_json(&text("attachments")?, "attachments")?;
    for (index, attachment) in attachments.iter_mut().enumerate() {
        attachment.s3_key = format!("{id}/{index}");
    }
    let created_at = row.try_get("created_at").map_err(&failed)?;
    let no_auto_reply = optional("no_auto_reply")?;
    let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map_err(&failed);
    let mut email = Email {
        id,
        inbox_id: text("inbox_id")?,
        direction: text("direction")?,
        from: text("from_address")?,
        to: from_json(&text("to_addresses")?, "recipients")?,
        cc: from_json(&text("cc_addresses")?, "recipients")?,
        subject: text("subject")?,
        preview: Some(text("preview")?),
        body: None,
        is_read: row.try_get::<i64, _>("is_read").map_err(&failed)? != 0,
        has_attachments: !attachments.is_empty(),
        thread_id: optional("thread_id")?,
        attachments,
        security: Some(from_json(&text("security")?, "verdict")?),
        status: Some(text("status")?),
        created_at: rfc3339(created_at),
        received_at: moment("received_at")?.map(rfc3339),
        message_id: optional("message_id")?.map(|it| format!("<{it}>")),
        idempotency_key: optional("idempotency_key")?,
        recipients: Vec::new(),
        error: optional("rejection_code")?
            .zip(optional("rejection_message")?)
            .map(|(code, message)| EmailError { code, message }),
        repeated: false,
        body_differs: false,
        auto_reply: None,
        labels: Vec::new(),
        held_reason: optional("held_reason")?,
        held_until: moment("held_until")?.map(rfc3339),
        send_at: moment("send_at")?.map(rfc3339),
        sender_authenticated: None,
        decision: None,
        hold: hold(row)?,
        attempts: None,
        set_aside_at: None,
        set_aside_reason: None,
    };
    if row.try_get::<i64, _>("is_stopped").map_err(&failed)? != 0 {
        show_stopped(&mut email);
    }
    if let Some(screening) = optional("screening")? {
        show(from_json(&screening, "screening")?, &mut email);
    }
    email.auto_reply = (email.direction == Direction::Inbound.as_str())
        .then(|| auto_reply(no_auto_reply.unwrap_or_default()));
    Ok(Read { email, mail_id: text("mail_id")?, account_id: text("account_id")?, created_at })
}

/// It waits for its inbox, whatever else it waits for, and nobody knows how long.
fn show_stopped(email: &mut Email) {
    email.held_reason = Some("the inbox is stopped".to_owned());
    email.held_until = None;
    if email.status.as_deref() == Some("queued") {
        email.status = Some("held".to_owned());
    }
}

/// What its inbox's policy made of it.
fn show(screening: Screening, email: &mut Email) {
    if let Some(security) = &mut email.security {
        screening.show(security);
    }
    email.sender_authenticated = Some(screening.is_authenticated);
    email.decision = screening.decision;
}

fn hold(row: &AnyRow) -> Result<Option<Hold>, Error> {
    let failed = Error::query("read a hold");
    let text = |column: &str| row.try_get::<Option<String>, _>(column).map_err(&failed);
    let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map_err(&failed);
    let Some(state) = text("hold_state")? else { return Ok(None) };
    let reasons = text("hold_reasons")?.unwrap_or_default();
    Ok(Some(Hold {
        state,
        reasons: from_json(&reasons, "the reasons of a hold")?,
        sha256: text("hold_sha256")?.unwrap_or_default(),
        expires_at: moment("hold_expires_at")?.map(rfc3339),
        decided_at: moment("hold_decided_at")?.map(rfc3339),
        decided_by: text("hold_decided_by")?,
        note: text("hold_note")?,
    }))
}

fn auto_reply(refusal: String) -> AutoReply {
    AutoReply { allowed: refusal.is_empty(), reason: refusal }
}

/// A row of `mails`.
#[derive(Debug, Default)]
pub(crate) struct MailRow {
    pub(crate) id: String,
    pub(crate) reverse_path: String,
    pub(crate) from_address: String,
    pub(crate) to_addresses: Vec<String>,
    pub(crate) cc_addresses: Vec<String>,
    pub(crate) subject: String,
    pub(crate) preview: String,
    pub(crate) message_id: Option<String>,
    pub(crate) reference_ids: Vec<String>,
    pub(crate) attachments: Vec<EmailAttachment>,
    pub(crate) security: EmailSecurity,
}

impl MailRow {
    /// What a message says of itself.
    pub(crate) fn of(mail_id: &str, message: &Message) -> MailRow {
        MailRow {
            id: mail_id.to_owned(),
            from_address: addresses(&message.from).into_iter().next().unwrap_or_default(),
            to_addresses: addresses(&message.to),
            cc_addresses: addresses(&message.cc),
            subject: message.subject.clone(),
            preview: message.preview.clone(),
            message_id: Some(message.message_id.clone()).filter(|it| !it.is_empty()),
            reference_ids: threading::references(message),
            attachments: message.attachments.iter().map(attachment).collect(),
            ..MailRow::default()
        }
    }

    /// What a search finds it by, apart from its text.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let addresses = self.to_addresses.iter().chain(&self.cc_addresses);
        [&self.subject, &self.from_address].into_iter().chain(addresses).map(String::as_str)
    }
}

pub(crate) async fn insert_mails(
    connection: &mut AnyConnection,
    mails: &[&MailRow],
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO mails (id, reverse_path, from_address, to_addresses, cc_addresses, subject, \
             preview, message_id, reference_ids, has_attachments, attachments, security) \
             {rows} ON CONFLICT (id) DO NOTHING"
        )
    };
    sql::insert(connection, mails, 12, statement, |query, mail| {
        query
            .bind(mail.id.clone())
            .bind(sql::text(&mail.reverse_path))
            .bind(sql::text(&mail.from_address))
            .bind(to_json(&mail.to_addresses))
            .bind(to_json(&mail.cc_addresses))
            .bind(sql::text(&mail.subject))
            .bind(sql::text(&mail.preview))
            .bind(mail.message_id.as_deref().map(sql::text))
            .bind(to_json(&mail.reference_ids))
            .bind(i64::from(!mail.attachments.is_empty()))
            .bind(to_json(&mail.attachments))
            .bind(to_json(&mail.security))
    })
    .await
    .map_err(Error::query("store mails"))
}

/// `authentication` only where somebody else sent the mail.
pub(crate) fn security(
    verdict: &Verdict,
    authentication: Option<&Authentication>,
) -> EmailSecurity {
    let result = |of: fn(&Authentication) -> &String| {
        authentication.map(of).filter(|it| !it.is_empty()).cloned()
    };
    let reasons = verdict.reasons.iter().map(|it| SecurityReason {
        detector: it.detector.clone(),
        version: it.version.clone(),
        flag: it.flag.clone(),
        part: it.part.clone(),
        start: it.start,
        end: it.end,
        excerpt: it.excerpt.clone(),
        explanation: it.explanation.clone(),
    });
    // JSON has no NaN. A score that is none is no all-clear.
    let score = if verdict.score.is_finite() { verdict.score } else { 1.0 };
    EmailSecurity {
        injection_risk_score: score,
        flags: verdict.flags.clone(),
        spf: result(|it| &it.spf),
        dkim: result(|it| &it.dkim),
        dmarc: result(|it| &it.dmarc),
        reasons: reasons.collect(),
        version: verdict.version.clone(),
        ..EmailSecurity::default()
    }
}

fn addresses(mailboxes: &[Mailbox]) -> Vec<String> {
    mailboxes.iter().map(|it| it.address.clone()).filter(|it| !it.is_empty()).collect()
}

fn attachment(attachment: &Attachment) -> EmailAttachment {
    EmailAttachment {
        filename: attachment.filename.clone(),
        content_type: attachment.content_type.clone(),
        size_bytes: attachment.size_bytes,
        ..EmailAttachment::default()
    }
}

/// NUL travels as an escape.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and numbers become JSON")
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt { what })
}
