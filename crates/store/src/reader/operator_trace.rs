//! A mail by whatever somebody knows of it, and all that became of it.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Error, Life, TracedCall, TracedHold, TracedMail, TracedRecipient, TracedRequest, TracedTurn,
    sql,
};

/// Each finds the newest emails by one thing that is known of them. $1 as it was given, $2 in lower case,
/// $3 how many.
const WAYS: [&str; 6] = [
    "SELECT id FROM emails WHERE id = $1 AND $2 = $2 LIMIT $3",
    "SELECT id FROM emails WHERE mail_id = $1 AND $2 = $2 LIMIT $3",
    "SELECT e.id FROM mails m JOIN emails e ON e.mail_id = m.id \
     WHERE m.message_id = $1 AND $2 = $2 ORDER BY e.created_at DESC LIMIT $3",
    "SELECT e.id FROM ledger l JOIN emails e ON e.id = l.email_id \
     WHERE l.idempotency_key = $1 AND $2 = $2 ORDER BY e.created_at DESC LIMIT $3",
    "SELECT e.id FROM recipients r JOIN emails e ON e.mail_id = r.mail_id \
     AND e.direction = 'outbound' WHERE lower(r.forward_path) = $2 AND $1 = $1 \
     ORDER BY e.created_at DESC LIMIT $3",
    // Of an inbox, what it received.
    "SELECT id FROM emails WHERE inbox_id = (SELECT id FROM inboxes \
     WHERE lower(address) = $2 OR canonical = $1 ORDER BY created_at DESC LIMIT 1) \
     AND direction = 'inbound' ORDER BY created_at DESC LIMIT $3",
];

const MAIL: &str = "SELECT e.id, e.mail_id, e.account_id, e.inbox_id, i.address, e.direction, \
    e.status, e.created_at, e.received_at, e.screening, m.from_address, m.reverse_path, \
    m.message_id, m.security, l.idempotency_key, l.requested_at, l.entered_at, l.send_at, \
    l.rejection_code, l.rejection_message FROM emails e JOIN mails m ON m.id = e.mail_id \
    JOIN inboxes i ON i.id = e.inbox_id LEFT JOIN ledger l ON l.email_id = e.id";

impl Reader {
    /// The newest mails that this is the id, the mail id, the Message-ID (without angle brackets), the
    /// idempotency key or a recipient of, whoever they belong to.
    pub async fn trace(&self, sought: &str, limit: i64) -> Result<Vec<TracedMail>, Error> {
        let failed = Error::query("look for a mail");
        let mut connection = self.connection().await?;
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for way in WAYS {
            let found: Vec<String> = sqlx::query_scalar(way)
                .bind(sql::text(sought))
                .bind(sql::text(&sought.to_lowercase()))
                .bind(limit)
                .fetch_all(&mut *connection)
                .await
                .map_err(&failed)?;
            ids.extend(found);
        }
        let ids: Vec<String> = ids.into_iter().collect();
        let statement = |ids| format!("{MAIL} WHERE e.id IN (VALUES {ids})");
        let bind = |query: sql::Bound, id: &String| query.bind(id.clone());
        let rows = sql::fetch(&mut connection, &ids, 1, statement, bind).await.map_err(&failed)?;
        let mails: sqlx::Result<Vec<TracedMail>> = rows.iter().map(mail).collect();
        let mut mails = mails.map_err(&failed)?;
        mails.sort_by(|a, b| (b.created_at, &b.email_id).cmp(&(a.created_at, &a.email_id)));
        mails.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(mails)
    }

    /// What became of a mail, beside its attempts (`deliveries`) and decisions (`audit`).
    pub async fn life(&self, mail: TracedMail) -> Result<Life, Error> {
        let mut connection = self.connection().await?;
        Ok(Life {
            hold: hold_of(&mut connection, &mail.email_id).await?,
            turn: turn_of(&mut connection, &mail.email_id).await?,
            recipients: recipients_of(&mut connection, &mail).await?,
            mail,
        })
    }

    /// The calls of an account's webhooks that told of these events, oldest first.
    pub async fn calls_about(
        &self,
        account_id: &str,
        event_ids: &[String],
    ) -> Result<Vec<TracedCall>, Error> {
        let failed = Error::query("read the calls of webhooks");
        let mut connection = self.connection().await?;
        let webhooks: Vec<String> =
            sqlx::query_scalar("SELECT id FROM webhooks WHERE account_id = $1 ORDER BY id")
                .bind(sql::text(account_id))
                .fetch_all(&mut *connection)
                .await
                .map_err(&failed)?;
        let pairs: Vec<(&String, &String)> =
            webhooks.iter().flat_map(|it| event_ids.iter().map(move |event| (it, event))).collect();
        let statement = |tuples| {
            format!(
                "SELECT webhook_id, event_id, event, attempt, outcome, status, error, attempted_at, \
                 next_attempt_at FROM webhook_attempts WHERE (webhook_id, event_id) IN \
                 (VALUES {tuples})"
            )
        };
        let bind = |query: sql::Bound, (webhook, event): &(&String, &String)| {
            query.bind((*webhook).clone()).bind(sql::text(event))
        };
        let rows =
            sql::fetch(&mut connection, &pairs, 2, statement, bind).await.map_err(&failed)?;
        let calls: sqlx::Result<Vec<TracedCall>> = rows.iter().map(call).collect();
        let mut calls = calls.map_err(&failed)?;
        calls.sort_by_key(|it| it.attempted_at);
        Ok(calls)
    }
}

