//! What somebody decides on a mail in quarantine.

use contract::{Email, EmailDecision, MailReviewed, Message, Review};
use sqlx::{AnyConnection, Row as _};

use super::{
    Writer,
    acquaintances::{self, Heard, pair},
    attachment_texts, audit, commit,
    emails::{self, EmailRow},
    expectations::{self, Entering},
    screening_settings, threads, unchanged,
};
use crate::{
    Actor, AuditEntry, Direction, Error, Offer, SenderList, SenderRule,
    dialect::Indexed,
    email,
    moment::{now, rfc3339},
    screening::Screening,
    sender_entry, sql,
    threading::{Candidate, Keys},
    words,
};

/// The statuses of mail that is kept from agents, and of mail they can read.
pub(crate) const QUARANTINED: &str = "quarantined";
const REFUSED: &str = "refused";
const RECEIVED: &str = "received";

/// A mail that somebody has decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Reviewed {
    pub account_id: String,
    pub email: Email,
}

/// A mail that may be in quarantine.
struct Kept {
    mail_id: String,
    inbox_id: String,
    /// When a mail that enters the inbox now becomes readable.
    free_at: i64,
    status: String,
    received_at: Option<i64>,
    screening: Screening,
}

impl Writer {
    /// Does as decided. A mail that is released enters its inbox now: in its thread, found by a search,
    /// counted, and newer than all else. `message` is what its content says; a mail is not released without
    /// it, and `offer` what it has for those who expect something. `None` if the account has no such mail in
    /// quarantine; the same decision once more is told again.
    pub async fn review(
        &self,
        decided: &MailReviewed,
        message: Option<&Message>,
        offer: Option<&Offer>,
    ) -> Result<Option<Reviewed>, Error> {
        let mut transaction = self.database.begin().await?;
        let Some(mut kept) = self.lock_kept(&mut transaction, decided).await? else {
            return unchanged(transaction, None).await;
        };
        let decision = decision(decided);
        let is_repeat = kept.screening.decision.as_ref() == Some(&decision);
        if !is_repeat {
            if kept.status != QUARANTINED || kept.screening.decision.is_some() {
                return unchanged(transaction, None).await;
            }
            kept.screening.decision = Some(decision);
            match (decided.review(), message) {
                (Review::Refused, _) => refuse(&mut transaction, decided, &kept).await?,
                (Review::Released, Some(message)) => {
                    self.deliver(&mut transaction, decided, &kept, message).await?;
                    self.meet(&mut transaction, decided, &kept, message, offer).await?;
                }
                _ => return unchanged(transaction, None).await,
            }
            record(&mut transaction, decided, &kept).await?;
        }
        let email_ids = [decided.email_id.clone()];
        let email = email::find(&mut transaction, &email_ids).await?.remove(&decided.email_id);
        let email = email.ok_or(Error::Corrupt { what: "an email in quarantine" })?.email;
        commit(transaction).await?;
        Ok(Some(Reviewed { account_id: decided.account_id.clone(), email }))
    }

    /// The inbox is locked first, as whoever stores mail does.
    async fn lock_kept(
        &self,
        connection: &mut AnyConnection,
        decided: &MailReviewed,
    ) -> Result<Option<Kept>, Error> {
        let failed = Error::query("read a mail in quarantine");
        let statement = "SELECT inbox_id FROM emails WHERE id = $1 AND account_id = $2 \
                         AND screening IS NOT NULL";
        let inbox_id: Option<String> = sqlx::query_scalar(statement)
            .bind(sql::text(&decided.email_id))
            .bind(sql::text(&decided.account_id))
            .fetch_optional(&mut *connection)
            .await
            .map_err(&failed)?;
        let Some(inbox_id) = inbox_id else { return Ok(None) };
        let dialect = self.database.dialect;
        let inboxes = [inbox_id.clone()].into();
        let inboxes = emails::lock_inboxes(connection, dialect, inboxes, now()).await?;
        let Some(inbox) = inboxes.get(&inbox_id) else { return Ok(None) };
        let statement = "SELECT mail_id, status, received_at, screening FROM emails WHERE id = $1";
        let row = sqlx::query(statement)
            .bind(sql::text(&decided.email_id))
            .fetch_one(connection)
            .await
            .map_err(&failed)?;
        let screening: String = row.try_get("screening").map_err(&failed)?;
        Ok(Some(Kept {
            mail_id: row.try_get("mail_id").map_err(&failed)?,
            inbox_id,
            free_at: inbox.created_at,
            status: row.try_get("status").map_err(&failed)?,
            received_at: row.try_get("received_at").map_err(&failed)?,
            screening: email::from_json(&screening, "screening")?,
        }))
    }

