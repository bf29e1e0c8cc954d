use contract::EmailSecurity;
use sqlx::{Row as _, any::AnyRow};

use super::Reader;
use crate::{Error, JudgedMail, ReplayFilter, VerdictAt, email, sql};

impl Reader {
    /// Received mails by their identifiers, which rise with time, in pages without their contents.
    pub async fn judged_mails(
        &self,
        filter: &ReplayFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<JudgedMail>, Error> {
        let failed = Error::query("read mails to judge anew");
        // The copies are looked up mail by mail, in the order of the key: no page sorts the table.
        let statement = "SELECT m.id, m.security, \
               (SELECT MIN(e.id) FROM emails e \
                WHERE e.mail_id = m.id AND e.direction = 'inbound') AS email_id, \
               (SELECT MIN(e.created_at) FROM emails e \
                WHERE e.mail_id = m.id AND e.direction = 'inbound') AS stored_at \
             FROM mails m WHERE m.id > $1 AND EXISTS (SELECT 1 FROM emails e \
               WHERE e.mail_id = m.id AND e.direction = 'inbound' \
               AND ($2 = '' OR e.account_id = $2) AND ($3 = '' OR e.inbox_id = $3) \
               AND e.created_at >= $4 AND e.created_at < $5) \
             ORDER BY m.id LIMIT $6";
        let rows = sqlx::query(statement)
            .bind(sql::text(after))
            .bind(sql::text(&filter.account_id))
            .bind(sql::text(&filter.inbox_id))
            .bind(filter.since.unwrap_or(i64::MIN))
            .bind(filter.until.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mail = |row: &AnyRow| {
            Ok(JudgedMail {
                mail_id: row.try_get("id").map_err(&failed)?,
                email_id: row.try_get("email_id").map_err(&failed)?,
                stored_at: row.try_get("stored_at").map_err(&failed)?,
                security: security(row)?,
            })
        };
        rows.iter().map(mail).collect()
    }

    /// The octets of a mail, our header lines on top; `None` if it is gone.
    pub async fn content(&self, mail_id: &str) -> Result<Option<Vec<u8>>, Error> {
        sqlx::query_scalar("SELECT octets FROM contents WHERE mail_id = $1")
            .bind(sql::text(mail_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read the content of a mail"))
    }

    /// What a received email was judged, newest first. None of one that was sent.
    pub async fn verdicts(
        &self,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Vec<VerdictAt>, Error> {
        let failed = Error::query("read verdicts");
        let email = "SELECT e.mail_id, e.created_at, m.security FROM emails e \
                     JOIN mails m ON m.id = e.mail_id WHERE e.id = $1 AND e.inbox_id = $2 \
                     AND e.account_id = $3 AND e.direction = 'inbound'";
        let row = sqlx::query(email)
            .bind(sql::text(email_id))
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let mail_id: String = row.try_get("mail_id").map_err(&failed)?;
        let stored_at = row.try_get("created_at").map_err(&failed)?;
        let earlier = "SELECT replaced_at, security FROM verdicts WHERE mail_id = $1 \
                       ORDER BY replaced_at";
        let rows = sqlx::query(earlier)
            .bind(mail_id)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut verdicts = Vec::new();
        let mut judged_at = stored_at;
        for it in &rows {
            let replaced_at = it.try_get("replaced_at").map_err(&failed)?;
            verdicts.push(VerdictAt {
                security: security(it)?,
                judged_at,
                replaced_at: Some(replaced_at),
            });
            judged_at = replaced_at;
        }
        verdicts.push(VerdictAt { security: security(&row)?, judged_at, replaced_at: None });
        verdicts.reverse();
        Ok(verdicts)
    }
}

fn security(row: &AnyRow) -> Result<EmailSecurity, Error> {
    let text: String = row.try_get("security").map_err(Error::query("read a verdict"))?;
    email::from_json(&text, "verdict")
}
