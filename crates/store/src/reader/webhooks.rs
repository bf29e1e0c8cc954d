use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Error, Lane, Page, Progress, Wanted, Webhook, WebhookAttempt, cursor::Cursor, email::from_json,
    sql,
};

/// The columns of a webhook.
pub(crate) const WEBHOOK: &str = "id, account_id, inbox_id, url, events, created_at, secret_number, \
     previous_until, enabled, disabled_reason, disabled_at, stream, position, failures, failing_since, \
     resume_at, last_success_at";

const ATTEMPT: &str = "id, event_id, event, inbox_id, sequence, attempt, outcome, status, error, \
     duration_ms, attempted_at, next_attempt_at";

impl Reader {
    /// The account's, oldest first.
    pub async fn webhooks(&self, account_id: &str) -> Result<Vec<Webhook>, Error> {
        let condition = "account_id = $1 AND $2 = '' ORDER BY created_at, id";
        self.find_webhooks(condition, account_id, "").await
    }

    pub async fn webhook(
        &self,
        account_id: &str,
        webhook_id: &str,
    ) -> Result<Option<Webhook>, Error> {
        let found = self.find_webhooks("account_id = $1 AND id = $2", account_id, webhook_id);
        Ok(found.await?.into_iter().next())
    }

    /// Whoever owns it.
    pub async fn webhook_by_id(&self, webhook_id: &str) -> Result<Option<Webhook>, Error> {
        let found = self.find_webhooks("id = $1 AND $2 = ''", webhook_id, "");
        Ok(found.await?.into_iter().next())
    }

