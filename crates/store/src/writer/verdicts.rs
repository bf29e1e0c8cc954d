//! Verdicts that replace others.

use contract::{EmailSecurity, MailRejudged};
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Writer, commit, unchanged};
use crate::{
    Error, Rejudged, Stored,
    dialect::Dialect,
    email::{self, COLUMNS, TABLES},
    is_same_judgement, is_same_verdict, rejudged, sql,
};

impl Writer {
    /// Has a new verdict stand in place of the present one, which is kept beside it. The same event a
    /// second time changes nothing and gives the same copies again. One that is older than the present
    /// verdict, or says the same, or is about a mail that is gone, does nothing.
    pub async fn rejudge(&self, new: &MailRejudged) -> Result<Rejudged, Error> {
        let Some(verdict) = &new.verdict else { return Ok(Rejudged::default()) };
        let (mail_id, at) = (new.mail_id.as_str(), new.rejudged_at_micros);
        let mut transaction = self.database.begin().await?;
        let stored = lock(&mut transaction, self.database.dialect, mail_id).await?;
        let Some(stored) = stored else { return unchanged(transaction, Rejudged::default()).await };
        let before = replaced(&mut transaction, mail_id, at).await?;
        let is_new = before.is_none();
        let before = before.unwrap_or_else(|| stored.clone());
        let after = rejudged(&before, verdict);
        if is_new {
            let is_late = last_replaced(&mut transaction, mail_id).await? > at;
            if is_late || is_same_judgement(&before, &after) {
                return unchanged(transaction, Rejudged::default()).await;
            }
            replace(&mut transaction, new, &before, &after).await?;
        }
        let copies = match is_same_verdict(&before, &after) {
            true => Vec::new(),
            false => copies(&mut transaction, mail_id, !is_new).await?,
        };
        commit(transaction).await?;
        Ok(Rejudged { copies, is_new })
    }
}

/// The present verdict of a mail, whose row nobody else changes until the transaction ends.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    mail_id: &str,
) -> Result<Option<EmailSecurity>, Error> {
    let statement = format!("SELECT security FROM mails WHERE id = $1{}", dialect.lock_rows());
    let text: Option<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(sql::text(mail_id))
        .fetch_optional(connection)
        .await
        .map_err(Error::query("lock a mail"))?;
    text.map(|it| email::from_json(&it, "verdict")).transpose()
}

/// The verdict that was replaced at this moment.
async fn replaced(
    connection: &mut AnyConnection,
    mail_id: &str,
    at: i64,
) -> Result<Option<EmailSecurity>, Error> {
    let statement = "SELECT security FROM verdicts WHERE mail_id = $1 AND replaced_at = $2";
    let text: Option<String> = sqlx::query_scalar(statement)
        .bind(sql::text(mail_id))
        .bind(at)
        .fetch_optional(connection)
        .await
        .map_err(Error::query("read a replaced verdict"))?;
    text.map(|it| email::from_json(&it, "verdict")).transpose()
}

async fn last_replaced(connection: &mut AnyConnection, mail_id: &str) -> Result<i64, Error> {
    let statement = "SELECT COALESCE(MAX(replaced_at), 0) FROM verdicts WHERE mail_id = $1";
    sqlx::query_scalar(statement)
        .bind(sql::text(mail_id))
        .fetch_one(connection)
        .await
        .map_err(Error::query("read replaced verdicts"))
}

async fn replace(
    connection: &mut AnyConnection,
    new: &MailRejudged,
    before: &EmailSecurity,
    after: &EmailSecurity,
) -> Result<(), Error> {
    let failed = Error::query("replace a verdict");
    let keep = "INSERT INTO verdicts (mail_id, replaced_at, security) VALUES ($1, $2, $3)";
    sqlx::query(keep)
        .bind(sql::text(&new.mail_id))
        .bind(new.rejudged_at_micros)
        .bind(email::to_json(before))
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    sqlx::query("UPDATE mails SET security = $2 WHERE id = $1")
        .bind(sql::text(&new.mail_id))
        .bind(email::to_json(after))
        .execute(connection)
        .await
        .map_err(&failed)?;
    Ok(())
}

/// The mail in the inboxes that it came to.
async fn copies(
    connection: &mut AnyConnection,
    mail_id: &str,
    repeated: bool,
) -> Result<Vec<Stored>, Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE e.mail_id = $1 AND e.direction = 'inbound' \
         ORDER BY e.id"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(mail_id))
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::query("read emails"))?;
    let found = email::read(connection, rows).await?;
    let stored = |it: email::Read| Stored {
        account_id: it.account_id,
        email: it.email,
        repeated,
        // It did when it came; a judgement continues nothing.
        continues_thread: false,
    };
    Ok(found.into_iter().map(stored).collect())
}
