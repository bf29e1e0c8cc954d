//! How webhooks get on, as posthouse-webhooks writes it.

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{
    Writer, commit, unchanged,
    webhooks::{locked, position, switch_off},
};
use crate::{
    ATTEMPTS_KEPT, Announcement, Error, Lane, Leased, Round, WebhookAttempt, moment::now,
    reader::webhooks::webhook, sql,
};

impl Writer {
    /// Notes that webhooks have to hear of events of this stream: the newest of each. Returns those that
    /// nobody is at work on; who is looks once more before he ends.
    pub async fn want_webhooks(
        &self,
        stream: i64,
        wanted: &[(String, u64)],
    ) -> Result<Vec<String>, Error> {
        let failed = Error::query("note what webhooks have to hear of");
        let mut wanted: Vec<&(String, u64)> = wanted.iter().collect();
        // So that no two wait for each other.
        wanted.sort();
        let mut transaction = self.database.begin().await?;
        let mut idle = Vec::new();
        for (id, sequence) in wanted {
            let row = sqlx::query(
                "UPDATE webhooks SET wanted = CASE WHEN stream = $2 AND wanted > $3 THEN wanted \
                 ELSE $3 END WHERE id = $1 AND enabled = 1 RETURNING leased_until",
            )
            .bind(id.clone())
            .bind(stream)
            .bind(position(*sequence))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
            let Some(row) = row else { continue };
            if row.try_get::<i64, _>("leased_until").map_err(&failed)? <= now() {
                idle.push(id.clone());
            }
        }
        commit(transaction).await?;
        Ok(idle)
    }

    /// Takes a webhook for as long as the lease lasts, in microseconds.
    pub async fn lease_webhook(
        &self,
        webhook_id: &str,
        owner: &str,
        lease: i64,
    ) -> Result<Leased, Error> {
        let failed = Error::query("take a webhook");
        let mut transaction = self.database.begin().await?;
        let statement = locked(self.database.dialect, "id = $1 AND enabled = 1");
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(webhook_id))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return unchanged(transaction, Leased::Idle).await };
        let until: i64 = row.try_get("leased_until").map_err(&failed)?;
        if until > now() {
            return unchanged(transaction, Leased::Busy { until }).await;
        }
        sqlx::query("UPDATE webhooks SET owner = $2, leased_until = $3 WHERE id = $1")
            .bind(sql::text(webhook_id))
            .bind(owner.to_owned())
            .bind(now() + lease)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        commit(transaction).await?;
        webhook(&row).map(|it| Leased::Webhook(Box::new(it)))
    }

    /// Writes what a round came to, all or nothing. False if the lease is somebody else's by now.
    pub async fn settle_webhook(
        &self,
        webhook_id: &str,
        owner: &str,
        round: &Round,
    ) -> Result<bool, Error> {
        let failed = Error::query("write how a webhook gets on");
        let mut transaction = self.database.begin().await?;
        let progress = &round.progress;
        let done = sqlx::query(
            "UPDATE webhooks SET stream = $3, position = $4, failures = $5, failing_since = $6, \
             resume_at = $7, last_success_at = $8, leased_until = $9 \
             WHERE id = $1 AND owner = $2 AND enabled = 1",
        )
        .bind(webhook_id.to_owned())
        .bind(owner.to_owned())
        .bind(progress.stream)
        .bind(position(progress.position))
        .bind(progress.failures)
        .bind(progress.failing_since)
        .bind(progress.resume_at)
        .bind(progress.last_success_at)
        .bind(round.leased_until)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        if done.rows_affected() == 0 {
            return unchanged(transaction, false).await;
        }
        free_lanes(&mut transaction, webhook_id, &round.done).await?;
        write_lanes(&mut transaction, webhook_id, &round.lanes).await?;
        write_attempts(&mut transaction, webhook_id, &round.attempts).await?;
        if let Some(reason) = round.disabled {
            let disabled = switch_off(&mut transaction, webhook_id, reason).await?;
            let inbox_id = disabled.inbox_id.clone().unwrap_or_default();
            let data = disabled.summary();
            Announcement::new(&disabled.account_id, &inbox_id, "webhook.disabled", &data)
                .write(&mut transaction)
                .await?;
        }
        commit(transaction).await?;
        Ok(true)
    }

    /// Forgets everything that waits for a webhook, whose stream of events is gone.
    pub async fn clear_lanes(&self, webhook_id: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM webhook_lanes WHERE webhook_id = $1")
            .bind(webhook_id.to_owned())
            .execute(&self.database.write)
            .await
            .map_err(Error::query("forget what waits for a webhook"))?;
        Ok(())
    }

    /// Gives a webhook back. False if it has to hear of something that came meanwhile, and so is not given
    /// back.
    pub async fn release_webhook(
        &self,
        webhook_id: &str,
        owner: &str,
        seen: u64,
    ) -> Result<bool, Error> {
        let failed = Error::query("give a webhook back");
        let mut transaction = self.database.begin().await?;
        let statement = locked(self.database.dialect, "id = $1 AND owner = $2");
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(webhook_id.to_owned())
            .bind(owner.to_owned())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return unchanged(transaction, true).await };
        if row.try_get::<i64, _>("wanted").map_err(&failed)? > position(seen) {
            return unchanged(transaction, false).await;
        }
        free(&mut transaction, webhook_id).await?;
        commit(transaction).await?;
        Ok(true)
    }

    /// Gives a webhook back whatever it has to hear of: who does so sees to it that somebody looks.
    pub async fn drop_webhook(&self, webhook_id: &str, owner: &str) -> Result<(), Error> {
        sqlx::query(
            "UPDATE webhooks SET owner = '', leased_until = 0 WHERE id = $1 AND owner = $2",
        )
        .bind(webhook_id.to_owned())
        .bind(owner.to_owned())
        .execute(&self.database.write)
        .await
        .map_err(Error::query("give a webhook back"))?;
        Ok(())
    }

    /// Notes an attempt beside the order of events: a ping, or what was asked for again.
    pub async fn note_webhook_attempt(
        &self,
        webhook_id: &str,
        attempt: &WebhookAttempt,
    ) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        write_attempts(&mut transaction, webhook_id, std::slice::from_ref(attempt)).await?;
        commit(transaction).await
    }
}