    async fn find_webhooks(
        &self,
        condition: &str,
        one: &str,
        other: &str,
    ) -> Result<Vec<Webhook>, Error> {
        let statement = format!("SELECT {WEBHOOK} FROM webhooks WHERE {condition}");
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(one))
            .bind(sql::text(other))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read webhooks"))?;
        rows.iter().map(webhook).collect()
    }

    /// What the enabled webhooks of these accounts want.
    pub async fn wanted_by_webhooks(&self, account_ids: &[&str]) -> Result<Vec<Wanted>, Error> {
        let failed = Error::query("read what webhooks want");
        let statement = |ids| {
            format!(
                "SELECT id, account_id, inbox_id, events FROM webhooks \
                 WHERE enabled = 1 AND account_id IN (VALUES {ids})"
            )
        };
        let mut connection = self.connection().await?;
        let bind = |query: sql::Bound, id: &&str| query.bind(sql::text(id));
        let rows =
            sql::fetch(&mut connection, account_ids, 1, statement, bind).await.map_err(&failed)?;
        let wanted = |row: &AnyRow| {
            let events: String = row.try_get("events").map_err(&failed)?;
            Ok(Wanted {
                id: row.try_get("id").map_err(&failed)?,
                account_id: row.try_get("account_id").map_err(&failed)?,
                inbox_id: row.try_get("inbox_id").map_err(&failed)?,
                events: from_json(&events, "the events of a webhook")?,
            })
        };
        rows.iter().map(wanted).collect()
    }

    /// The inboxes of a webhook that wait, those that are due first at the front.
    pub async fn lanes(&self, webhook_id: &str, limit: i64) -> Result<Vec<Lane>, Error> {
        let failed = Error::query("read what waits for a webhook");
        let rows = sqlx::query(
            "SELECT inbox_id, sequence, attempts, due_at FROM webhook_lanes WHERE webhook_id = $1 \
             ORDER BY due_at, inbox_id LIMIT $2",
        )
        .bind(sql::text(webhook_id))
        .bind(limit)
        .fetch_all(&self.database.read)
        .await
        .map_err(&failed)?;
        rows.iter().map(lane).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// Those of these inboxes that wait.
    pub async fn waiting_lanes(
        &self,
        webhook_id: &str,
        inbox_ids: &[String],
    ) -> Result<Vec<String>, Error> {
        let failed = Error::query("read what waits for a webhook");
        let statement = |tuples| {
            format!(
                "SELECT l.inbox_id FROM (VALUES {tuples}) AS v JOIN webhook_lanes l \
                 ON l.webhook_id = v.column1 AND l.inbox_id = v.column2"
            )
        };
        let mut connection = self.connection().await?;
        let bind =
            |query: sql::Bound, id: &String| query.bind(webhook_id.to_owned()).bind(sql::text(id));
        let rows =
            sql::fetch(&mut connection, inbox_ids, 2, statement, bind).await.map_err(&failed)?;
        rows.iter().map(|row| row.try_get("inbox_id")).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// How many inboxes wait.
    pub async fn count_lanes(&self, webhook_id: &str) -> Result<i64, Error> {
        sqlx::query_scalar("SELECT COUNT(*) FROM webhook_lanes WHERE webhook_id = $1")
            .bind(sql::text(webhook_id))
            .fetch_one(&self.database.read)
            .await
            .map_err(Error::query("count what waits for a webhook"))
    }

    /// What was tried for a webhook of the account, newest first; of one event if it is named.
    pub async fn webhook_attempts(
        &self,
        account_id: &str,
        webhook_id: &str,
        event_id: Option<&str>,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<WebhookAttempt>, Error> {
        let failed = Error::query("read the attempts of a webhook");
        let before = match cursor {
            Some(cursor) => Cursor::decode(cursor)?.id,
            // Identifiers are "wha_" and hexadecimal.
            None => "whb".to_owned(),
        };
        let statement = format!(
            "SELECT {ATTEMPT} FROM webhook_attempts WHERE webhook_id = (SELECT id FROM webhooks \
             WHERE id = $1 AND account_id = $2) AND id < $3 AND ($4 = '' OR event_id = $4) \
             ORDER BY id DESC LIMIT $5"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(webhook_id))
            .bind(sql::text(account_id))
            .bind(before)
            .bind(sql::text(event_id.unwrap_or_default()))
            .bind(limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut items =
            rows.iter().map(attempt).collect::<sqlx::Result<Vec<_>>>().map_err(&failed)?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more);
        let cursor = last.map(|it| Cursor { at: it.attempted_at, id: it.id.clone() }.encode());
        Ok(Page { items, cursor })
    }
}

pub(crate) fn webhook(row: &AnyRow) -> Result<Webhook, Error> {
    let failed = Error::query("read a webhook");
    let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(&failed);
    let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map_err(&failed);
    Ok(Webhook {
        id: text("id")?,
        account_id: text("account_id")?,
        inbox_id: row.try_get("inbox_id").map_err(&failed)?,
        url: text("url")?,
        events: from_json(&text("events")?, "the events of a webhook")?,
        created_at: number("created_at")?,
        secret_number: number("secret_number")?,
        previous_until: number("previous_until")?,
        enabled: number("enabled")? != 0,
        disabled_reason: text("disabled_reason")?,
        disabled_at: moment("disabled_at")?,
        progress: Progress {
            stream: number("stream")?,
            position: sequence(number("position")?),
            failures: number("failures")?,
            failing_since: moment("failing_since")?,
            resume_at: number("resume_at")?,
            last_success_at: moment("last_success_at")?,
        },
    })
}

fn lane(row: &AnyRow) -> sqlx::Result<Lane> {
    Ok(Lane {
        inbox_id: row.try_get("inbox_id")?,
        sequence: sequence(row.try_get("sequence")?),
        attempts: row.try_get("attempts")?,
        due_at: row.try_get("due_at")?,
    })
}

fn attempt(row: &AnyRow) -> sqlx::Result<WebhookAttempt> {
    Ok(WebhookAttempt {
        id: row.try_get("id")?,
        event_id: row.try_get("event_id")?,
        event: row.try_get("event")?,
        inbox_id: row.try_get("inbox_id")?,
        sequence: sequence(row.try_get("sequence")?),
        attempt: row.try_get("attempt")?,
        outcome: row.try_get("outcome")?,
        status: row.try_get("status")?,
        error: row.try_get("error")?,
        duration_ms: row.try_get("duration_ms")?,
        attempted_at: row.try_get("attempted_at")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
    })
}

/// Sequences are written as what they are: numbers below 2^63.
fn sequence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
