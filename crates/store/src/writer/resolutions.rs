//! What agents decide on recipients of which nobody knows whether they have the mail.

use contract::{OutcomeResolved, Resolution};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{Writer, commit};
use crate::{
    Error, Resolved,
    delivery::{State, status},
    dialect::Dialect,
    email, sql,
};

/// A diagnostic begins so where an agent decided. It is also how a decision that comes twice finds again
/// what it was about: no server's reply begins like it.
const RESOLVED: &str = "resolved: ";

struct Row {
    forward_path: String,
    state: State,
    attempt: i64,
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
        let found = lock(&mut transaction, self.database.dialect, decision).await?;
        let Some(reverse_path) = found else { return Ok(None) };
        let mut rows = rows(&mut transaction, &decision.mail_id).await?;
        let mut recipients = Vec::new();
        for row in &mut rows {
            if row.state == State::Unknown && (row.is_held || wanted.state != State::Delayed) {
                row.state = wanted.state;
                row.diagnostic = format!("{}{}", wanted.prefix, row.diagnostic);
                write(&mut transaction, &decision.mail_id, row, &wanted).await?;
            }
            if row.state == wanted.state && row.diagnostic.starts_with(&wanted.prefix) {
                let attempt = u32::try_from(row.attempt).unwrap_or(u32::MAX);
                recipients.push((row.forward_path.clone(), attempt));
            }
        }
        sqlx::query("UPDATE emails SET status = $2 WHERE id = $1")
            .bind(decision.mail_id.clone())
            .bind(status(&rows.iter().map(|it| it.state).collect::<Vec<_>>()))
            .execute(&mut *transaction)
            .await
            .map_err(Error::query("update the status of a mail"))?;
        let id = [decision.mail_id.clone()];
        let email = email::find(&mut transaction, &id).await?.remove(&decision.mail_id);
        let email = email.ok_or(Error::Corrupt { what: "the email of a ledger entry" })?;
        commit(transaction).await?;
        Ok(Some(Resolved {
            account_id: email.account_id,
            email: email.email,
            reverse_path,
            recipients,
        }))
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

/// The reverse-path of the mail, locked against reports.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    decision: &OutcomeResolved,
) -> Result<Option<String>, Error> {
    let failed = Error::query("lock a sent mail");
    let lock = dialect.lock_rows();
    let statement = format!(
        "SELECT email_id FROM ledger WHERE email_id = $1 AND account_id = $2 \
         AND rejection_code IS NULL{lock}"
    );
    let known = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(&decision.mail_id))
        .bind(sql::text(&decision.account_id))
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
    if known.is_none() {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT reverse_path FROM mails WHERE id = $1")
        .bind(decision.mail_id.clone())
        .fetch_optional(connection)
        .await
        .map_err(failed)
}

async fn rows(connection: &mut AnyConnection, mail_id: &str) -> Result<Vec<Row>, Error> {
    let failed = Error::query("read recipients");
    let statement = "SELECT r.forward_path, r.action, r.attempt, r.diagnostic, \
                     COALESCE(MAX(a.next_attempt_at), 0) AS next_attempt_at FROM recipients r \
                     LEFT JOIN attempts a ON a.mail_id = r.mail_id \
                     AND a.forward_path = r.forward_path AND a.attempt = r.attempt \
                     WHERE r.mail_id = $1 \
                     GROUP BY r.forward_path, r.action, r.attempt, r.diagnostic, r.position \
                     ORDER BY r.position";
    let rows = sqlx::query(statement)
        .bind(mail_id.to_owned())
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    let mut recipients = Vec::new();
    for row in rows {
        let action: String = row.try_get("action").map_err(&failed)?;
        recipients.push(Row {
            forward_path: row.try_get("forward_path").map_err(&failed)?,
            state: State::parse(&action).ok_or(Error::Corrupt { what: "a recipient's state" })?,
            attempt: row.try_get("attempt").map_err(&failed)?,
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
    .bind(row.state.as_str())
    .bind(wanted.status)
    .bind(sql::text(&row.diagnostic))
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::query("update recipients"))
}
