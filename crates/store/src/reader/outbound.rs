use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{Delivery, Entered, Error, LedgerEntry, Outgoing, delivery::State, email, ledger, sql};

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

    /// Every attempt to deliver a sent email and every later report, oldest first; none of one that was
    /// received.
    pub async fn deliveries(
        &self,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Vec<Delivery>, Error> {
        let failed = Error::query("read delivery attempts");
        let statement = "SELECT a.*, r.position FROM (\
                           SELECT mail_id, forward_path, domain, attempt, attempted_at, \
                           'session' AS source, action, status, diagnostic, remote_host, tls, \
                           next_attempt_at FROM attempts WHERE mail_id = $1 UNION ALL \
                           SELECT mail_id, forward_path, '', 0, reported_at, source, action, status, \
                           diagnostic, remote_host, '', 0 FROM reports WHERE mail_id = $1) AS a \
                         JOIN emails e ON e.mail_id = a.mail_id \
                         LEFT JOIN recipients r ON r.mail_id = a.mail_id \
                         AND r.forward_path = a.forward_path \
                         WHERE e.id = $1 AND e.inbox_id = $2 AND e.account_id = $3 \
                         AND e.direction = 'outbound' \
                         ORDER BY a.attempted_at, a.attempt, a.domain, r.position, a.source, \
                         a.action";
        let rows = sqlx::query(statement)
            .bind(sql::text(email_id))
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(delivery).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// `None` if no such mail was ever accepted.
    pub async fn outgoing(&self, mail_id: &str) -> Result<Option<Outgoing>, Error> {
        let failed = Error::query("read a mail to send");
        let statement = "SELECT c.octets, n.list_id FROM ledger l \
                         JOIN emails e ON e.id = l.email_id \
                         JOIN contents c ON c.mail_id = e.mail_id \
                         LEFT JOIN list_mails n ON n.mail_id = e.mail_id \
                         WHERE e.mail_id = $1 AND l.rejection_code IS NULL";
        let row = sqlx::query(statement)
            .bind(sql::text(mail_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let statement = "SELECT forward_path, action FROM recipients WHERE mail_id = $1 \
                         AND action IN ('', 'delayed', 'unknown') ORDER BY position";
        let rows = sqlx::query(statement)
            .bind(sql::text(mail_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let octets = row.try_get("octets").map_err(&failed)?;
        let list_id = row.try_get("list_id").map_err(&failed)?;
        let mut outgoing = Outgoing { octets, open: Vec::new(), unknown: Vec::new(), list_id };
        for row in rows {
            let path = row.try_get("forward_path").map_err(&failed)?;
            match row.try_get::<String, _>("action").map_err(&failed)?.as_str() {
                "unknown" => outgoing.unknown.push(path),
                _ => outgoing.open.push(path),
            }
        }
        Ok(Some(outgoing))
    }
}

fn delivery(row: &AnyRow) -> sqlx::Result<Delivery> {
    let action: String = row.try_get("action")?;
    let next_attempt_at: i64 = row.try_get("next_attempt_at")?;
    // The attempt's; those of its recipients who are settled have none.
    let is_open = [State::Delayed, State::Unknown].iter().any(|it| it.as_str() == action);
    Ok(Delivery {
        recipient: row.try_get("forward_path")?,
        domain: row.try_get("domain")?,
        attempt: row.try_get("attempt")?,
        attempted_at: row.try_get("attempted_at")?,
        source: row.try_get("source")?,
        action,
        status: row.try_get("status")?,
        diagnostic: row.try_get("diagnostic")?,
        remote_host: row.try_get("remote_host")?,
        tls: row.try_get("tls")?,
        next_attempt_at: Some(next_attempt_at).filter(|it| is_open && *it > 0),
    })
}