fn mail(row: &AnyRow) -> sqlx::Result<TracedMail> {
    let key: Option<String> = row.try_get("idempotency_key")?;
    let request = match key {
        None => None,
        Some(idempotency_key) => {
            let code: Option<String> = row.try_get("rejection_code")?;
            let message: Option<String> = row.try_get("rejection_message")?;
            Some(TracedRequest {
                idempotency_key,
                requested_at: row.try_get("requested_at")?,
                entered_at: row.try_get("entered_at")?,
                send_at: row.try_get("send_at")?,
                rejection: code.map(|code| (code, message.unwrap_or_default())),
            })
        }
    };
    Ok(TracedMail {
        email_id: row.try_get("id")?,
        mail_id: row.try_get("mail_id")?,
        account_id: row.try_get("account_id")?,
        inbox_id: row.try_get("inbox_id")?,
        address: row.try_get("address")?,
        direction: row.try_get("direction")?,
        status: row.try_get("status")?,
        from: row.try_get("from_address")?,
        reverse_path: row.try_get("reverse_path")?,
        message_id: row.try_get("message_id")?,
        created_at: row.try_get("created_at")?,
        received_at: row.try_get("received_at")?,
        security: row.try_get("security")?,
        screening: row.try_get("screening")?,
        request,
    })
}

async fn hold_of(
    connection: &mut AnyConnection,
    email_id: &str,
) -> Result<Option<TracedHold>, Error> {
    let failed = Error::query("read a hold");
    let statement = "SELECT state, reasons, created_at, expires_at, decided_at, decided_by, note \
                     FROM holds WHERE email_id = $1";
    let row = sqlx::query(statement)
        .bind(email_id.to_owned())
        .fetch_optional(connection)
        .await
        .map_err(&failed)?;
    let hold = |row: &AnyRow| -> sqlx::Result<TracedHold> {
        Ok(TracedHold {
            state: row.try_get("state")?,
            reasons: row.try_get("reasons")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            decided_at: row.try_get("decided_at")?,
            decided_by: row.try_get("decided_by")?,
            note: row.try_get("note")?,
        })
    };
    row.as_ref().map(hold).transpose().map_err(&failed)
}

async fn turn_of(
    connection: &mut AnyConnection,
    email_id: &str,
) -> Result<Option<TracedTurn>, Error> {
    let failed = Error::query("read a mail's place in the outbox");
    let statement = "SELECT state, due_at, held_reason, held_until, released_at FROM outbox \
                     WHERE email_id = $1";
    let row = sqlx::query(statement)
        .bind(email_id.to_owned())
        .fetch_optional(connection)
        .await
        .map_err(&failed)?;
    let turn = |row: &AnyRow| -> sqlx::Result<TracedTurn> {
        Ok(TracedTurn {
            state: row.try_get("state")?,
            due_at: row.try_get("due_at")?,
            held_reason: row.try_get("held_reason")?,
            held_until: row.try_get("held_until")?,
            released_at: row.try_get("released_at")?,
        })
    };
    row.as_ref().map(turn).transpose().map_err(&failed)
}

async fn recipients_of(
    connection: &mut AnyConnection,
    mail: &TracedMail,
) -> Result<Vec<TracedRecipient>, Error> {
    let failed = Error::query("read recipients");
    let columns = "forward_path, action, status, diagnostic, remote_host, attempt, reported";
    let statement =
        format!("SELECT {columns} FROM recipients WHERE mail_id = $1 ORDER BY position");
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(mail.mail_id.clone())
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    let recipient = |row: &AnyRow| -> sqlx::Result<TracedRecipient> {
        Ok(TracedRecipient {
            address: row.try_get("forward_path")?,
            action: row.try_get("action")?,
            status: row.try_get("status")?,
            diagnostic: row.try_get("diagnostic")?,
            remote_host: row.try_get("remote_host")?,
            attempt: row.try_get("attempt")?,
            reported: row.try_get("reported")?,
        })
    };
    rows.iter().map(recipient).collect::<sqlx::Result<_>>().map_err(&failed)
}

fn call(row: &AnyRow) -> sqlx::Result<TracedCall> {
    Ok(TracedCall {
        webhook_id: row.try_get("webhook_id")?,
        event_id: row.try_get("event_id")?,
        event: row.try_get("event")?,
        attempt: row.try_get("attempt")?,
        outcome: row.try_get("outcome")?,
        status: row.try_get("status")?,
        error: row.try_get("error")?,
        attempted_at: row.try_get("attempted_at")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
    })
}