    /// Into its inbox, as if it came now.
    async fn deliver(
        &self,
        connection: &mut AnyConnection,
        decided: &MailReviewed,
        kept: &Kept,
        message: &Message,
    ) -> Result<(), Error> {
        let dialect = self.database.dialect;
        let mut rows = [EmailRow {
            id: decided.email_id.clone(),
            mail_id: kept.mail_id.clone(),
            inbox_id: kept.inbox_id.clone(),
            account_id: decided.account_id.clone(),
            direction: Direction::Inbound,
            status: RECEIVED,
            thread_id: None,
            created_at: kept.free_at,
            received_at: kept.received_at,
            no_auto_reply: None,
            screening: Some(email::to_json(&kept.screening)),
            is_hidden: false,
        }];
        let candidate = candidate(connection, &rows[0], message).await?;
        threads::thread(connection, &mut rows, &[candidate]).await?;
        let [row] = &rows;
        show(connection, row).await?;
        emails::count(connection, &rows).await?;
        let mail = email::MailRow::of(&kept.mail_id, message);
        let attached = attachment_texts::of(connection, &kept.mail_id).await?;
        let attached = attached.iter().map(String::as_str);
        let texts = mail.words().chain([message.text.as_str()]).chain(attached);
        let words = words::scoped(&decided.account_id, &words::index(texts));
        let indexed = [Indexed { email_id: decided.email_id.clone(), words }];
        dialect.index(connection, &indexed).await.map_err(Error::query("index mails"))?;
        remember(connection, row, message, kept).await?;
        if decided.allow_sender {
            allow(connection, decided, kept, &mail.from_address).await?;
        }
        Ok(())
    }
}

impl Writer {
    /// It may be what is expected, as if it came now; it is as old as it is.
    async fn meet(
        &self,
        connection: &mut AnyConnection,
        decided: &MailReviewed,
        kept: &Kept,
        message: &Message,
        offer: Option<&Offer>,
    ) -> Result<(), Error> {
        let Some(offer) = offer else { return Ok(()) };
        let entering = Entering {
            email_id: decided.email_id.clone(),
            inbox_id: kept.inbox_id.clone(),
            received_at: kept.received_at.unwrap_or_default(),
            is_authenticated: kept.screening.is_authenticated,
            message,
            offer,
        };
        expectations::meet_all(connection, self.database.dialect, &[entering]).await
    }
}

fn decision(decided: &MailReviewed) -> EmailDecision {
    let action = if decided.review() == Review::Released { "released" } else { REFUSED };
    EmailDecision {
        action: action.to_owned(),
        decided_at: rfc3339(decided.reviewed_at_micros),
        decided_by: decided.decided_by.clone(),
        reason: sql::text(&decided.reason),
    }
}

async fn refuse(
    connection: &mut AnyConnection,
    decided: &MailReviewed,
    kept: &Kept,
) -> Result<(), Error> {
    sqlx::query("UPDATE emails SET status = $2, screening = $3 WHERE id = $1")
        .bind(decided.email_id.clone())
        .bind(REFUSED)
        .bind(email::to_json(&kept.screening))
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::query("refuse a mail"))
}

async fn show(connection: &mut AnyConnection, row: &EmailRow) -> Result<(), Error> {
    sqlx::query(
        "UPDATE emails SET status = $2, hidden = 0, thread_id = $3, created_at = $4, \
         screening = $5 WHERE id = $1",
    )
    .bind(row.id.clone())
    .bind(row.status)
    .bind(row.thread_id.clone())
    .bind(row.created_at)
    .bind(row.screening.clone())
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::query("release a mail"))
}

async fn candidate(
    connection: &mut AnyConnection,
    row: &EmailRow,
    message: &Message,
) -> Result<Candidate, Error> {
    let keys = Keys::of(message);
    let mail = email::MailRow::of(&row.mail_id, message);
    let (inbox_id, created_at) = (&row.inbox_id, row.created_at);
    let named = if keys.refers {
        None
    } else {
        let (subject, sender) = (&mail.subject, &mail.from_address);
        threads::by_subject(connection, inbox_id, subject, sender, created_at).await?
    };
    Ok(Candidate { keys, subject: mail.subject, created_at, named })
}

/// Somebody vouches for the mail, so its sender is known from now on.
async fn remember(
    connection: &mut AnyConnection,
    row: &EmailRow,
    message: &Message,
    kept: &Kept,
) -> Result<(), Error> {
    let Some(sender) = message.from.iter().find(|it| !it.address.is_empty()) else {
        return Ok(());
    };
    let heard = Heard {
        name: sender.name.clone(),
        at: row.created_at,
        received: 1,
        authenticated: i64::from(kept.screening.is_authenticated),
    };
    let heard = [(pair(&row.inbox_id, &sender.address), heard)].into();
    acquaintances::remember(connection, &heard).await
}

async fn allow(
    connection: &mut AnyConnection,
    decided: &MailReviewed,
    kept: &Kept,
    sender: &str,
) -> Result<(), Error> {
    // An address that is none is nobody to be allowed.
    let Ok(entry) = sender_entry(sender) else { return Ok(()) };
    let rule = SenderRule {
        account_id: decided.account_id.clone(),
        inbox_id: Some(kept.inbox_id.clone()),
        list: SenderList::Allow,
        entry,
        note: decided.reason.clone(),
        created_at: now(),
    };
    let actor = Actor { id: decided.decided_by.clone(), reason: decided.reason.clone() };
    screening_settings::list(connection, &rule, &actor).await.map(drop)
}

async fn record(
    connection: &mut AnyConnection,
    decided: &MailReviewed,
    kept: &Kept,
) -> Result<(), Error> {
    let action = match decided.review() {
        Review::Released => "email.released",
        _ => "email.refused",
    };
    let entry = AuditEntry {
        account_id: decided.account_id.clone(),
        inbox_id: Some(kept.inbox_id.clone()),
        email_id: Some(decided.email_id.clone()),
        action: action.to_owned(),
        actor: Actor { id: decided.decided_by.clone(), reason: decided.reason.clone() },
        details: "{}".to_owned(),
        ..AuditEntry::default()
    };
    audit::record(connection, &entry).await
}
