//! What agents decide on recipients of which nobody knows whether they have the mail.

use contract::{OutcomeResolved, Resolution};
use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit, reports, unchanged};
use crate::{Error, Resolved, delivery::State, email, sql, standing::Failing};

/// A diagnostic begins so where an agent decided. It is also how a decision that comes twice finds again
/// what it was about: no server's reply begins like it.
const RESOLVED: &str = "resolved: ";

/// What is known of a recipient beside its state.
struct Row {
    forward_path: String,
    diagnostic: String,
    /// Nothing is scheduled for it.
    is_held: bool,
}

impl Writer {
    /// Records a decision. `None` if the account never sent such a mail. A decision that comes again is
    /// about the same recipients; one to retry leaves those alone that are tried again anyway.
    pub async fn resolve(&self, decision: &OutcomeResolved) -> Result<Option<Resolved>, Error> {
        let Some(wanted) = Wanted::of(decision.resolution()) else { return Ok(None) };
        let mut transaction = self.database.begin().await?;
        let id = [decision.mail_id.clone()];
        let mut mails = reports::lock(&mut transaction, self.database.dialect, &id).await?;
        let reverse_path = reverse_path(&mut transaction, decision).await?;
        let (Some(mail), Some(reverse_path)) = (mails.get_mut(&decision.mail_id), reverse_path)
        else {
            return unchanged(transaction, None).await;
        };
        let mut recipients = Vec::new();
        for mut row in rows(&mut transaction, &decision.mail_id).await? {
            let Some(recipient) = mail.recipients.get_mut(&row.forward_path) else { continue };
            let is_open = row.is_held || wanted.state != State::Delayed;
            if recipient.state == State::Unknown && is_open {
                mail.tally.count(recipient.state, wanted.state, Failing::Refused);
                recipient.state = wanted.state;
                row.diagnostic = format!("{}{}", wanted.prefix, row.diagnostic);
                write(&mut transaction, &decision.mail_id, &row, &wanted).await?;
            }
            if recipient.state == wanted.state && row.diagnostic.starts_with(&wanted.prefix) {
                let attempt = u32::try_from(recipient.attempt).unwrap_or(u32::MAX);
                recipients.push((row.forward_path, attempt));
            }
        }
        reports::set_status(&mut transaction, &decision.mail_id, mail.status()).await?;
        self.settle(&mut transaction, reports::tallies(&mails)).await?;
        let email = email::find(&mut transaction, &id).await?.remove(&decision.mail_id);
        let email = email.ok_or(Error::Corrupt { what: "the email of a ledger entry" })?;
        commit(transaction).await?;
        let (account_id, email) = (email.account_id, email.email);
        Ok(Some(Resolved { account_id, email, reverse_path, recipients }))
    }
}

/// What a decision makes of a recipient.
struct Wanted {
    state: State,
    status: &'static str,
    prefix: String,
}

impl Wanted {
    fn of(resolution: Resolution) -> Option<Wanted> {
        let (state, status, word) = match resolution {
            Resolution::Unspecified => return None,
            Resolution::Sent => (State::Delivered, "2.0.0", "sent"),
            Resolution::Retry => (State::Delayed, "4.4.2", "to be sent again"),
        };
        Some(Wanted { state, status, prefix: format!("{RESOLVED}{word}; before: ") })
    }
}

/// That of the mail, if the account has sent it.
async fn reverse_path(
    connection: &mut AnyConnection,
    decision: &OutcomeResolved,
) -> Result<Option<String>, Error> {
    let statement = "SELECT m.reverse_path FROM ledger l JOIN mails m ON m.id = l.email_id \
                     WHERE l.email_id = $1 AND l.account_id = $2 AND l.rejection_code IS NULL";
    sqlx::query_scalar(statement)
        .bind(sql::text(&decision.mail_id))
        .bind(sql::text(&decision.account_id))
        .fetch_optional(connection)
        .await
        .map_err(Error::query("find a sent mail"))
}

async fn rows(connection: &mut AnyConnection, mail_id: &str) -> Result<Vec<Row>, Error> {
    let failed = Error::query("read recipients");
    let statement = "SELECT r.forward_path, r.diagnostic, \
                     COALESCE(MAX(a.next_attempt_at), 0) AS next_attempt_at FROM recipients r \
                     LEFT JOIN attempts a ON a.mail_id = r.mail_id \
                     AND a.forward_path = r.forward_path AND a.attempt = r.attempt \
                     WHERE r.mail_id = $1 GROUP BY r.forward_path, r.diagnostic, r.position \
                     ORDER BY r.position";
    let rows = sqlx::query(statement)
        .bind(mail_id.to_owned())
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    let mut recipients = Vec::new();
    for row in rows {
        recipients.push(Row {
            forward_path: row.try_get("forward_path").map_err(&failed)?,
            diagnostic: row.try_get("diagnostic").map_err(&failed)?,
            is_held: row.try_get::<i64, _>("next_attempt_at").map_err(&failed)? == 0,
        });
    }
    Ok(recipients)
}

async fn write(
    connection: &mut AnyConnection,
    mail_id: &str,
    row: &Row,
    wanted: &Wanted,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE recipients SET action = $3, status = $4, diagnostic = $5 \
         WHERE mail_id = $1 AND forward_path = $2",
    )
    .bind(mail_id.to_owned())
    .bind(row.forward_path.clone())
    .bind(wanted.state.as_str())
    .bind(wanted.status)
    .bind(sql::text(&row.diagnostic))
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::query("update recipients"))
}