async fn free(connection: &mut AnyConnection, webhook_id: &str) -> Result<(), Error> {
    sqlx::query("UPDATE webhooks SET owner = '', leased_until = 0 WHERE id = $1")
        .bind(webhook_id.to_owned())
        .execute(connection)
        .await
        .map_err(Error::query("give a webhook back"))?;
    Ok(())
}

async fn free_lanes(
    connection: &mut AnyConnection,
    webhook_id: &str,
    inbox_ids: &[String],
) -> Result<(), Error> {
    for inbox_id in inbox_ids {
        sqlx::query("DELETE FROM webhook_lanes WHERE webhook_id = $1 AND inbox_id = $2")
            .bind(webhook_id.to_owned())
            .bind(sql::text(inbox_id))
            .execute(&mut *connection)
            .await
            .map_err(Error::query("free what waited for a webhook"))?;
    }
    Ok(())
}

async fn write_lanes(
    connection: &mut AnyConnection,
    webhook_id: &str,
    lanes: &[Lane],
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO webhook_lanes (webhook_id, inbox_id, sequence, attempts, due_at) \
             {rows} ON CONFLICT (webhook_id, inbox_id) DO UPDATE SET \
             sequence = excluded.sequence, attempts = excluded.attempts, due_at = excluded.due_at"
        )
    };
    sql::insert(connection, lanes, 5, statement, |query, lane| {
        let query = query.bind(webhook_id.to_owned()).bind(sql::text(&lane.inbox_id));
        query.bind(position(lane.sequence)).bind(lane.attempts).bind(lane.due_at)
    })
    .await
    .map_err(Error::query("write what waits for a webhook"))
}

/// And forgets the oldest ones beyond those that are kept. Of a webhook that was deleted meanwhile
/// nothing is written.
async fn write_attempts(
    connection: &mut AnyConnection,
    webhook_id: &str,
    attempts: &[WebhookAttempt],
) -> Result<(), Error> {
    let failed = Error::query("write the attempts of a webhook");
    let insert = "INSERT INTO webhook_attempts (id, webhook_id, event_id, event, inbox_id, sequence, \
                  attempt, outcome, status, error, duration_ms, attempted_at, next_attempt_at) \
                  SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM webhooks WHERE id = $2";
    for it in attempts {
        sqlx::query(insert)
            .bind(it.id.clone())
            .bind(webhook_id.to_owned())
            .bind(sql::text(&it.event_id))
            .bind(sql::text(&it.event))
            .bind(sql::text(&it.inbox_id))
            .bind(position(it.sequence))
            .bind(it.attempt)
            .bind(it.outcome.clone())
            .bind(it.status)
            .bind(sql::text(&it.error))
            .bind(it.duration_ms)
            .bind(it.attempted_at)
            .bind(it.next_attempt_at)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
    }
    sqlx::query(
        "DELETE FROM webhook_attempts WHERE webhook_id = $1 AND id < (SELECT id FROM \
         webhook_attempts WHERE webhook_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
    )
    .bind(webhook_id.to_owned())
    .bind(ATTEMPTS_KEPT - 1)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}
