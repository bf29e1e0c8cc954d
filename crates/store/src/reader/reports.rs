//! What reports are matched with, and what they are passed on with.

use sqlx::Row as _;

use super::Reader;
use crate::{Error, Notifiable, Sent, email, sql};

impl Reader {
    /// A mail that was accepted to be sent, and its recipients; `None` if there is none.
    pub async fn sent(&self, mail_id: &str) -> Result<Option<Sent>, Error> {
        let failed = Error::query("read whom a mail was sent to");
        let statement = "SELECT account_id, inbox_id FROM ledger \
                         WHERE email_id = $1 AND rejection_code IS NULL";
        let row = sqlx::query(statement)
            .bind(sql::text(mail_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let statement = "SELECT forward_path FROM recipients WHERE mail_id = $1 ORDER BY position";
        let forward_paths = sqlx::query_scalar(statement)
            .bind(sql::text(mail_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        Ok(Some(Sent {
            account_id: row.try_get("account_id").map_err(&failed)?,
            inbox_id: row.try_get("inbox_id").map_err(&failed)?,
            forward_paths,
        }))
    }

    /// Those of these mails whose requests want notifications, of inboxes that still take mail.
    pub async fn notifiable(&self, mail_ids: &[String]) -> Result<Vec<Notifiable>, Error> {
        let failed = Error::query("find mails to notify of");
        let mut connection = self.connection().await?;
        let statement = |ids| {
            format!(
                "SELECT l.email_id, l.notify, l.requested_at, i.address, c.octets \
                 FROM ledger l JOIN inboxes i ON i.id = l.inbox_id \
                 JOIN contents c ON c.mail_id = l.email_id \
                 WHERE l.email_id IN (VALUES {ids}) AND l.notify <> '' AND i.deleted_at IS NULL"
            )
        };
        let bind = |query: sql::Bound, id: &String| query.bind(sql::text(id));
        let rows = sql::fetch(&mut connection, mail_ids, 1, statement, bind).await;
        let rows = rows.map_err(&failed)?;
        let mut ids = Vec::new();
        for row in &rows {
            ids.push(row.try_get::<String, _>("email_id").map_err(&failed)?);
        }
        let mut emails = email::find(&mut connection, &ids).await?;
        let mut notifiable = Vec::new();
        for (row, id) in rows.iter().zip(&ids) {
            let Some(read) = emails.remove(id) else { continue };
            let notify: String = row.try_get("notify").map_err(&failed)?;
            notifiable.push(Notifiable {
                email: read.email,
                account_id: read.account_id,
                address: row.try_get("address").map_err(&failed)?,
                notify: notify.split(',').map(str::to_owned).collect(),
                octets: row.try_get("octets").map_err(&failed)?,
                requested_at: row.try_get("requested_at").map_err(&failed)?,
            });
        }
        Ok(notifiable)
    }
}
