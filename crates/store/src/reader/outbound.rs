use sqlx::{AssertSqlSafe, Row as _};

use super::Reader;
use crate::{Entered, Error, LedgerEntry, Outgoing, email, ledger, sql};

impl Reader {
    pub async fn ledger_entry(
        &self,
        inbox_id: &str,
        idempotency_key: &str,
    ) -> Result<Option<LedgerEntry>, Error> {
        let failed = Error::query("read the ledger");
        let statement = format!(
            "SELECT {} FROM {} WHERE l.inbox_id = $1 AND l.idempotency_key = $2",
            ledger::COLUMNS,
            ledger::TABLES
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(inbox_id))
            .bind(sql::text(idempotency_key))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        row.as_ref().map(ledger::entry).transpose().map_err(&failed)
    }

    /// What `Writer::enter` would say of a request that may be in the ledger already.
    pub async fn entered(
        &self,
        inbox_id: &str,
        idempotency_key: &str,
        requested_at: i64,
    ) -> Result<Option<Entered>, Error> {
        let mut connection = self.connection().await?;
        let key = (sql::text(inbox_id), sql::text(idempotency_key));
        let known = ledger::entries(&mut connection, [key].into()).await?;
        let Some(known) = known.into_values().next() else { return Ok(None) };
        let id = [known.entry.email_id.clone()];
        let email = email::find(&mut connection, &id).await?.remove(&known.entry.email_id);
        let email = email.ok_or(Error::Corrupt { what: "the email of a ledger entry" })?;
        Ok(Some(known.entered(email.email, requested_at, true)))
    }

    /// `None` if no such mail was ever accepted.
    pub async fn outgoing(&self, mail_id: &str) -> Result<Option<Outgoing>, Error> {
        let failed = Error::query("read a mail to send");
        let statement = "SELECT c.octets FROM ledger l JOIN emails e ON e.id = l.email_id \
                         JOIN contents c ON c.mail_id = e.mail_id \
                         WHERE e.mail_id = $1 AND l.rejection_code IS NULL";
        let row = sqlx::query(statement)
            .bind(sql::text(mail_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let open = "SELECT forward_path FROM recipients \
                    WHERE mail_id = $1 AND action IN ('', 'delayed') ORDER BY position";
        let open = sqlx::query_scalar(open)
            .bind(sql::text(mail_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        Ok(Some(Outgoing { octets: row.try_get("octets").map_err(&failed)?, open }))
    }
}
